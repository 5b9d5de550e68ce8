// Package record defines the data in the store, as plain data: the record of a call (its CDR) with its forms in JSON
// and CSV, a search's filter, a change in the outbox, a registration, and a call that a killed process left. It does
// not use a database, so that only packages that open one link it.
package record

// Package record has what the store keeps, as plain data: the record of a call (its CDR) with its forms in JSON and
// CSV, what a search asks for, a change in the outbox, a registration, and a call that a killed process left. It knows
// no database. So only the packages that open one link it.
package record

// Package outbound says what the INVITE to a target holds: its URI, From and
// identity headers, diversion and privacy, the headers that are configured or
// passed on, X-EI, and what is left out to fit the target's size budget.
package outbound

// Package node is what `flowbridge serve` runs: a B2BUA with its store, media,
// recordings, hooks and admin API.
//
// Start builds these parts in the order in which they depend on each other, and
// Close stops them in the reverse order. Serve adds an operator, which carries
// out signals and the admin API's requests: reload and drain.
package node

// Package node is what `flowbridge serve` runs: a B2BUA with its store, media, recordings, hooks and admin API.
//
// Start builds these parts in the order of their dependencies, and Close stops them in the reverse order. Serve adds
// an operator, which carries out signals and the admin API's requests: reload and drain.
//
// Ownership: the configuration in force is one immutable value in Node.inForce, which a reload replaces as a whole.
// Hooks, operator and API read it from there.
package node

// Package node implements `flowbridge serve`: a B2BUA with its store, media, recordings, hooks and admin API.
//
// Start opens these parts in the order of their dependencies, and starts their work once no other process serves. Close
// stops them in the reverse order (type part). Serve adds an operator, which handles signals and the admin API's
// requests to reload and drain. callHooks answers the platforms, and figures reads the figures of all parts. A part
// that has state has a type: rtp, ladders, seat, api. Node only puts the parts together.
//
// Ownership: the configuration in force is one immutable value in Node.inForce, which a reload replaces as a whole.
// Hooks, operator and API read it from there.
package node

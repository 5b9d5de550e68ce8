// Package peers has the trunks and targets of the configuration as calls use
// them: whom a request comes from, what it must prove, how many calls each may
// have.
//
// A Snapshot is made of one configuration and never changes; a reload makes
// another, and a call keeps the one it began with. What is counted is kept by name
// beside it, so that counts outlive reloads. A target that may call is a Trunk
// here, too, and a trunk that can be called is a Target.
package peers

// Package check is `flowbridge check`: what is wrong with a configuration, what
// this machine lacks for it, what a platform would not take and, with --online,
// which targets can be reached.
package check

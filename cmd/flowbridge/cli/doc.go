// Package cli holds the code that all commands share: the root command, usage errors, the version, and functions that
// read and print texts.
package cli

// Package cli is what all commands share: the root command, exit codes, the
// version and how texts are printed.
package cli

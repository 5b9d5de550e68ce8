// Package cli is what all commands share: the root command, errors of usage, the version, and how texts are read and
// printed.
package cli

// Package cli has what all commands share: the root command, errors of usage, the version, and functions that read and
// print texts.
package cli

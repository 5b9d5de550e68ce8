// Package check implements `flowbridge check`: errors of a configuration, limits of this machine, settings that a
// platform does not accept and, with --online, whether targets can be reached.
package check

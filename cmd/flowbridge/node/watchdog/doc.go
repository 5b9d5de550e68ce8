// Package watchdog reports parts of the process that make no progress.
package watchdog

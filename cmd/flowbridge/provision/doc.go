// Package provision sets up accounts at platforms: the commands
// `flowbridge synthflow` and `flowbridge vapi`.
package provision

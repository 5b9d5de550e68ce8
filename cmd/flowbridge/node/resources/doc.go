// Package resources measures the CPU and memory that the machine or its cgroup gives the process, and keeps the process
// within them.
package resources

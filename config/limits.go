package config

// ProcessLimits is the section `limits`.
type ProcessLimits struct {
	// The memory that the process may take, from 64MB. Above 80 % of it new calls get 503, and live ones go on. A smaller limit
	// of the cgroup (MemoryMax= of the unit, docker run --memory) counts in its place. 0: the cgroup's alone.
	Memory int64 `key:"memory" is:"memory-size" default:"0"`
}

// leastMemory is what a process needs to take calls at all, in bytes.
const leastMemory = 64e6

// parseMemorySize takes 0, or a whole number of megabytes or gigabytes, powers of ten.
func parseMemorySize(t string) (int64, complaint) {
	if t == "0" {
		return 0, complaint{}
	}
	const remedy = "write one from 64MB, like 500MB or 2GB, or 0 for the cgroup's limit alone"
	n, c := parseFileSize(t)
	switch {
	case n == 0 && !size.MatchString(t):
		return 0, refuse(c.problem, remedy)
	case n < leastMemory:
		return 0, refuse("is less than 64MB", remedy)
	default:
		return n, complaint{}
	}
}

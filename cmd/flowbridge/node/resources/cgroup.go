package resources

import (
	"io/fs"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"
)

// cgroup is the cgroup that bounds the process's memory: its own, or one above it.
type cgroup struct {
	dir   string // empty if there is none
	limit uint64 // bytes
	files cgroupFiles
}

// cgroupFiles holds the file names of one version of the interface.
type cgroupFiles struct {
	limits []string
	use    string
	cache  []string // lines of memory.stat for memory that the kernel would reclaim at once
}

var (
	cgroupV2 = cgroupFiles{ //nolint:gochecknoglobals // a table
		limits: []string{"memory.max", "memory.high"}, use: "memory.current",
		cache: []string{"active_file", "inactive_file", "slab_reclaimable"},
	}
	cgroupV1 = cgroupFiles{ //nolint:gochecknoglobals // a table
		limits: []string{"memory.limit_in_bytes"}, use: "memory.usage_in_bytes",
		cache: []string{"total_active_file", "total_inactive_file"},
	}
)

// findCgroup finds the cgroup with the lowest limit, in version 2 or 1 of the interface. root is the root of the file
// system.
func findCgroup(root fs.FS) (least cgroup) {
	for dir, first := range cgroups(root, "memory") {
		files := cgroupV2
		if first {
			files = cgroupV1
		}
		for _, file := range files.limits {
			if limit := readLimit(root, path.Join(dir, file)); limit > 0 && (least.limit == 0 || limit < least.limit) {
				least = cgroup{dir: dir, limit: limit, files: files}
			}
		}
	}
	return least
}

// cgroups yields the directories of a controller's cgroups that the process is in, from its own one upward, and whether
// each has the first version of the interface.
func cgroups(root fs.FS, controller string) iter.Seq2[string, bool] {
	return func(yield func(dir string, first bool) bool) {
		text, err := fs.ReadFile(root, "proc/self/cgroup")
		if err != nil {
			return
		}
		for line := range strings.Lines(string(text)) {
			_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
			controllers, at, _ := strings.Cut(rest, ":")
			dir, first := "sys/fs/cgroup", controllers != ""
			if first {
				if !slices.Contains(strings.Split(controllers, ","), controller) {
					continue
				}
				dir = path.Join(dir, controller)
			}
			// In a container, the process may see its own cgroup as the root although the path is the machine's.
			for at = path.Clean("/" + at); ; at = path.Dir(at) {
				if !yield(path.Join(dir, at), first) {
					return
				}
				if at == "/" {
					break
				}
			}
		}
	}
}

// use returns the memory that counts against the limit, less the reclaimable file cache. It returns 0 if it can't be
// read.
func (c cgroup) use(root fs.FS) uint64 {
	if c.dir == "" {
		return 0
	}
	used := readLimit(root, path.Join(c.dir, c.files.use))
	stat, err := fs.ReadFile(root, path.Join(c.dir, "memory.stat"))
	if err != nil {
		return used
	}
	for line := range strings.Lines(string(stat)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, cache := range c.files.cache {
			if n, err := strconv.ParseUint(value, 10, 64); name == cache && err == nil {
				used -= min(n, used)
			}
		}
	}
	return used
}

// unlimited is the smallest value that means no limit in version 1. That version shows the largest number of whole
// pages instead.
const unlimited = 1 << 62

// readLimit returns the number in a file, or 0 if there is no limit.
func readLimit(root fs.FS, name string) uint64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64) // fails for "max"
	if err != nil || n >= unlimited {
		return 0
	}
	return n
}

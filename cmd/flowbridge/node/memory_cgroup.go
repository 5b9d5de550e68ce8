package node

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// cgroupLimit is how many bytes the process's cgroup may have: the least that it or one above it allows, in version 2 or 1
// of the interface. root is the root of the file system. 0: there is no limit, or none can be read.
func cgroupLimit(root fs.FS) uint64 {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	var least uint64
	for line := range strings.Lines(string(text)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, at, _ := strings.Cut(rest, ":")
		var dir string
		var files []string
		switch {
		case controllers == "":
			dir, files = "sys/fs/cgroup", []string{"memory.max", "memory.high"}
		case hasController(controllers, "memory"):
			dir, files = "sys/fs/cgroup/memory", []string{"memory.limit_in_bytes"}
		default:
			continue
		}
		// A container may see its own cgroup as the root, where the path is that of the machine.
		for at = path.Clean("/" + at); ; at = path.Dir(at) {
			for _, file := range files {
				if limit := readLimit(root, path.Join(dir, at, file)); limit > 0 && (least == 0 || limit < least) {
					least = limit
				}
			}
			if at == "/" {
				break
			}
		}
	}
	return least
}

func hasController(list, name string) bool {
	for c := range strings.SplitSeq(list, ",") {
		if c == name {
			return true
		}
	}
	return false
}

// unlimited is where version 1 begins to mean that there is no limit: it gives the largest number of whole pages.
const unlimited = 1 << 62

// readLimit is the number in a file; 0: there is no limit.
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

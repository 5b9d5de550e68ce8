//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RemoveLeftovers ends the flows of instances that are gone, in directories that match a pattern of [filepath.Match].
// Such an instance has changed its first address or port, was of an earlier version, or now relays in userspace. A
// directory held by a process is left alone. Call RemoveLeftovers when all calls have been restored: until then the
// kernel relays for them.
func RemoveLeftovers(pattern string) {
	dirs, err := filepath.Glob(pattern)
	if err != nil || len(dirs) == 0 {
		return
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return
	}
	defer h.Close()
	for _, dir := range dirs {
		alone(dir, func() {
			removeOthers(h, dir, "")
			_ = os.Remove(dir) // fails if the directory is not empty
		})
	}
}

// removeOthers ends the programs, and with them the flows, of all pins in a directory except one.
func removeOthers(h *netlink.Handle, dir, but string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if sub := filepath.Join(dir, entry.Name()); sub != but {
			clearPins(sub)
			removeFilters(h, sub)
		}
	}
}

// alone calls f if no other process holds a directory, and holds the directory during the call.
func alone(dir string, f func()) {
	root, err := takeDir(dir)
	if err != nil {
		return
	}
	defer root.Close()
	f()
}

// errGone reports that a directory was removed while it was being taken.
var errGone = errors.New("the directory is gone")

func isDir(open *os.File, is os.FileInfo) bool {
	was, err := open.Stat()
	return err == nil && os.SameFile(was, is)
}

// takeDir opens a directory that no other process holds. The directory is held until the file is closed.
func takeDir(dir string) (*os.File, error) {
	root, err := os.Open(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, errGone
	case err != nil:
		return nil, err
	}
	if err := ownDir(root); err != nil {
		_ = root.Close()
		return nil, err
	}
	if err := unix.Flock(int(root.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = root.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	if is, err := os.Stat(dir); err != nil || !isDir(root, is) {
		_ = root.Close()
		return nil, errGone
	}
	return root, nil
}

// ownDir refuses a directory that belongs to another user or that other users may write to, because its maps could
// redirect our packets. It accepts root's directories, because root can redirect packets anyway.
func ownDir(dir *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if own := uint32(os.Geteuid()); st.Uid != own && st.Uid != 0 {
		return fmt.Errorf("%s belongs to user %d, and the process is user %d: remove it, or chown it",
			dir.Name(), st.Uid, own)
	}
	if st.Mode&0o022 != 0 {
		return fmt.Errorf("others may write to %s (mode %03o): chmod 700 it", dir.Name(), st.Mode&0o777)
	}
	return nil
}

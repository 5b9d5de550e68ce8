//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Leftovers are flows in directories of processes that are gone, and that no process of that directory has taken over: the
// instance has another one now, or relays in userspace. They are carried until they are silent, or too old, and then
// removed. The nil Leftovers has none.
type Leftovers struct {
	timeout, maxAge time.Duration
	routes          *routes
	stop            chan struct{}
	stopped         sync.WaitGroup

	mu  sync.Mutex // guards what follows
	all []*elder
}

// OpenLeftovers looks for directories by a pattern of [filepath.Match]. Those that a process has are left alone, also those
// of this process, so it comes after Open. The timeouts are those of Options.
func OpenLeftovers(pattern string, timeout, maxAge time.Duration) *Leftovers {
	dirs, err := filepath.Glob(pattern)
	if err != nil || len(dirs) == 0 {
		return nil
	}
	if timeout == 0 {
		timeout = defaultTimeout
	}
	if maxAge == 0 {
		maxAge = defaultMaxAge
	}
	l := &Leftovers{timeout: timeout, maxAge: maxAge, stop: make(chan struct{})}
	for _, dir := range dirs {
		alone(dir, func() { l.all = append(l.all, eldersIn(dir, "")...) })
	}
	if len(l.all) == 0 {
		return nil
	}
	if h, err := netlink.NewHandle(unix.NETLINK_ROUTE); err == nil {
		l.routes = &routes{Handle: h}
	}
	l.stopped.Go(l.run)
	return l
}

// alone calls f if no process has a directory. It takes the directory for that moment.
func alone(dir string, f func()) {
	root, err := takeDir(dir)
	if err != nil {
		return
	}
	defer root.Close()
	f()
}

// errGone: a directory was removed as it was taken.
var errGone = errors.New("the directory is gone")

func isDir(open *os.File, is os.FileInfo) bool {
	was, err := open.Stat()
	return err == nil && os.SameFile(was, is)
}

// takeDir opens a directory that no other process has. It is had until it is closed.
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

// ownDir refuses a directory of another user, or one where others may write: its maps could be made to say where our
// packets go. Root's are believed, because root may do that anyway.
func ownDir(dir *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if own := uint32(os.Geteuid()); st.Uid != own && st.Uid != 0 {
		return fmt.Errorf("%s belongs to user %d, and the process is user %d: remove it, or chown it", dir.Name(), st.Uid, own)
	}
	if st.Mode&0o022 != 0 {
		return fmt.Errorf("others may write to %s (mode %03o): chmod 700 it", dir.Name(), st.Mode&0o777)
	}
	return nil
}

// eldersIn opens what is in a directory of pins but for one.
func eldersIn(dir, but string) (all []*elder) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		if sub := filepath.Join(dir, entry.Name()); sub != but {
			all = append(all, openElder(sub))
		}
	}
	return all
}

func (l *Leftovers) run() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		l.reap(Now())
		select {
		case <-tick.C:
		case <-l.stop:
			return
		}
	}
}

// reap removes what is silent, unless a process of its directory has taken it over.
func (l *Leftovers) reap(now time.Duration) {
	l.mu.Lock()
	all := slices.Clone(l.all)
	l.mu.Unlock()
	still := all[:0]
	for _, e := range all {
		if e.carries(now, l.timeout, l.maxAge) {
			still = append(still, e)
			continue
		}
		e.close()
		dir := filepath.Dir(e.dir)
		alone(dir, func() {
			if again := openElder(e.dir); again.flows > 0 && again.heard() > e.since && now-e.since < l.maxAge && now-again.heard() < l.timeout {
				still = append(still, again) // a process was there meanwhile, and is gone
				return
			}
			e.remove(l.routes)
			_ = os.Remove(dir) // if nothing else is in it
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = still
}

// Uses reports whether such a flow has the port as one of ours. It may not be leased then.
func (l *Leftovers) Uses(port uint16) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.all, func(e *elder) bool { return e.ports[port] })
}

// Flows returns how many there are.
func (l *Leftovers) Flows() (n int) {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.all {
		n += e.flows
	}
	return n
}

// Close leaves what there is to other processes.
func (l *Leftovers) Close() {
	if l == nil {
		return
	}
	close(l.stop)
	l.stopped.Wait()
	for _, e := range l.all {
		e.close()
	}
	l.routes.close()
}

package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/process"
)

// diskFull shrinks the disk to the size of its contents.
func diskFull(w *world, _ *rand.Rand) (func(), error) {
	var s unix.Statfs_t
	if err := unix.Statfs(w.disk, &s); err != nil {
		return nil, os.NewSyscallError("statfs", err)
	}
	used := int64(s.Blocks-s.Bfree) * s.Bsize
	var err error
	for try := range int64(50) { // the contents keep growing
		if err = unix.Mount("", w.disk, "", unix.MS_REMOUNT, fmt.Sprintf("size=%d", used+try*256<<10)); err == nil {
			break
		}
	}
	return func() { _ = unix.Mount("", w.disk, "", unix.MS_REMOUNT, w.diskSize()) }, os.NewSyscallError("remount", err)
}

// dbLocked holds the lock that another writing program would hold: byte 120 of the index of the log
// (https://sqlite.org/walformat.html#the_wal_index_file_format, WAL_WRITE_LOCK).
func dbLocked(w *world, _ *rand.Rand) (func(), error) {
	f, err := os.OpenFile(w.store()+"-shm", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 120, Len: 1}
	for range 1000 {
		if err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lock); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return func() { _ = f.Close() }, err
}

func dbRemoved(w *world, _ *rand.Rand) (func(), error) {
	if err := w.remember(); err != nil {
		return nil, err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(w.store() + suffix)
	}
	return nil, nil
}

// linkDown takes a link of the relay down.
func linkDown(name string) func(*world, *rand.Rand) (func(), error) {
	return func(w *world, _ *rand.Rand) (func(), error) {
		return func() { _ = w.net.Relay.IP("link set %s up", name) }, w.net.Relay.IP("link set %s down", name)
	}
}

// memory limits the process to little more memory than it uses.
func memory(w *world, _ *rand.Rand) (func(), error) {
	s := w.supervisor
	if s.cgroup == "" {
		return nil, fmt.Errorf("%w a cgroup of memory", errNeeds)
	}
	limit := s.readCgroup("usage_in_bytes") + 8<<20
	return func() { _ = s.writeCgroup("limit_in_bytes", -1) }, s.writeCgroup("limit_in_bytes", limit)
}

// descriptors limits the process to a few more files than it has open.
func descriptors(w *world, _ *rand.Rand) (func(), error) {
	pid := w.supervisor.current()
	var before unix.Rlimit
	now := unix.Rlimit{Cur: uint64(process.Group{pid}.Descriptors() + 4)}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		return nil, os.NewSyscallError("prlimit", err)
	}
	now.Max = before.Max
	err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &now, nil)
	return func() { _ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil) }, os.NewSyscallError("prlimit", err)
}

// adminHang opens connections to the admin API that send half a request, and others that never read the answer.
func adminHang(w *world, _ *rand.Rand) (func(), error) {
	var all []net.Conn
	for i := range 80 {
		c, err := net.Dial("unix", w.server.Socket()) //nolint:noctx // it is closed below
		if err != nil {
			break
		}
		text := "GET /api/cdrs?limit=1000 HTTP/1.1\r\nHost: flowbridge\r\n"
		if i%2 == 0 {
			text += "\r\n" + text + "\r\n"
		}
		_, _ = c.Write([]byte(text))
		all = append(all, c)
	}
	return func() {
		for _, c := range all {
			_ = c.Close()
		}
	}, nil
}

// clock makes the process's wall clock jump back or forth, by up to two days, and then back again.
func clock(w *world, r *rand.Rand) (func(), error) {
	if !w.clock {
		return nil, fmt.Errorf("%w a binary with a clock of its own, as scripts/chaos builds it", errNeeds)
	}
	by := between(r, -48*time.Hour, 48*time.Hour)
	set := func(seconds int64) error {
		return os.WriteFile(w.time(), strconv.AppendInt(nil, seconds, 10), 0o600)
	}
	return func() { _ = set(0) }, set(int64(by / time.Second))
}

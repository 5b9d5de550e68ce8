package node

import (
	"hash/fnv"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// machine gives for how long the machine runs, whatever its wall clock is set to, and which of its starts that is of; 0: not known.
// Time in which it was suspended does not count, as it does not for timers.
func machine() (uptime time.Duration, start uint64) {
	b := booted()
	if b.start == 0 {
		return 0, 0
	}
	return b.uptime + time.Since(b.at), b.start
}

// boot is a start of the machine.
type boot struct {
	start  uint64 // its number; 0: not known
	uptime time.Duration
	at     time.Time // when the uptime was that; from there on time.Since goes without a system call
}

var booted = sync.OnceValue(func() (b boot) { //nolint:gochecknoglobals // it is the same as long as the process lives
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	var up unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &up) != nil {
		return boot{}
	}
	h := fnv.New64a()
	_, _ = h.Write(id) // never fails
	return boot{start: h.Sum64(), uptime: time.Duration(up.Nano()), at: time.Now()}
})

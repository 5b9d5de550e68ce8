package store

import (
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/store/record"
)

// Uptime gives for how long the machine runs, whatever its wall clock is set to, and the number of its boot; 0: not
// known. Time in which it was suspended does not count, as it does not for timers.
func Uptime() (uptime time.Duration, boot uint64) {
	b := booted()
	if b.boot == 0 {
		return 0, 0
	}
	return b.uptime + time.Since(b.at), b.boot
}

// lastBoot is when the machine was started last.
type lastBoot struct {
	boot   uint64 // its number; 0: not known
	uptime time.Duration
	at     time.Time // when the uptime was that; from there on time.Since goes without a system call
}

var booted = sync.OnceValue(
	func() (b lastBoot) { //nolint:gochecknoglobals // it is the same as long as the process lives
		id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
		var up unix.Timespec
		if err != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &up) != nil {
			return lastBoot{}
		}
		h := fnv.New64a()
		_, _ = h.Write(append(id, "monotonic"...)) // which never fails
		return lastBoot{boot: h.Sum64(), uptime: time.Duration(up.Nano()), at: time.Now()}
	})

// moment is a moment by the wall clock, and by the machine's own clock, which can't be set.
type moment struct {
	Wall   time.Time     `json:"noted_at,omitzero"`
	Uptime time.Duration `json:"noted_uptime,omitempty"`
	Boot   uint64        `json:"noted_boot,omitempty"` // 0: not known
}

// moment gives what the wall clock says together with what the machine's own does.
func (j *journal) moment(wall time.Time) moment {
	m := moment{Wall: wall}
	m.Uptime, m.Boot = j.machine()
	return m
}

// append adds the moment, but for the wall time, to an object in JSON.
func (m moment) append(object []byte) []byte {
	b := object[:len(object)-1]
	if m.Uptime != 0 {
		b = strconv.AppendInt(append(b, `,"noted_uptime":`...), int64(m.Uptime), 10)
	}
	return append(strconv.AppendUint(append(b, `,"noted_boot":`...), m.Boot, 10), '}')
}

// since is the time that has gone by since another moment. Where the machine's own clock does not know, the wall clock
// has to: after another start of the machine.
func (m moment) since(before moment) time.Duration {
	if m.Boot == 0 || m.Boot != before.Boot {
		return m.Wall.Sub(before.Wall)
	}
	return m.Uptime - before.Uptime
}

// text is the moment as momentOf reads it.
func (m moment) text() string {
	return fmt.Sprintf("%s %d %d", record.TimeOf(m.Wall), m.Boot, m.Uptime)
}

// momentOf reads a text; what is none is the zero moment.
func momentOf(text string) (m moment) {
	var wall string
	var at record.Time
	n, _ := fmt.Sscanf(text, "%s %d %d", &wall, &m.Boot, &m.Uptime)
	if at.UnmarshalText([]byte(wall)) != nil || n < 3 {
		return moment{}
	}
	m.Wall = at.Time
	return m
}

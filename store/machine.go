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

// Uptime returns how long the machine has run, independent of its wall clock, and the number of its boot, or 0 if that
// is unknown. Time in suspension does not count, as for timers.
func Uptime() (uptime time.Duration, boot uint64) {
	b := booted()
	if b.boot == 0 {
		return 0, 0
	}
	return b.uptime + time.Since(b.at), b.boot
}

// lastBoot describes the machine's last start.
type lastBoot struct {
	boot   uint64 // number of the boot; 0 if unknown
	uptime time.Duration
	at     time.Time // when the uptime was read; from there time.Since works without a system call
}

var booted = sync.OnceValue(
	func() (b lastBoot) { //nolint:gochecknoglobals // constant for the life of the process
		id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
		var up unix.Timespec
		if err != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &up) != nil {
			return lastBoot{}
		}
		h := fnv.New64a()
		_, _ = h.Write(append(id, "monotonic"...)) // never fails
		return lastBoot{boot: h.Sum64(), uptime: time.Duration(up.Nano()), at: time.Now()}
	})

// moment is a point in time by the wall clock and by the machine's own clock, which can't be set.
type moment struct {
	Wall   time.Time     `json:"noted_at,omitzero"`
	Uptime time.Duration `json:"noted_uptime,omitempty"`
	Boot   uint64        `json:"noted_boot,omitempty"` // 0 if unknown
}

// moment returns the given wall time together with the time of the machine's own clock.
func (j *journal) moment(wall time.Time) moment {
	m := moment{Wall: wall}
	m.Uptime, m.Boot = j.machine()
	return m
}

// append adds the moment, except the wall time, to a JSON object.
func (m moment) append(object []byte) []byte {
	b := object[:len(object)-1]
	if m.Uptime != 0 {
		b = strconv.AppendInt(append(b, `,"noted_uptime":`...), int64(m.Uptime), 10)
	}
	return append(strconv.AppendUint(append(b, `,"noted_boot":`...), m.Boot, 10), '}')
}

// since returns the time since an earlier moment. If the machine has restarted in between, only the wall clock can
// tell.
func (m moment) since(before moment) time.Duration {
	if m.Boot == 0 || m.Boot != before.Boot {
		return m.Wall.Sub(before.Wall)
	}
	return m.Uptime - before.Uptime
}

// text returns the moment in the format of momentOf.
func (m moment) text() string {
	return fmt.Sprintf("%s %d %d", record.TimeOf(m.Wall), m.Boot, m.Uptime)
}

// momentOf parses a text. If the text is invalid, it returns the zero moment.
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

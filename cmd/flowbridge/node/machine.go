package node

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/b2bua/circuit"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// dayFile returns the file that keeps the last day of figures and events: flowbridge-day.json for flowbridge.db.
func (n *Node) dayFile() string {
	path := n.config().Store.Path
	return strings.TrimSuffix(path, filepath.Ext(path)) + "-day.json"
}

// keepDay makes the last day outlive the process, and notes how the process began.
func (n *Node) keepDay() {
	begun := false
	n.add(part{begin: func() {
		begun = true
		killed, err := n.live.LoadDay(n.dayFile())
		if err != nil {
			n.log.Info().Err(err).Msg("the history of the last day begins again")
		}
		switch {
		case n.before != nil:
			n.live.Note(live.EventUpgrade, "upgraded to "+cli.Version())
		case killed:
			n.live.Note(live.EventKill, fmt.Sprintf("the process was killed with %d live calls; %s started",
				len(n.store.Left)+len(n.store.Interrupted), cli.Version()))
		default:
			n.live.Note(live.EventStart, cli.Version()+" started")
		}
		if n.seat != nil {
			n.live.Note(live.EventSeat, "took the seat "+n.seat.Name())
		}
	}, close: func() error {
		if begun { // otherwise the file has not been read
			n.live.Note(live.EventStop, "stopped")
			n.saveDay()
		}
		return nil
	}})
}

// saveDay writes the history of the last day. Calls don't depend on it, so a failure is only told.
func (n *Node) saveDay() {
	if err := n.live.SaveDay(n.dayFile()); err != nil {
		n.log.Info().Err(err).Msg("the history of the last day is not written")
	}
}

// noteCircuit notes that calls skip a target, and that they no longer do.
func (n *Node) noteCircuit(c circuit.Change) {
	switch {
	case c.State == circuit.Open && !c.Reopened:
		n.live.Note(live.EventTarget, c.Name+" is out of use: it fails")
	case c.State == circuit.Closed:
		n.live.Note(live.EventTarget, fmt.Sprintf("%s is in use again, after %v", c.Name, c.For.Round(time.Second)))
	}
}

// noteCertificates notes what has changed since the last look: a certificate that is nearly over, or a renewed one.
func (f *figures) noteCertificates(last, now *sampled) {
	if last.at.IsZero() {
		return
	}
	if now.certificate != "" && last.certificate == "" {
		f.node.live.Note(live.EventCertificate, now.certificate)
	}
	for file, until := range now.expiry {
		if was, known := last.expiry[file]; known && !was.Equal(until) {
			f.node.live.Note(live.EventCertificate, fmt.Sprintf("%s is a new one, valid until %s", file, until.Format(time.DateOnly)))
		}
	}
}

// usage is what the process had used at a time.
type usage struct {
	at  time.Time
	cpu time.Duration
}

// machine reads the figures of the machine. before is what the process had used at the last call.
func (f *figures) machine(before usage, now time.Time) (live.Machine, usage) {
	m := live.Machine{StartedAt: record.TimeOf(f.started), CPUs: runtime.GOMAXPROCS(0)}
	var used unix.Rusage
	is := usage{at: now}
	if unix.Getrusage(unix.RUSAGE_SELF, &used) == nil {
		is.cpu = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	if passed := now.Sub(before.at); !before.at.IsZero() && passed > 0 {
		m.CPU = max(0, (is.cpu-before.cpu).Seconds()/passed.Seconds())
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		var size, resident uint64
		if _, err := fmt.Fscan(strings.NewReader(string(text)), &size, &resident); err == nil {
			m.Memory = resident * uint64(os.Getpagesize())
		}
	}
	var all unix.Sysinfo_t
	if unix.Sysinfo(&all) == nil {
		m.MemoryLimit = uint64(all.Totalram) * uint64(all.Unit)
	}
	if f.node.memory != nil {
		if limit := f.node.memory.budget.allowed(); limit > 0 {
			m.MemoryLimit = min(m.MemoryLimit, limit)
		}
	}
	var disk unix.Statfs_t
	if unix.Statfs(filepath.Dir(f.node.config().Store.Path), &disk) == nil {
		m.DiskFree, m.DiskSize = disk.Bavail*uint64(disk.Bsize), disk.Blocks*uint64(disk.Bsize)
	}
	return m, is
}

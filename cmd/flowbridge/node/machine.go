package node

import (
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/node/resources"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// keepDay makes the last day outlive the process, and notes how the process began.
func (n *Node) keepDay() {
	begun := false
	n.add(part{begin: func() {
		begun = true
		killed, err := n.live.LoadDay(n.config().Store.Path + ".day")
		if err != nil {
			n.log.Info().Err(err).Msg("history of the last day starts over")
		}
		how := "start"
		if n.before != nil {
			how = "upgrade"
		} else if killed {
			n.live.Note("kill", fmt.Sprintf("killed with %d live calls", len(n.store.Left)+len(n.store.Interrupted)))
		}
		n.live.Note(how, how+" of version "+cli.Version())
		if n.seat != nil {
			n.live.Note("seat", "took the seat "+n.seat.Name())
		}
	}, close: func() error {
		if begun { // otherwise the file was not read
			n.live.Note(live.EventStop, "stopped")
			n.saveDay()
		}
		return nil
	}})
}

// saveDay writes the last day beside the database. Calls don't depend on it, so a failure is only told, and once.
func (n *Node) saveDay() {
	err := n.live.SaveDay(n.config().Store.Path + ".day")
	switch failed := err != nil; {
	case n.dayFails.Swap(failed) == failed:
	case failed:
		n.log.Info().Err(err).Msg("can't write the history of the last day")
	default:
		n.log.Info().Msg("writing the history of the last day again")
	}
}

// machine reads the figures of the machine. last has what the process had used before.
func (f *figures) machine(last, now *sampled) live.Machine {
	m := live.Machine{StartedAt: record.TimeOf(f.started), Memory: resources.Mapped()}
	var used unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &used) // can't fail
	if now.cpu = time.Duration(used.Utime.Nano() + used.Stime.Nano()); !last.at.IsZero() {
		m.CPU = (now.cpu - last.cpu).Seconds() / now.at.Sub(last.at).Seconds()
	}
	m.DiskFree, m.DiskSize = f.disk()
	return m
}

// disk returns the bytes of the disk with store.path, or 0 if they can't be read.
func (f *figures) disk() (free, size uint64) {
	var disk unix.Statfs_t
	if unix.Statfs(filepath.Dir(f.node.config().Store.Path), &disk) != nil {
		return 0, 0
	}
	return disk.Bavail * uint64(disk.Bsize), disk.Blocks * uint64(disk.Bsize)
}

package main

import (
	"errors"
	"fmt"
	"time"

	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/rtp"
)

// holding is the cost of a held call.
type holding struct {
	System      string  `json:"system"`
	Calls       int     `json:"calls"` // calls that could be set up
	Wanted      int     `json:"wanted"`
	KB          float64 `json:"kb_per_call"` // of the process (PSS)
	KernelKB    float64 `json:"map_kb"`      // of its maps in the kernel
	Descriptors float64 `json:"files_per_call"`
	Lost        int64   `json:"lost"`
	Sent        int64   `json:"sent"`
	Refused     string  `json:"refused,omitempty"` // why no more calls could be set up
}

// sparse is the number of intervals between two packets of a held call, which gets one packet a second.
const sparse = int(time.Second / rtp.Interval)

// beginning is how many calls are set up at a time. Then the calls that are up get packets, for as long as setting up
// that many should take.
const beginning = 500

func noUsage() (usage, error) { return usage{}, nil }

// held sets up calls with a packet a second, and prints the cost of each at the end of a measurement.
func (b *bench) held() error {
	fmt.Fprintf(b.out, "%-10s %7s %9s %9s %11s %8s %10s\n",
		"engine", "calls", "KB/call", "map KB", "files/call", "lost", "sent")
	return eachEngine(b, b.hold)
}

func (h holding) row() string {
	return fmt.Sprintf("%-10s %7d %9.1f %9.1f %11.2f %8d %10d  %s",
		h.System, h.Calls, h.KB, h.KernelKB, h.Descriptors, h.Lost, h.Sent, h.Refused)
}

func (b *bench) hold(name string, calls int) (h holding, err error) {
	h = holding{System: name, Wanted: calls}
	s, err := b.start(name)
	if err != nil {
		return h, err
	}
	defer s.stop()
	l, err := newLoad(s.network, relayAddrs, calls)
	if err != nil {
		return h, err
	}
	defer l.close()
	l.every = sparse
	before, err := takenBy(s.relay)
	if err != nil {
		return h, err
	}
	for h.Calls < calls {
		toA, toB, err := s.open(h.Calls, l.side[0].At, l.side[1].At)
		if err != nil {
			h.Refused = err.Error()
			break
		}
		l.connect(h.Calls, toA, toB)
		h.Calls++
		if h.Calls%beginning == 0 { // so that the calls that are up have RTP while others start
			l.calls = h.Calls
			if _, _, err = l.run(beginning*time.Second/time.Duration(b.rate), 0, noUsage); err != nil {
				return h, err
			}
		}
	}
	if h.Calls == 0 {
		return h, errors.New(h.Refused)
	}
	l.calls = h.Calls
	if _, _, err = l.run(warmUp, time.Duration(b.seconds)*time.Second, noUsage); err != nil {
		return h, err
	}
	after, err := takenBy(s.relay)
	n := float64(h.Calls)
	h.KB, h.KernelKB = float64(after.memory-before.memory)/n/1024, float64(after.maps-before.maps)/n/1024
	h.Descriptors = float64(after.files-before.files) / n
	h.Sent, h.Lost = l.sent, l.sent-l.received()
	return h, err
}

// taken holds the resources that a process uses: memory and its maps in the kernel in bytes, and open files.
type taken struct {
	memory, maps int64
	files        int
}

func takenBy(relay process.Group) (t taken, err error) {
	_, t.memory, err = relay.Memory()
	t.maps, t.files = relay.Maps(), relay.Descriptors()
	return t, err
}

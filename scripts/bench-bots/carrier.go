package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/rtp"
	"flowbridge/scripts/internal/sip"
)

const (
	tick  = 500 * time.Microsecond // each call has its own within 20 ms
	ticks = int(rtp.Interval / tick)
	// patience bounds the wait for an answer.
	patience = 10 * time.Second
)

// carrier places calls and sends their RTP from one port. Two goroutines use it: the reader of SIP, and
// the caller of its methods.
type carrier struct {
	sip.UDP
	rtp    *batch.Port
	calls  []*leg
	byPort map[netip.AddrPort]*leg
	number uint32 // of the next frame
	lost   int    // calls that ended though the carrier did not end them. Guarded by the lock of UDP
}

// leg is one call.
type leg struct {
	dialog *sip.Dialog
	to     netip.AddrPort
	last   int64 // when the last frame of the bot came, in nanoseconds; 0 if none
	gap    int64 // the longest time between two of them
	hushed bool  // a frame that follows clear has come
}

// heard is what the bot's frames showed while the carrier sent.
type heard struct {
	up, down []float64     // delays in ms, sorted
	sent     int           // frames that the bot had to repeat
	gap      time.Duration // the longest of any call
	after    int           // frames of what a clear had dropped that came after it
	silent   int           // calls without a frame in the last second
}

func newCarrier(in namespace.Namespace) (*carrier, error) {
	c := &carrier{}
	at, peer := netip.AddrPortFrom(namespace.CarrierAddr, 5060), netip.AddrPortFrom(namespace.RelayAddr, 5060)
	err := c.Listen("carrier", in, at, peer)
	if err != nil {
		return nil, err
	}
	c.Ended = func(*sip.Dialog, string) { c.lost++ }
	c.rtp, err = batch.Listen(in, netip.AddrPortFrom(namespace.CarrierAddr, 0), rtp.Room)
	go c.Run()
	return c, err
}

// place places n calls to a number at once, and returns how long each of them took from INVITE to 200, in ms, sorted.
func (c *carrier) place(n int, to string) (took []float64, err error) {
	type answer struct {
		dialog *sip.Dialog
		text   sip.Message
		after  time.Duration
	}
	answers := make(chan answer, n)
	for range n {
		c.Lock()
		begun := time.Now()
		d := c.Dial("+15075550100", to)
		d.Ask("INVITE", sip.WithBody(sip.Description(c.rtp.At)), func(m sip.Message) {
			answers <- answer{d, m, time.Since(begun)}
		})
		c.Unlock()
	}
	c.calls, c.byPort = nil, map[netip.AddrPort]*leg{}
	for late := time.After(patience); len(took) < n; {
		select {
		case a := <-answers:
			l := &leg{dialog: a.dialog, to: sip.Media(a.text.Body())}
			if a.text.Status() != 200 || !l.to.IsValid() {
				return took, fmt.Errorf("a call got %q", a.text.Start())
			}
			c.calls, c.byPort[l.to] = append(c.calls, l), l
			took = append(took, float64(a.after)/1e6)
		case <-late:
			return took, fmt.Errorf("%d of %d calls are answered", len(took), n)
		}
	}
	slices.Sort(took)
	return took, nil
}

// hangUp ends all calls.
func (c *carrier) hangUp() error {
	done := make(chan int, len(c.calls))
	c.Lock()
	for _, l := range c.calls {
		l.dialog.Ask("BYE", sip.Empty, func(m sip.Message) { done <- m.Status() })
		l.dialog.Finish()
	}
	c.Unlock()
	for range c.calls {
		if status := <-done; status != 200 {
			return fmt.Errorf("a BYE got %d", status)
		}
	}
	return nil
}

var errLost = errors.New("calls have ended by themselves")

// send sends frames for a while, each with the order for its bot, and returns what came back.
func (c *carrier) send(while time.Duration, order func(call, frame int) byte) (h heard, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	batch.Punctual()
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for _, l := range c.calls {
		l.last, l.gap = 0, 0
	}
	pace := rtp.NewPace(tick)
	frames := int(while / rtp.Interval)
	for frame := range frames {
		for at := range ticks {
			pace.Wait(int64(frame*ticks + at))
			for call := at; call < len(c.calls); call += ticks {
				p := c.rtp.Packet(0)[:rtp.Size]
				clear(p)
				rtp.Write(p, uint32(call), 0, c.number, batch.Clock(unix.CLOCK_REALTIME))
				p[atOrder] = order(call, frame)
				if p[atOrder]&echo != 0 {
					h.sent++
				}
				l := c.calls[call]
				l.hushed = l.hushed && p[atOrder] != talk
				c.rtp.Put(0, p, l.to)
				c.rtp.Send(1)
			}
			c.rtp.Read(func(p []byte, from netip.AddrPort, came int64) { h.take(c.byPort[from], p, came) })
		}
		c.number++
	}
	for _, l := range c.calls {
		h.gap = max(h.gap, time.Duration(l.gap))
		if batch.Clock(unix.CLOCK_REALTIME)-l.last > int64(time.Second) {
			h.silent++
		}
	}
	slices.Sort(h.up)
	slices.Sort(h.down)
	c.Lock()
	defer c.Unlock()
	if c.lost > 0 {
		err = fmt.Errorf("%w: %d", errLost, c.lost)
	}
	return h, err
}

// take handles a packet of the bot.
func (h *heard) take(l *leg, p []byte, came int64) {
	if l == nil {
		return
	}
	_, _, written, ours := rtp.Read(p)
	if !ours {
		if l.hushed && len(p) == rtp.Size && p[atPayload] == talking {
			h.after++
		}
		return
	}
	l.hushed = p[atOrder] == hush
	h.up = append(h.up, float64(binary.BigEndian.Uint64(p[atUp:]))/1e6)
	h.down = append(h.down, float64(came-written)/1e6)
	if l.last != 0 {
		l.gap = max(l.gap, came-l.last)
	}
	l.last = came
}

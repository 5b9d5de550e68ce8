package stage

import (
	"net/netip"
	"time"
)

// Tap receives the packets that a session accepts, for a recording.
type Tap interface {
	// Packet is called for each accepted packet of RTP and RTCP, in order of arrival, before it is rewritten. Masked keys
	// are masked in it. The caller is an engine goroutine that also carries other calls' media: Packet must not block,
	// must copy what it keeps of Data, and must not call the session.
	Packet(p Tapped)
}

// Taps gives the packets of a session to several taps.
type Taps []Tap

// Packet implements Tap.
func (ts Taps) Packet(p Tapped) {
	for _, t := range ts {
		t.Packet(p)
	}
}

// Tapped is one packet for a tap.
type Tapped struct {
	At     time.Time      // when the engine woke up for it, within about a millisecond of its arrival
	Side   Side           // the sender
	Kind   Kind           // RTP or RTCP; RTCP may have arrived at the RTP port (RFC 5761)
	Source netip.AddrPort // source address
	Local  netip.AddrPort // destination; the address is unspecified if the engine listens on that
	Data   []byte         // RTP or RTCP, well formed; valid only during the call
}

// Tapping gives a tap the packets of both sides from now on, replacing the previous tap.
type Tapping struct {
	Tap   Tap               // nil means none
	Epoch time.Time         // of all times
	Local [2]netip.AddrPort // where RTP arrives, by side
}

// tapper gives a tap the packets of one side.
type tapper struct {
	idle
	Tapping
	side Side
}

func (c Tapping) apply(w *way, _ time.Duration) {
	for side := range w.both.ways {
		if w := w.both.at(Side(side)); w.tap == nil {
			w.tap = &tapper{Tapping: c, side: w.side}
			w.arrange()
		} else {
			w.tap.Tapping = c
		}
	}
}

func (t *tapper) packet(p *Packet) Verdict {
	t.show(p, RTP)
	return Relay
}

func (t *tapper) plain(time.Duration) bool { return t.Tap == nil }

func (t *tapper) show(p *Packet, kind Kind) {
	if t.Tap == nil {
		return
	}
	local := t.Local[t.side]
	t.Tap.Packet(Tapped{
		At: t.Epoch.Add(p.Now), Side: t.side, Kind: kind, Source: p.Source,
		Local: netip.AddrPortFrom(local.Addr(), local.Port()+uint16(p.Port)), Data: p.Data,
	})
}

// show gives the session's tap a packet of a side.
func (s *Stages) show(from Side, p *Packet, kind Kind) {
	if w := s.ways[from]; w != nil && w.tap != nil {
		w.tap.show(p, kind)
	}
}

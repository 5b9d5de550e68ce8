package stage

import (
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

const (
	// eventTimeout is how long after its last packet an event counts as ended. Senders repeat it every 20 to 50 ms (RFC
	// 4733 §2.5.1.2).
	eventTimeout = time.Second

	// digitsPerSecond limits the reported digits of one side. People press 5 and dialers 12; a peer that invents more must
	// not flood the session's owner.
	digitsPerSecond = 50
)

// TelephoneEvents says which of a side's RTP packets are telephone-events (RFC 4733), for EventDigit. The zero value is
// off: packets are relayed unread.
type TelephoneEvents struct {
	On          bool   `cbor:"1,keyasint,omitempty"`
	PayloadType uint8  `cbor:"2,keyasint,omitempty"` // 0 to 127, as the side sends it, before any Rewrite
	ClockRate   uint32 `cbor:"3,keyasint,omitempty"` // for their durations, in Hz; 0 means 8000

	// Divert stops relaying the packets, for an owner that passes digits on in another way. The other side sees them as
	// lost. Events that are not digits, codes above 15, are still relayed.
	Divert bool `cbor:"4,keyasint,omitempty"`
}

// listener turns a side's telephone-events into digits, reporting each once. It is a value without clock or I/O, owned
// by the worker.
//
//	idle --packet of a new event--> listening --end, another event, 1 s--> idle
type listener struct {
	idle
	config TelephoneEvents
	way    *way

	listening bool           // an event is in progress
	current   packet.EventID // the event, or its current segment
	earlier   uint64         // total length of its earlier segments, in units
	duration  uint16         // the longest duration reported so far, in units
	heard     time.Duration

	past pastEvents // including segments

	second   time.Duration // start of the second that reported counts for
	reported int
}

// set applies a configuration. An event in progress continues, so that a repeated configuration does not press a key
// twice.
func (l *listener) set(c TelephoneEvents) {
	if !c.On && l.listening {
		l.finish(l.heard)
	}
	l.config = c
}

func (l *listener) packet(p *Packet) Verdict {
	if !l.config.On || p.PayloadType != l.config.PayloadType {
		return Relay
	}
	e, ok := packet.ParseEvent(packet.Payload(p.Data))
	if ok {
		id := p.EventID()
		id.Code = e.Code
		l.follow(id, e, packet.Marker(p.Data), p.Now)
		_, ok = e.Digit()
		l.way.session.Arm(l.way.side)
	} else {
		ok = true // with Divert, malformed events are not relayed either
	}
	if l.config.Divert && ok {
		return Diverted
	}
	return Relay
}

func (l *listener) follow(id packet.EventID, e packet.Event, first bool, now time.Duration) {
	switch {
	case l.listening && id == l.current:
	case l.past.has(id):
		return // the end repeated, or a packet that was overtaken
	case l.listening && !first && l.continues(id):
		l.past.add(l.current)
		l.earlier += uint64(l.duration)
		l.current, l.duration = id, 0
	default:
		if l.listening {
			l.finish(now)
		}
		l.listening, l.current, l.earlier, l.duration = true, id, 0, 0
	}
	l.heard, l.duration = now, max(l.duration, e.Duration)
	if e.End {
		l.finish(now)
	}
}

// continues reports whether an event is the next segment of the current one: it starts where that one ends (RFC 4733
// §2.5.1.3).
func (l *listener) continues(id packet.EventID) bool {
	start := l.current
	start.Timestamp += uint32(l.duration)
	return id == start && l.duration > 0
}

// finish ends the current event and reports it if it is a digit.
func (l *listener) finish(now time.Duration) {
	l.listening = false
	l.past.add(l.current)
	digit, ok := packet.Event{Code: l.current.Code}.Digit()
	if !ok {
		return
	}
	if now-l.second >= time.Second {
		l.second, l.reported = now, 0
	}
	if l.reported++; l.reported <= digitsPerSecond {
		l.way.session.Pressed(l.way.side, digit, stream.Span(l.earlier+uint64(l.duration), l.config.ClockRate))
	}
}

func (l *listener) due() time.Duration {
	if !l.listening {
		return stream.Never
	}
	return l.heard + eventTimeout
}

// attend ends an event whose end was lost.
func (l *listener) attend(now time.Duration) { l.finish(now) }

func (l *listener) plain(time.Duration) bool { return !l.listening }

func (l *listener) up() (types packet.PayloadSet) {
	if l.config.On {
		types.Add(l.config.PayloadType)
	}
	return types
}

func (c TelephoneEvents) apply(w *way, _ time.Duration) {
	if w.listener == nil {
		w.listener = &listener{way: w}
		w.arrange()
	}
	w.listener.set(c)
}

// listenerState is the state of the side's keys that a hand-over passes on.
type listenerState struct {
	Listening bool             `cbor:"1,keyasint,omitempty"`
	Current   packet.EventID   `cbor:"2,keyasint,omitzero"`
	Earlier   uint64           `cbor:"3,keyasint,omitempty"`
	Duration  uint16           `cbor:"4,keyasint,omitempty"`
	Past      []packet.EventID `cbor:"6,keyasint,omitempty"`
}

func (l *listener) save(st *SideState, _ stream.Clock) {
	st.Listener = &listenerState{
		Listening: l.listening, Current: l.current, Earlier: l.earlier, Duration: l.duration, Past: l.past.all(),
	}
}

// restore continues an event in progress. Its time-out starts anew: what came during the hand-over is read after it.
func (l *listener) restore(st *SideState, c stream.Clock) {
	if s := st.Listener; s != nil {
		l.listening, l.current, l.earlier, l.duration = s.Listening, s.Current, s.Earlier, s.Duration
		l.heard, l.past = c.Now, pastOf(s.Past)
	}
}

package b2bua

import (
	"bytes"
	"net/netip"
	"sync"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transport"
	"flowbridge/recording"
)

// Bounds of the SIP that is kept for recordings.
const (
	tapeMax      = 64 << 10 // bytes of one call, its first
	tapesLoose   = 256      // INVITEs that have no call yet, or will have none
	tapesLooseAt = 5 * time.Second
)

// tapes is a Tap that keeps the SIP messages of each call that may be recorded, from
// its INVITE on. So a recording that begins in mid-call has the set-up too, without
// which its RTP can't be read. Secrets are hidden before a message is kept.
type tapes struct {
	name func(remote netip.Addr) (netip.Addr, error) // our address toward a peer, where the socket has none

	mu     sync.RWMutex
	byCall map[string]*tape // by SIP Call-ID
	loose  []looseTape      // oldest first; some belong to a call meanwhile
}

type looseTape struct {
	callID string
	tape   *tape
	at     time.Time
}

// tape is the SIP of one call. A nil one keeps nothing.
type tape struct {
	of *tapes

	mu     sync.Mutex // guards what follows
	owned  bool       // by a call
	ids    []string   // Call-IDs of its legs
	kept   []sipMessage
	size   int
	rec    *recording.Recorder // nil: not recorded now
	masked bool
	until  time.Time // keys that come before are masked, too
}

// sipMessage is a SIP message that was sent from one address to another.
type sipMessage struct {
	at       time.Time
	from, to netip.AddrPort
	data     []byte
}

func newTapes(name func(netip.Addr) (netip.Addr, error)) *tapes {
	return &tapes{name: name, byCall: map[string]*tape{}}
}

// Message implements Tap.
func (s *tapes) Message(m transport.TapMessage) {
	msg, ok := message.Scan(m.Data)
	if !ok {
		return
	}
	s.mu.RLock()
	t := s.byCall[string(msg.CallID)]
	s.mu.RUnlock()
	if t == nil {
		if !m.Received || len(msg.ToTag) > 0 || !bytes.Equal(msg.Method, []byte("INVITE")) {
			return
		}
		t = s.begin(string(msg.CallID), m.At)
	}
	t.add(m)
}

// begin makes the tape of a possible call.
func (s *tapes) begin(callID string, now time.Time) *tape {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.byCall[callID]; t != nil {
		return t
	}
	for len(s.loose) > 0 && (len(s.loose) >= tapesLoose || now.Sub(s.loose[0].at) > tapesLooseAt) {
		if old := s.loose[0]; !old.tape.isOwned() && s.byCall[old.callID] == old.tape {
			delete(s.byCall, old.callID)
		}
		s.loose = s.loose[1:]
	}
	t := &tape{of: s, ids: []string{callID}}
	s.byCall[callID] = t
	s.loose = append(s.loose, looseTape{callID, t, now})
	return t
}

// claim gives a call its tape; nil of nil.
func (s *tapes) claim(callID string) *tape {
	if s == nil {
		return nil
	}
	t := s.begin(callID, time.Now())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.owned = true
	return t
}

// join adds a further leg to the tape.
func (t *tape) join(callID string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.ids = append(t.ids, callID)
	t.mu.Unlock()
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.of.byCall[callID] = t
}

// drop discards the tape.
func (t *tape) drop() {
	if t == nil {
		return
	}
	t.mu.Lock()
	ids := t.ids
	t.ids, t.kept, t.rec = nil, nil, nil
	t.mu.Unlock()
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	for _, id := range ids {
		if t.of.byCall[id] == t {
			delete(t.of.byCall, id)
		}
	}
}

func (t *tape) isOwned() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.owned
}

// attach gives a recorder the messages so far and from now on; nil: no recorder.
func (t *tape) attach(r *recording.Recorder) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rec = r
	if r == nil {
		return
	}
	for _, m := range t.kept {
		r.Message(m.at, m.from, m.to, m.data)
	}
}

// mask begins or ends the hiding of keys. After its end keys stay hidden for 64*T1,
// because a message may be sent again.
func (t *tape) mask(on bool) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.masked, t.until = on, time.Now().Add(leg.GiveUp)
}

// add keeps a message.
func (t *tape) add(m transport.TapMessage) {
	local := m.Local
	if local.Addr().IsUnspecified() {
		if name, err := t.of.name(m.Remote.Addr()); err == nil {
			local = netip.AddrPortFrom(name, local.Port())
		}
	}
	s := sipMessage{at: m.At, from: local, to: m.Remote, data: bytes.Clone(m.Data)}
	if m.Received {
		s.from, s.to = m.Remote, local
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	message.Redact(s.data, t.masked || m.At.Before(t.until))
	if len(t.ids) == 0 {
		return // its call is over
	}
	if t.size+len(s.data) <= tapeMax {
		t.size += len(s.data)
		t.kept = append(t.kept, s)
	}
	if t.rec != nil {
		t.rec.Message(s.at, s.from, s.to, s.data)
	}
}

// taps give each message to two Taps.
type taps [2]transport.Tap

// Message implements Tap.
func (t taps) Message(m transport.TapMessage) {
	t[0].Message(m)
	t[1].Message(m)
}

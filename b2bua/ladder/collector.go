package ladder

import (
	"bytes"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transport"
)

// The limits for all calls together.
const (
	heldMax      = 512 << 20 // bytes of pages of all calls
	unclaimedMax = 1024      // INVITEs without a call yet
	unclaimedFor = 5 * time.Second
)

// Options say what a Collector's data is used for. If it is not used, New returns nil.
type Options struct {
	// Keep gets each call at its end, stores it, and releases it. nil means that ladders
	// are not stored.
	Keep      func(*Call)
	Record    bool                                        // recordings of calls may need their SIP
	Followers []Follower                                  // may be empty
	Source    func(remote netip.Addr) (netip.Addr, error) // our address toward a peer if the socket has none
}

// Collector is a Tap that assigns each message to its call. A nil Collector collects
// nothing.
type Collector struct {
	Options
	held atomic.Int64 // bytes of pages

	mu        sync.RWMutex
	legs      map[string]*legOf // by SIP Call-ID
	calls     map[string]*Call  // by our id
	unclaimed []unclaimedLeg    // oldest first; some may have a call by now
	ending    []endingCall      // oldest first
	sample    sampler
}

// legOf is one leg, identified by its Call-ID and the tag of the side that began it.
// Several legs may have the same Call-ID, because callers choose theirs.
type legOf struct {
	call *Call
	id   string // the SIP Call-ID
	tag  string
	lane int
	next *legOf // next leg with the same Call-ID
}

type unclaimedLeg struct {
	leg *legOf
	at  time.Time
}

// New returns a Collector, or nil if its data would not be used.
func New(o Options) *Collector {
	if o.Keep == nil && !o.Record && len(o.Followers) == 0 {
		return nil
	}
	return &Collector{Options: o, legs: map[string]*legOf{}, calls: map[string]*Call{}}
}

var _ transport.Tap = (*Collector)(nil)

// Message implements Tap.
func (s *Collector) Message(m transport.TapMessage) {
	if !m.Received {
		id, found := message.CallIDOf(m.Data)
		if !found {
			return
		}
		m.CallID = id
	}
	s.mu.RLock()
	l := s.legs[string(m.CallID)]
	s.mu.RUnlock()
	if l != nil && l.next != nil && !m.Received {
		scanned, _ := message.Scan(m.Data)
		m.FromTag, m.ToTag = scanned.FromTag, scanned.ToTag
	}
	found := false
	for ; l != nil; l = l.next {
		if m.FromTag == nil || l.is(m.FromTag) || l.is(m.ToTag) {
			found = true
			l.call.sip(m, l.lane)
		}
	}
	if !found && m.Received && m.Invite {
		l := s.begin(string(m.CallID), string(bytes.TrimSpace(m.FromTag)), m.At)
		l.call.sip(m, l.lane)
	}
}

func (l *legOf) is(tag []byte) bool { return string(bytes.TrimSpace(tag)) == l.tag }

// begin returns a new leg, of what may become a call.
func (s *Collector) begin(callID, tag string, now time.Time) *legOf {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.find(callID, tag); l != nil {
		return l
	}
	s.forget(now)
	l := &newCall(s, callID, tag).usual.first
	s.enter(l)
	s.unclaimed = append(s.unclaimed, unclaimedLeg{l, now})
	return l
}

// find returns the leg with a Call-ID and tag, or nil. s.mu is held.
func (s *Collector) find(callID, tag string) *legOf {
	for l := s.legs[callID]; l != nil; l = l.next {
		if l.tag == tag {
			return l
		}
	}
	return nil
}

// enter adds a leg without changing a chain that others may be reading. s.mu is held.
func (s *Collector) enter(l *legOf) {
	l.next = s.legs[l.id]
	s.legs[l.id] = l
}

// remove removes a leg. It replaces the leg's chain with a copy. s.mu is held.
func (s *Collector) remove(gone *legOf) {
	var chain *legOf
	for l := s.legs[gone.id]; l != nil; l = l.next {
		if l.call != gone.call || l.tag != gone.tag {
			again := *l
			again.next = chain
			chain = &again
		}
	}
	if chain == nil {
		delete(s.legs, gone.id)
		return
	}
	s.legs[gone.id] = chain
}

// forget removes the oldest INVITEs that no call has claimed. s.mu is held.
func (s *Collector) forget(now time.Time) {
	for len(s.unclaimed) > 0 && (len(s.unclaimed) >= unclaimedMax || now.Sub(s.unclaimed[0].at) > unclaimedFor) {
		if old := s.unclaimed[0].leg; old.call.closeUnclaimed() {
			s.remove(old)
		}
		s.unclaimed[0] = unclaimedLeg{}
		s.unclaimed = s.unclaimed[1:]
	}
}

// Claim returns the ladder of the call with this id, with its INVITE and all messages
// since. callID and tag are the INVITE's Call-ID and From tag. caller names the caller's
// lane. It returns nil if s is nil.
func (s *Collector) Claim(id, callID, tag, caller string, now time.Time) *Call {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find(callID, tag)
	if l == nil || !l.call.assignID(id, caller) { // another call has it; both ladders then get all messages
		l = &newCall(s, callID, tag).usual.first
		l.call.assignID(id, caller)
		s.enter(l)
	}
	l.call.legs = append(l.call.legs, l)
	s.calls[id] = l.call
	if s.Keep != nil || len(s.Followers) > 0 {
		s.start()
	}
	return l.call
}

// Find returns the live call with this id, or nil.
func (s *Collector) Find(id string) *Call {
	if s == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.calls[id]
}

// join adds a leg to a call.
func (s *Collector) join(c *Call, callID, tag string, lane int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &legOf{call: c, id: callID, tag: tag, lane: lane}
	c.legs = append(c.legs, l)
	s.enter(l)
}

// drop removes a call and its legs.
func (s *Collector) drop(c *Call, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range c.legs {
		s.remove(l)
	}
	c.legs = nil
	if s.calls[id] == c {
		delete(s.calls, id)
	}
}

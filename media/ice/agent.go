package ice

import (
	"math/rand/v2"
	"net/netip"
	"time"
)

const (
	// wishAfter is how long no valid check or packet must have come from a keyed side's address before its nomination of
	// another address counts without an authentic packet from there. It is longer than a side takes between two checks
	// (RFC 7675 §5.1: at most 6 s).
	wishAfter = 6500 * time.Millisecond

	// consentWithin is how long a side may be without a sign of life (RFC 7675 §5.1).
	consentWithin = 30 * time.Second

	// closedAfter is how long a side that seems to close must be silent until that is believed.
	closedAfter = 1500 * time.Millisecond

	// answersMost is how many checks of a side are answered in a second. A side makes up to 50 in a second (RFC 8445
	// §14.2: one each 20 ms at most). Half of them are kept for the address in use: a valid check that somebody repeats
	// must not cost the side its consent.
	answersMost = 50
	othersMost  = answersMost / 2

	// remembered is how many checked addresses of a side are remembered.
	remembered = 4
)

// Credentials are a user name fragment with its password (RFC 8839 §5.4).
type Credentials struct {
	Ufrag    string `cbor:"1,keyasint,omitempty"` // 4 to 256 characters
	Password string `cbor:"2,keyasint,omitempty"` // 22 to 256 characters
}

// Setup is what an offer and its answer say about the checks of a side.
type Setup struct {
	Own  Credentials `cbor:"1,keyasint"`
	Peer Credentials `cbor:"2,keyasint"`

	// Lite says that the side makes no checks (RFC 8445 §2.5). Then we check its candidates, in this order.
	Lite       bool             `cbor:"3,keyasint,omitempty"`
	Candidates []netip.AddrPort `cbor:"4,keyasint,omitempty"`
}

// Verdict is an agent's decision about a datagram.
type Verdict uint8

// The verdicts.
const (
	Refused   Verdict = iota // it is not valid, and must be counted
	Unproved                 // it is valid, but proves no address
	Checked                  // it proves that the side can be reached at the datagram's source
	Nominated                // so it does, and the source is to be the side's address
)

// Agent makes the connectivity checks of one side. It is a value without clock or I/O: times are parameters, as
// durations since any epoch. It does not know which address is in use: that is the latch's.
type Agent struct {
	setup  Setup
	key    *key
	user   string  // user name of checks to us
	former *former // credentials before a restart, until the first nomination after it; else nil

	checked [remembered]source // where valid checks came from
	next    uint8              // next entry of checked to use

	alive   time.Duration // the last sign of life; 0 if there was none
	gone    bool          // Gone has reported it
	closing time.Duration // when silence means that the side has closed; 0 if it seems open
	second  time.Duration // when the counted second began
	answers uint8         // checks answered in it
	others  uint8         // those of answers that did not come from the address in use

	// Toward a lite side.
	peerKey *key
	tie     uint64 // tie-breaker (RFC 8445 §5.2)
	pairs   [CandidatesMost]pair
	asked   [idLen]byte   // the last request for consent
	consent time.Duration // when the next one is due
}

// source is an address that a valid check came from.
type source struct {
	at     netip.AddrPort
	wished bool // it was nominated after there were keys. Several can be: a check can be repeated from elsewhere.
}

// former are the credentials before a restart.
type former struct {
	key  *key
	user string
	own  Credentials
}

// New returns an agent.
func New(s *Setup) *Agent {
	a := &Agent{tie: rand.Uint64()}
	a.set(s)
	return a
}

func (a *Agent) set(s *Setup) {
	a.setup = *s
	a.key, a.user = newKey(s.Own.Password), s.Own.Ufrag+":"+s.Peer.Ufrag
	a.peerKey, a.pairs = nil, [CandidatesMost]pair{}
	if !s.Lite {
		return
	}
	a.peerKey, a.consent = newKey(s.Peer.Password), 0
	for i, to := range s.Candidates[:min(len(s.Candidates), CandidatesMost)] {
		a.pairs[i].to = to
	}
}

// Set applies a new description. New credentials are a restart (RFC 8445 §9): the former ones count until the first
// nomination after it.
func (a *Agent) Set(s *Setup) {
	if a.setup.Own == s.Own && a.setup.Peer == s.Peer && a.setup.Lite == s.Lite {
		return
	}
	a.former = &former{a.key, a.user, a.setup.Own}
	a.set(s)
}

// Take handles a datagram of STUN. current is the address that is in use, which may be invalid, and keyed says that the
// side's packets can be authenticated. answer, if not nil, must be sent to src. It is written into room, which needs a
// capacity of 600 bytes.
func (a *Agent) Take(src, current netip.AddrPort, keyed bool, datagram, room []byte, now time.Duration,
) (answer []byte, v Verdict) {
	m, ok := read(datagram)
	switch {
	case !ok:
		return nil, Refused
	case m.kind == request:
		return a.check(&m, src, current, keyed, room, now)
	case m.kind == success || m.kind == failure:
		return a.response(&m, src, current, room, now)
	case m.kind == indication && src == current: // keeps a NAT open (RFC 8445 §11); it is not authenticated
		a.Hear(now)
		return nil, Unproved
	}
	return nil, Refused
}

// check handles a check of the side.
func (a *Agent) check(m *message, src, current netip.AddrPort, keyed bool, room []byte, now time.Duration,
) (answer []byte, v Verdict) {
	k := a.keyOf(m.username)
	used := src == current || !current.IsValid()
	if k == nil || m.unknown || !m.isPrinted() || !m.isSignedBy(k) || !a.mayAnswer(used, now) {
		return nil, Refused
	}
	if m.controlling && a.setup.Lite || m.controlled && !a.setup.Lite { // roles are fixed: a lite agent never controls
		return conflict(m, k, room), Refused
	}
	answer = finish(appendMapped(begin(room, success, m.id()), src), k)
	s := a.addSource(src)
	switch v = Checked; {
	case !m.use:
	case a.follows(src, current, keyed, now):
		v = Nominated
		a.Moved()
	default:
		s.wished = true
	}
	if used || v == Nominated {
		a.Hear(now)
	}
	return answer, v
}

// addSource stores the source of a valid check, and returns its entry.
func (a *Agent) addSource(src netip.AddrPort) *source {
	if s := a.find(src); s != nil {
		return s
	}
	s := &a.checked[a.next%remembered]
	*s, a.next = source{at: src}, a.next+1
	return s
}

// find returns the entry of an address, or nil.
func (a *Agent) find(src netip.AddrPort) *source {
	for i := range a.checked {
		if s := &a.checked[i]; s.at == src && src.IsValid() {
			return s
		}
	}
	return nil
}

// follows reports whether a nomination counts at once. If not, it is a wish.
func (a *Agent) follows(src, current netip.AddrPort, keyed bool, now time.Duration) bool {
	return src == current || !keyed || !current.IsValid() || now-a.alive >= wishAfter
}

func conflict(m *message, k *key, room []byte) []byte {
	b := begin(room, failure, m.id())
	return finish(appendAttribute(b, attrErrorCode, "\x00\x00\x04\x57Role Conflict"), k) // 487 (RFC 8445 §7.3.1.1)
}

// keyOf returns the key for a user name, or nil.
func (a *Agent) keyOf(user []byte) *key {
	switch {
	case string(user) == a.user:
		return a.key
	case a.former != nil && string(user) == a.former.user:
		return a.former.key
	}
	return nil
}

// mayAnswer counts an answer, and reports whether the side may have it. used says that it goes to the address in use.
func (a *Agent) mayAnswer(used bool, now time.Duration) bool {
	if now-a.second >= time.Second {
		a.second, a.answers, a.others = now, 0, 0
	}
	if a.answers == answersMost || !used && a.others == othersMost {
		return false
	}
	a.answers++
	if !used {
		a.others++
	}
	return true
}

// Admits reports whether packets from an address are considered: a valid check came from there.
func (a *Agent) Admits(src netip.AddrPort) bool {
	return a.find(src) != nil
}

// Wishes reports whether the side wants to be at an address, so that the first authentic packet from there moves it.
func (a *Agent) Wishes(src netip.AddrPort) bool {
	s := a.find(src)
	return s != nil && s.wished
}

// Moved records that the side has moved to an address.
func (a *Agent) Moved() {
	a.former = nil
	for i := range a.checked {
		a.checked[i].wished = false
	}
}

// Hear records a sign of life: a valid check from the address in use, or an authentic packet.
func (a *Agent) Hear(now time.Duration) { a.alive, a.closing = now, 0 }

// Miss leaves out a time in which no packets were read.
func (a *Agent) Miss(missed time.Duration) {
	if a.alive > 0 {
		a.alive += missed
	}
	if a.closing > 0 {
		a.closing += missed
	}
}

// Closes records that the side seems to close its DTLS association. That is believed only if the side is silent then,
// because anybody can send such a record. pauses says that the side may pause anyway.
func (a *Agent) Closes(pauses bool, now time.Duration) {
	after := closedAfter
	if pauses {
		after = wishAfter
	}
	if a.closing == 0 || now+after < a.closing {
		a.closing = now + after
	}
}

// Gone reports once that the side has given no sign of life for too long, and whether it had said that it closes. It
// returns false before the first sign.
func (a *Agent) Gone(now time.Duration) (gone, closed bool) {
	closed = a.closing > 0 && now >= a.closing
	gone = a.alive > 0 && !a.gone && (closed || now-a.alive >= consentWithin)
	a.gone = a.gone || gone
	return gone, closed
}

package leg

import (
	"hash/maphash"
	"time"
)

// EndedLegs remembers ended legs for 64*T1, as transactions would (RFC 6026 section 7.1, Timer L).
// It stores hashes, because after a flood each string would keep a whole memory page in use. It is
// not safe for concurrent use.
type EndedLegs struct {
	seed          maphash.Seed
	recent, older map[uint64]endedLeg // by the hash of the tag
	begun         time.Time
	since         time.Duration // when recent was created, counted from begun
}

type endedLeg struct {
	branch, bye uint64 // hashes of the branches of a UAS leg's INVITE, and of the peer's BYE
	at          time.Duration
}

// NewEndedLegs returns an empty EndedLegs.
func NewEndedLegs() *EndedLegs {
	return &EndedLegs{seed: maphash.MakeSeed(), begun: time.Now(), recent: map[uint64]endedLeg{}}
}

// Add remembers the end of the leg with this tag. invite and bye are the branches of the INVITE
// that made the leg and of the peer's BYE, or "" if there was none.
func (m *EndedLegs) Add(tag, invite, bye string) {
	now := time.Since(m.begun)
	if now-m.since > GiveUp {
		m.recent, m.older, m.since = map[uint64]endedLeg{}, m.recent, now
	}
	m.recent[maphash.String(m.seed, tag)] = endedLeg{maphash.String(m.seed, invite), maphash.String(m.seed, bye), now}
}

// Has reports whether the leg with this tag ended less than 64*T1 ago. It allocates
// nothing.
func (m *EndedLegs) Has(tag []byte) bool {
	_, ok := m.find(tag)
	return ok
}

// MadeBy reports whether Has is true and the INVITE with this branch made the leg.
func (m *EndedLegs) MadeBy(tag, invite string) bool {
	was, ok := m.find([]byte(tag))
	return ok && was.branch == maphash.String(m.seed, invite)
}

// EndedBy reports whether Has is true and the BYE with this branch ended the leg.
func (m *EndedLegs) EndedBy(tag, bye string) bool {
	was, ok := m.find([]byte(tag))
	return ok && bye != "" && was.bye == maphash.String(m.seed, bye)
}

// IsYoung reports whether m was created less than 64*T1 ago, so that it may miss legs that ended
// before.
func (m *EndedLegs) IsYoung() bool { return time.Since(m.begun) <= GiveUp }

func (m *EndedLegs) find(tag []byte) (was endedLeg, ok bool) {
	key := maphash.Bytes(m.seed, tag)
	if was, ok = m.recent[key]; !ok {
		was, ok = m.older[key]
	}
	return was, ok && time.Since(m.begun)-was.at <= GiveUp
}

package whatsapp

import (
	"maps"
	"net"
	"net/netip"
	"strings"

	"github.com/pion/stun/v3"
)

// lite is an ICE-lite agent with one candidate (RFC 8445 section 2.5): it only answers checks.
type lite struct {
	ufrag, password string
	peer            string // the peer's ufrag; empty before its description
	checks          Checks
}

// understood are the attributes of a check, of those that an agent must understand (RFC 8489 section 15).
var understood = map[stun.AttrType]bool{ //nolint:gochecknoglobals // a table
	stun.AttrUsername: true, stun.AttrMessageIntegrity: true, stun.AttrPriority: true, stun.AttrUseCandidate: true,
}

// answer returns the answer to a datagram of STUN, or nil if there is none.
func (l *lite) answer(datagram []byte, from netip.AddrPort) []byte {
	m := &stun.Message{Raw: append([]byte(nil), datagram...)}
	if m.Decode() != nil || m.Type != stun.BindingRequest || stun.Fingerprint.Check(m) != nil {
		l.checks.Dropped++
		return nil
	}
	integrity := stun.NewShortTermIntegrity(l.password)
	if code, more := l.refuses(m, integrity); code != 0 {
		if l.checks.Refused == nil {
			l.checks.Refused = map[int]uint64{}
		}
		l.checks.Refused[int(code)]++
		reply := []stun.Setter{stun.NewTransactionIDSetter(m.TransactionID), stun.BindingError, code, more}
		if code != stun.CodeBadRequest && code != stun.CodeUnauthorized { // RFC 8489 section 9.1.4
			reply = append(reply, integrity)
		}
		return build(append(reply, stun.Fingerprint)...)
	}
	l.checks.Answered++
	if m.Contains(stun.AttrUseCandidate) {
		l.checks.Chosen = from
	}
	return build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: net.IP(from.Addr().AsSlice()), Port: int(from.Port())}, integrity, stun.Fingerprint)
}

// refuses returns the code of the error for a check, or 0 (RFC 8489 section 9.1.3, RFC 8445 section 7.3).
func (l *lite) refuses(m *stun.Message, integrity stun.MessageIntegrity) (code stun.ErrorCode, more stun.Setter) {
	var name stun.Username
	_ = name.GetFrom(m) // empty if there is none
	own, peer, _ := strings.Cut(name.String(), ":")
	switch {
	case !m.Contains(stun.AttrUsername), !m.Contains(stun.AttrMessageIntegrity):
		return stun.CodeBadRequest, nothing{}
	case own != l.ufrag, l.peer != "" && peer != l.peer, integrity.Check(m) != nil:
		return stun.CodeUnauthorized, nothing{}
	}
	var unknown stun.UnknownAttributes
	for _, a := range m.Attributes {
		if a.Type < 0x8000 && !understood[a.Type] {
			unknown = append(unknown, a.Type)
		}
	}
	switch {
	case unknown != nil:
		return stun.CodeUnknownAttribute, unknown
	case m.Contains(stun.AttrICEControlled): // we are
		return stun.CodeRoleConflict, nothing{}
	case !m.Contains(stun.AttrPriority), !m.Contains(stun.AttrICEControlling):
		return stun.CodeBadRequest, nothing{}
	}
	return 0, nothing{}
}

// counted returns the counters so far.
func (l *lite) counted() Checks {
	c := l.checks
	c.Refused = maps.Clone(c.Refused)
	return c
}

// nothing adds nothing to a message.
type nothing struct{}

// AddTo implements stun.Setter.
func (nothing) AddTo(*stun.Message) error { return nil }

func build(setters ...stun.Setter) []byte {
	m, err := stun.Build(setters...)
	if err != nil {
		return nil
	}
	return m.Raw
}

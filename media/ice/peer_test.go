package ice

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

var (
	own   = Credentials{"ours", "our-password-our-password"}
	their = Credentials{"their", "their-password-their-pass"}
	home  = netip.MustParseAddrPort("192.0.2.10:4000") // where the side is
	away  = netip.MustParseAddrPort("198.51.100.7:5000")
)

const start = time.Hour // a clock does not begin at 0

func newAgent() *Agent { return New(&Setup{Own: own, Peer: their}) }

// check returns a check of a side, made by pion/stun.
func check(tb testing.TB, more ...stun.Setter) []byte {
	tb.Helper()
	return checkAs(tb, own.Ufrag+":"+their.Ufrag, own.Password, more...)
}

func checkAs(tb testing.TB, user, password string, more ...stun.Setter) []byte {
	tb.Helper()
	all := append([]stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(user)}, more...)
	return build(tb, append(all, stun.NewShortTermIntegrity(password), stun.Fingerprint)...)
}

func build(tb testing.TB, all ...stun.Setter) []byte {
	tb.Helper()
	m, err := stun.Build(all...)
	if err != nil {
		tb.Fatal(err)
	}
	return m.Raw
}

var (
	controlling = stun.RawAttribute{Type: stun.AttrICEControlling, Value: make([]byte, 8)}
	controlled  = stun.RawAttribute{Type: stun.AttrICEControlled, Value: make([]byte, 8)}
	nominates   = stun.RawAttribute{Type: stun.AttrUseCandidate}
	priority    = stun.RawAttribute{Type: stun.AttrPriority, Value: make([]byte, 4)}
)

// parsed reads an answer with pion/stun, and checks its fingerprint and integrity.
func parsed(tb testing.TB, answer []byte, password string) *stun.Message {
	tb.Helper()
	m := &stun.Message{Raw: append([]byte(nil), answer...)}
	if err := m.Decode(); err != nil {
		tb.Fatalf("% x: %v", answer, err)
	}
	if err := stun.Fingerprint.Check(m); err != nil {
		tb.Errorf("fingerprint: %v", err)
	}
	if err := stun.NewShortTermIntegrity(password).Check(m); err != nil {
		tb.Errorf("integrity: %v", err)
	}
	return m
}

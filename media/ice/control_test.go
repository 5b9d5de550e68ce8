package ice

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// lite returns an agent toward a lite side with these candidates.
func lite(candidates ...netip.AddrPort) *Agent {
	return New(&Setup{Own: own, Peer: their, Lite: true, Candidates: candidates})
}

// responds returns the response of a lite side to a check of ours.
func responds(tb testing.TB, pkt []byte, password string) []byte {
	tb.Helper()
	m := parsed(tb, pkt, their.Password)
	var user stun.Username
	if err := user.GetFrom(m); err != nil || user.String() != "their:ours" {
		tb.Errorf("user name %q: %v", user, err)
	}
	return build(tb, stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: home.Addr().AsSlice(), Port: 1}, stun.NewShortTermIntegrity(password), stun.Fingerprint)
}

func nominating(tb testing.TB, pkt []byte) bool {
	tb.Helper()
	return parsed(tb, pkt, their.Password).Contains(stun.AttrUseCandidate)
}

// The first candidate that responds is nominated by a second check. Then the address is asked for consent.
func TestControlling(t *testing.T) {
	a, now := lite(away, home), start
	asked := map[netip.AddrPort][]byte{}
	for range 2 {
		to, pkt := a.Due(nowhere, nil, now)
		if pkt == nil || nominating(t, pkt) {
			t.Fatalf("% x to %v", pkt, to)
		}
		asked[to] = pkt
	}
	if to, pkt := a.Due(nowhere, nil, now); pkt != nil {
		t.Errorf("one more check to %v", to)
	}
	response := responds(t, asked[home], their.Password)
	for name, wrong := range map[string][]byte{
		"wrong password": responds(t, asked[home], own.Password), "of the other": responds(t, asked[away], their.Password),
	} {
		if answer, v := a.Take(home, nowhere, false, wrong, nil, now); answer != nil || v != Refused {
			t.Errorf("%s: %d", name, v)
		}
	}
	if _, v := a.Take(netip.AddrPortFrom(home.Addr(), 9), nowhere, false, response, nil, now); v != Refused {
		t.Errorf("from another port: %d", v)
	}
	second, v := a.Take(home, nowhere, false, response, nil, now)
	if v != Checked || second == nil || !nominating(t, second) {
		t.Fatalf("verdict %d, % x", v, second)
	}
	answer, v := a.Take(away, nowhere, false, responds(t, asked[away], their.Password), nil, now)
	if answer != nil || v != Checked {
		t.Errorf("the second one that works: %d, % x", v, answer)
	}
	if _, v := a.Take(home, nowhere, false, responds(t, second, their.Password), nil, now); v != Nominated {
		t.Fatalf("verdict %d", v)
	}
	for range 20 {
		before := now
		for pkt := []byte(nil); pkt == nil; now += 250 * time.Millisecond {
			if _, pkt = a.Due(home, nil, now); pkt != nil && nominating(t, pkt) {
				t.Error("consent nominates again")
			} else if pkt != nil {
				_, v = a.Take(home, home, true, responds(t, pkt, their.Password), nil, now)
			}
		}
		if wait := now - before; v != Checked || wait < consentLeast-time.Second || wait > consentMost+time.Second {
			t.Errorf("verdict %d after %v", v, wait)
		}
	}
	if gone, _ := a.Gone(now + consentWithin - time.Second); gone {
		t.Error("gone too early")
	}
	if gone, _ := a.Gone(now + consentWithin); !gone {
		t.Error("it is not gone")
	}
}

// A check that is not answered is sent seven times, at growing intervals, to at most four candidates.
func TestUnanswered(t *testing.T) {
	all := make([]netip.AddrPort, 9)
	for i := range all {
		all[i] = netip.AddrPortFrom(home.Addr(), uint16(i+1))
	}
	a, sent, last := lite(all...), map[netip.AddrPort]int{}, time.Duration(0)
	for now := start; now < start+5*time.Minute; now += 10 * time.Millisecond {
		if to, pkt := a.Due(nowhere, nil, now); pkt != nil {
			sent[to]++
			last = now
		}
	}
	if len(sent) != CandidatesMost || sent[all[0]] != requestsMost || last-start < 31*time.Second ||
		last-start > 33*time.Second {
		t.Errorf("sent %v, the last after %v", sent, last-start)
	}
}

// A lite side that claims to control is told of the conflict. A side that makes checks itself gets none.
func TestRoles(t *testing.T) {
	answer, v := lite(home).Take(home, nowhere, false, check(t, controlling, nominates), nil, start)
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(parsed(t, answer, own.Password)); err != nil || code.Code != stun.CodeRoleConflict ||
		v != Refused {
		t.Errorf("%v %v, verdict %d", code, err, v)
	}
	if _, pkt := newAgent().Due(home, nil, start); pkt != nil {
		t.Errorf("a check to a full agent: % x", pkt)
	}
}

package message

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"
)

func TestMintedIsRecognised(t *testing.T) {
	m, again, other := NewMinter([32]byte{1}), NewMinter([32]byte{1}), NewMinter([32]byte{2})
	seen := map[string]bool{}
	for range 100 {
		tag, branch := m.Tag(), m.Branch("leg")
		if seen[tag] || seen[branch] {
			t.Fatal("a tag or branch came twice")
		}
		seen[tag], seen[branch] = true, true
		if !m.OwnsTag([]byte(tag)) || !again.OwnsTag([]byte(tag)) {
			t.Errorf("tag %q is not recognised", tag)
		}
		if !m.OwnsBranch([]byte(branch), []byte("leg")) || !again.OwnsBranch([]byte(branch), []byte("leg")) {
			t.Errorf("branch %q is not recognised", branch)
		}
		if other.OwnsTag([]byte(tag)) || other.OwnsBranch([]byte(branch), []byte("leg")) {
			t.Error("recognised with another key")
		}
		if !strings.HasPrefix(branch, sip.RFC3261BranchMagicCookie) {
			t.Errorf("branch %q without the magic cookie", branch)
		}
	}
}

// A tag is not valid as a branch, nor a branch as a tag. A peer that sees one of them can't
// use it as the other.
func TestMintDomains(t *testing.T) {
	m := NewMinter([32]byte{1})
	tag, branch := m.Tag(), m.Branch("leg")
	if m.OwnsBranch([]byte(sip.RFC3261BranchMagicCookie+tag), []byte("leg")) {
		t.Error("a tag passes as a branch")
	}
	if m.OwnsTag([]byte(strings.TrimPrefix(branch, sip.RFC3261BranchMagicCookie))) {
		t.Error("a branch passes as a tag")
	}
}

func TestMintForgeries(t *testing.T) {
	m := NewMinter([32]byte{1})
	tag, branch := m.Tag(), m.Branch("leg")
	for i := range len(tag) {
		if m.OwnsTag([]byte(tag[:i])) || m.OwnsTag([]byte(tag[i+1:])) {
			t.Errorf("cut at %d it passes", i)
		}
		flipped := []byte(tag)
		flipped[i] = "0123456789abcdef"[(strings.IndexByte("0123456789abcdef", flipped[i])+1)%16]
		if m.OwnsTag(flipped) {
			t.Errorf("with digit %d changed it passes", i)
		}
	}
	for _, s := range []string{"", "z9hG4bK", tag + "0", tag + " ", strings.Repeat("0", mintedLen), strings.Repeat("x", mintedLen)} {
		if m.OwnsTag([]byte(s)) {
			t.Errorf("tag %q passes", s)
		}
	}
	for _, s := range []string{"", branch[:len(branch)-1], branch + "0", "Z9HG4BK" + branch[7:], branch[7:], "z9hG4bK"} {
		if m.OwnsBranch([]byte(s), []byte("leg")) {
			t.Errorf("branch %q passes", s)
		}
	}
	if m.OwnsTag(nil) || m.OwnsBranch(nil, nil) {
		t.Error("nothing passes")
	}
}

// Only a retransmission of an INVITE, by its sender, gets the INVITE's tag. A copy with
// another branch or from another address does not, nor does another request, nor a
// stateless answer.
func TestInviteTag(t *testing.T) {
	m := NewMinter([32]byte{1})
	origin := func(callID, fromTag, cseq, branch, source string) Origin {
		return Origin{[]byte(callID), []byte(fromTag), []byte(cseq), []byte(branch), netip.MustParseAddr(source)}
	}
	invite := origin("call", "from", "1", "z9hG4bK1", "192.0.2.1")
	tag := m.InviteTag(invite)
	if tag != m.InviteTag(origin("call", "from", "1", "z9hG4bK1", "::ffff:192.0.2.1")) || tag != NewMinter([32]byte{1}).InviteTag(invite) {
		t.Error("the same request gets two tags")
	}
	if !m.OwnsTag(tag[:]) {
		t.Error("it is not recognised")
	}
	for _, other := range []Origin{
		origin("call", "from", "2", "z9hG4bK1", "192.0.2.1"), origin("call", "fro", "m1", "z9hG4bK1", "192.0.2.1"),
		origin("callf", "rom", "1", "z9hG4bK1", "192.0.2.1"), origin("call", "", "from1", "z9hG4bK1", "192.0.2.1"),
		origin("Call", "from", "1", "z9hG4bK1", "192.0.2.1"), origin("call", "from", "1", "z9hG4bK2", "192.0.2.1"),
		origin("call", "from", "1", "", "192.0.2.1"), origin("call", "from", "1", "z9hG4bK1", "192.0.2.2"),
	} {
		if m.InviteTag(other) == tag {
			t.Errorf("%v gets the same tag", other)
		}
	}
	if NewMinter([32]byte{2}).InviteTag(invite) == tag {
		t.Error("another key gives the same tag")
	}
	for _, method := range []string{"INVITE", "OPTIONS", "CANCEL", "x"} {
		if m.RefusalTag([]byte(method), invite) == tag {
			t.Errorf("a stateless answer to %s gets the tag of the dialog", method)
		}
	}
	if refused := m.RefusalTag([]byte("INVITE"), invite); refused != NewMinter([32]byte{1}).RefusalTag([]byte("INVITE"), invite) {
		t.Error("a retransmission that is refused again gets another tag")
	}
}

// A branch is valid only for the leg that sent it.
func TestBranchOfAnotherLeg(t *testing.T) {
	m := NewMinter([32]byte{1})
	branch := []byte(m.Branch("one"))
	if !m.OwnsBranch(branch, []byte("one")) {
		t.Error("it is not recognised")
	}
	for _, tag := range []string{"two", "", "on", "onee", "One"} {
		if m.OwnsBranch(branch, []byte(tag)) {
			t.Errorf("it passes for the leg with the tag %q", tag)
		}
	}
}

// Call-IDs sort by the time at which they were made, and two from the same moment differ.
func TestCallIDsFollowTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[string]bool{}
		last := ""
		for range 100 {
			now := NewCallID()
			if again := NewCallID(); again == now || again[:12] != now[:12] {
				t.Errorf("%s and %s of one moment", now, again)
			}
			if len(now) != 32 || now <= last || seen[now[12:]] {
				t.Errorf("%s after %s", now, last)
			}
			last, seen[now[12:]] = now, true
			time.Sleep(time.Millisecond)
		}
	})
}

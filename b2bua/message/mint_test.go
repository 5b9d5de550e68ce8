package message

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

func TestMintedIsRecognised(t *testing.T) {
	m, again, other := NewMinter([32]byte{1}), NewMinter([32]byte{1}), NewMinter([32]byte{2})
	seen := map[string]bool{}
	for range 100 {
		tag, branch := m.Tag(), m.Branch()
		if seen[tag] || seen[branch] {
			t.Fatal("a tag or branch came twice")
		}
		seen[tag], seen[branch] = true, true
		if !m.OwnsTag([]byte(tag)) || !again.OwnsTag([]byte(tag)) {
			t.Errorf("tag %q is not recognised", tag)
		}
		if !m.OwnsBranch([]byte(branch)) || !again.OwnsBranch([]byte(branch)) {
			t.Errorf("branch %q is not recognised", branch)
		}
		if other.OwnsTag([]byte(tag)) || other.OwnsBranch([]byte(branch)) {
			t.Error("recognised with another key")
		}
		if !strings.HasPrefix(branch, sip.RFC3261BranchMagicCookie) {
			t.Errorf("branch %q without the magic cookie", branch)
		}
	}
}

// A tag is no branch, nor the other way round: what one peer can see of us
// does not open the other door.
func TestMintDomains(t *testing.T) {
	m := NewMinter([32]byte{1})
	tag, branch := m.Tag(), m.Branch()
	if m.OwnsBranch([]byte(sip.RFC3261BranchMagicCookie + tag)) {
		t.Error("a tag passes as a branch")
	}
	if m.OwnsTag([]byte(strings.TrimPrefix(branch, sip.RFC3261BranchMagicCookie))) {
		t.Error("a branch passes as a tag")
	}
}

func TestMintForgeries(t *testing.T) {
	m := NewMinter([32]byte{1})
	tag, branch := m.Tag(), m.Branch()
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
		if m.OwnsBranch([]byte(s)) {
			t.Errorf("branch %q passes", s)
		}
	}
	if m.OwnsTag(nil) || m.OwnsBranch(nil) {
		t.Error("nothing passes")
	}
}

// The To tag of an INVITE does not depend on the path that it came by, only
// on what makes the request: so a merged request and one that was refused
// without state get the same.
func TestTagFor(t *testing.T) {
	m := NewMinter([32]byte{1})
	tag := m.TagFor("call", "from", "1")
	if tag != m.TagFor("call", "from", "1") || tag != NewMinter([32]byte{1}).TagFor("call", "from", "1") {
		t.Error("the same request gets two tags")
	}
	if !m.OwnsTag([]byte(tag)) {
		t.Error("it is not recognised")
	}
	for _, other := range [][3]string{
		{"call", "from", "2"}, {"call", "fro", "m1"}, {"callf", "rom", "1"}, {"call", "", "from1"}, {"", "call", "from1"}, {"Call", "from", "1"},
	} {
		if m.TagFor(other[0], other[1], other[2]) == tag {
			t.Errorf("%v gets the same tag", other)
		}
	}
	if NewMinter([32]byte{2}).TagFor("call", "from", "1") == tag {
		t.Error("another key gives the same tag")
	}
}

package registry

import "testing"

// The ids of a caller that sends endless ids are bounded.
func TestNamesAreBounded(t *testing.T) {
	n, c := newNames[*int](), new(int)
	for i := range 100 {
		n.add(string(rune('a'+i)), c)
	}
	n.add(string(make([]byte, maxCallName+1)), c)
	if len(n.of[c]) != maxCallNames || len(n.calls) != maxCallNames {
		t.Errorf("%d, %d names", len(n.of[c]), len(n.calls))
	}
	n.forget(c)
	if len(n.of)+len(n.calls) != 0 {
		t.Error("names are left")
	}
}

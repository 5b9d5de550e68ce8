package registry

import "testing"

// However many ids a caller sends, the number of stored ids is limited.
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

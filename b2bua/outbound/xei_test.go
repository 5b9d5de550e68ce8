package outbound

import (
	"strings"
	"testing"

	"flowbridge/config"
)

// FuzzIDsIn: whatever a template makes of X-EI, its ids are not empty, hold no
// separator, and are as many as there are parts at the most.
func FuzzIDsIn(f *testing.F) {
	for _, seed := range []string{"S.a;E.b;O.+1;", "CA123", ";;", "E.FOO.x;", "S.", " E.a ; b", "E.;S.x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, xei string) {
		ids := IDsIn(xei)
		if len(ids) > 2 {
			t.Errorf("%q: %d ids", xei, len(ids))
		}
		for _, id := range ids {
			if id.Value == "" || strings.Count(xei, id.Value) == 0 || strings.Contains(id.Value, ";") || !strings.Contains(xei, id.Value) {
				t.Errorf("%q: id %q", xei, id.Value)
			}
		}
	})
}

func TestCarriersXEIMayHaveAnyTokens(t *testing.T) {
	passed, err := config.ParseTemplate(`{{.Header "X-Ei"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkXEI(config.Header{Name: "X-EI", Value: passed}, "E.a;O.b;"); err != nil {
		t.Errorf("the carrier's own, passed on: %v", err)
	}
}

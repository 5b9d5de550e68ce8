//go:build !race

package agreement

import (
	"testing"

	"flowbridge/b2bua/sdp"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// A refresh that changes nothing asks the agreement many questions. Answering them must not
// allocate.
func TestAgreementDoesNotAllocate(t *testing.T) {
	var a Agreement
	for side, address := range map[media.Side]string{media.SideA: "192.0.2.10", media.SideB: "192.0.2.20"} {
		d, err := sdp.Parse([]byte(siptest.SessionAt(address, 20000, "0 101")))
		if err != nil {
			t.Fatal(err)
		}
		a.Description[side] = d
	}
	a.Offer = a.Description[media.SideA]
	allocates := func(name string, do func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, do); n > 0 {
			t.Errorf("%s: %v objects", name, n)
		}
	}
	for _, side := range []media.Side{media.SideA, media.SideB} {
		allocates("tell", func() { a.SentTo[side] = a.Offer.Formats(); a.Tell(side, a.SentTo[side]) })
	}
	for _, side := range []media.Side{media.SideA, media.SideB} {
		d := a.Description[side]
		allocates("covers", func() {
			if formats, exact := a.Covers(side, d, media.Side(-1)); len(formats) != 2 || !exact {
				t.Fatalf("%v, exact %v", formats, exact)
			}
		})
		allocates("payloadChanges", func() {
			if changes, _ := a.PayloadChanges(side); changes != nil {
				t.Fatal(changes)
			}
		})
		allocates("what the media asks", func() { a.Events(side); a.SendsEvents(side); a.Sends(side) })
	}
}

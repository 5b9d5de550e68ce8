package calltest

import (
	"strings"
	"testing"
)

// RFC 3261 sections 12 and 12.2.2: a dialog is Call-ID and both tags. A
// request with another From tag belongs to no dialog and gets 481. The call goes
// on.
func TestByeWithOtherFromTagGets481(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		d.from = strings.Replace(d.from, "tag=ann", "tag=eve", 1)
		w.carrier.bye(d)
		if got := w.carrier.expect("SIP/2.0 "); !strings.HasPrefix(got.raw, "SIP/2.0 481") {
			t.Errorf("BYE with another From tag: %s", strings.SplitN(got.raw, "\r\n", 2)[0])
		}
		w.settle()
	})
}

// RFC 3261 section 25.1 allows white space around ";" and "=" (RFC 4475
// section 3.1.1.1).
func TestTagWithSpaces(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.from = strings.Replace(d.from, ";tag=ann", " ;  tag   = ann", 1)
		w.carrier.send(d.request("OPTIONS"))
		w.carrier.expect("SIP/2.0 200")
	})
}

package b2bua

import "testing"

// The method is what it is in capitals or not (RFC 3261 section 7.1); the
// library knows only capitals.
func TestMethodsHaveCase(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.send(d.request("invite"))
		if code := w.carrier.expect("SIP/2.0 ").res().StatusCode; code != 405 && code != 501 {
			t.Errorf("an unknown method gets %d", code)
		}
	})
}

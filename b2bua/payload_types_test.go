package b2bua

import (
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/sdp"
	"flowbridge/internal/siptest"
	"flowbridge/store"
)

// What of an offer no packet can have does not go to the target; where nothing is
// left there is no codec.
func TestOfferOfPayloadTypesThatAreNone(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = siptest.SessionAt("192.0.2.10", 20000, "0 0 200 72 101 101")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		in := w.agent.expect("INVITE")
		if got := formatsOf(t, in); got != "0 101" || strings.Contains(in.raw, "rtpmap:200") {
			t.Errorf("the target is offered %s:\n%s", got, in.raw)
		}
		w.agent.reply(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 0 101 300"))
		w.agent.expect("ACK")
		if got := formatsOf(t, d.learn(w.carrier.expect("SIP/2.0 200"))); got != "0 101" {
			t.Errorf("the caller is answered %s", got)
		}
		w.carrier.ack(d)
		w.callerHangsUp(d)
		w.wantRecord("answered", cause.CallerHangup, store.EndedByCaller)
	})
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = siptest.SessionAt("192.0.2.10", 20000, "200 abc")
		w.carrier.invite(d)
		if got := w.carrier.expect("SIP/2.0 488").value("Warning"); !strings.Contains(got, "305 ") || !strings.Contains(got, sdp.ErrNoCodec.Error()) {
			t.Errorf("Warning %q", got)
		}
		w.carrier.ackRefused(d)
		w.wantRecord("failed", cause.NoCommonCodec, store.EndedBySystem)
	})
}

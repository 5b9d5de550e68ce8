package b2bua

import (
	"errors"
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/sdp"
	"flowbridge/internal/siptest"
	"flowbridge/store"
)

func TestPayloadTypes(t *testing.T) {
	for _, tt := range []struct{ formats, want string }{
		{"0 8 101", "0 8 101"},
		{"0 128 300 999999999999 8", "0 8"},
		{"0 PCMA -1 +8 08 0x8 1.5 8", "0 8"},
		{"0 71 72 73 74 75 76 77 127", "0 71 77 127"},
		{"0 8 0 8 8 101 0", "0 8 101"},
		{"63 64 95 96|mux", "63 96"},
		{"63 64 95 96", "63 64 95 96"},
		{"128 abc 72", ""},
		{"72|mux", ""},
	} {
		formats, mux := strings.CutSuffix(tt.formats, "|mux")
		var more []string
		if mux {
			more = []string{"a=rtcp-mux"}
		}
		d, err := sdp.Parse([]byte(siptest.SessionAt("192.0.2.10", 20000, formats, more...)))
		if tt.want == "" {
			if !errors.Is(err, sdp.ErrNoCodec) || d != nil {
				t.Errorf("%s: %v, %v; want no codec", tt.formats, d, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.formats, err)
			continue
		}
		if got := strings.Join(d.Media().MediaName.Formats, " "); got != tt.want {
			t.Errorf("%s: got %s; want %s", tt.formats, got, tt.want)
		}
	}
}

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

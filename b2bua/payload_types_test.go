package b2bua

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

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
		d, err := parseDescription([]byte(siptest.SessionAt("192.0.2.10", 20000, formats, more...)))
		if tt.want == "" {
			if !errors.Is(err, errNoCodec) || d != nil {
				t.Errorf("%s: %v, %v; want no codec", tt.formats, d, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.formats, err)
			continue
		}
		if got := strings.Join(d.media().MediaName.Formats, " "); got != tt.want {
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
		w.wantRecord("answered", CauseCallerHangup, store.EndedByCaller)
	})
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = siptest.SessionAt("192.0.2.10", 20000, "200 abc")
		w.carrier.invite(d)
		if got := w.carrier.expect("SIP/2.0 488").value("Warning"); !strings.Contains(got, "305 ") || !strings.Contains(got, errNoCodec.Error()) {
			t.Errorf("Warning %q", got)
		}
		w.carrier.ackRefused(d)
		w.wantRecord("failed", CauseNoCommonCodec, store.EndedBySystem)
	})
}

// FuzzPayloadTypes: whatever formats and packet time a description has, what is
// made of it has payload types, each once, and is read as the same.
func FuzzPayloadTypes(f *testing.F) {
	f.Add("0 8 101 0", "20")
	f.Add("72 128 abc 08 -1 96", "999999999999")
	f.Add("0\t8  127", "-20")
	f.Add("x", "1e2")
	at := netip.MustParseAddrPort("198.51.100.1:10000")
	f.Fuzz(func(t *testing.T, formats, ptime string) {
		body := "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP " + formats + "\r\na=ptime:" + ptime + "\r\n"
		d, err := parseDescription([]byte(body))
		if err != nil {
			return
		}
		kept := d.media().MediaName.Formats
		for i, format := range kept {
			if n, err := strconv.Atoi(format); err != nil || n < 0 || n > 127 || slices.Contains(kept[:i], format) {
				t.Fatalf("%q leaves %q", formats, kept)
			}
		}
		out, err := d.forTarget(at, kept, dirAsIs)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseDescription(out)
		if err != nil || !slices.Equal(again.media().MediaName.Formats, kept) {
			t.Fatalf("%q is read as %+v, %v", out, again, err)
		}
		value, told := d.media().Attribute("ptime")
		if got, still := again.media().Attribute("ptime"); got != value || still != told {
			t.Fatalf("ptime %q becomes %q", value, got)
		}
	})
}

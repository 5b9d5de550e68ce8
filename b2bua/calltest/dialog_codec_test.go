package calltest

import (
	"strconv"
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/sdp"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// formatsOf returns the formats of the audio stream in a message.
func formatsOf(t testing.TB, m received) string {
	t.Helper()
	var numbers []string
	for _, f := range described(t, m).Formats() {
		numbers = append(numbers, strconv.Itoa(int(f.Number)))
	}
	return strings.Join(numbers, " ")
}

// If the two sides use different formats, their offers and answers are translated, and the
// relay converts their packets.
func TestCodecs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		target  string // additional keys of the target
		offer   string // formats in the caller's offer
		offered string // formats offered to the target
		answer  string // formats in the target's answer
		told    string // formats in our answer to the caller
		codec   string
		a, b    string // conversions of the sides' packets
	}{
		{"the same", "", "0 8 101", "0 8 101", "0 101", "0 101", "PCMU", "", ""},
		{"the caller's order", "codecs: [PCMA, PCMU]", "0 8 101", "0 8 101", "8 101", "8 101", "PCMA", "", ""},
		{"what is not allowed is not offered", "codecs: [PCMA]", "0 8 101", "8 101", "8 101", "8 101", "PCMA", "", ""},
		{"PCMU of PCMA", "codecs: [PCMU]", "8 101", "0 101", "0 101", "8 101", "PCMA", "8a>0", "0u>8"},
		{"PCMA of PCMU", "codecs: [PCMA]", "0 96", "8 96", "8 96", "0 96", "PCMU", "0u>8", "8a>0"},
		{"without events", "codecs: [PCMU]", "8", "0 101", "0", "8", "PCMA", "8a>0", "0u>8"},
		{"G722 goes through", "codecs: [G722, PCMU]", "9 0 101", "9 0 101", "9 101", "9 101", "G722", "", ""},
		{"other numbers in the answer", "", "0 101", "0 101", "0 96", "0 101", "PCMU", "101>96", "96>101"},
		{"comfort noise on both sides", "", "0 13 101", "0 13 101", "0 13 101", "0 13 101", "PCMU", "", ""},
		{"comfort noise that the target does not take", "", "0 13 101", "0 13 101", "0 101", "0 101", "PCMU", "-13", ""},
		{"comfort noise beside the other law", "codecs: [PCMU]", "8 13 101", "0 101", "0 101", "8 101", "PCMA", "8a>0 -13", "0u>8"},
		{"comfort noise beside G722", "codecs: [G722, PCMU]", "0 9 13", "0 9 13 101", "9 13", "9 13", "G722", "", ""},
		{"events that the target does not take", "", "0 101", "0 101", "0", "0", "PCMU", "", ""},
	} {
		runIn(t, tt.name, talkYAML("", tt.target), func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.sdp = siptest.SessionAt("192.0.2.10", 20000, tt.offer)
			in := w.carrier.ringsAt(w.agent, d)
			if got := formatsOf(w.t, in); got != tt.offered {
				w.t.Errorf("the target is offered %s; want %s:\n%s", got, tt.offered, in.raw)
			}
			w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, tt.answer))
			ok := w.carrier.expect("SIP/2.0 200")
			if got := formatsOf(w.t, ok); got != tt.told {
				w.t.Errorf("the caller is told %s; want %s:\n%s", got, tt.told, ok.raw)
			}
			w.carrier.ack(d)
			c := w.talkOf(d, in)
			if a, b := c.carrier.payloads(), c.agent.payloads(); a != tt.a || b != tt.b {
				w.t.Errorf("changes %q and %q; want %q and %q", a, b, tt.a, tt.b)
			}
			// Neither a refresh nor hold changes the conversions.
			for _, e := range []*end{c.carrier, c.agent} {
				formats := tt.told
				if e == c.agent {
					formats = tt.answer
				}
				for _, way := range []string{"a=sendrecv", "a=sendonly", "a=sendrecv"} {
					again := e.changes("INVITE", siptest.SessionAt(e.address, 40000, formats, way), "200")
					if got := formatsOf(w.t, again); got != formats {
						w.t.Errorf("side %v offers %s and is answered %s", e.side, formats, got)
					}
				}
			}
			// Our own offer to a side whose INVITE has none does not change them either.
			for _, e := range []*end{c.carrier, c.agent} {
				seq := e.offers("INVITE", "")
				again := e.p.expect("SIP/2.0 200")
				formats := tt.told
				if e == c.agent {
					formats = tt.answer
				}
				if got := formatsOf(w.t, again); got != formats {
					w.t.Errorf("side %v is offered %s; want %s", e.side, got, formats)
				}
				e.acks(seq, siptest.SessionAt(e.address, 40000, formats))
			}
			if a, b := c.carrier.payloads(), c.agent.payloads(); a != tt.a && !strings.Contains(tt.name, "numbers") && !strings.Contains(tt.name, "noise") || b != tt.b && !strings.Contains(tt.name, "numbers") {
				w.t.Errorf("changes %q and %q afterwards; want %q and %q", a, b, tt.a, tt.b)
			}
			w.callerHangsUp(d)
			if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); r.Codec != tt.codec {
				w.t.Errorf("codec %s; want %s", r.Codec, tt.codec)
			}
		})
	}
}

// Payload types outside the valid range are not offered to the target. If no other type is
// left, the call is refused because there is no codec.
func TestOfferOfPayloadTypesThatAreNone(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = siptest.SessionAt("192.0.2.10", 20000, "0 0 200 72 101 101")
		in := w.carrier.ringsAt(w.agent, d)
		if got := formatsOf(t, in); got != "0 101" || strings.Contains(in.raw, "rtpmap:200") {
			t.Errorf("the target is offered %s:\n%s", got, in.raw)
		}
		w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 0 101 300"))
		if got := formatsOf(t, d.learn(w.carrier.expect("SIP/2.0 200"))); got != "0 101" {
			t.Errorf("the caller is answered %s", got)
		}
		w.carrier.ack(d)
		w.callerEnds(w.agent, d)
	})
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = siptest.SessionAt("192.0.2.10", 20000, "200 abc")
		w.carrier.invite(d)
		if got := w.carrier.expect("SIP/2.0 488").value("Warning"); !strings.Contains(got, "305 ") || !strings.Contains(got, sdp.ErrNoCodec.Error()) {
			t.Errorf("Warning %q", got)
		}
		w.carrier.ackRefused(d)
		w.wantRecord("failed", cause.NoCommonCodec, record.EndedBySystem)
	})
}

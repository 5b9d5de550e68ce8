package calltest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// A caller may offer different suites of SRTP, or none. The answer has the expected suite
// and tag, or the call is refused.
func TestCallerOffersSRTP(t *testing.T) {
	one := cryptoAttr(4, cm80, 'a')
	both := siptest.SessionAt("192.0.2.10", 20000, "0 101") + "m=audio 20002 RTP/SAVP 0\r\n" + one + "\r\n"
	for _, c := range []struct {
		name, mode, sdp string
		code            int
		cause           cause.Cause
		tag             string // tag of the answer's a=crypto line; empty means plain RTP
	}{
		{"off, RTP", "off", siptest.SessionAt("192.0.2.10", 20000, "0 101"), 200, "", ""},
		{"off, SRTP", "off", securedAt("192.0.2.10", 20000, one), 488, cause.NoCommonCodec, ""},
		{"off, both", "off", both, 200, "", ""},
		{"optional, RTP", "optional", siptest.SessionAt("192.0.2.10", 20000, "0 101"), 200, "", ""},
		{"optional, SRTP", "optional", securedAt("192.0.2.10", 20000, one), 200, "", "4"},
		{"optional, both", "optional", both, 200, "", "4"},
		{"optional, SRTP of a suite that is not known", "optional", securedAt("192.0.2.10", 20000, strings.Replace(one, "AES_CM_128", "F8_128", 1)), 488, cause.SRTPRequired, ""},
		{"required, RTP", "required", siptest.SessionAt("192.0.2.10", 20000, "0 101"), 488, cause.SRTPRequired, ""},
		{"required, RTP that could be more", "required", siptest.SessionAt("192.0.2.10", 20000, "0 101", one), 488, cause.SRTPRequired, ""},
		{"required, SRTP", "required", securedAt("192.0.2.10", 20000, one), 200, "", "4"},
	} {
		runIn(t, c.name, talkYAML("media: {srtp: "+c.mode+"}", ""), func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.sdp = c.sdp
			w.carrier.invite(d)
			if c.code != 200 {
				m := w.carrier.expect(fmt.Sprintf("SIP/2.0 %d", c.code))
				if m.value("Warning") == "" {
					w.t.Errorf("no word of why:\n%s", m.raw)
				}
				w.carrier.ackRefused(d)
				w.wantRecord("failed", c.cause, record.EndedBySystem)
				return
			}
			d.learn(w.carrier.expect("SIP/2.0 180"))
			in := w.agent.expect("INVITE")
			wantPlain(w.t, in)
			ok := w.carrier.isTakenWith(w.agent, in, "agent1", d, siptest.SessionAt("192.0.2.20", 30000, "0 101"))
			w.wantMedia(media.SideB, 0, nil)
			want := ""
			if c.tag == "" {
				wantPlain(w.t, ok)
				w.wantMedia(media.SideA, 0, nil)
			} else {
				w.wantMedia(media.SideA, 'a', wantCrypto(w.t, ok, c.tag, cm80))
				want = cm80.String()
			}
			w.callerHangsUp(d)
			if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); r.Media.A.SRTP != want || r.Media.B.SRTP != "" {
				w.t.Errorf("record: %+v; want %q on side a", r.Media, want)
			}
		})
	}
}

// If a caller offers a supported suite with a bad key, the refusal does not blame the
// suite.
func TestCallerOffersBadKey(t *testing.T) {
	inWorldWith(t, talkYAML("media: {srtp: required}", ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		line := cryptoAttr(4, cm80, 'a')
		d.sdp = securedAt("192.0.2.10", 20000, line[:len(line)-4])
		w.carrier.invite(d)
		if got := w.carrier.expect("SIP/2.0 488").value("Warning"); !strings.Contains(got, "304 ") || !strings.Contains(got, sdp.ErrNoKey.Error()) {
			t.Errorf("Warning %q", got)
		}
		w.carrier.ackRefused(d)
		w.wantRecord("failed", cause.SRTPRequired, record.EndedBySystem)
	})
}

// In the best-effort mode of some PBXs, an offer has transport RTP/AVP, and keys for peers
// that can use them. The answer has the same transport (RFC 3264 section 6).
func TestBestEffortSRTP(t *testing.T) {
	inWorldWith(t, talkYAML("media: {srtp: optional}", ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = siptest.SessionAt("192.0.2.10", 20000, "0 101", cryptoAttr(1, gcm, 'a'))
		in := w.carrier.ringsAt(w.agent, d)
		ok := w.carrier.isTakenWith(w.agent, in, "agent1", d, siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		proto, lines := cryptoOf(t, ok)
		if l := lines["1"]; proto != "RTP/AVP" || l.Keys.Suite != gcm {
			t.Fatalf("answered with\n%s", ok.raw)
		} else {
			w.wantMedia(media.SideA, 'a', &l.Keys)
		}
		w.callerEnds(w.agent, d)
	})
}

// A target with srtp: required is offered only SRTP. If its answer has no SRTP, the next
// target is tried.
func TestTargetMustHaveSRTP(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(offered map[string]cryptoLine) string
		taken  media.Suite
	}{
		{"the first suite", func(map[string]cryptoLine) string {
			return securedAt("192.0.2.20", 30000, cryptoAttr(1, gcm32, 'b'))
		}, gcm32},
		{"the last suite", func(map[string]cryptoLine) string {
			return securedAt("192.0.2.20", 30000, cryptoAttr(3, cm80, 'b'))
		}, cm80},
		{"RTP", func(map[string]cryptoLine) string { return siptest.SessionAt("192.0.2.20", 30000, "0 101") }, 0},
		{"no key", func(map[string]cryptoLine) string { return securedAt("192.0.2.20", 30000) }, 0},
		{"another tag", func(map[string]cryptoLine) string {
			return securedAt("192.0.2.20", 30000, cryptoAttr(9, cm80, 'b'))
		}, 0},
		{"our own key", func(offered map[string]cryptoLine) string {
			return securedAt("192.0.2.20", 30000, offered["3"].text)
		}, 0},
	} {
		runIn(t, c.name, talkYAML("", "media: {srtp: required}"), func(w *world) {
			d := w.carrier.dials("+15085785607")
			in := w.agent.expect("INVITE")
			proto, offered := cryptoOf(w.t, in)
			if proto != "RTP/SAVP" || len(offered) != 3 || offered["1"].Keys.Suite != gcm32 || offered["3"].Keys.Suite != cm80 {
				w.t.Fatalf("offered:\n%s", in.raw)
			}
			w.agent.concludes(in, 200, "OK", "agent1", c.answer(offered))
			if c.taken != 0 {
				wantPlain(w.t, d.learn(w.carrier.expect("SIP/2.0 200")))
				w.carrier.ack(d)
				for _, l := range offered {
					if l.Keys.Suite == c.taken {
						w.wantMedia(media.SideB, 'b', &l.Keys)
					}
				}
				w.callerHangsUp(d)
				if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); r.Media.B.SRTP != c.taken.String() {
					w.t.Errorf("record: %+v", r.Media)
				}
				return
			}
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			second := w.agent2.expect("INVITE")
			wantPlain(w.t, second)
			w.carrier.isBusyAt(w.agent2, second, "spare", d)
			if r := w.record(); len(r.Attempts) != 2 || r.Attempts[0].Cause != string(cause.SRTPRefused) {
				w.t.Errorf("attempts: %+v", r.Attempts)
			}
		})
	}
}

// A target with srtp: optional is offered SRTP first. If it refuses that, a second INVITE
// offers RTP.
func TestTargetMayHaveSRTP(t *testing.T) {
	for _, c := range []struct {
		code int
		sdp  string
	}{
		{200, securedAt("192.0.2.20", 30000, cryptoAttr(1, cm80, 'b'))},
		{415, ""},
		{486, ""},
		{488, ""},
		{606, ""},
		{200, siptest.SessionAt("192.0.2.20", 30000, "0 101")},
		{200, strings.Replace(securedAt("192.0.2.20", 0), "a=", "b=AS:64\r\na=", 1)},
	} {
		code := c.code
		runIn(t, fmt.Sprint(code, " ", strings.Contains(c.sdp, "a=crypto"), len(c.sdp)), talkYAML("", "media: {srtp: optional, srtp_suites: [AES_CM_128_HMAC_SHA1_80]}"), func(w *world) {
			d, in := w.carrier.callsAt(w.agent, "+15075785607")
			ours := wantCrypto(w.t, in, "1", cm80)
			w.agent.concludes(in, code, "OK", "agent1", c.sdp)
			switch {
			case strings.Contains(c.sdp, "a=crypto"):
				w.carrier.isAnswered(d)
				w.wantMedia(media.SideB, 'b', ours)
				w.callerEnds(w.agent, d)
				return
			case code == 200:
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			case code == 486:
				w.carrier.isRefused(d, "486")
				w.record()
				return
			}
			again := w.agent.expect("INVITE")
			wantPlain(w.t, again)
			if again.value("Call-ID") == in.value("Call-ID") {
				w.t.Error("the second INVITE is of the same call")
			}
			w.carrier.isTakenWith(w.agent, again, "agent2", d, siptest.SessionAt("192.0.2.20", 30000, "0 101"))
			w.wantMedia(media.SideB, 0, nil)
			w.callerHangsUp(d)
			if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); len(r.Attempts) != 2 || r.Attempts[0].SIPStatus != code || r.Media.B.SRTP != "" {
				w.t.Errorf("attempts: %+v, media %+v", r.Attempts, r.Media)
			}
		})
	}
}

// securedTalk returns an established call with SRTP on both sides, with different suites,
// and our keys for each side.
func securedTalk(t testing.TB, w *world) (c *talk, toA, toB *media.Keys) {
	t.Helper()
	d := w.carrier.newCall("+15075785607")
	d.sdp = securedAt("192.0.2.10", 20000, cryptoAttr(1, gcm, 'a'), cryptoAttr(2, cm80, 'x'))
	in := w.carrier.ringsAt(w.agent, d)
	_, offered := cryptoOf(t, in)
	w.agent.concludes(in, 200, "OK", "agent1", securedAt("192.0.2.20", 30000, cryptoAttr(3, cm80, 'b')))
	c = w.talkOf(d, in)
	c.ok = w.carrier.isAnswered(d)
	l := offered["3"]
	toA, toB = wantCrypto(t, c.ok, "1", gcm), &l.Keys
	w.wantMedia(media.SideA, 'a', toA)
	w.wantMedia(media.SideB, 'b', toB)
	return c, toA, toB
}

const bothSecured = "media: {srtp: required}"

// When an SRTP session changes, each side keeps its keys if possible.
func TestSecuredSessionChanges(t *testing.T) {
	inWorldWith(t, talkYAML(bothSecured, bothSecured), func(w *world) {
		c, toA, toB := securedTalk(t, w)
		stays := func(what string, m received, tag string, s media.Suite, ours *media.Keys) {
			t.Helper()
			if k := wantCrypto(t, m, tag, s); !k.Same(ours) {
				t.Errorf("%s: our key is another", what)
			}
		}
		held := c.carrier.changes("INVITE", securedAt("192.0.2.10", 20000, cryptoAttr(1, gcm, 'a'), "a=sendonly"), "200")
		stays("hold", held, "1", gcm, toA)
		w.wantMedia(media.SideA, 'a', toA)
		moved := c.carrier.changes("UPDATE", securedAt("192.0.2.10", 20002, cryptoAttr(1, gcm, 'a')), "200")
		stays("elsewhere", moved, "1", gcm, toA)
		rekeyed := c.carrier.changes("INVITE", securedAt("192.0.2.10", 20002, cryptoAttr(5, gcm, 'c')), "200")
		stays("a new key", rekeyed, "5", gcm, toA)
		w.wantMedia(media.SideA, 'c', toA)

		// The side moves to another endpoint and another suite.
		other := c.carrier.changes("INVITE", securedAt("192.0.2.11", 20004, cryptoAttr(1, gcm, 'd')), "200")
		toA2 := wantCrypto(t, other, "1", gcm)
		suite := c.carrier.changes("INVITE", securedAt("192.0.2.11", 20004, cryptoAttr(1, cm80, 'e')), "200")
		toA3 := wantCrypto(t, suite, "1", cm80)
		if toA2.Same(toA) || bytes.Equal(toA3.Key, toA2.Key[:28]) {
			t.Error("another endpoint, or suite, has a key that was used before")
		}
		w.wantMedia(media.SideA, 'e', toA3)

		// The side can't go back to plain RTP.
		refused := c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.11", 20004, "0 101"), "488")
		if !strings.Contains(refused.value("Warning"), "SRTP is required") {
			t.Errorf("no word of why:\n%s", refused.raw)
		}
		w.wantMedia(media.SideA, 'e', toA3)

		// If the agent asks for an offer, it gets the previous a=crypto line and o= version.
		version := uint64(0)
		for i := range 2 {
			seq := c.agent.offers("INVITE", "")
			ours := w.agent.expect("SIP/2.0 200")
			stays("asked", ours, "3", cm80, toB)
			c.agent.acks(seq, securedAt("192.0.2.20", 30000, cryptoAttr(3, cm80, 'b')))
			if v := sdpVersion(t, ours); i > 0 && v != version {
				t.Errorf("version %d after %d for the same description", v, version)
			} else {
				version = v
			}
		}
		w.wantMedia(media.SideB, 'b', toB)
		w.callerHangsUp(c.d)
		if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); r.Media.A.SRTP != cm80.String() || r.Media.B.SRTP != cm80.String() {
			t.Errorf("record: %+v", r.Media)
		}
	})
}

// If a change is passed on to the other side, our offer repeats our a=crypto line, and the
// other side must answer with a line of its own.
func TestSecuredChangeIsPassedOn(t *testing.T) {
	for _, plain := range []bool{false, true} {
		runIn(t, fmt.Sprint(plain), talkYAML(bothSecured, bothSecured+", reinvite: relay"), func(w *world) {
			c, toA, toB := securedTalk(w.t, w)
			seq := c.carrier.offers("INVITE", strings.Replace(securedAt("192.0.2.10", 20000, cryptoAttr(1, gcm, 'a')), "SAVP 0 101", "SAVP 8 101", 1))
			m := w.agent.expect("INVITE")
			if k := wantCrypto(w.t, m, "3", cm80); !k.Same(toB) {
				w.t.Error("our key toward the agent is another")
			}
			answer := securedAt("192.0.2.20", 30000, cryptoAttr(3, cm80, 'f'))
			if plain {
				answer = siptest.SessionAt("192.0.2.20", 30000, "8 101")
			}
			w.agent.concludes(m, 200, "OK", "", strings.Replace(answer, "SAVP 0 101", "SAVP 8 101", 1))
			if plain {
				again := w.agent.expect("INVITE") // the old session again
				w.agent.concludes(again, 200, "OK", "", securedAt("192.0.2.20", 30000, cryptoAttr(3, cm80, 'b')))
				c.carrier.ackRefusal(w.carrier.expect("SIP/2.0 488"))
				w.wantMedia(media.SideB, 'b', toB)
			} else {
				ok := w.carrier.expect("SIP/2.0 200")
				if k := wantCrypto(w.t, ok, "1", gcm); !k.Same(toA) {
					w.t.Error("our key toward the carrier is another")
				}
				c.carrier.acks(seq, "")
				w.wantMedia(media.SideB, 'f', toB)
			}
			c.hangsUp()
		})
	}
}

// If a change is cancelled, the keys of both sides stay as they were.
func TestSecuredChangeIsWithdrawn(t *testing.T) {
	inWorldWith(t, talkYAML(bothSecured, bothSecured), func(w *world) {
		c, toA, _ := securedTalk(t, w)
		seq, before := c.d.seq+1, w.session().crypto[media.SideA].Receive
		c.carrier.overtakes(seq, func() {
			c.carrier.offers("INVITE", securedAt("192.0.2.12", 20010, cryptoAttr(1, gcm, 'z')))
			if theirs := w.session().crypto[media.SideA].Receive; theirs == nil || theirs.Same(before) {
				t.Error("the change has not begun")
			}
		})
		c.carrier.ackRefusal(w.carrier.expect("SIP/2.0 487"))
		w.wantMedia(media.SideA, 'a', toA)
		again := c.carrier.changes("INVITE", securedAt("192.0.2.10", 20000, cryptoAttr(1, gcm, 'a')), "200")
		if k := wantCrypto(t, again, "1", gcm); !k.Same(toA) {
			t.Error("our key is another after the change was withdrawn")
		}
		c.hangsUp()
	})
}

// If the trunk has srtp: required, a caller that sends no offer gets an offer with SRTP.
func TestLateOfferOfSRTP(t *testing.T) {
	for _, plain := range []bool{false, true} {
		runIn(t, fmt.Sprint(plain), talkYAML(bothSecured, ""), func(w *world) {
			d := w.lateCall("+15075785607", "")
			d.learn(w.carrier.expect("SIP/2.0 180"))
			in := w.agent.expect("INVITE")
			w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
			ok := w.carrier.expect("SIP/2.0 200")
			proto, lines := cryptoOf(w.t, ok)
			if proto != "RTP/SAVP" || len(lines) != 3 {
				w.t.Fatalf("offered:\n%s", ok.raw)
			}
			if plain {
				w.carrier.ackOf(d, d.seq, siptest.SessionAt("192.0.2.10", 20000, "0 101"))
				hungUpOn(w.carrier, w.agent)
				w.wantRecord("answered", cause.BadACK, record.EndedBySystem)
				return
			}
			w.carrier.ackOf(d, d.seq, securedAt("192.0.2.10", 20000, cryptoAttr(2, gcm, 'a')))
			l := lines["2"]
			w.wantMedia(media.SideA, 'a', &l.Keys)
			w.callerEnds(w.agent, d)
		})
	}
}

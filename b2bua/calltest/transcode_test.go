package calltest

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/report"
	"flowbridge/media"
	"flowbridge/media/voice/turns"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// opusSDP returns a session description with Opus as payload type 111, and telephone-events with the same clock rate.
func opusSDP(host string, port int, more string, lines ...string) string {
	s := siptest.SessionAt(host, port, strings.TrimSpace(more+" 101"), append([]string{"a=rtpmap:111 opus/48000/2", "a=fmtp:111 useinbandfec=1"}, lines...)...)
	s = strings.Replace(s, "RTP/AVP ", "RTP/AVP 111 ", 1)
	return strings.Replace(s, "101 telephone-event/8000", "101 telephone-event/48000", 1)
}

// TestTranscoding: a side is transcoded or not depending on the codecs of both sides and on the target's list of
// codecs.
func TestTranscoding(t *testing.T) {
	const caller, agent = "192.0.2.10", "192.0.2.20"
	for _, tt := range []struct {
		name    string
		target  string // additional keys of the target
		offer   string
		offered string // formats in our offer to the target
		answer  string
		told    string // formats in our answer to the caller
		codec   string
		on      [2]bool
	}{
		{"a caller with Opus alone", "", opusSDP(caller, 20000, ""), "0 8 101", siptest.SessionAt(agent, 30000, "0 101"), "111 101", "opus", [2]bool{true, false}},
		{"an agent with PCMA", "codecs: [PCMA]", opusSDP(caller, 20000, ""), "8 101", siptest.SessionAt(agent, 30000, "8 101"), "111 101", "opus", [2]bool{true, false}},
		{"G.711 in common", "", opusSDP(caller, 20000, "0"), "0 101", siptest.SessionAt(agent, 30000, "0"), "0", "PCMU", [2]bool{}},
		{"Opus in common", "codecs: [opus]", opusSDP(caller, 20000, ""), "111 101", opusSDP(agent, 30000, ""), "111 101", "opus", [2]bool{}},
		{"a target that takes both", "codecs: [opus, PCMU]", opusSDP(caller, 20000, ""), "111 101", opusSDP(agent, 30000, ""), "111 101", "opus", [2]bool{}},
		{"an agent with Opus alone", "codecs: [opus]", siptest.SessionAt(caller, 20000, "0 101"), "96 101", opusSDP(agent, 30000, ""), "0 101", "PCMU", [2]bool{false, true}},
	} {
		runIn(t, tt.name, talkYAML("", tt.target), func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.sdp = tt.offer
			in := w.carrier.ringsAt(w.agent, d)
			if got := numbersIn(in); got != tt.offered {
				w.t.Errorf("the target is offered %s; want %s:\n%s", got, tt.offered, in.raw)
			}
			w.agent.concludes(in, 200, "OK", "agent1", tt.answer)
			ok := w.carrier.expect("SIP/2.0 200")
			if got := numbersIn(ok); got != tt.told {
				w.t.Errorf("the caller is told %s; want %s:\n%s", got, tt.told, ok.raw)
			}
			w.carrier.ack(d)
			c := w.talkOf(d, in)
			w.wantTranscoders(tt.on)
			for _, e := range []*end{c.carrier, c.agent} { // a refresh, hold or our own offer changes nothing
				theirs, told := tt.offer, tt.told
				if e == c.agent {
					theirs, told = tt.answer, numbersIn(received{raw: tt.answer})
				}
				for _, way := range []string{"a=sendrecv", "a=sendonly", "a=sendrecv"} {
					again := e.changes("INVITE", theirs+way+"\r\n", "200")
					if got := numbersIn(again); got != told {
						w.t.Errorf("side %v is answered %s; want %s", e.side, got, told)
					}
					w.wantTranscoders(tt.on)
				}
				seq := e.offers("INVITE", "")
				if got := numbersIn(e.p.expect("SIP/2.0 200")); got != told {
					w.t.Errorf("side %v is offered %s; want %s", e.side, got, told)
				}
				e.acks(seq, theirs)
				w.wantTranscoders(tt.on)
			}
			w.callerHangsUp(d)
			if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); !strings.EqualFold(r.Codec, tt.codec) {
				w.t.Errorf("codec %s; want %s", r.Codec, tt.codec)
			}
		})
	}
}

// numbersIn returns the payload types of a message's audio, in the order of its m= line.
func numbersIn(m received) string {
	_, line, _ := strings.Cut(m.raw, "m=audio ")
	line, _, _ = strings.Cut(line, "\r\n")
	return strings.Join(strings.Fields(line)[2:], " ")
}

// wantTranscoders checks which sides' media is transcoded.
func (w *world) wantTranscoders(on [2]bool) {
	w.t.Helper()
	synctest.Wait()
	for side, c := range w.session().made() {
		if c.On != on[side] || c.On && (c.Opus != 111 || !c.Takes.Has(111)) {
			w.t.Errorf("side %v: %+v; want a transcoder: %t", media.Side(side), c, on[side])
		}
	}
}

// TestShortPacketsOfOpus: what is made of the caller's Opus heeds the agent's a=maxptime, also if a re-INVITE brings it.
func TestShortPacketsOfOpus(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		short := siptest.SessionAt("192.0.2.20", 30000, "0 101", "a=maxptime:10")
		d, in := w.opusTalk(short)
		c := w.talkOf(d, in)
		for _, want := range []bool{true, false, true} {
			w.wantTranscoders([2]bool{true, false})
			if made := w.session().made()[media.SideA]; made.Short != want {
				t.Errorf("%+v; want short packets: %t", made, want)
			}
			body := short
			if want {
				body = siptest.SessionAt("192.0.2.20", 30000, "0 101")
			}
			c.agent.changes("INVITE", body, "200")
		}
		w.callerHangsUp(d)
	})
}

// TestNoTranscoder: when media.max_transcoded calls are being transcoded, another call that needs transcoding gets 503.
// Calls that need none still work. With media.transcode: off, a call that needs transcoding gets 488.
func TestNoTranscoder(t *testing.T) {
	config := strings.Replace(talkYAML("", "")+`  - {to: "^\\+1509", targets: [spare]}`, `media: {`, `media: {max_transcoded: 1, `, 1)
	config = strings.Replace(config, "codecs: [PCMA]", "codecs: [opus, PCMU]", 1)
	inWorldWith(t, config, func(w *world) {
		answer := siptest.SessionAt("192.0.2.20", 30000, "0 101")
		first := w.carrier.newCall("+15075785607")
		first.sdp = opusSDP("192.0.2.10", 20000, "")
		in := w.carrier.ringsAt(w.agent, first)
		w.agent.concludes(in, 200, "OK", "agent1", answer)
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(first)
		w.talkOf(first, in)

		second := w.carrier.newCall("+15075785608")
		second.sdp = opusSDP("192.0.2.10", 20002, "")
		w.carrier.invite(second)
		w.carrier.expect("SIP/2.0 180")
		if refused := w.carrier.expect("SIP/2.0 503"); refused.value("Retry-After") == "" {
			t.Errorf("no Retry-After:\n%s", refused.raw)
		}
		w.carrier.ackRefused(second)
		w.wantRecord("failed", cause.NoTranscoder, record.EndedBySystem)

		live := w.server.Live(context.Background())
		if len(live) != 1 || live[0].Transcodes != "opus <-> PCMU" {
			t.Errorf("live: %+v", live)
		}

		third := w.carrier.newCall("+15075785609") // does not need a transcoder
		in = w.carrier.ringsAt(w.agent, third)
		w.agent.concludes(in, 200, "OK", "agent3", answer)
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(third)

		fourth := w.carrier.newCall("+15095785609") // does not need one either, because both sides have Opus
		fourth.sdp = opusSDP("192.0.2.10", 20004, "")
		in = w.carrier.ringsAt(w.agent2, fourth)
		if got := numbersIn(in); got != "111 101" {
			t.Errorf("the target is offered %s:\n%s", got, in.raw)
		}
		w.agent2.concludes(in, 200, "OK", "agent4", opusSDP("192.0.2.21", 30000, ""))
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(fourth)
		w.callerHangsUp(first)
		w.callerHangsUp(third)
		w.callerHangsUpAt(w.agent2, fourth)
	})
	inWorldWith(t, strings.Replace(talkYAML("", ""), `media: {`, `media: {transcode: off, `, 1), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = opusSDP("192.0.2.10", 20000, "")
		w.carrier.invite(d)
		w.carrier.expect("SIP/2.0 488")
		w.carrier.ackRefused(d)
		w.wantRecord("failed", cause.NoCommonCodec, record.EndedBySystem)
	})
}

// TestChangeToOpus: if a caller changes from PCMU to Opus during a call, it is transcoded until it changes back. The
// agent gets no message.
func TestChangeToOpus(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = siptest.SessionAt("192.0.2.10", 20000, "0 101")
		in := w.carrier.ringsAt(w.agent, d)
		w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(d)
		c := w.talkOf(d, in)
		for range 2 {
			if got := numbersIn(c.carrier.changes("INVITE", opusSDP("192.0.2.10", 20000, ""), "200")); got != "111 101" {
				t.Errorf("the caller is answered %s", got)
			}
			w.wantTranscoders([2]bool{true, false})
			if got := numbersIn(c.carrier.changes("INVITE", siptest.SessionAt("192.0.2.10", 20000, "0 101"), "200")); got != "0 101" {
				t.Errorf("the caller is answered %s", got)
			}
			w.wantTranscoders([2]bool{})
		}
		w.callerEnds(w.agent, d)
	})
}

// TestExplainNamesWhatIsMade: explain reports the transcoding that a call would need.
func TestExplainNamesWhatIsMade(t *testing.T) {
	for _, tt := range []struct{ media, codecs, want string }{
		{"", "", "opus <-> PCMU"},
		{"", "codecs: [G722, PCMA]", "opus <-> PCMA"},
		{"", "codecs: [opus]", "opus <-> PCMU"},
		{"", "codecs: [opus, PCMU]", ""},
		{"", "codecs: [G722]", ""},
		{"transcode: off, ", "codecs: [opus]", ""},
	} {
		cfg := testConfigured(t, strings.Replace(talkYAML("", tt.codecs), "media: {", "media: {"+tt.media, 1))
		x, err := b2bua.Explain(cfg, nil, report.Question{From: "1", To: "+15075785607"})
		if err != nil || len(x.Targets) != 1 || x.Targets[0].Transcodes != tt.want {
			t.Errorf("%s %s: %+v, %v; want %q", tt.media, tt.codecs, x.Targets, err, tt.want)
		}
	}
}

// undoesChangeToOpus plays a caller whose CANCEL of a change to the agent's Opus overtakes our 200. asks means that the
// agent was asked.
func undoesChangeToOpus(t *testing.T, w *world, asks bool) {
	opus, pcmu := opusSDP("192.0.2.20", 30000, ""), siptest.SessionAt("192.0.2.10", 20000, "0 101")
	d := w.lateCall("+15075785607", "")
	w.carrier.expect("SIP/2.0 180")
	in := w.agent.expect("INVITE")
	w.agent.concludes(in, 200, "OK", "agent1", opus)
	d.learn(w.carrier.expect("SIP/2.0 200"))
	c := w.talkOf(d, in)
	c.carrier.acks(d.seq, pcmu)
	w.wantTranscoders([2]bool{false, true})
	offers := func() int { return c.carrier.offers("INVITE", opusSDP("192.0.2.10", 20000, "")) }
	if asks {
		seq := offers()
		asked := w.agent.expect("INVITE")
		if got := numbersIn(asked); got != "111 101" {
			t.Errorf("the agent is asked for %s", got)
		}
		c.carrier.overtakes(seq, func() { w.agent.reply(asked, 200, "OK", "", opus) })
	} else {
		c.carrier.overtakes(d.seq+1, func() { offers() })
	}
	c.carrier.ackRefusal(w.carrier.expect("SIP/2.0 487"))
	if asks {
		w.agent.expect("ACK")
		if again := c.agent.takes(opus); numbersIn(again) != "111 101" {
			t.Errorf("the agent is offered\n%s", again.raw)
		}
	}
	w.wantTranscoders([2]bool{false, true})
	w.wantPlaces(1)
	c.hangsUp()
}

// TestCancelOvertakesChangeToOpus: a CANCEL that comes before our 200 undoes a change to Opus on both sides.
func TestCancelOvertakesChangeToOpus(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) { // the change was not passed on to the agent
		c := w.talk(nil, nil)
		c.carrier.overtakes(2, func() { c.carrier.offers("INVITE", opusSDP("192.0.2.10", 20000, "")) })
		c.carrier.ackRefusal(w.carrier.expect("SIP/2.0 487"))
		synctest.Wait()
		w.wantTranscoders([2]bool{})
		w.wantPlaces(0)
		c.hangsUp()
	})
	for _, mode := range []string{"auto", "relay"} { // with relay, the change was passed on to the agent
		inWorldWith(t, talkYAML("", "codecs: [opus], reinvite: "+mode), func(w *world) { undoesChangeToOpus(t, w, mode == "relay") })
	}
	inWorldWith(t, talkYAML("", "codecs: [PCMU, opus]"), func(w *world) { // both had PCMU
		opus := opusSDP("192.0.2.20", 30000, "")
		c := w.talkIn("0 101", "0 101")
		seq := c.carrier.offers("INVITE", opusSDP("192.0.2.10", 20000, ""))
		asked := w.agent.expect("INVITE")
		c.carrier.overtakes(seq, func() { w.agent.reply(asked, 200, "OK", "", opus) })
		c.carrier.ackRefusal(w.carrier.expect("SIP/2.0 487"))
		w.agent.expect("ACK")
		if again := c.agent.takes(opus); numbersIn(again) != "111 101" {
			t.Errorf("the agent is offered\n%s", again.raw)
		}
		w.wantTranscoders([2]bool{false, true})
		if got := c.agent.payloads() + c.carrier.payloads(); got != "" {
			t.Errorf("changes %q", got)
		}
		c.hangsUp()
	})
}

// TestUntouchedOpusIsHeard: Opus that passes unchanged is decoded to measure the conversation, but in at most half as
// many calls as may be transcoded. Other calls are not measured, and their records say why.
func TestUntouchedOpusIsHeard(t *testing.T) {
	config := strings.NewReplacer("codecs: [PCMA]", "codecs: [opus, PCMU]", `media: {`, `media: {max_transcoded: 2, `).Replace(talkYAML("", ""))
	inWorldWith(t, config+`  - {to: "^\\+1509", targets: [spare]}`, func(w *world) {
		var is media.PayloadSet
		is.Add(111)
		var calls []*dialogue
		for i, want := range [][2]media.PayloadSet{{is, is}, {}} {
			d := w.carrier.newCall("+1509578560" + strconv.Itoa(i))
			d.sdp = opusSDP("192.0.2.10", 20000+2*i, "0")
			in := w.carrier.ringsAt(w.agent2, d)
			w.agent2.concludes(in, 200, "OK", fmt.Sprint("agent", i), opusSDP("192.0.2.21", 30000+2*i, ""))
			w.carrier.expect("SIP/2.0 200")
			w.carrier.ack(d)
			synctest.Wait()
			s := w.relay.sessions[i]
			if got := s.follows.Opus; got != want {
				t.Errorf("call %d: the media listens to %v; want %v", i, got, want)
			}
			s.talk = &turns.Figures{Confidence: turns.NotMeasured, Reason: turns.Codec, FirstReason: turns.Codec}
			calls = append(calls, d)
		}
		for i, want := range []string{"codec", "no_transcoder"} {
			w.callerHangsUpAt(w.agent2, calls[i])
			if r := w.record(); r.Talk == nil || r.Talk.Reason != want || r.Talk.FirstAgentReason != want {
				t.Errorf("call %d: %+v; want %s", i, r.Talk, want)
			}
		}
		d := w.carrier.newCall("+15095785603") // the place is free again
		d.sdp = opusSDP("192.0.2.10", 20004, "")
		in := w.carrier.ringsAt(w.agent2, d)
		w.agent2.concludes(in, 200, "OK", "agent3", opusSDP("192.0.2.21", 30004, ""))
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(d)
		synctest.Wait()
		if got := w.relay.sessions[2].follows.Opus; got != [2]media.PayloadSet{is, is} {
			t.Errorf("the media listens to %v", got)
		}
		w.callerHangsUpAt(w.agent2, d)
	})
}

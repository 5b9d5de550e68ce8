package calltest

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// confirmYAML makes the server send 183 with early media as soon as the caller's INVITE
// comes.
var confirmYAML = strings.Replace(talkYAML("rel100: supported", ""),
	`{to: "^\\+1507", targets: [agent]}`, `{to: "^\\+1507", targets: [agent], ringing: session-progress}`, 1)

// wantConfirmed checks whether the media session counts the caller as confirmed.
func (w *world) wantConfirmed(when string, want bool) {
	w.t.Helper()
	synctest.Wait()
	s := w.relay.sessions[0]
	if p := s.peers[media.SideA]; p.RTP.Addr().String() != "192.0.2.99" || (!p.Unconfirmed || s.confirmed[media.SideA]) != want {
		w.t.Errorf("%s: peer %+v, confirmed later %v; want confirmed %v", when, p, s.confirmed[media.SideA], want)
	}
	if s.peers[media.SideB].Unconfirmed {
		w.t.Errorf("%s: the target is not confirmed, which has answered", when)
	}
}

// elsewhere returns a call whose SDP names another address than the one that its SIP comes
// from.
func (p *peer) elsewhere() *dialogue {
	d := p.newCall("+15075785607")
	d.sdp = sdpAt("192.0.2.99", 20000)
	return d
}

// A caller over UDP is confirmed by its ACK. Until then, media goes to an address that
// may belong to another party.
func TestCallerIsConfirmedByItsACK(t *testing.T) {
	inWorldWith(t, confirmYAML, func(w *world) {
		d := w.carrier.elsewhere()
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 183"))
		w.wantConfirmed("ringing", false)
		in := w.agent.expect("INVITE")
		w.agent.takes(in, "agent1")
		w.carrier.expect("SIP/2.0 200")
		w.wantConfirmed("answered", false)
		stranger := w.otherAt("192.0.2.77:5060")
		stranger.ack(d)
		w.wantConfirmed("ACK from elsewhere", false)
		w.carrier.reinvite(d, sdpAt("192.0.2.99", 20000)) // it shows that the caller has the 200
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ackOf(d, d.seq+d.later, "")
		w.wantConfirmed("re-INVITE", true)
		w.callerEnds(w.agent, d)
	})
}

// If early media is withheld from an unconfirmed caller, the log says why, and what to do
// about it.
func TestWithheldMediaIsLogged(t *testing.T) {
	const message = "no more media to the caller before its ACK, PRACK or RTP: its SDP names another address than its SIP comes from; see media_sources"
	for _, answered := range []bool{false, true} {
		var log logged
		inWorldOf(t, confirmYAML, func(o *b2bua.Options) { o.Log = zerolog.New(&log) }, func(w *world) {
			d := w.carrier.elsewhere()
			w.carrier.invite(d)
			d.learn(w.carrier.expect("SIP/2.0 183"))
			in := w.agent.expect("INVITE")
			withheld := func() { w.relay.sessions[0].onEvent(media.EventWithheld{Side: media.SideA}); synctest.Wait() }
			if !answered {
				withheld()
			}
			w.agent.takes(in, "agent1")
			w.carrier.expect("SIP/2.0 200")
			if answered {
				withheld()
			}
			if f := log.line(t, message); f == nil || f["rtp"] != "192.0.2.99:20000" || f["source"] != "192.0.2.10:5060" {
				t.Errorf("answered %v: got %v", answered, f)
			}
			w.carrier.ack(d)
			w.callerEnds(w.agent, d)
		})
	}
}

func TestCallerIsConfirmedByItsPRACK(t *testing.T) {
	inWorldWith(t, confirmYAML, func(w *world) {
		d := w.carrier.elsewhere()
		d.extra = "Supported: 100rel\n"
		w.carrier.invite(d)
		m := w.carrier.expect("SIP/2.0 183")
		d.extra = ""
		w.wantConfirmed("ringing", false)
		w.carrier.prack(d, m, "")
		w.wantConfirmed("PRACK", true)
		w.carrier.givesUp(d)
		in := w.agent.progresses(180, "Ringing", "agent1", "")
		w.agent.takesCancel(in, "agent1")
		w.record()
	})
}

// If the caller uses TCP, or has authenticated, its address can't be forged, so media goes
// to the caller from the beginning.
func TestCallerThatCannotBeForged(t *testing.T) {
	for name, tt := range map[string]struct {
		yaml string
		call func(w *world) (*peer, *dialogue)
	}{
		"connection": {
			strings.Replace(confirmYAML, `["udp://198.51.100.1:5060"]`, `["udp://198.51.100.1:5060", "tcp://198.51.100.1:5060"]`, 1),
			func(w *world) (*peer, *dialogue) {
				p := w.connect(carrierAddr.Addr())
				return p, p.elsewhere()
			},
		},
		"credentials": {
			strings.Replace(confirmYAML, "rel100: supported", "auth: {username: acme, password_env: P}", 1),
			func(w *world) (*peer, *dialogue) {
				d := w.carrier.elsewhere()
				m := w.carrier.challenged(d)
				d.extra = authorize(d, m, "MD5", "acme", "secret", 1)
				return w.carrier, d
			},
		},
	} {
		runIn(t, name, tt.yaml, func(w *world) {
			p, d := tt.call(w)
			p.invite(d)
			d.learn(p.expect("SIP/2.0 183"))
			w.wantConfirmed("ringing", true)
			d.extra = ""
			in := w.agent.expect("INVITE")
			p.isTakenWith(w.agent, in, "agent1", d, siptest.SessionAt("192.0.2.20", 30000, "0 101"))
			p.hangsUpOn(w.agent, d)
			w.record()
		})
	}
}

// Our answer while the target rings has nothing of the offer that we don't do, and the target's 200 changes nothing.
func TestEarlyAnswerPromisesNothing(t *testing.T) {
	inWorldWith(t, confirmYAML, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp += "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" +
			"a=rtcp-fb:0 transport-cc\r\na=rtcp-fb:* nack\r\na=label:7\r\n"
		w.carrier.invite(d)
		rings := d.learn(w.carrier.expect("SIP/2.0 183"))
		invite := w.agent.expect("INVITE")
		if offer := string(invite.Body()); strings.Contains(offer, "extmap") || !strings.Contains(offer, "a=rtcp-fb:* nack") {
			t.Errorf("the target is offered\n%s", offer)
		}
		ok := w.carrier.isTakenWith(w.agent, invite, "agent1", d, agentSDP()+"a=rtcp-fb:* nack\r\n")
		for _, word := range []string{"extmap", "rtcp-fb", "label"} {
			if strings.Contains(rings.raw, word) || strings.Contains(ok.raw, word) {
				t.Errorf("answered with %s:\n%s\n%s", word, rings.raw, ok.raw)
			}
		}
		w.callerEnds(w.agent, d)
	})
}

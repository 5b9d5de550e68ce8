package calltest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/sdp"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// talkYAML returns a configuration with additional keys for trunk and target.
func talkYAML(trunk, target string) string {
	more := func(keys string) string {
		if keys == "" {
			return ""
		}
		return ", " + keys
	}
	return fmt.Sprintf(`
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], country: "1"%s}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20:32681"%s}
  - {name: spare, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21:32681", codecs: [PCMA]}
routes:
  - {to: "^\\+1507", targets: [agent]}
  - {to: "^\\+1508", targets: [agent, spare], ringing: on-target}
`, more(trunk), more(target))
}

// talk is an established call and its two ends.
type talk struct {
	w              *world
	d              *dialogue
	invite         received
	ok             received // the 200 that the carrier got
	carrier, agent *end
}

// end is one side of a talk. Both sides have the same methods, so that tests can be run for either.
type end struct {
	p       *peer
	side    media.Side
	offers  func(method, sdp string, headers ...string) int
	acks    func(seq int, sdp string)
	address string
	cancels func(seq int) // cancels a re-INVITE of this end
}

// inTalk runs a test with an established call, and hangs it up afterwards.
func inTalk(t *testing.T, trunk, target string, test func(c *talk)) {
	t.Helper()
	inWorldWith(t, talkYAML(trunk, target), func(w *world) {
		c := w.talk(nil, nil)
		test(c)
		c.hangsUp()
	})
}

// talk sets up a call, with these additional header lines in the carrier's INVITE and in the agent's 200.
func (w *world) talk(invite, ok []string) *talk {
	w.t.Helper()
	d := w.carrier.newCall("+15075785607")
	for _, h := range invite {
		d.extra += h + "\n"
	}
	in := w.carrier.ringsAt(w.agent, d)
	w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"), ok...)
	c := w.talkOf(d, in)
	c.ok = w.carrier.isAnswered(d)
	d.extra = ""
	synctest.Wait()
	return c
}

// talkIn sets up a call with these formats in the caller's offer and in the agent's
// answer.
func (w *world) talkIn(offer, answer string) *talk {
	w.t.Helper()
	d := w.carrier.newCall("+15075785607")
	d.sdp = siptest.SessionAt("192.0.2.10", 20000, offer)
	in := w.carrier.ringsAt(w.agent, d)
	w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, answer))
	w.carrier.isAnswered(d)
	return w.talkOf(d, in)
}

// talkOf returns the talk of a call that is set up already.
func (w *world) talkOf(d *dialogue, invite received) *talk {
	c := &talk{w: w, d: d, invite: invite}
	c.carrier = &end{p: w.carrier, side: media.SideA, address: "192.0.2.10"}
	c.carrier.offers = func(method, sdp string, headers ...string) int {
		return w.carrier.within(d, method, sdp, append(sdpHeader(sdp), headers...)...)
	}
	c.carrier.acks = func(seq int, sdp string) {
		w.carrier.ackOf(d, seq, sdp)
		synctest.Wait() // otherwise the next request might overtake it
	}
	c.carrier.cancels = func(seq int) {
		text := strings.Replace(d.inDialog("INVITE", seq, ""), "INVITE sip:", "CANCEL sip:", 1)
		w.carrier.send(strings.Replace(text, fmt.Sprintf("CSeq: %d INVITE", seq), fmt.Sprintf("CSeq: %d CANCEL", seq), 1))
	}
	c.agent = &end{p: w.agent, side: media.SideB, address: "192.0.2.20"}
	seq := 0
	c.agent.offers = func(method, sdp string, headers ...string) int {
		seq++
		w.agent.agentSends(method, invite, "agent1", seq, sdp, headers...)
		return seq
	}
	c.agent.acks = func(seq int, sdp string) {
		w.agent.agentSends("ACK", invite, "agent1", seq, sdp)
		synctest.Wait()
	}
	c.agent.cancels = func(seq int) {
		w.agent.send(fmt.Sprintf("CANCEL sip:198.51.100.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.20:32681;branch=z9hG4bKagentINVITE%[1]d\n"+
			"Max-Forwards: 70\nFrom: %[2]s;tag=agent1\nTo: %[3]s\nCall-ID: %[4]s\nCSeq: %[1]d CANCEL\nContent-Length: 0\n\n",
			seq, invite.value("To"), invite.value("From"), invite.value("Call-ID")))
	}
	return c
}

// other returns the opposite end.
func (c *talk) other(e *end) *end {
	if e == c.carrier {
		return c.agent
	}
	return c.carrier
}

// changes makes an end offer a session, and returns our answer.
func (e *end) changes(method, sdp, want string, headers ...string) received {
	e.p.w.t.Helper()
	seq := e.offers(method, sdp, headers...)
	m := e.p.expect("SIP/2.0 " + want)
	if method == "INVITE" && want[0] == '2' {
		e.acks(seq, "")
	}
	if method == "INVITE" && want[0] != '2' {
		e.ackRefusal(m)
	}
	return m
}

// overtakes makes an end cancel its re-INVITE just before the 200 is sent: while the checkpoint before the 200 is being
// written, it calls before and then sends the CANCEL.
func (e *end) overtakes(seq int, before func()) {
	e.p.w.t.Helper()
	synctest.Wait() // so that no other checkpoint is due
	stay := make(chan struct{})
	e.p.w.sink.stay = stay
	before()
	synctest.Wait()
	e.cancels(seq)
	e.p.expect("SIP/2.0 200")
	close(stay)
}

// ackRefusal acknowledges a refusal within its transaction.
func (e *end) ackRefusal(m received) {
	e.p.send(fmt.Sprintf("ACK sip:198.51.100.1:5060 SIP/2.0\nVia: %s\nMax-Forwards: 70\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %s\nContent-Length: 0\n\n",
		m.value("Via"), m.value("From"), m.value("To"), m.value("Call-ID"), strings.Replace(m.value("CSeq"), "INVITE", "ACK", 1)))
}

// hangsUp ends the call from the carrier's side.
func (c *talk) hangsUp() {
	c.w.t.Helper()
	c.w.callerEnds(c.w.agent, c.d)
}

// peer returns the media's settings for an end.
func (e *end) peer() media.Peer {
	synctest.Wait()
	s := e.p.w.relay.sessions[len(e.p.w.relay.sessions)-1]
	return s.peers[e.side]
}

// payloads returns in short form how the media converts the end's packets: "96>101" changes a payload type, "8a>0"
// changes the law as well, and "-13" drops a payload type.
func (e *end) payloads() string {
	synctest.Wait()
	s := e.p.w.relay.sessions[len(e.p.w.relay.sessions)-1]
	return changesText(s.payloads[e.side])
}

func changesText(changes []media.PayloadChange) string {
	var out []string
	for _, c := range changes {
		switch c.Op {
		case media.PayloadKeep:
			out = append(out, fmt.Sprintf("%d>%d", c.From, c.To))
		case media.PayloadToALaw:
			out = append(out, fmt.Sprintf("%du>%d", c.From, c.To))
		case media.PayloadToULaw:
			out = append(out, fmt.Sprintf("%da>%d", c.From, c.To))
		case media.PayloadDrop:
			out = append(out, fmt.Sprintf("-%d", c.From))
		}
	}
	return strings.Join(out, " ")
}

// described reads the session description of a message.
func described(t testing.TB, m received) *sdp.Description {
	t.Helper()
	d, err := sdp.Parse(m.Body())
	if err != nil {
		t.Fatalf("%v in\n%s", err, m.raw)
	}
	return d
}

// sdpVersion returns the version in the o= line of a message.
func sdpVersion(t testing.TB, m received) (version uint64) {
	t.Helper()
	_, line, _ := strings.Cut(m.raw, "\r\no=- ")
	var id uint64
	if _, err := fmt.Sscan(line, &id, &version); err != nil {
		t.Fatalf("no o= line that can be read: %v\n%s", err, m.raw)
	}
	return version
}

// settlesRefused is settles for a refusal.
func (e *end) settlesRefused(method string, m received) {
	e.p.w.t.Helper()
	if method == "INVITE" {
		e.ackRefusal(m)
	}
}

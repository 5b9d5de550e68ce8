package calltest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/media/dtls"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// dtlsEnd plays one side of a call in a DTLS handshake.
type dtlsEnd struct {
	w    *world
	id   *dtls.Identity
	side media.Side
	keys media.Crypto
	err  error
}

func (w *world) dtlsEnd(side media.Side, seed byte) *dtlsEnd {
	w.t.Helper()
	id, err := dtls.NewIdentity([32]byte{seed})
	must(w.t, err)
	return &dtlsEnd{w: w, id: id, side: side}
}

// describes returns a session description with the side's fingerprint.
func (e *dtlsEnd) describes(host string, port int, setup string, lines ...string) string {
	lines = append(lines, "a=fingerprint:"+e.id.Fingerprint(), "a=setup:"+setup, "a=rtcp-mux")
	return strings.Replace(siptest.SessionAt(host, port, "0 101", lines...), "RTP/AVP", "UDP/TLS/RTP/SAVP", 1)
}

// shakes starts the side's handshake with the party whose description is in m.
func (e *dtlsEnd) shakes(m received, client bool) {
	e.w.t.Helper()
	s := e.w.relay.sessions[len(e.w.relay.sessions)-1]
	far := media.NewDatagrams(func(pkt []byte) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ways[e.side].Deliver(pkt)
	})
	s.mu.Lock()
	s.far[e.side] = far
	s.mu.Unlock()
	e.w.t.Cleanup(far.Close)
	go func() {
		with := dtls.Peer{Fingerprints: []string{attribute(m, "fingerprint")}, Client: client, Suites: []media.Suite{gcm}}
		e.err = e.id.Agree(context.Background(), far, with, func(k media.Crypto) { e.keys = k })
		far.Close()
	}()
}

// agreed checks that both ends have the same keys.
func (e *dtlsEnd) agreed() {
	e.w.t.Helper()
	time.Sleep(2 * time.Second) // the peer may finish its handshake later than we do
	synctest.Wait()
	s := e.w.relay.sessions[len(e.w.relay.sessions)-1]
	if got := s.crypto[e.side]; e.err != nil || got.Receive == nil || !got.Receive.Same(e.keys.Send) || !got.Send.Same(e.keys.Receive) {
		e.w.t.Fatalf("side %v has %+v, and the peer %+v: %v", e.side, got, e.keys, e.err)
	}
}

func attribute(m received, name string) string {
	for line := range strings.SplitSeq(string(m.Body()), "\r\n") {
		if value, ok := strings.CutPrefix(line, "a="+name+":"); ok {
			return value
		}
	}
	return ""
}

// wantDTLS checks the DTLS attributes of a message.
func wantDTLS(t testing.TB, m received, setup string) {
	t.Helper()
	body := string(m.Body())
	if !strings.Contains(body, " UDP/TLS/RTP/SAVP ") || !strings.Contains(body, "a=rtcp-mux\r\n") || strings.Contains(body, "a=crypto") ||
		!strings.HasPrefix(attribute(m, "fingerprint"), "sha-256 ") || attribute(m, "setup") != setup {
		t.Fatalf("want DTLS-SRTP with setup:%s:\n%s", setup, m.raw)
	}
}

const dtlsYAML = "media: {srtp: required, srtp_keying: dtls}"

// If a target supports only DTLS, the caller gets the 200 only after the handshake with the target.
func TestDTLSTarget(t *testing.T) {
	for _, setup := range []string{"active", "passive"} {
		runIn(t, setup, talkYAML("", dtlsYAML), func(w *world) {
			d, in := w.carrier.callsAt(w.agent, "+15075785607")
			if wantDTLS(w.t, in, "actpass"); len(attribute(in, "tls-id")) < 20 {
				w.t.Errorf("no tls-id:\n%s", in.raw)
			}
			agent := w.dtlsEnd(media.SideB, 9)
			w.agent.concludes(in, 200, "OK", "agent1", agent.describes("192.0.2.20", 30000, setup))
			s := w.relay.sessions[0]
			if got := s.crypto[media.SideB]; !got.Awaited || !s.peers[media.SideB].Mux {
				w.t.Errorf("before the keys: %+v, %+v", got, s.peers[media.SideB])
			}
			w.carrier.silent(time.Second)
			agent.shakes(in, setup == "active")
			wantPlain(w.t, w.carrier.expect("SIP/2.0 200"))
			w.carrier.ack(d)
			agent.agreed()
			w.callerHangsUp(d)
			if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); r.Media.B.SRTP != gcm.String() || r.Media.A.SRTP != "" {
				w.t.Errorf("record: %+v", r.Media)
			}
		})
	}
}

// If a target's handshake fails, the next target is tried.
func TestDTLSTargetFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration
		does  func(w *world, agent *dtlsEnd, in received)
	}{
		{"nobody there", dtls.Patience, func(*world, *dtlsEnd, received) {}},
		{"another certificate", 0, func(w *world, _ *dtlsEnd, in received) { w.dtlsEnd(media.SideB, 10).shakes(in, true) }},
	} {
		runIn(t, c.name, talkYAML("", dtlsYAML), func(w *world) {
			d := w.carrier.dials("+15085785607")
			in := w.agent.expect("INVITE")
			agent := w.dtlsEnd(media.SideB, 9)
			w.agent.concludes(in, 200, "OK", "agent1", agent.describes("192.0.2.20", 30000, "active"))
			began := time.Now()
			c.does(w, agent, in)
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			second := w.agent2.expect("INVITE")
			if took := time.Since(began); took != c.after {
				w.t.Errorf("after %v; want %v", took, c.after)
			}
			wantPlain(w.t, second)
			w.carrier.isBusyAt(w.agent2, second, "spare", d)
			if r := w.record(); len(r.Attempts) != 2 || r.Attempts[0].Cause != string(cause.DTLSFailed) || r.Attempts[0].SIPStatus != 200 {
				w.t.Errorf("attempts: %+v", r.Attempts)
			}
		})
	}
}

// While the target's answer waits for the handshake, the target may send BYE: then the next target is tried. The caller
// may also give up.
func TestDTLSTargetLeaves(t *testing.T) {
	inWorldWith(t, talkYAML("", dtlsYAML), func(w *world) {
		d := w.carrier.dials("+15085785607")
		in := w.agent.expect("INVITE")
		w.agent.concludes(in, 200, "OK", "agent1", w.dtlsEnd(media.SideB, 9).describes("192.0.2.20", 30000, "active"))
		w.agent.agentRequest("BYE", in, "agent1", 1)
		w.agent.expect("SIP/2.0 200")
		second := w.agent2.progresses(180, "Ringing", "spare", "")
		w.carrier.expect("SIP/2.0 180")
		w.carrier.givesUp(d)
		w.agent2.takesCancel(second, "spare")
		w.record()
	})
	inWorldWith(t, talkYAML("", dtlsYAML), func(w *world) {
		d := w.carrier.dials("+15085785607")
		in := w.agent.expect("INVITE")
		w.agent.concludes(in, 200, "OK", "agent1", w.dtlsEnd(media.SideB, 9).describes("192.0.2.20", 30000, "active"))
		w.carrier.givesUp(d)
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.record()
	})
}

// The caller's offer decides the DTLS roles. If the handshake yields no keys, the call ends.
func TestDTLSCaller(t *testing.T) {
	for offered, answered := range map[string]string{"actpass": "active", "active": "passive", "passive": "active"} {
		runIn(t, offered, talkYAML(dtlsYAML, ""), func(w *world) {
			phone := w.dtlsEnd(media.SideA, 9)
			d := w.carrier.newCall("+15075785607")
			d.sdp = phone.describes("192.0.2.10", 20000, offered, "a=tls-id:aaaaaaaaaaaaaaaaaaaaaaaa")
			in := w.carrier.ringsAt(w.agent, d)
			wantPlain(w.t, in)
			if body := string(in.Body()); strings.Contains(body, "fingerprint") || strings.Contains(body, "setup") || strings.Contains(body, "tls-id") {
				w.t.Errorf("the target is told of the caller's DTLS:\n%s", body)
			}
			w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
			ok := w.carrier.expect("SIP/2.0 200")
			if wantDTLS(w.t, ok, answered); len(attribute(ok, "tls-id")) < 20 {
				w.t.Errorf("no tls-id:\n%s", ok.raw)
			}
			w.carrier.ack(d)
			phone.shakes(ok, answered == "passive")
			phone.agreed()
			w.callerEnds(w.agent, d)
		})
	}
	runIn(t, "no handshake", talkYAML(dtlsYAML, ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.sdp = w.dtlsEnd(media.SideA, 9).describes("192.0.2.10", 20000, "actpass")
		in := w.carrier.ringsAt(w.agent, d)
		w.carrier.isTakenWith(w.agent, in, "agent1", d, siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		hungUpOn(w.carrier, w.agent)
		w.wantRecord("answered", cause.DTLSFailed, record.EndedBySystem)
	})
}

// An offer is refused if it lacks what a DTLS handshake needs, or if the trunk requires keys of the other kind.
func TestDTLSOffersRefused(t *testing.T) {
	good := "a=fingerprint:sha-256 " + strings.TrimSuffix(strings.Repeat("AB:", 32), ":")
	over := func(lines ...string) string {
		return strings.Replace(siptest.SessionAt("192.0.2.10", 20000, "0 101", lines...), "RTP/AVP", "UDP/TLS/RTP/SAVPF", 1)
	}
	for name, c := range map[string]struct{ yaml, sdp string }{
		"no fingerprint":             {dtlsYAML, over("a=setup:actpass")},
		"a weak fingerprint":         {dtlsYAML, over("a=fingerprint:sha-1 "+strings.TrimSuffix(strings.Repeat("AB:", 20), ":"), "a=setup:actpass")},
		"a short fingerprint":        {dtlsYAML, over(good[:len(good)-3], "a=setup:actpass")},
		"holdconn":                   {dtlsYAML, over(good, "a=setup:holdconn")},
		"keys in SDP":                {dtlsYAML, securedAt("192.0.2.10", 20000, cryptoAttr(1, cm80, 'a'))},
		"RTP":                        {dtlsYAML, siptest.SessionAt("192.0.2.10", 20000, "0 101", good, "a=setup:actpass")},
		"DTLS where keys are in SDP": {"media: {srtp: required}", over(good, "a=setup:actpass")},
	} {
		runIn(t, name, talkYAML(c.yaml, ""), func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.sdp = c.sdp
			w.carrier.invite(d)
			if m := w.carrier.expect("SIP/2.0 488"); m.value("Warning") == "" {
				w.t.Errorf("no word of why:\n%s", m.raw)
			}
			w.carrier.ackRefused(d)
			w.wantRecord("failed", cause.SRTPRequired, record.EndedBySystem)
		})
	}
}

// A re-INVITE keeps the DTLS association unless the fingerprint, the tls-id or the roles change.
func TestDTLSSessionChanges(t *testing.T) {
	inWorldWith(t, talkYAML(dtlsYAML, ""), func(w *world) {
		phone := w.dtlsEnd(media.SideA, 9)
		k := w.dtlsTalk(phone)
		first := phone.keys
		k.reinvites(phone.describes("192.0.2.10", 20000, "actpass", "a=sendonly"))
		phone.agreed()
		if !phone.keys.Send.Same(first.Send) {
			t.Error("a hold has changed the keys")
		}
		k.reinvites(phone.describes("192.0.2.12", 20004, "actpass"))
		phone.agreed()
		if got := w.session().peers[media.SideA].RTP.String(); got != "192.0.2.12:20004" || !phone.keys.Send.Same(first.Send) {
			t.Errorf("a move to %s has changed the keys", got)
		}
		other := w.dtlsEnd(media.SideA, 11) // another device answers in the same dialog
		ok := k.reinvites(other.describes("192.0.2.11", 20002, "active"))
		wantDTLS(t, ok, "passive")
		if s := w.relay.sessions[0]; !s.crypto[media.SideA].Send.Same(first.Receive) {
			t.Error("the former keys are not in force until there are others")
		}
		other.shakes(ok, true)
		other.agreed()
		if other.keys.Send.Same(first.Send) {
			t.Error("the keys are the former ones")
		}
		w.callerEnds(w.agent, k.d)
	})
}

// dtlsTalk returns an established call whose caller uses DTLS.
func (w *world) dtlsTalk(phone *dtlsEnd) *dtlsTalk {
	w.t.Helper()
	d := w.carrier.newCall("+15075785607")
	d.sdp = phone.describes("192.0.2.10", 20000, "actpass")
	in := w.carrier.ringsAt(w.agent, d)
	ok := w.carrier.isTakenWith(w.agent, in, "agent1", d, siptest.SessionAt("192.0.2.20", 30000, "0 101"))
	phone.shakes(ok, false)
	phone.agreed()
	return &dtlsTalk{w: w, d: d, fingerprint: attribute(ok, "fingerprint")}
}

type dtlsTalk struct {
	w           *world
	d           *dialogue
	fingerprint string // our fingerprint
}

// reinvites makes the caller offer a new session, and returns our answer.
func (k *dtlsTalk) reinvites(sdp string) received {
	k.w.t.Helper()
	seq := k.w.carrier.reinvite(k.d, sdp)
	ok := k.w.carrier.expect("SIP/2.0 200")
	k.w.carrier.ackOf(k.d, seq, "")
	synctest.Wait()
	if got := attribute(ok, "fingerprint"); got != k.fingerprint {
		k.w.t.Errorf("our fingerprint %q; want %q", got, k.fingerprint)
	}
	return ok
}

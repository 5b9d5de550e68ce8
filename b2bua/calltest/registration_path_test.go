package calltest

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// A registering client can write anything into Path. So the Path header only names the proxies that a call passes, and
// does not decide where the call is sent.
func TestPathLeadsNowhereElse(t *testing.T) {
	for _, path := range []string{"<sip:203.0.113.66;lr>", "<sip:127.0.0.1:5060;lr>", "<sip:nowhere.test;lr>"} {
		runIn(t, path, phoneConfig, func(w *world) {
			p, named := w.roaming(), []*peer{w.otherAt("203.0.113.66:5060"), w.otherAt("127.0.0.1:5060")}
			p.registers("alice", "alice", aliceContact+"Path: "+path+"\n")
			d := w.carrier.dialsTillRung("+15075785607")
			invite := p.expect("INVITE sip:alice@10.0.0.5:5060 SIP/2.0")
			if route := invite.value("Route"); route != path {
				w.t.Errorf("Route is %q", route)
			}
			w.carrier.isBusyAt(p, invite, "b", d)
			w.record()
			for _, other := range named {
				other.silent(time.Second)
			}
		})
	}
}

// bobLeaves registers a phone through a proxy over TCP, and closes the proxy's connection after that.
func (w *world) bobLeaves(path string) {
	w.t.Helper()
	p := w.connect(netip.MustParseAddr("203.0.113.77"))
	if m, _ := p.registers("bob", "bob", "Contact: <sip:bob@10.0.0.6:5060;transport=tcp>\nPath: "+path+"\n"); m.res().StatusCode != 200 {
		w.t.Fatalf("the answer is\n%s", m.raw)
	}
	p.conn.Close()
	synctest.Wait()
}

// bindings returns the number of bindings in the server.
func (w *world) bindings() (n int) {
	for _, h := range w.server.Registrar().All(time.Now()) {
		n += len(h.Bindings)
	}
	return n
}

// If a proxy's connection is gone, we connect only to the address that its REGISTER came from. A binding that can't be
// reached for the moment is kept.
func TestProxyIsConnectedToAgain(t *testing.T) {
	for path, want := range map[string]struct{ dials, left int }{
		"<sip:203.0.113.77:5070;lr;transport=tcp>": {dials: 1, left: 1}, // the address refuses connections
		"<sip:192.0.2.20:32681;lr;transport=tcp>":  {},
		"<sip:127.0.0.1:5060;lr;transport=tcp>":    {},
		"<sip:nowhere.test;lr;transport=tcp>":      {left: 1}, // the name can't be resolved
	} {
		runIn(t, path, phoneConfig, func(w *world) {
			w.bobLeaves(path)
			if r := w.refusedCall("+15085785607"); r.Cause != string(cause.TargetUnreachable) {
				w.t.Errorf("the cause is %s", r.Cause)
			}
			if got := int(w.dials.Load()); got != want.dials || w.bindings() != want.left {
				w.t.Errorf("%d connections and %d bindings; want %+v", got, w.bindings(), want)
			}
		})
	}
	inWorldWith(t, phoneConfig, func(w *world) {
		proxy := w.streamAgent(netip.MustParseAddrPort("203.0.113.77:5070"))
		w.bobLeaves("<sip:edge@203.0.113.77:5070;lr;transport=tcp>")
		d := w.carrier.dials("+15085785607")
		p := proxy.accept()
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := p.expect("INVITE sip:+15085785607@10.0.0.6:5060;transport=tcp SIP/2.0")
		if route := invite.value("Route"); route != "<sip:edge@203.0.113.77:5070;lr;transport=tcp>" {
			t.Errorf("Route is %q", route)
		}
		w.carrier.isBusyAt(p, invite, "b", d)
		w.record()
		p.conn.Close()
	})
}

// If a caller cancels, the registration of the called phone is kept.
func TestCancelKeepsBinding(t *testing.T) {
	inWorldWith(t, phoneConfig, func(w *world) {
		proxy := w.streamAgent(netip.MustParseAddrPort("203.0.113.77:5070")) // accepts no connections
		w.bobLeaves("<sip:203.0.113.77:5070;lr;transport=tcp>")
		w.holdDials = make(chan struct{})
		d := w.carrier.dials("+15085785607")
		w.carrier.expect("SIP/2.0 180")
		w.carrier.givesUp(d)
		w.wantRecord(record.DispositionCancelled, cause.CallerCancelled, record.EndedByCaller)
		if w.dials.Load() != 1 || w.bindings() != 1 {
			t.Errorf("%d connections, and %d bindings are left", w.dials.Load(), w.bindings())
		}
		close(w.holdDials)
		synctest.Wait()
		proxy.l.Close()
	})
}

// RFC 3261 section 19.1.1: headers and the method parameter of a Contact must not be copied into a Request-URI, not
// even within a dialog.
func TestContactAsRequestURI(t *testing.T) {
	inWorldWith(t, phoneConfig, func(w *world) {
		desk := w.roaming()
		desk.registers("alice", "alice", "Contact: <sip:desk@10.0.0.5;method=BYE;ob?Route=%3Csip:evil.example%3E&Subject=x>\n")
		d := w.carrier.dialsTillRung("+15075785607")
		invite := desk.expect("INVITE sip:desk@10.0.0.5;ob SIP/2.0\r\n")
		if to := invite.value("To"); strings.Contains(to, "?") || strings.Contains(to, "method") {
			t.Errorf("To: %s", to)
		}
		desk.send(hostileAnswer(invite, 200, "d", agentSDP(), "Contact: <sip:desk@203.0.113.9:5070;Method=INVITE;a=b?Subject=y>"))
		desk.expect("ACK sip:desk@203.0.113.9:5070;a=b SIP/2.0\r\n")
		w.carrier.isAnswered(d)
		w.callerEnds(desk, d)
	})
}

// One attempt tries a trunk's Contacts by q value (RFC 3261 section 16.6). 408, 480, 5xx and silence lead to the next
// Contact. Any other answer ends the attempt.
func TestNextContact(t *testing.T) {
	for name, tt := range map[string]struct {
		first func(w *world, desk *peer, invite received)
		next  bool
		tried string
	}{
		"unavailable": {func(_ *world, desk *peer, m received) { desk.reply(m, 480, "Gone Home", "d", "") }, true, "480"},
		"rings, and nobody comes": {func(w *world, desk *peer, m received) {
			desk.reply(m, 180, "Ringing", "d", "")
			w.carrier.expect("SIP/2.0 180")
			time.Sleep(50 * time.Second)
			desk.reply(m, 408, "Request Timeout", "d", "")
		}, true, "408"},
		"fails":  {func(_ *world, desk *peer, m received) { desk.reply(m, 500, "Oops", "d", "") }, true, "500"},
		"silent": {func(*world, *peer, received) {}, true, "target_silent"},
		"busy":   {func(_ *world, desk *peer, m received) { desk.reply(m, 486, "Busy Here", "d", "") }, false, ""},
		"rings for the whole time": {func(w *world, desk *peer, m received) {
			desk.reply(m, 180, "Ringing", "d", "")
			w.carrier.expect("SIP/2.0 180")
			time.Sleep(59*time.Second + 900*time.Millisecond)
			desk.reply(m, 480, "Gone Home", "d", "")
		}, true, "480"},
	} {
		runIn(t, name, strings.Replace(phoneConfig, "  - {trunk: carrier, to: ", "  - {trunk: carrier, ringing: on-target, to: ", 1), func(w *world) {
			desk, mobile := w.roaming(), w.otherAt("203.0.113.9:5071")
			mobile.registers("alice", "alice", "Contact: <sip:mobile@10.0.0.6>;q=0.3\n")
			desk.registers("alice", "alice", "Contact: <sip:desk@10.0.0.5>;q=0.7\n")
			d := w.carrier.dials("+15075785607")
			first := desk.expect("INVITE sip:desk@10.0.0.5")
			tt.first(w, desk, first)
			if !tt.next {
				w.carrier.isRefused(d, "486")
				desk.expect("ACK")
				w.record()
				mobile.silent(time.Minute)
				return
			}
			invite := mobile.expect("INVITE sip:mobile@10.0.0.6")
			if invite.value("Call-ID") != first.value("Call-ID") {
				w.t.Errorf("the second Call-ID is %s", invite.value("Call-ID"))
			}
			w.carrier.isTakenBy(mobile, invite, "m", d)
			desk.rest() // an ACK or retransmissions
			w.callerHangsUpAt(mobile, d)
			r := w.record()
			if len(r.Attempts) != 1 || len(r.Attempts[0].Tried) != 1 || !strings.HasSuffix(r.Attempts[0].Tried[0], " "+tt.tried) || r.Attempts[0].Cause != "" {
				w.t.Errorf("attempts %+v", r.Attempts)
			}
		})
	}
}

// All Contacts of an attempt together may not ring longer than a single one.
func TestContactsRingTogether(t *testing.T) {
	inWorldWith(t, phoneConfig, func(w *world) {
		desk, mobile := w.roaming(), w.otherAt("203.0.113.9:5071")
		mobile.registers("alice", "alice", "Contact: <sip:mobile@10.0.0.6>;q=0.3\n")
		desk.registers("alice", "alice", "Contact: <sip:desk@10.0.0.5>;q=0.7\n")
		d := w.carrier.newCall("+15075785607")
		begun := time.Now()
		w.carrier.invite(d)
		w.carrier.expect("SIP/2.0 180")
		m := desk.progresses(180, "Ringing", "d", "")
		time.Sleep(40 * time.Second)
		desk.concludes(m, 480, "Gone Home", "d", "")
		m = mobile.progresses(180, "Ringing", "m", "")
		mobile.reply(mobile.expect("CANCEL"), 200, "OK", "m", "")
		if took := time.Since(begun); took < 59*time.Second || took > 61*time.Second {
			t.Errorf("the last one rings until %v", took)
		}
		mobile.concludes(m, 487, "Request Terminated", "m", "")
		w.carrier.expect("SIP/2.0 180") // repeated once a minute
		w.carrier.isRefused(d, "503")
		w.record()
	})
}

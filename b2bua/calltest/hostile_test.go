package calltest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/message"
)

// settle waits until every timer has expired, ends the calls that are still up, and checks
// that nothing is left and that the server still accepts a good call.
func (w *world) settle() {
	w.t.Helper()
	w.drain(3 * time.Minute) // longer than the ring and set-up timers
	w.server.HangupAll()
	w.drain(3 * time.Minute) // until the BYEs, which get no answer, time out
	if !w.server.Idle() {
		w.t.Fatalf("calls or legs are left behind; %d calls", w.server.Calls())
	}
	w.sink.mu.Lock()
	w.sink.done = nil
	w.sink.mu.Unlock()
	w.goodCall()
}

// drain lets d pass, and discards the messages that the peers get during this time.
func (w *world) drain(d time.Duration) {
	for range 20 {
		time.Sleep(d / 20)
		synctest.Wait()
		for _, p := range []*peer{w.carrier, w.agent, w.agent2} {
			for len(p.rest()) > 0 {
				synctest.Wait()
			}
		}
	}
}

func (w *world) goodCall() {
	w.t.Helper()
	w.carrier.seq += 1000
	d, _ := w.established()
	w.callerEnds(w.agent, d)
}

// hostileAnswer returns the text of an answer to our INVITE, so that a test can change it
// before sending it.
func hostileAnswer(invite received, code int, tag, sdp string, headers ...string) string {
	to := invite.value("To")
	if tag != "" {
		to += ";tag=" + tag
	}
	kind := ""
	if sdp != "" {
		kind = "Content-Type: application/sdp\n"
	}
	extra := ""
	for _, h := range headers {
		extra += h + "\n"
	}
	return fmt.Sprintf("SIP/2.0 %d Whatever\nVia: %s\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %s\n%s%sContent-Length: %d\n\n%s",
		code, invite.value("Via"), invite.value("From"), to, invite.value("Call-ID"), invite.value("CSeq"), extra, kind, len(sdp), sdp)
}

const agentContact = "Contact: <sip:agent@192.0.2.20:32681>"

// Whatever a target answers, the server survives, and keeps no state of the call.
func TestHostileTarget(t *testing.T) {
	long := strings.Repeat("t", 300)
	for name, spoil := range map[string]func(w *world, invite received){
		"200 without Contact": func(w *world, invite received) {
			w.agent.send(hostileAnswer(invite, 200, "a", agentSDP()))
		},
		"200 with a Contact that is garbage": func(w *world, invite received) {
			w.agent.send(hostileAnswer(invite, 200, "a", agentSDP(), "Contact: <<<>>>"))
			w.agent.send(hostileAnswer(invite, 200, "a", agentSDP(), "Contact: *"))
		},
		"200 with a Contact of another scheme": func(w *world, invite received) {
			w.agent.send(hostileAnswer(invite, 200, "a", agentSDP(), "Contact: <http://192.0.2.20/>"))
		},
		"200 with a Contact at port 0": func(w *world, invite received) {
			w.agent.send(hostileAnswer(invite, 200, "a", agentSDP(), "Contact: <sip:agent@192.0.2.20:0>"))
		},
		"200 with our own Contact": func(w *world, invite received) {
			w.agent.send(hostileAnswer(invite, 200, "a", agentSDP(), "Contact: <sip:198.51.100.1:5060>"))
		},
		"200 with Record-Route garbage": func(w *world, invite received) {
			w.agent.send(hostileAnswer(invite, 200, "a", agentSDP(), agentContact, `Record-Route: "`, "Record-Route: <>,<sip:;lr>"))
			w.agent.send(hostileAnswer(invite, 200, "b", agentSDP(), agentContact, "Record-Route: <tel:1>, <sip:x@[::1;lr>"))
			w.agent.send(hostileAnswer(invite, 200, "c", agentSDP(), agentContact, "Record-Route: <mailto:x;lr>"))
		},
		"200 with a hundred Record-Routes": func(w *world, invite received) {
			routes := strings.TrimSuffix(strings.Repeat("<sip:p.example;lr>, ", 100), ", ")
			w.agent.send(hostileAnswer(invite, 200, "a", agentSDP(), agentContact, "Record-Route: "+routes))
		},
		"tags of 300 characters": func(w *world, invite received) {
			w.agent.send(hostileAnswer(invite, 180, long, ""))
			w.agent.send(hostileAnswer(invite, 200, long, agentSDP(), agentContact))
		},
		"180 from 199 forks": func(w *world, invite received) {
			for i := range 199 {
				w.agent.send(hostileAnswer(invite, 180, fmt.Sprintf("fork%d", i), "", agentContact))
			}
			w.agent.send(hostileAnswer(invite, 486, "a", ""))
		},
		"183 with SDP from 199 forks": func(w *world, invite received) {
			for i := range 199 {
				w.agent.send(hostileAnswer(invite, 183, fmt.Sprintf("fork%d", i), sdpAt("192.0.2.20", 30000+2*i), agentContact))
			}
		},
		"200 from 50 forks": func(w *world, invite received) {
			for i := range 50 {
				w.agent.send(hostileAnswer(invite, 200, fmt.Sprintf("fork%d", i), agentSDP(), agentContact))
			}
		},
		"200 without SDP": func(w *world, invite received) {
			w.agent.send(hostileAnswer(invite, 200, "a", "", agentContact))
		},
		"200 with SDP at port 0": func(w *world, invite received) {
			w.agent.send(hostileAnswer(invite, 200, "a", sdpAt("192.0.2.20", 0), agentContact))
		},
		"200 with broken SDP": func(w *world, invite received) {
			w.agent.send(hostileAnswer(invite, 200, "a", "v=0\r\no=\r\nm=audio", agentContact))
		},
		"200 with another kind of body": func(w *world, invite received) {
			w.agent.send(strings.Replace(hostileAnswer(invite, 200, "a", agentSDP(), agentContact), "application/sdp", "text/plain", 1))
		},
		// One after the other: a second refusal waits for its ACK with the
		// library's lock held, which no fake clock outlives.
		"every code": func(w *world, invite received) {
			for code := 100; code < 700; code += 7 {
				w.agent.send(hostileAnswer(invite, code, "a", "", agentContact))
				w.drain(5 * time.Second)
			}
		},
		"codes that are none": func(w *world, invite received) {
			for _, code := range []int{0, 1, 99, 700, 799, 999, 1000} {
				w.agent.send(hostileAnswer(invite, code, "a", "", agentContact))
				w.drain(5 * time.Second)
			}
		},
		"answer without From": func(w *world, invite received) {
			w.agent.send(strings.Replace(hostileAnswer(invite, 200, "a", agentSDP(), agentContact), "From:", "X-From:", 1))
		},
		"BYE with another Call-ID": func(w *world, invite received) {
			w.agent.takes(invite, "a")
			other := invite
			other.raw = strings.Replace(invite.raw, "Call-ID: ", "Call-ID: x", 1)
			w.agent.agentRequest("BYE", other, "a", 9)
			w.agent.expect("SIP/2.0 481")
		},
		"requests with enormous bodies": func(w *world, invite received) {
			w.agent.takes(invite, "a")
			for i, size := range []int{10_000, maxMessage - 600, maxMessage, 60_000} {
				body := strings.Repeat("x", size)
				w.agent.send(fmt.Sprintf("INFO %s SIP/2.0\nVia: SIP/2.0/UDP %s;branch=z9hG4bKbig%d\nFrom: %s;tag=a\nTo: %s\nCall-ID: %s\nCSeq: %d INFO\nContent-Length: %d\n\n%s",
					message.AddrSpec(invite.value("Contact")), agentAddr, i, invite.value("To"), invite.value("From"), invite.value("Call-ID"), 10+i, size, body))
			}
		},
		"requests before the answer": func(w *world, invite received) {
			for i, method := range []string{"OPTIONS", "INFO", "INVITE", "UPDATE", "PRACK", "ACK", "CANCEL", "REFER", "NOTIFY"} {
				w.agent.agentRequest(method, invite, "a", 10+i)
			}
		},
		"CSeq that goes back": func(w *world, invite received) {
			w.agent.takes(invite, "a")
			w.agent.agentRequest("OPTIONS", invite, "a", 1<<31-1)
			w.agent.expect("SIP/2.0 200")
			w.agent.agentRequest("OPTIONS", invite, "a", 1)
			w.agent.expect("SIP/2.0 500")
		},
	} {
		runIn(t, name, testConfig, func(w *world) {
			w.carrier.dials("+15075785607")
			invite := w.agent.expect("INVITE")
			spoil(w, invite)
			w.settle()
		})
	}
}

// Whatever a carrier sends, the server survives, and keeps no state of it.
func TestHostileCarrier(t *testing.T) {
	for name, attack := range map[string]func(w *world){
		"BYE with another Call-ID": func(w *world) {
			d, _ := w.established()
			d.callID += "x"
			w.carrier.bye(d)
			w.carrier.expect("SIP/2.0 481")
		},
		"ACK without a call": func(w *world) {
			d := w.carrier.newCall("+15075785607")
			w.carrier.ack(d)
			d.toTag = testMinter.Tag()
			w.carrier.ack(d)
			w.carrier.silent(time.Second)
		},
		"BYE without a call": func(w *world) {
			d := w.carrier.newCall("+15075785607")
			w.carrier.bye(d)
			w.carrier.expect("SIP/2.0 481")
			d.toTag, d.branch = w.minter().Tag(), d.branch+"x"
			w.carrier.bye(d)
			w.carrier.expect("SIP/2.0 481")
		},
		"the highest CSeq": func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.seq = 1<<31 - 1
			w.carrier.invitesTillRung(d)
			w.carrier.isTakenBy(w.agent, w.agent.expect("INVITE"), "a", d)
		},
		"a CSeq that is too high": func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.seq = 1 << 31
			w.carrier.invite(d)
			d.seq = 1 << 32
			w.carrier.invite(d)
		},
		"merged INVITE": func(w *world) {
			d := w.carrier.dials("+15075785607")
			w.carrier.expect("SIP/2.0 180")
			w.agent.expect("INVITE")
			other := *d
			other.branch += "other"
			w.carrier.invite(&other)
			w.carrier.expect("SIP/2.0 482")
			w.carrier.ackRefused(&other)
			w.agent.silent(400 * time.Millisecond)
		},
		"merged INVITEs at once": func(w *world) {
			d := w.carrier.newCall("+15075785607")
			for i := range 20 {
				other := *d
				other.branch += fmt.Sprint(i)
				w.carrier.invite(&other)
			}
			synctest.Wait()
			if n := len(w.prepare.asked); n > 1 {
				w.t.Errorf("%d calls of one INVITE", n)
			}
		},
		"CANCEL of everything": func(w *world) {
			for i := range 50 {
				d := w.carrier.newCall("+15075785607")
				if i%2 == 0 {
					w.carrier.invite(d)
				}
				w.carrier.cancel(d)
				w.carrier.cancel(d)
			}
		},
		"requests with enormous bodies": func(w *world) {
			d, _ := w.established()
			for i, size := range []int{10_000, maxMessage, 60_000} {
				d.seq = 10 + i
				text := strings.Replace(d.request("BYE"), "BYE", "INFO", 2)
				w.carrier.send(strings.Replace(text, "Content-Length: 0", fmt.Sprintf("Content-Length: %d", size), 1) + strings.Repeat("x", size))
			}
		},
		"INVITE with an enormous body": func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.sdp += strings.Repeat("a=x:y\r\n", 10_000)
			w.carrier.invite(d)
			w.carrier.expect("SIP/2.0 513")
		},
		"many streams": func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.sdp += strings.Repeat("m=audio 4000 RTP/AVP 0\r\n", 300)
			w.carrier.invitesTillRung(d)
			w.agent.takes(w.agent.expect("INVITE"), "a")
			ok := w.carrier.expect("SIP/2.0 200")
			if got := strings.Count(ok.raw, "\r\nm="); got != 301 {
				w.t.Errorf("%d streams are answered; want 301", got)
			}
		},
		"Contact garbage": func(w *world) {
			for _, contact := range []string{"*", "<>", "<sip:>", "<tel:+1>", "<sips:a@b>", "sip:", `"`, "<sip:a@[::1>"} {
				d := w.carrier.newCall("+15075785607")
				w.carrier.send(strings.Replace(d.request("INVITE"), "Contact: <sip:ann@192.0.2.10:5060>", "Contact: "+contact, 1))
			}
			synctest.Wait()
			if n := len(w.prepare.asked); n != 0 {
				w.t.Errorf("%d calls without a Contact that can be called", n)
			}
		},
		"headers missing": func(w *world) {
			for _, header := range []string{"Via", "From", "To", "Call-ID", "CSeq", "Contact", "Max-Forwards", "Content-Length", "Content-Type"} {
				d := w.carrier.newCall("+15075785607")
				w.carrier.send(strings.Replace(d.request("INVITE"), header+": ", "X-"+header+": ", 1))
			}
		},
		"headers twice": func(w *world) {
			for _, header := range []string{"From", "To", "Call-ID", "CSeq", "Contact", "Max-Forwards", "Content-Length"} {
				d := w.carrier.newCall("+15075785607")
				text := d.request("INVITE")
				i := strings.Index(text, "\n"+header+": ")
				line := text[i : i+1+strings.Index(text[i+1:], "\n")]
				w.carrier.send(text[:i] + line + text[i:])
			}
		},
	} {
		runIn(t, name, testConfig, func(w *world) {
			attack(w)
			w.settle()
		})
	}
}

// A parameter after the number in a tel: URI can neither change the call's destination nor
// add parameters to a header.
func TestCallerDoesNotChooseTheTarget(t *testing.T) {
	for _, uri := range []string{
		"tel:+15075785607@203.0.113.9:5090;x", "tel:+15075785607@203.0.113.9:5090?x", `tel:+1507:x>;tag=evil;a="`, "tel:+1507@203.0.113.9",
	} {
		runIn(t, uri, testConfig, func(w *world) {
			thief := w.peer(netip.MustParseAddrPort("203.0.113.9:5090"))
			defer thief.conn.Close()
			d := w.carrier.newCall("+15075785607")
			w.carrier.send(strings.Replace(d.request("INVITE"), "INVITE sip:+15075785607@198.51.100.1:5060", "INVITE "+uri, 1))
			d.learn(w.carrier.expect("SIP/2.0 "))
			if n := len(w.prepare.asked); n != 0 {
				w.t.Errorf("the platform was asked %d times", n)
			}
			w.settle()
			thief.silent(time.Minute)
		})
	}
}

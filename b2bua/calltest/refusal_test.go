package calltest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/sim/siptest"
)

// A request that can't be accepted gets the answer from RFC 3261 section 8.2.
func TestRefusals(t *testing.T) {
	replace := func(pairs ...string) func(string) string {
		return func(s string) string {
			for i := 0; i < len(pairs); i += 2 {
				if !strings.Contains(s, pairs[i]) {
					panic(pairs[i])
				}
			}
			return strings.NewReplacer(pairs...).Replace(s)
		}
	}
	for _, tt := range []struct {
		name, method string
		change       func(string) string
		want         string // status line of the answer
		header       string // a header of the answer, with its value
	}{
		{"scheme", "INVITE", replace("INVITE sip:", "INVITE sips:"), "416 ", ""},
		{"sips Contact", "INVITE", replace("Contact: <sip:", "Contact: <sips:"), "400 Contact Is a sips URI, but Came Without TLS", ""},
		{"another scheme", "INVITE", replace("INVITE sip:+15075785607@198.51.100.1:5060", "INVITE mailto:ann@example.com"), "416 ", ""},
		{"no hops left", "INVITE", replace("Max-Forwards: 70", "Max-Forwards: 0"), "483 ", ""},
		{"body", "INVITE", replace("application/sdp", "text/plain"), "415 ", "Accept: " + message.AcceptedBodies},
		{"extension", "INVITE", replace("Max-Forwards", "Require: x-none\nMax-Forwards"), "420 ", "Unsupported: x-none"},
		{"extensions", "INVITE", replace("Max-Forwards", "Require: x-none , x-two\nRequire: x-three,\nMax-Forwards"), "420 ", "Unsupported: x-none, x-two, x-three"},
		{"no Contact", "INVITE", replace("Contact: ", "X-Contact: "), "400 ", ""},
		{"version", "INVITE", replace(" SIP/2.0\n", " SIP/3.0\n"), "505 ", ""},
		{"known method", "REGISTER", nil, "405 ", "Allow: " + leg.Methods + ", INFO"},
		{"another known method", "MESSAGE", nil, "405 ", "Allow: " + leg.Methods + ", INFO"},
		{"unknown method", "FOO", nil, "501 ", "Allow: " + leg.Methods + ", INFO"},
		{"BYE of no dialog", "BYE", nil, "481 ", ""},
		{"BYE of another dialog", "BYE", replace("@198.51.100.1>\n", "@198.51.100.1>;tag=none\n"), "481 ", ""},
		{"re-INVITE of no dialog", "INVITE", replace("To: <sip:+15075785607@198.51.100.1>\n", "To: <sip:x@y>;tag=none\n"), "481 ", ""},
		{"CANCEL of nothing", "CANCEL", nil, "481 ", ""},
	} {
		runIn(t, tt.name, testConfig, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			text := d.request(tt.method)
			if tt.change != nil {
				text = tt.change(text)
			}
			w.carrier.send(text)
			m := w.carrier.expect("SIP/2.0 " + tt.want)
			if tt.header != "" && !strings.Contains(m.raw, "\r\n"+tt.header+"\r\n") {
				w.t.Errorf("the answer has no %q:\n%s", tt.header, m.raw)
			}
			if n := len(w.sink.journal) + len(w.sink.done); n != 0 {
				w.t.Errorf("%d records", n)
			}
			if tt.method == "INVITE" && tt.name != "version" {
				d.learn(m)
				w.carrier.ackRefused(d)
			}
		})
	}
}

// If proxies send an INVITE of ours back to us, with our leg's From tag, it is refused as a
// loop (RFC 3261 section 16.3). A branch that only looks like ours does not make a loop.
func TestLoop(t *testing.T) {
	inWorld(t, func(w *world) {
		ours := w.minter().Branch("ann")
		for i, tt := range []struct{ branch, want string }{
			{ours, "482 "}, {"z9hG4bK" + strings.Repeat("0", len(message.Minted{})), "404 "}, {"z9hG4bKother", "404 "},
		} {
			for _, form := range []string{"\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=%s\nMax-", ", SIP/2.0/UDP h;branch=z9hG4bKx, SIP/2.0/UDP i;branch=%s\nMax-"} {
				d := w.carrier.newCall(fmt.Sprintf("+4930%d", i))
				w.carrier.send(strings.Replace(d.request("INVITE"), "\nMax-", fmt.Sprintf(form, tt.branch), 1))
				d.learn(w.carrier.expect("SIP/2.0 " + tt.want))
				w.carrier.ackRefused(d)
				if tt.want == "404 " {
					w.record()
				}
			}
		}
		if n := len(w.sink.done); n != 0 {
			t.Errorf("%d records of loops", n)
		}
	})
}

// Within a dialog, too, unsupported methods get the right answer.
func TestMethodsInDialog(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.established()
		for i, tt := range []struct{ method, want string }{{"MESSAGE", "405"}, {"FOO", "501"}} {
			w.agent.agentRequest(tt.method, invite, "agent1", 5+i)
			w.agent.expect("SIP/2.0 " + tt.want)
		}
		w.callerEnds(w.agent, d)
	})
}

// RFC 3261 section 7: lines end with CRLF. The answer to a request with bare line feeds and
// a folded header must not copy these.
func TestRefusalHasNoBareLineFeeds(t *testing.T) {
	request := []byte("INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9\n ;rport\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>\nCall-ID: x\nCSeq: 1 INVITE\n\n")
	out := string(message.StatelessRefusal(nil, request, siptest.Carrier, "503 x", "minted", ""))
	if strings.Contains(strings.ReplaceAll(out, "\r\n", ""), "\n") {
		t.Errorf("%q", out)
	}
}

func TestStatusText(t *testing.T) {
	for code := 400; code < 700; code++ {
		if text := message.StatusText(code); text == "" || strings.ContainsAny(text, "\r\n") {
			t.Errorf("%d: %q", code, text)
		}
	}
	for code, want := range map[int]string{503: "Service Unavailable", 599: "Server Failure", 499: "Request Failure", 699: "Global Failure"} {
		if got := message.StatusText(code); got != want {
			t.Errorf("%d: %q; want %q", code, got, want)
		}
	}
}

// Methods are case-sensitive (RFC 3261 section 7.1), although the SIP library compares them
// in upper case.
func TestMethodsHaveCase(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.send(d.request("invite"))
		if code := w.carrier.expect("SIP/2.0 ").res().StatusCode; code != 405 && code != 501 {
			t.Errorf("an unknown method gets %d", code)
		}
	})
}

// A refusal is sent like any other answer: to the port in Via, unless rport or the
// trunk's NAT says otherwise (RFC 3261 section 18.2.2, RFC 3581).
func TestRefusalGoesWhereViaSays(t *testing.T) {
	for name, c := range map[string]struct {
		via, nat string
		port     uint16
	}{
		"port in Via":      {"192.0.2.10:5080;branch=z9hG4bK1", "auto", 5080},
		"no port":          {"192.0.2.10;branch=z9hG4bK1", "auto", 5060},
		"rport":            {"192.0.2.10:5080;rport;branch=z9hG4bK1", "auto", 40123},
		"other host":       {"198.18.1.1:5080;branch=z9hG4bK1", "auto", 5080},
		"name":             {"pbx.example:5080;branch=z9hG4bK1", "auto", 5080},
		"private":          {"10.0.0.5:5080;branch=z9hG4bK1", "auto", 40123},
		"private, off":     {"10.0.0.5:5080;branch=z9hG4bK1", "off", 5080},
		"other host, on":   {"198.18.1.1:5080;branch=z9hG4bK1", "on", 40123},
		"its own host, on": {"192.0.2.10:5080;branch=z9hG4bK1", "on", 5080},
	} {
		t.Run(name, func(t *testing.T) {
			yaml := strings.Replace(testConfig, `sources: ["192.0.2.10"]`, `sources: ["192.0.2.10"], nat: "`+c.nat+`"`, 1)
			inWorldWith(t, yaml, func(w *world) {
				sender := w.peer(netip.AddrPortFrom(siptest.Carrier.Addr(), 40123))
				w.others = append(w.others, sender)
				listener := sender
				if c.port == 5060 {
					listener = w.carrier
				} else if c.port != 40123 {
					listener = w.peer(netip.AddrPortFrom(siptest.Carrier.Addr(), c.port))
					w.others = append(w.others, listener)
				}
				sender.send("INVITE sip:1@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP " + c.via + "\nFrom: <sip:a@b>;tag=f\n" +
					"To: <sip:c@d>\nCall-ID: x\nCSeq: 1 INVITE\nMax-Forwards: many\n\n")
				listener.expect("SIP/2.0 400 Max-Forwards")
			})
		})
	}
}

package calltest

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/registration"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// registerConfig has a trunk that is registered at the carrier of the other tests.
const registerConfig = `
sip: {listen: ["udp://198.51.100.1:5060", "tcp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - name: line
    country: "1"
    register: {registrars: [192.0.2.10, 192.0.2.21], keep_alive: 0}
    dial_auth: {username: acme, password_env: P}
  - name: other
    register: {registrars: [192.0.2.10], keep_alive: 0}
    dial_auth: {username: other, password_env: P}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20:32681", headers: {X-Trunk: "{{.Trunk}}"}}
routes:
  - {targets: [agent]}
`

// registered accepts the REGISTERs of both trunks, in any order, and returns the Contact of the first trunk.
func (w *world) registered() (contact string) {
	w.t.Helper()
	for range 2 {
		first := w.carrier.expect("REGISTER sip:192.0.2.10 SIP/2.0")
		w.carrier.reply(first, 401, "Unauthorized", "r", "", `WWW-Authenticate: Digest realm="carrier", nonce="n1", qop="auth", algorithm=MD5`)
		other := w.carrier.expect("REGISTER ")
		if other.value("Call-ID") != first.value("Call-ID") { // a REGISTER of the other trunk
			w.carrier.reply(other, 401, "Unauthorized", "r", "", `WWW-Authenticate: Digest realm="carrier", nonce="n1", qop="auth", algorithm=MD5`)
			for range 2 {
				contact = w.grant(w.carrier.expect("REGISTER "), contact)
			}
			break
		}
		contact = w.grant(other, contact)
	}
	synctest.Wait()
	return contact
}

// grant accepts a REGISTER with credentials for an hour.
func (w *world) grant(m received, known string) (contact string) {
	w.t.Helper()
	all := siptest.SentCredentials(w.t, m.req(), "Authorization")
	if len(all) != 1 {
		w.t.Fatalf("no credentials in\n%s", m.raw)
	}
	siptest.CheckCredentials(w.t, m.req(), all[0], all[0].Username, "secret")
	if m.value("CSeq") != "2 REGISTER" || m.value("Expires") != "3600" || !strings.Contains(m.value("To"), "<sip:"+all[0].Username+"@192.0.2.10>") {
		w.t.Errorf("the REGISTER is\n%s", m.raw)
	}
	w.carrier.reply(m, 200, "OK", "r", "", "Contact: "+strings.Replace(m.value("Contact"), "expires=3600", "expires=1800", 1))
	if all[0].Username != "acme" {
		return known
	}
	contact, _, _ = strings.Cut(strings.TrimPrefix(m.value("Contact"), "<"), ">")
	return contact
}

// A call from the registrar to the Contact that we registered belongs to the registered trunk, and its called number is
// in To. A call from elsewhere to this Contact comes from a stranger.
func TestRegisteredTrunkIsCalled(t *testing.T) {
	inWorldWith(t, registerConfig, func(w *world) {
		contact := w.registered()
		for i, at := range w.server.Registrations() {
			if want := []string{"line", "other"}[i]; at.Trunk != want || at.State != registration.Registered || time.Until(at.Until) < 1700*time.Second {
				t.Errorf("registration %+v", at)
			}
		}
		d := w.carrier.newCall("+15075785607")
		call := func(p *peer) {
			p.send(strings.Replace(d.request("INVITE"), "sip:+15075785607@198.51.100.1:5060", contact, 1))
		}
		stranger := w.otherAt("192.0.2.50:5060")
		call(stranger)
		stranger.silent(time.Second)
		call(w.carrier)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE sip:+15075785607@192.0.2.20:32681")
		if got := invite.value("X-Trunk"); got != "line" {
			t.Errorf("the call is of trunk %q", got)
		}
		w.carrier.isTakenBy(w.agent, invite, "a", d)
		w.callerHangsUp(d)
		if r := w.record(); r.Trunk != "line" || r.To != "+15075785607" {
			t.Errorf("the record has %q and %q", r.Trunk, r.To)
		}
	})
}

// After a kill the binding remains, and the next process uses the same Contact. A normal stop removes the binding.
func TestRegistrationOutlivesKill(t *testing.T) {
	inWorldWith(t, registerConfig, func(w *world) {
		contact := w.registered()
		w.restart()
		if again := w.registered(); again != contact {
			t.Errorf("the Contact was %s, and is %s", contact, again)
		}
		w.server.Drain()
		for range 2 {
			m := w.carrier.expect("REGISTER")
			if !strings.HasSuffix(m.value("Contact"), ">;expires=0") || m.value("Expires") != "0" {
				t.Errorf("the last REGISTER is\n%s", m.raw)
			}
			w.carrier.reply(m, 200, "OK", "r", "")
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		if err := w.server.WaitLegs(ctx); err != nil {
			t.Errorf("the registrations are not removed: %v", err)
		}
	})
}

// If the first registrar does not answer, the next one takes over. Calls are then accepted from the second one's
// address.
func TestNextRegistrar(t *testing.T) {
	yaml := strings.Replace(registerConfig, "  - name: other\n    register: {registrars: [192.0.2.10], keep_alive: 0}\n    dial_auth: {username: other, password_env: P}\n", "", 1)
	inWorldWith(t, yaml, func(w *world) {
		second := w.otherAt("192.0.2.21:5060")
		m := second.expect("REGISTER sip:192.0.2.21 SIP/2.0")
		second.reply(m, 200, "OK", "r", "", "Expires: 3600")
		for _, left := range w.carrier.rest() {
			if !strings.HasPrefix(left.raw, "REGISTER sip:192.0.2.10") {
				t.Errorf("the first registrar got\n%s", left.raw)
			}
		}
		if at := w.server.Registrations()[0]; at.State != registration.Registered || at.Registrar != "192.0.2.21" {
			t.Errorf("it is %+v", at)
		}
	})
}

// A registrar's name is resolved as for calls (RFC 3263). If the first address does not answer, the second one takes
// over, and calls are then accepted from there.
func TestNextAddressOfRegistrar(t *testing.T) {
	yaml := strings.NewReplacer("[192.0.2.10, 192.0.2.21]", "[carrier.test]", "  - name: other\n    register: {registrars: [192.0.2.10], keep_alive: 0}\n    dial_auth: {username: other, password_env: P}\n", "",
		`country: "1"`, "country: \"1\"\n    transport: auto").Replace(registerConfig)
	names := func(o *b2bua.Options) {
		o.Network.Names.Ask = zoneOf(t, `
			_sip._udp.carrier.test. 60 IN SRV 1 1 5070 one.test.
			_sip._udp.carrier.test. 60 IN SRV 2 1 5071 two.test.
			one.test. 60 IN A 192.0.2.30
			two.test. 60 IN A 192.0.2.31`)
	}
	inWorldOf(t, yaml, names, func(w *world) {
		first, second := w.otherAt("192.0.2.30:5070"), w.otherAt("192.0.2.31:5071")
		first.expect("REGISTER sip:carrier.test SIP/2.0")
		m := second.expect("REGISTER sip:carrier.test SIP/2.0")
		second.reply(m, 200, "OK", "r", "", "Expires: 3600")
		synctest.Wait()
		if at := w.server.Registrations()[0]; at.State != registration.Registered || at.Failures != 0 || at.Reason != "" {
			t.Errorf("it is %+v", at)
		}
		first.rest()
		d := second.calls(contactIn(m))
		d.learn(second.expect("SIP/2.0 180"))
		second.isBusyAt(w.agent, w.agent.expect("INVITE"), "x", d)
		w.record()
		time.Sleep(time.Minute)
		first.silent(50 * time.Second)
	})
}

// A registration over TCP is renewed at once when its connection breaks, because calls come over it.
func TestRegistrationOverTCP(t *testing.T) {
	yaml := strings.Replace(registerConfig, `    country: "1"`, `    transport: tcp`, 1)
	yaml = strings.Replace(yaml, "  - name: other\n    register: {registrars: [192.0.2.10], keep_alive: 0}\n    dial_auth: {username: other, password_env: P}\n", "", 1)
	yaml = strings.Replace(yaml, "keep_alive: 0", "keep_alive: 10s", 1)
	inWorldWith(t, yaml, func(w *world) {
		a := w.streamAgent(netip.MustParseAddrPort("192.0.2.10:5060"))
		for i := range 2 {
			p := a.accept()
			m := p.expect("REGISTER")
			if !strings.Contains(m.value("Contact"), ";transport=tcp>") {
				t.Errorf("the Contact is %s", m.value("Contact"))
			}
			p.reply(m, 200, "OK", "r", "")
			time.Sleep(25 * time.Second)
			if i == 0 {
				p.conn.Close()
			}
		}
	})
}

// phoneConfig has a trunk that registers at this server, another one that is called under its number, and a platform
// that registers.
const phoneConfig = `
sip: {listen: ["udp://198.51.100.1:5060", "tcp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], country: "1"}
  - {name: phone, auth: {username: alice, password_env: P}, registrar: {}, nat: "on"}
  - {name: pbx, auth: {username: bob, password_env: P}, uri: "sip:{{.To.Number}}@registered", registrar: {}}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20:32681", call_auth: {username: synth, password_env: P}, registrar: {user: "15550100"}}
routes:
  - {trunk: carrier, to: "^\\+1507", trunks: [phone]}
  - {trunk: carrier, trunks: [pbx]}
  - {trunk: phone, targets: [agent]}
  - {target: agent, trunks: [phone]}
`

// registerText returns a REGISTER of this user, with additional header lines.
func registerText(transport, user, callID string, seq int, lines string) string {
	return "REGISTER sip:198.51.100.1 SIP/2.0\nVia: SIP/2.0/" + message.ViaTransport(transport) + " 10.0.0.5:5060;branch=z9hG4bK" + callID + strings.Repeat("x", seq) +
		";rport\nMax-Forwards: 70\nFrom: <sip:" + user + "@198.51.100.1>;tag=f\nTo: <sip:" + user + "@198.51.100.1>\nCall-ID: " + callID +
		"\nCSeq: " + itoa(seq) + " REGISTER\n" + lines + "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, SUBSCRIBE, INFO, MESSAGE, UPDATE, REFER\nUser-Agent: a phone of ours 1.0\n" + "Content-Length: 0\n\n"
}

func itoa(n int) string { return strconv.Itoa(n) }

// registers makes a peer register as this user with digest authentication, and returns the answer and the nonce.
func (p *peer) registers(username, user, lines string) (answer received, nonce string) {
	p.w.t.Helper()
	p.seq++
	callID := "reg-" + itoa(p.seq)
	p.send(registerText(p.transport(), user, callID, 1, lines))
	_, nonce, _ = strings.Cut(p.expect("SIP/2.0 401").raw, `nonce="`) // a stranger may get a challenge with MD5 only
	nonce, _, _ = strings.Cut(nonce, `"`)
	p.send(registerText(p.transport(), user, callID, 2, lines+credentialsOf("REGISTER", "sip:198.51.100.1", nonce, "MD5", username, "secret", 1)))
	return p.expect("SIP/2.0 "), nonce
}

const aliceContact = "Contact: <sip:alice@10.0.0.5:5060>\n"

// A phone behind NAT registers, is called at the address that its REGISTER came from, and then places a call.
func TestPhoneRegisters(t *testing.T) {
	inWorldWith(t, phoneConfig, func(w *world) {
		p := w.roaming()
		m, _ := p.registers("alice", "alice", aliceContact+"Expires: 7200\n")
		if m.res().StatusCode != 200 || m.value("Contact") != "<sip:alice@10.0.0.5:5060>;expires=900" {
			t.Fatalf("the answer is\n%s", m.raw)
		}
		d := w.carrier.dialsTillRung("+15075785607")
		invite := p.expect("INVITE sip:alice@10.0.0.5:5060 SIP/2.0")
		if to := invite.value("To"); to != "<sip:+15075785607@10.0.0.5>" {
			t.Errorf("To is %s", to)
		}
		w.carrier.isTakenBy(p, invite, "a", d)
		w.callerHangsUpAt(p, d)
		if r := w.record(); r.Trunk != "carrier" || r.Target != "phone" {
			t.Errorf("the record has %s and %s", r.Trunk, r.Target)
		}
		mine := p.newCall("+15075785607")
		c := p.challenged(mine)
		w.answersCall(p, mine, authorize(mine, c, "SHA-256", "alice", "secret", 1))
		w.record()
	})
}

// After a binding has expired or was removed, the phone is no longer called.
func TestBindingEnds(t *testing.T) {
	for name, end := range map[string]func(*peer){
		"in time": func(*peer) { time.Sleep(15 * time.Minute) },
		"removed": func(p *peer) { p.registers("alice", "alice", "Contact: *\nExpires: 0\n") },
	} {
		runIn(t, name, phoneConfig, func(w *world) {
			p := w.roaming()
			p.registers("alice", "alice", aliceContact)
			end(p)
			w.carrier.invite(w.carrier.newCall("+15075785607"))
			w.carrier.expect("SIP/2.0 180")
			m := w.carrier.expect("SIP/2.0 503")
			d := w.carrier.newCall("+15075785607")
			d.callID, d.branch, d.seq = "carrier-1", "z9hG4bKcarrier1", 1
			d.learn(m)
			w.carrier.ackRefused(d)
			w.record()
		})
	}
}

// A phone that registered over TCP is called over the same connection, with the called number if uri says so. If the
// connection is gone, the phone is not called.
func TestPhoneRegistersOverTCP(t *testing.T) {
	inWorldWith(t, phoneConfig, func(w *world) {
		p := w.connect(netip.MustParseAddr("203.0.113.77"))
		m, _ := p.registers("bob", "bob", "Contact: <sip:bob@10.0.0.6:5060;transport=tcp>\nPath: <sip:edge@203.0.113.77;lr;transport=tcp>\nSupported: path\n")
		if m.res().StatusCode != 200 || m.value("Path") == "" {
			t.Fatalf("the answer is\n%s", m.raw)
		}
		d := w.carrier.dialsTillRung("+15085785607")
		invite := p.expect("INVITE sip:+15085785607@10.0.0.6:5060;transport=tcp SIP/2.0")
		if route := invite.value("Route"); route != "<sip:edge@203.0.113.77;lr;transport=tcp>" {
			t.Errorf("Route is %q", route)
		}
		w.carrier.isBusyAt(p, invite, "b", d)
		w.record()
	})
}

// A platform registers, and may then place calls.
func TestPlatformRegisters(t *testing.T) {
	inWorldWith(t, phoneConfig, func(w *world) {
		p := w.roaming()
		if m, _ := p.registers("synth", "15550100", "Contact: <sip:15550100@203.0.113.77:6060>\nExpires: 300\n"); m.res().StatusCode != 200 {
			t.Fatalf("the answer is\n%s", m.raw)
		}
		if m, _ := p.registers("synth", "15550199", aliceContact); m.res().StatusCode != 403 {
			t.Errorf("another user: %s", m.raw)
		}
		phone := w.otherAt("203.0.113.90:5060")
		phone.seq = 50
		phone.registers("alice", "alice", "Contact: <sip:alice@203.0.113.90>\n")
		d := p.newCall("+15075785607")
		c := p.challenged(d)
		d.extra = authorize(d, c, "SHA-256", "synth", "secret", 1)
		p.invitesTillRung(d)
		invite := phone.expect("INVITE sip:alice@203.0.113.90 SIP/2.0")
		p.isBusyAt(phone, invite, "b", d)
		if r := w.record(); r.Target != "agent" || r.Trunk != "phone" {
			t.Errorf("the record has %s and %s", r.Target, r.Trunk)
		}
	})
}

// A nonce is valid only for the address that got it, and each nonce count only once. A REGISTER that breaks this rule
// has no effect.
func TestStolenNonce(t *testing.T) {
	inWorldWith(t, phoneConfig, func(w *world) {
		p, thief := w.roaming(), w.otherAt("203.0.113.66:5060")
		_, nonce := p.registers("alice", "alice", aliceContact)
		captured := credentialsOf("REGISTER", "sip:198.51.100.1", nonce, "MD5", "alice", "secret", 1)
		evil := "Contact: <sip:alice@203.0.113.66:5060>\n"
		for name, steal := range map[string]func() received{
			"elsewhere": func() received {
				thief.send(registerText("", "alice", "stolen", 3, evil+captured))
				return thief.expect("SIP/2.0 401")
			},
			"again": func() received {
				p.send(registerText("", "alice", "again", 4, evil+captured))
				return p.expect("SIP/2.0 401")
			},
		} {
			if m := steal(); !strings.Contains(m.raw, "stale=true") {
				t.Errorf("%s: the answer is\n%s", name, m.raw)
			}
		}
		p.send(registerText("", "alice", "guessed", 5, evil+credentialsOf("REGISTER", "sip:198.51.100.1", nonce, "MD5", "alice", "wrong", 2)))
		if m := p.expect("SIP/2.0 401"); strings.Contains(m.raw, "stale") {
			t.Errorf("the answer is\n%s", m.raw)
		}
		for _, h := range w.server.Registrar().All(time.Now()) {
			if len(h.Bindings) != 1 || h.Bindings[0].Contact != "sip:alice@10.0.0.5:5060" {
				t.Errorf("registered is %+v", h)
			}
		}
	})
}

// A REGISTER from an unknown sender gets no answer. One from a trunk that may not register gets 405.
func TestRegisterOfOthers(t *testing.T) {
	inWorld(t, func(w *world) {
		stranger := w.otherAt("203.0.113.66:5060")
		stranger.send(registerText("", "alice", "s", 1, aliceContact))
		stranger.silent(time.Second)
		w.carrier.send(registerText("", "alice", "c", 1, aliceContact))
		if m := w.carrier.expect("SIP/2.0 405"); m.res().CSeq().MethodName != sip.REGISTER {
			t.Errorf("the answer is\n%s", m.raw)
		}
	})
}

// After a kill, the next process still has the bindings.
func TestBindingsOutliveKill(t *testing.T) {
	kept := map[string][]record.Binding{}
	keep := func(o *b2bua.Options) {
		o.Bindings, o.KeepBindings = kept, func(holder string, all []record.Binding) { kept[holder] = all }
	}
	inWorldOf(t, phoneConfig, keep, func(w *world) {
		p := w.roaming()
		p.registers("alice", "alice", aliceContact)
		w.restart()
		d := w.carrier.dialsTillRung("+15075785607")
		invite := p.expect("INVITE sip:alice@10.0.0.5:5060 SIP/2.0")
		w.carrier.isBusyAt(p, invite, "b", d)
		w.record()
	})
}

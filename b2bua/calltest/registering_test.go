package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/registration"
)

// lineConfig has one trunk that registers at a carrier.
var lineConfig = strings.Replace(registerConfig, "  - name: other\n    register: {registrars: [192.0.2.10], keep_alive: 0}\n    dial_auth: {username: other, password_env: P}\n", "", 1)

// contactIn returns the URI in the Contact of a REGISTER.
func contactIn(m received) string {
	contact, _, _ := strings.Cut(strings.TrimPrefix(m.value("Contact"), "<"), ">")
	return contact
}

// calls makes a registrar send an INVITE to a Contact.
func (p *peer) calls(contact string) *dialogue {
	d := p.newCall("+15075785607")
	p.send(strings.Replace(d.request("INVITE"), "sip:+15075785607@198.51.100.1:5060", contact, 1))
	return d
}

// If a renewal moves to another registrar while the binding still holds, calls are accepted from that registrar, and no
// longer from the first.
func TestRenewedElsewhere(t *testing.T) {
	inWorldWith(t, lineConfig, func(w *world) {
		second := w.otherAt("192.0.2.21:5060")
		w.carrier.reply(w.carrier.expect("REGISTER sip:192.0.2.10 SIP/2.0"), 200, "OK", "r", "", "Expires: 1000")
		synctest.Wait()
		time.Sleep(time.Until(w.server.Registrations()[0].Next))
		m := second.expect("REGISTER sip:192.0.2.21 SIP/2.0") // the first registrar does not answer
		second.reply(m, 200, "OK", "r", "", "Expires: 1000")
		w.carrier.rest()
		w.carrier.calls(contactIn(m))
		w.carrier.silent(time.Second)
		d := second.calls(contactIn(m))
		d.learn(second.expect("SIP/2.0 180"))
		second.isBusyAt(w.agent, w.agent.expect("INVITE sip:+15075785607@192.0.2.20:32681"), "a", d)
		w.record()
	})
}

// When a trunk's registration has ended, calls to its Contact are refused.
func TestUnregisteredTrunkIsNotCalled(t *testing.T) {
	inWorldWith(t, strings.Replace(lineConfig, ", 192.0.2.21", "", 1), func(w *world) {
		m := w.carrier.expect("REGISTER sip:192.0.2.10 SIP/2.0")
		w.carrier.reply(m, 200, "OK", "r", "", "Expires: 60")
		for range 2 { // once while the binding still holds, and once when it ends
			synctest.Wait()
			time.Sleep(time.Until(w.server.Registrations()[0].Next))
			w.carrier.reply(w.carrier.expect("REGISTER "), 403, "Forbidden", "r", "")
		}
		synctest.Wait()
		if got := w.server.Registrations()[0]; got.State != registration.Unavailable {
			t.Fatalf("it is %+v", got)
		}
		w.carrier.calls(contactIn(m))
		w.carrier.silent(time.Second)
		time.Sleep(time.Until(w.server.Registrations()[0].Next))
		w.carrier.reply(w.carrier.expect("REGISTER "), 200, "OK", "r", "")
		synctest.Wait()
		if got := w.server.Registrations()[0]; got.State != registration.Registered || got.Reason != "" {
			t.Errorf("it is %+v", got)
		}
	})
}

// A registration that replaces another starts only after the other has been removed, because both have the same
// Contact.
func TestReloadOfRegistration(t *testing.T) {
	longer := strings.Replace(lineConfig, "keep_alive: 0", "keep_alive: 1h", 1)
	for name, reload := range map[string]func(*world){
		"with other settings": func(w *world) { w.reload(longer) },
		"without, and with it again": func(w *world) {
			w.reload(testConfig)
			w.reload(longer)
		},
		"twice": func(w *world) {
			w.reload(strings.Replace(lineConfig, "keep_alive: 0", "keep_alive: 30m", 1))
			w.reload(longer)
		},
	} {
		runIn(t, name, lineConfig, func(w *world) {
			first := w.carrier.expect("REGISTER ")
			w.carrier.reply(first, 200, "OK", "r", "")
			synctest.Wait()
			reload(w)
			all := w.carrier.rest()
			if len(all) != 1 || all[0].value("Call-ID") != first.value("Call-ID") || all[0].value("Expires") != "0" {
				w.t.Fatalf("before the removal is answered, there are %+v", all)
			}
			w.carrier.reply(all[0], 200, "OK", "r", "")
			m := w.carrier.expect("REGISTER ")
			if m.value("Call-ID") == first.value("Call-ID") || contactIn(m) != contactIn(first) {
				w.t.Errorf("the new one is\n%s", m.raw)
			}
			w.carrier.reply(m, 200, "OK", "r", "")
			synctest.Wait()
			w.carrier.silent(time.Minute)
		})
	}
}

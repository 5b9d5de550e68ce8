package calltest

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// fleetOfTwo stands for another node: it returns the other node's bindings, and stores the ones that this node reports.
type fleetOfTwo struct {
	has   []record.Binding // bindings at the other node, of the trunk phone or pbx
	err   error
	slow  bool
	asked int
	told  map[string][]record.Binding
}

func (f *fleetOfTwo) KeepBindings(holder string, all []record.Binding) { f.told[holder] = all }

func (f *fleetOfTwo) Bindings(ctx context.Context, _ string) ([]record.Binding, error) {
	f.asked++
	if f.slow {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return f.has, f.err
}

// boundAt returns a binding at node edge-2.
func boundAt(transport, from, contact string, path ...string) record.Binding {
	now := time.Now()
	return record.Binding{
		Contact: contact, Q: 1000, Path: path, Received: netip.MustParseAddrPort(from), Transport: transport, Flow: 1, Node: "edge-2",
		Registered: now, Expires: now.Add(10 * time.Minute),
	}
}

func inFleet(t *testing.T, name, yaml string, test func(w *world, f *fleetOfTwo)) {
	t.Run(name, func(t *testing.T) {
		f := &fleetOfTwo{told: map[string][]record.Binding{}}
		inWorldOf(t, yaml, func(o *b2bua.Options) { o.Others = f }, func(w *world) { test(w, f) })
	})
}

// ladderSays fails the test unless the ladder of a finished call contains this text.
func (w *world) ladderSays(id, text string) {
	w.t.Helper()
	w.drain(time.Minute) // the ladder is stored once its legs are gone
	if all := strings.Join(lines(w.ladder(id)), "\n"); !strings.Contains(all, text) {
		w.t.Errorf("%q is not in\n%s", text, all)
	}
}

// A phone that has registered at another node is called from here if it registered over UDP from the address in its
// Contact, or through a proxy that did. A phone behind a proxy over TCP is called as well. The ladder names the other
// node.
func TestRegisteredElsewhere(t *testing.T) {
	for name, tt := range map[string]struct {
		bound func() record.Binding
		route string
	}{
		"no NAT":     {func() record.Binding { return boundAt("udp", "203.0.113.77:5060", "sip:bob@203.0.113.77") }, ""},
		"other port": {func() record.Binding { return boundAt("udp", "203.0.113.77:5082", "sip:bob@203.0.113.77:5082") }, ""},
		"no NAT before its proxy": {func() record.Binding {
			return boundAt("udp", "203.0.113.77:5060", "sip:bob@10.0.0.6", "<sip:203.0.113.77;lr>")
		}, "<sip:203.0.113.77;lr>"},
	} {
		inFleet(t, name, phoneConfig, func(w *world, f *fleetOfTwo) {
			b := tt.bound()
			f.has = []record.Binding{b}
			p := w.otherAt(b.Received.String())
			d := w.carrier.dialsTillRung("+15085785607")
			invite := p.expect("INVITE sip:+15085785607@" + strings.TrimPrefix(b.Contact, "sip:bob@") + " SIP/2.0")
			if got := invite.value("Route"); got != tt.route {
				t.Errorf("Route is %q", got)
			}
			w.carrier.isTakenBy(p, invite, "a", d)
			w.callerHangsUpAt(p, d)
			r := w.record()
			if len(r.Attempts) != 1 || len(r.Attempts[0].Tried) != 0 || f.asked != 1 {
				t.Errorf("attempts %+v, asked %d times", r.Attempts, f.asked)
			}
			w.ladderSays(r.ID, "target pbx is registered at node edge-2: its Contact is called from here")
		})
	}
	inFleet(t, "proxy over TCP", phoneConfig, func(w *world, f *fleetOfTwo) {
		proxy := w.streamAgent(netip.MustParseAddrPort("203.0.113.77:5070"))
		f.has = []record.Binding{boundAt("tcp", "203.0.113.77:40000", "sip:bob@10.0.0.6", "<sip:203.0.113.77:5070;lr;transport=tcp>")}
		d := w.carrier.dialsTillRung("+15085785607")
		p := proxy.accept()
		w.carrier.isBusyAt(p, p.expect("INVITE sip:+15085785607@10.0.0.6 SIP/2.0"), "b", d)
		w.record()
		p.conn.Close()
	})
}

// A phone that only the other node can reach is not called from here. The record names the other node, and the circuit
// does not open.
func TestReachableOnlyFromThere(t *testing.T) {
	for name, tt := range map[string]struct {
		bound func() record.Binding
		to    string
		tried string
		says  string
	}{
		"NAT": {
			func() record.Binding { return boundAt("udp", "203.0.113.77:40000", "sip:bob@10.0.0.6") }, "+15085785607",
			"udp://203.0.113.77:40000 registered at node edge-2", "registered at node edge-2 from behind a NAT, reachable only from there",
		},
		"NAT, another port": {
			func() record.Binding { return boundAt("udp", "203.0.113.77:40000", "sip:bob@203.0.113.77") }, "+15085785607",
			"udp://203.0.113.77:40000 registered at node edge-2", "from behind a NAT",
		},
		"a name": {
			func() record.Binding { return boundAt("udp", "203.0.113.77:5060", "sip:bob@phone.test") }, "+15085785607",
			"udp://203.0.113.77:5060 registered at node edge-2", "from behind a NAT",
		},
		"nat: on": { // with NAT, the phone may have learned its public address by STUN
			func() record.Binding { return boundAt("udp", "203.0.113.77:5060", "sip:alice@203.0.113.77:5060") }, "+15075785607",
			"udp://203.0.113.77:5060 registered at node edge-2", "from behind a NAT",
		},
		"TCP": {
			func() record.Binding {
				return boundAt("tcp", "203.0.113.77:40000", "sip:bob@203.0.113.77:40000;transport=tcp")
			}, "+15085785607",
			"tcp://203.0.113.77:40000 registered at node edge-2", "registered at node edge-2 over TCP, reachable only from there",
		},
		"TLS": {
			func() record.Binding { return boundAt("tls", "203.0.113.77:40000", "sips:bob@203.0.113.77") }, "+15085785607",
			"tls://203.0.113.77:40000 registered at node edge-2", "registered at node edge-2 over TLS, reachable only from there",
		},
	} {
		inFleet(t, name, phoneConfig, func(w *world, f *fleetOfTwo) {
			f.has = []record.Binding{tt.bound()}
			at := w.otherAt(f.has[0].Received.String())
			var id string
			for range 10 { // enough failures to open a circuit
				d := w.carrier.dials(tt.to)
				w.carrier.expect("SIP/2.0 180")
				w.carrier.isRefused(d, "503")
				r := w.record()
				if a := r.Attempts; len(a) != 1 || a[0].Cause != string(cause.TargetUnreachable) || len(a[0].Tried) != 1 || a[0].Tried[0] != tt.tried {
					w.t.Fatalf("attempts %+v", a)
				}
				id = r.ID
				time.Sleep(300 * time.Millisecond)
			}
			w.ladderSays(id, tt.says)
			at.silent(time.Second)
		})
	}
}

// If a Contact at this node takes the call, other nodes are not asked. If they should be asked but can't be, the ladder
// says so.
func TestOthersAreAsked(t *testing.T) {
	inFleet(t, "not for what is here", phoneConfig, func(w *world, f *fleetOfTwo) {
		f.has = []record.Binding{boundAt("udp", "203.0.113.90:5060", "sip:alice@203.0.113.90:5060")}
		p := w.roaming()
		p.registers("alice", "alice", aliceContact)
		d := w.carrier.dialsTillRung("+15075785607")
		w.carrier.isBusyAt(p, p.expect("INVITE sip:alice@10.0.0.5"), "b", d)
		w.record()
		if told := f.told["trunk phone"]; f.asked != 0 || len(told) != 1 || told[0].Contact != "sip:alice@10.0.0.5:5060" {
			t.Errorf("asked %d times, told %+v", f.asked, f.told)
		}
	})
	inFleet(t, "once its connection is gone", phoneConfig, func(w *world, f *fleetOfTwo) {
		p := w.connect(netip.MustParseAddr("203.0.113.77"))
		p.registers("bob", "bob", "Contact: <sip:bob@10.0.0.6;transport=tcp>\n")
		p.conn.Close()
		synctest.Wait()
		f.has = []record.Binding{boundAt("udp", "203.0.113.90:5060", "sip:bob@203.0.113.90")}
		desk := w.otherAt("203.0.113.90:5060")
		d := w.carrier.dialsTillRung("+15085785607")
		w.carrier.isBusyAt(desk, desk.expect("INVITE sip:+15085785607@203.0.113.90"), "b", d)
		w.record()
		if told, there := f.told["trunk pbx"]; !there || len(told) != 0 {
			t.Errorf("told %+v", f.told)
		}
	})
	inFleet(t, "in vain", phoneConfig, func(w *world, f *fleetOfTwo) {
		f.err = errors.New("the fleet's database is not reached")
		d := w.carrier.dials("+15085785607")
		w.carrier.expect("SIP/2.0 180")
		w.carrier.isRefused(d, "503")
		w.ladderSays(w.record().ID, "nothing is registered here for the trunk, and other nodes are not known: the fleet's database is not reached")
	})
}

// A call waits at most 200 ms for the other nodes. If its caller cancels, it stops waiting.
func TestOthersAreSlow(t *testing.T) {
	inFleet(t, "refused", phoneConfig, func(w *world, f *fleetOfTwo) {
		f.slow = true
		begun := time.Now()
		d := w.carrier.dials("+15085785607")
		w.carrier.expect("SIP/2.0 180")
		w.carrier.isRefused(d, "503")
		if took := time.Since(begun); took != 200*time.Millisecond {
			t.Errorf("refused after %v", took)
		}
		w.ladderSays(w.record().ID, "other nodes are not known: context deadline exceeded")
	})
	inFleet(t, "given up", phoneConfig, func(w *world, f *fleetOfTwo) {
		f.slow = true
		d := w.carrier.dials("+15085785607")
		w.carrier.expect("SIP/2.0 180")
		w.carrier.givesUp(d)
		w.wantRecord(record.DispositionCancelled, cause.CallerCancelled, record.EndedByCaller)
	})
}

// If a phone has several Contacts at another node, they are tried one after the other, as at this node.
func TestNextContactElsewhere(t *testing.T) {
	inFleet(t, "", phoneConfig, func(w *world, f *fleetOfTwo) {
		first, nat, second := boundAt("udp", "203.0.113.77:5060", "sip:desk@203.0.113.77"), boundAt("udp", "203.0.113.9:40000", "sip:x@10.0.0.9"),
			boundAt("udp", "203.0.113.78:5060", "sip:mobile@203.0.113.78")
		nat.Q, second.Q = 500, 200
		f.has = []record.Binding{second, first, nat}
		desk, mobile := w.otherAt("203.0.113.77:5060"), w.otherAt("203.0.113.78:5060")
		d := w.carrier.dials("+15085785607")
		desk.reply(desk.expect("INVITE"), 480, "Gone Home", "d", "")
		w.carrier.expect("SIP/2.0 180")
		m := mobile.expect("INVITE")
		desk.rest()
		w.carrier.isTakenBy(mobile, m, "m", d)
		w.callerHangsUpAt(mobile, d)
		if r := w.record(); f.asked != 1 || len(r.Attempts) != 1 || len(r.Attempts[0].Tried) != 2 {
			t.Errorf("asked %d times; attempts %+v", f.asked, r.Attempts)
		}
	})
}

package calltest

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/transport"
	"flowbridge/store/record"
)

// neighbourAddr is the address of a second trunk.
var neighbourAddr = netip.MustParseAddrPort("192.0.2.30:5060")

// twoTrunks returns testConfig with a second trunk, and with additional keys in sip and
// media.
func twoTrunks(sip, media string) string {
	return strings.NewReplacer(
		"sip: {", "sip: {"+sip, "media: {", "media: {"+media,
		"trunks:\n", "trunks:\n  - {name: neighbour, sources: [\"192.0.2.30\"]}\n",
		"{trunk: carrier, ", "{",
	).Replace(testConfig)
}

// ringingCall is a call that the agent has not answered yet.
type ringingCall struct {
	from   *peer
	caller *dialogue
	invite received
}

// ring places calls from a trunk until one is refused, or until there are this many. It
// returns the calls that ring.
func (w *world) ring(from *peer, most int) (calls []ringingCall) {
	w.t.Helper()
	for range most {
		d := from.newCall("+15075785607")
		if from != w.carrier {
			d.callID, d.branch = "neighbour-"+d.callID, d.branch+"neighbour"
		}

		from.invite(d)
		m := d.learn(from.expect("SIP/2.0 "))
		for m.res().StatusCode == 100 {
			m = d.learn(from.expect("SIP/2.0 "))
		}
		if m.res().StatusCode >= 300 {
			if m.res().StatusCode != 503 || m.value("Retry-After") == "" {
				w.t.Errorf("refused with\n%s", m.raw)
			}
			from.ackRefused(d)
			break
		}
		invite := w.agent.progresses(180, "Ringing", "b", "")
		calls = append(calls, ringingCall{from, d, invite})
	}
	return calls
}

// busy makes the agent refuse these calls.
func (w *world) busy(calls []ringingCall) {
	w.t.Helper()
	for _, c := range calls {
		w.agent.reply(c.invite, 486, "Busy Here", "b", "")
		w.agent.expect("ACK")
		c.from.expect("SIP/2.0 486")
		c.from.ackRefused(c.caller)
		w.wantRecord("busy", cause.TargetBusy, record.EndedByAgent)
	}
}

// If one trunk has two hundred ringing calls, another trunk can still place calls, whether
// set-ups or ports are scarce: each trunk has a reserved share. The unreserved places go to
// the trunk that comes first.
func TestNeighbours(t *testing.T) {
	for _, tt := range []struct{ name, sip, media string }{
		{"set-ups", "limits: {setups: 200}, ", ""},
		{"ports", "", "ports: 10000-10799, "},
	} {
		runIn(t, tt.name, twoTrunks(tt.sip, tt.media), func(w *world) {
			neighbour := w.peer(neighbourAddr)
			w.others = append(w.others, neighbour)
			greedy := w.ring(w.carrier, 300)
			modest := w.ring(neighbour, 300)
			if len(greedy) != 150 || len(modest) != 50 {
				w.t.Errorf("%d and %d calls ring; want 150 and 50", len(greedy), len(modest))
			}
			w.busy(greedy[:60])
			modest = append(modest, w.ring(neighbour, 300)...)
			if len(modest) != 110 {
				w.t.Errorf("%d calls of the neighbour ring; want 110", len(modest))
			}
			w.busy(greedy[60:])
			w.busy(modest)
		})
	}
}

// When the process is overloaded, calls of the trunk with the most calls in set-up are
// refused. A trunk with fewer than the average is still served.
func TestOverloadSparesNeighbours(t *testing.T) {
	var wait atomic.Int64
	slow := func(o *b2bua.Options) {
		open := o.Network.Listen
		o.Network.Listen = func(a netip.AddrPort) (transport.Socket, error) {
			s, err := open(a)
			return slowSocket{s, &wait}, err
		}
	}
	inWorldOf(t, twoTrunks("", ""), slow, func(w *world) {
		neighbour := w.peer(neighbourAddr)
		w.others = append(w.others, neighbour)
		greedy := w.ring(w.carrier, 4)
		wait.Store(int64(600 * time.Millisecond))
		for range 4 {
			w.carrier.send(w.carrier.newCall("1").request("OPTIONS"))
			w.carrier.expect("SIP/2.0 200")
			time.Sleep(60 * time.Millisecond)
		}
		if n := len(w.ring(w.carrier, 1)); n != 0 {
			t.Error("the carrier gets a call")
		}
		modest := w.ring(neighbour, 10)
		if len(modest) != 4 { // otherwise both trunks have the same number of calls
			t.Errorf("the neighbour gets %d calls; want 4", len(modest))
		}
		w.busy(greedy)
		w.busy(modest)
	})
}

// A trunk whose calls with Opus only ring takes no transcoders that are reserved for another trunk.
func TestTranscodersOfNeighbours(t *testing.T) {
	inWorldWith(t, twoTrunks("", "max_transcoded: 8, "), func(w *world) {
		neighbour := w.peer(neighbourAddr)
		w.others = append(w.others, neighbour)
		ring := func(from *peer) (calls []ringingCall) {
			for range 8 {
				d := from.newCall("+15075785607")
				d.sdp = opusSDP("192.0.2.10", 20000, "")
				if from != w.carrier {
					d.callID, d.branch = "neighbour-"+d.callID, d.branch+"neighbour"
				}
				before, _, _ := w.server.Transcoders().Figures()
				from.invite(d)
				d.learn(from.expect("SIP/2.0 180"))
				synctest.Wait()
				if used, _, _ := w.server.Transcoders().Figures(); used > before {
					calls = append(calls, ringingCall{from, d, w.agent.progresses(180, "Ringing", "b", "")})
					continue
				}
				from.isRefused(d, "503")
				w.wantRecord("failed", cause.NoTranscoder, record.EndedBySystem)
			}
			return calls
		}
		greedy, modest := ring(w.carrier), ring(neighbour)
		if len(greedy) != 6 || len(modest) != 2 {
			t.Errorf("the trunks take %d and %d of 8 places; want 6 and 2", len(greedy), len(modest))
		}
		w.busy(append(greedy, modest...))
	})
}

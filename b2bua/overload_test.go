package b2bua

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/internal/siptest"
	"flowbridge/store"
)

// A queue that stands for an interval is overload; one that drains now and then
// is not, however long it gets.
func TestLoad(t *testing.T) {
	const ms = time.Millisecond
	type measured struct {
		at, delay time.Duration
		want      bool
	}
	for name, series := range map[string][]measured{
		"quiet":              {{0, 0, false}, {50 * ms, ms, false}, {900 * ms, 500 * ms, false}},
		"one burst":          {{0, 900 * ms, false}, {50 * ms, 900 * ms, false}, {99 * ms, 900 * ms, false}, {120 * ms, 0, false}},
		"a standing queue":   {{0, 501 * ms, false}, {50 * ms, 600 * ms, false}, {100 * ms, 501 * ms, true}, {300 * ms, 2 * time.Second, true}},
		"it drains":          {{0, 600 * ms, false}, {100 * ms, 600 * ms, true}, {150 * ms, 500 * ms, false}, {160 * ms, 600 * ms, false}},
		"drained in between": {{0, 600 * ms, false}, {90 * ms, 400 * ms, false}, {100 * ms, 600 * ms, false}, {200 * ms, 600 * ms, true}},
		"rare bursts":        {{0, 600 * ms, false}, {2 * time.Second, 600 * ms, false}, {4 * time.Second, 600 * ms, false}},
		"one measurement":    {{0, time.Hour, false}},
	} {
		t.Run(name, func(t *testing.T) {
			l, start := &load{limit: 500 * ms}, time.Now()
			for _, m := range series {
				now := start.Add(m.at)
				l.note(now, m.delay)
				if got := l.overloaded(now); got != m.want {
					t.Errorf("after %v: %v; want %v", m.at, got, m.want)
				}
			}
			if last := start.Add(series[len(series)-1].at); l.overloaded(last.Add(loadMemory + ms)) {
				t.Error("overloaded although nothing comes any more")
			}
		})
	}
}

// The wait for a goroutine counts, and that in the socket; one message is
// measured at a time, and not each.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &load{limit: 500 * time.Millisecond}
		var waiting []func()
		run := func(f func()) { waiting = append(waiting, f) }
		for range 3 {
			l.probe(run, 300*time.Millisecond, time.Now())
		}
		time.Sleep(250 * time.Millisecond)
		l.probe(run, 0, time.Now())
		if len(waiting) != 1 {
			t.Fatalf("%d messages are measured; want 1", len(waiting))
		}
		waiting[0]()
		if l.since.IsZero() {
			t.Error("550 ms are not over 500 ms")
		}
		l.probe(run, 0, time.Now())
		waiting[1]()
		if !l.since.IsZero() {
			t.Error("nothing is over 500 ms")
		}
		l.probe(run, 0, time.Now())
		if len(waiting) != 2 {
			t.Error("two messages at the same moment are measured")
		}
	})
}

// slowSocket has its datagrams lie in the socket for some time.
type slowSocket struct {
	Socket
	wait *atomic.Int64
}

func (s slowSocket) ReadTimed(b []byte) (n int, from netip.AddrPort, came time.Time, err error) {
	n, from, err = s.ReadFromUDPAddrPort(b)
	return n, from, time.Now().Add(-time.Duration(s.wait.Load())), err
}

// While messages wait for too long, new calls get 503 without state; what is
// on goes on, also its retransmissions. When they don't wait any more, calls are
// taken again.
func TestOverload(t *testing.T) {
	var wait atomic.Int64
	slow := func(o *Options) {
		open := o.Listen
		o.Listen = func(a netip.AddrPort) (Socket, error) {
			s, err := open(a)
			return slowSocket{s, &wait}, err
		}
	}
	inWorldOf(t, testConfig, slow, func(w *world) {
		d, _ := w.established()
		ringing := w.carrier.newCall("+15075785607")
		w.carrier.invite(ringing)
		w.carrier.expect("SIP/2.0 180")
		second := w.agent.expect("INVITE")
		wait.Store(int64(600 * time.Millisecond))
		for range 4 {
			w.carrier.send(w.carrier.newCall("1").request("OPTIONS"))
			w.carrier.expect("SIP/2.0 200")
			time.Sleep(60 * time.Millisecond)
		}
		over := w.carrier.newCall("+15075785607")
		w.carrier.invite(over)
		if m := over.learn(w.carrier.expect("SIP/2.0 503")); m.value("Retry-After") == "" {
			t.Errorf("503 without Retry-After:\n%s", m.raw)
		}
		w.carrier.ackRefused(over)
		w.carrier.invite(ringing) // again
		ringing.learn(w.carrier.expect("SIP/2.0 180"))
		w.agent.answer(second, "agent2")
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(ringing)
		if n := w.server.Rejected().Overload.Load(); n != 1 {
			t.Errorf("%d refused for overload; want 1", n)
		}
		wait.Store(0)
		time.Sleep(10 * time.Millisecond)
		w.callerHangsUp(d)
		w.record()
		w.callerHangsUp(ringing)
		w.record()
		d, _ = w.established()
		w.callerHangsUp(d)
		w.wantRecord("answered", cause.CallerHangup, store.EndedByCaller)
	})
}

// Calls that are not answered yet have a limit for the whole process. One that
// is answered, or over, makes room.
func TestSetups(t *testing.T) {
	yaml := strings.Replace(testConfig, "sip: {", "sip: {limits: {setups: 2}, ", 1)
	inWorldWith(t, yaml, func(w *world) {
		up, _ := w.established()
		var calls []*dialogue
		var invites []received
		for range 2 {
			d := w.carrier.newCall("+15075785607")
			calls = append(calls, d)
			w.carrier.invite(d)
			d.learn(w.carrier.expect("SIP/2.0 180"))
			invites = append(invites, w.agent.expect("INVITE"))
		}
		over := w.carrier.newCall("+15075785607")
		w.carrier.invite(over)
		if m := over.learn(w.carrier.expect("SIP/2.0 503")); m.value("Retry-After") == "" {
			t.Errorf("503 without Retry-After:\n%s", m.raw)
		}
		w.carrier.ackRefused(over)
		if n := w.server.Rejected().Setups.Load(); n != 1 {
			t.Errorf("%d refused for set-ups; want 1", n)
		}
		w.agent.reply(invites[0], 486, "Busy Here", "b", "")
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 486")
		w.carrier.ackRefused(calls[0])
		w.record()
		w.agent.answer(invites[1], "agent2")
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(calls[1])
		synctest.Wait()
		if n := w.server.admission.Setups; n != 0 {
			t.Errorf("%d calls in set-up; want none", n)
		}
		for _, d := range []*dialogue{up, calls[1]} {
			w.callerHangsUp(d)
			w.record()
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	s := judgeServer(b)
	sc := s.newScreen("udp", nil)
	out := make([]byte, 0, 4096)
	for name, c := range judged(s) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := sc.judge(c.message, c.from); v.status != "" {
					out = v.appendRefusal(out[:0], c.message, c.from)
				}
			}
		})
	}
}

type judgedCase struct {
	from    netip.AddrPort
	message []byte
	status  string
}

func judged(s *Server) map[string]judgedCase {
	d := (&peer{}).newCall("+15075785607")
	invite, bye := siptest.CRLF(d.request("INVITE")), siptest.CRLF(d.request("BYE"))
	// The answer of a stranger with a branch that looks like ours.
	answer := siptest.CRLF("SIP/2.0 200 OK\nVia: SIP/2.0/UDP h;branch=z9hG4bK" + strings.Repeat("0", len(message.Minted{})) + "\n\n")
	if ok := s.admission.Enter(s.admission.Peers.Load().Trunks[2]); ok != peers.CapacityFree {
		return nil
	}
	return map[string]judgedCase{
		"a stranger's BYE":    {roamingAddr, bye, ""},
		"a stranger's answer": {roamingAddr, answer, ""},
		"not SIP":             {roamingAddr, []byte("GET / HTTP/1.1\r\n\r\n"), ""},
		"full":                {netip.MustParseAddrPort("192.0.2.11:5060"), invite, "503"},
		"challenged":          {roamingAddr, invite, "401"},
	}
}

// judgeServer has just what the guard asks.
func judgeServer(t testing.TB) *Server {
	t.Helper()
	env := func(string) (string, bool) { return "secret", true }
	// One trunk that may be anywhere would make room for the full one.
	yaml := strings.Replace(authConfig, "auth: {username: acme, password_env: P}}", "auth: {username: acme, password_env: P}, match: {port: 6060}}", 1)
	cfg, err := config.Parse("test.yaml", []byte(yaml), env)
	if err != nil {
		t.Fatal(err)
	}
	return &Server{
		cfg: cfg, mint: message.NewMinter([32]byte{1}), admission: peers.NewAdmission(cfg, nil), registry: newRegistry(),
		load: load{limit: time.Second},
	}
}

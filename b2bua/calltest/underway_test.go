package calltest

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transport"
	"flowbridge/store/record"
)

// hangingSink blocks on the first journalled call, like a hanging disk.
type hangingSink struct {
	snapshot.Sink
	hangs chan struct{}
	held  string
}

func (s *hangingSink) Journal(r record.Record, state []byte) {
	if s.held == "" {
		s.held = r.ID
		<-s.hangs
	}
	s.Sink.Journal(r, state)
}

// hangingSocket blocks any goroutine that sends a 400.
type hangingSocket struct {
	transport.Socket
	hangs chan struct{}
}

func (s hangingSocket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if bytes.HasPrefix(b, []byte("SIP/2.0 400")) {
		<-s.hangs
	}
	return s.Socket.WriteToUDPAddrPort(b, to)
}

type sighting struct {
	id   string
	step uint64
}

// seen returns the goroutines' current steps, as look reports them.
func seen(look func(func(string, uint64))) (all []sighting) {
	synctest.Wait()
	look(func(id string, step uint64) { all = append(all, sighting{id, step}) })
	return all
}

// If a call blocks, its reported step does not change. Other calls are not delayed.
func TestUnderway(t *testing.T) {
	disk := &hangingSink{hangs: make(chan struct{})}
	inWorldOf(t, testConfig, func(o *b2bua.Options) {
		disk.hangs = make(chan struct{}) // made inside the bubble
		disk.Sink, o.Sink = o.Sink, disk
	}, func(w *world) {
		first := w.carrier.dials("+15075785607")
		if synctest.Wait(); len(w.carrier.in) > 0 {
			t.Error("the caller has a 100: it does not ask the next process")
		}
		before := seen(w.server.Underway)
		time.Sleep(time.Second)
		if after := seen(w.server.Underway); len(before) != 1 || before[0].id != disk.held || len(after) != 1 || after[0] != before[0] {
			t.Errorf("under way %v, a second later %v; want %s at one step", before, after, disk.held)
		}
		if reading := seen(w.server.Stack().Reading); len(reading) != 0 {
			t.Errorf("nobody reads from %v", reading)
		}
		d, _ := w.established()
		w.callerEnds(w.agent, d)
		close(disk.hangs)
		first.learn(w.carrier.expect("SIP/2.0 180"))
		if after := seen(w.server.Underway); len(after) != 0 {
			t.Errorf("under way %v, though all calls rest", after)
		}
		w.shortCall(w.agent, w.agent.expect("INVITE"), "agent2", first)
	})
}

// If a reader does not return to its socket, its reported step does not change.
func TestReading(t *testing.T) {
	var hangs chan struct{}
	inWorldOf(t, testConfig, func(o *b2bua.Options) {
		hangs = make(chan struct{})
		open := o.Network.Listen
		o.Network.Listen = func(a netip.AddrPort) (transport.Socket, error) {
			s, err := open(a)
			return hangingSocket{s, hangs}, err
		}
	}, func(w *world) {
		d, _ := w.established()
		if reading := seen(w.server.Stack().Reading); len(reading) != 0 {
			t.Errorf("nobody reads from %v", reading)
		}
		w.carrier.send("OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKx\r\n\r\n")
		before := seen(w.server.Stack().Reading)
		time.Sleep(time.Second)
		if after := seen(w.server.Stack().Reading); len(before) != 1 || len(after) != 1 || after[0] != before[0] || before[0].id != w.server.Stack().Listeners()[0].String() {
			t.Errorf("held %v, a second later %v; want %s at one step", before, after, w.server.Stack().Listeners()[0])
		}
		close(hangs)
		w.carrier.expect("SIP/2.0 400")
		if reading := seen(w.server.Stack().Reading); len(reading) != 0 {
			t.Errorf("nobody reads from %v", reading)
		}
		w.callerEnds(w.agent, d)
	})
}

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/sip"
)

// answerer is a system that answers INVITEs by itself, without an agent: some at once, some only when they come
// again, some with 503 or 486.
func answerer(t *testing.T) *system {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	go func() {
		seen := map[string]int{}
		var b [4096]byte
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b[:])
			if err != nil {
				return
			}
			m := sip.Message(b[:n])
			if m.Method() == "ACK" {
				continue
			}
			key := m.Method() + m.Header("Call-ID")
			seen[key]++
			number := 0
			_, _ = fmt.Sscanf(m.Header("From"), `"Load" <sip:+1507%d@`, &number)
			for _, out := range answersTo(m, number, seen[key], at) {
				_, _ = conn.WriteToUDPAddrPort([]byte(out), from)
			}
		}
	}()
	return &system{sut: at, carriers: []netip.AddrPort{loopback}, media: []string{"127.0.0.1"}}
}

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

func answersTo(m sip.Message, number, times int, at netip.AddrPort) []string {
	answer := func(status string) string { return m.Answer(status, "t", sip.Empty) }
	ok := m.Answer("200 OK", "t", fmt.Sprintf("Contact: <sip:x@%v>\r\n", at)+description(loopback.Addr(), 4000))
	bye := m.Method() == "BYE"
	switch {
	case bye && number%10 == 4:
		return []string{answer("481 Call/Transaction Does Not Exist")}
	case bye && number%10 == 5 && times == 1:
		return nil
	case bye:
		return []string{answer("200 OK")}
	case number%10 == 1:
		return []string{answer("503 Service Unavailable")}
	case number%10 == 2:
		return []string{answer("486 Busy Here")}
	case number%10 == 3 && times == 1:
		return nil
	case number%10 == 6: // as if the ACK had been lost
		return []string{ok, ok}
	}
	return []string{answer("100 Trying"), ok}
}

func TestLoad(t *testing.T) {
	b := &bench{at: endpoints{agent: loopback}}
	const calls = 200
	l, err := b.run(answerer(t), plan{hold: 10 * time.Millisecond, steps: []step{{rate: 1000, lasts: calls * time.Millisecond}}})
	if err != nil {
		t.Fatal(err)
	}
	var f figures
	f.take(l)
	f.count(l.carrier.calls)
	if f.Calls != calls || f.Good != calls*7/10 || f.Refused != calls/10 || f.Failed != calls*2/10 || f.Lost != 0 {
		t.Errorf("%+v", f)
	}
	if c := l.carrier.causes; c[486] != calls/10 || c[481] != calls/10 {
		t.Errorf("causes %v", c)
	}
	if requests, answers := l.repeats(); requests < calls*2/10 || answers < calls/10 {
		t.Errorf("%d requests and %d answers came again", requests, answers)
	}
	for i, c := range l.carrier.calls { // those that were repeated wait for T1
		if c.outcome == good && i%10 == 3 && c.setUp < sip.T1 {
			t.Errorf("call %d was set up after %v", i, c.setUp)
		}
	}
}

func TestCallFailsWhoseAudioIsNotRelayed(t *testing.T) {
	b := &bench{at: endpoints{agent: loopback}}
	s := answerer(t)
	s.media = []string{"127.0.0.9"}
	l, err := b.run(s, plan{steps: []step{{rate: 100, lasts: 10 * time.Millisecond}}})
	if err != nil || len(l.carrier.calls) != 1 || l.carrier.calls[0].outcome != failed || l.carrier.causes[200] != 1 {
		t.Errorf("%+v, %v", l.carrier.calls, err)
	}
}

// An agent takes an INVITE without an X-EI only from a system that prepares no call.
func TestAgentWantsXEI(t *testing.T) {
	port, err := batch.Listen(namespace.Here, loopback, largest)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	invite := sip.Message("INVITE sip:x SIP/2.0\r\nVia: a\r\nFrom: b\r\nTo: c\r\nCall-ID: d\r\nCSeq: 1 INVITE\r\n" +
		description(loopback.Addr(), 4000))
	for _, bare := range []bool{false, true} {
		a := newAgent(&load{timers: map[int64][]func(){}}, port, plan{media: []string{"127.0.0.1"}, bare: bare})
		if a.Heard(invite, port.At); (a.taken == 1) != bare {
			t.Errorf("bare %v: %d calls taken", bare, a.taken)
		}
	}
}

func TestSystemRunsOnItsProcessor(t *testing.T) {
	var b bench
	if got := b.alone("kamailio", "-E"); len(got) != 2 {
		t.Errorf("shared: %q", got)
	}
	b.processor = "0" // every machine has it
	line := b.alone("cat", "/proc/self/status")
	out, err := exec.CommandContext(t.Context(), line[0], line[1:]...).Output()
	if err != nil || !bytes.Contains(out, []byte("\nCpus_allowed_list:\t0\n")) {
		t.Errorf("%v, %s", err, out)
	}
}

func TestSchedule(t *testing.T) {
	var s schedule
	steps := []step{{rate: 10, lasts: time.Second}, {lasts: time.Second}, {rate: 100, lasts: time.Second}}
	for _, x := range []struct {
		at   time.Duration
		want int
	}{{0, 0}, {500 * time.Millisecond, 5}, {1500 * time.Millisecond, 10}, {2010 * time.Millisecond, 11}, {4 * time.Second, 110}} {
		if got := s.upTo(steps, x.at); got != x.want {
			t.Errorf("after %v: %d calls; want %d", x.at, got, x.want)
		}
	}
}

// What a timer begins in its own tick is called in a later one, and nothing before it is due.
func TestTimers(t *testing.T) {
	l := &load{timers: map[int64][]func(){}, begun: batch.Clock(unix.CLOCK_MONOTONIC)}
	var called []int
	for i, d := range []time.Duration{time.Hour, 2 * time.Hour} {
		l.after(d, func() { l.after(0, func() { called = append(called, i) }) })
	}
	for _, x := range []struct {
		at   time.Duration
		want int
	}{{time.Hour - tick, 0}, {time.Hour + time.Second, 1}, {3 * time.Hour, 2}} {
		if l.fire(x.at); len(called) != x.want {
			t.Errorf("after %v: %v were called; want %d", x.at, called, x.want)
		}
	}
}

func TestHoldsShare(t *testing.T) {
	c := carrier{plan: plan{hold: 1, long: 2, share: 0.25}}
	long := 0
	for i := range 1000 {
		if c.hold(i) == 2 {
			long++
		}
	}
	if long != 250 {
		t.Errorf("%d of 1000 calls are held for long; want 250", long)
	}
}

func TestRecovery(t *testing.T) {
	var calls []call
	for at := time.Duration(0); at < 10*time.Second; at += 10 * time.Millisecond {
		c := call{start: at + time.Second, setUp: time.Millisecond, outcome: good}
		if at < time.Second || at == 1500*time.Millisecond {
			c.setUp = time.Second
		}
		if at == 1700*time.Millisecond {
			c.outcome = refused
		}
		calls = append(calls, c)
	}
	got, ok := recovery(calls, time.Second, 10*time.Second)
	if want := 1800 * time.Millisecond; !ok || got != want {
		t.Errorf("recovered after %v, %v; want %v", got, ok, want)
	}
	for i := range calls {
		calls[i].outcome = failed
	}
	if got, ok := recovery(calls, time.Second, 10*time.Second); ok {
		t.Errorf("recovered after %v without a good call", got)
	}
}

func TestSearch(t *testing.T) {
	for _, limit := range []int{15, 90, 100, 777, 1500, 100_000} {
		tries := 0
		got, err := search(func(rate int) (bool, error) {
			tries++
			return rate <= limit, nil
		})
		limit = min(limit, highest)
		if err != nil || got > limit || float64(got)*2 < float64(limit) || limit < highest && float64(got)*apart*1.1 < float64(limit) {
			t.Errorf("found %d, %v; want %d", got, err, limit)
		}
		if tries > 15 {
			t.Errorf("%d tries for %d", tries, limit)
		}
	}
	if got, err := search(func(int) (bool, error) { return false, nil }); err == nil {
		t.Errorf("found %d where nothing is clean", got)
	}
}

func TestAnchored(t *testing.T) {
	m := sip.Message("INVITE sip:x SIP/2.0\r\n\r\nv=0\r\nc=IN IP4 127.0.0.12\r\nt=0 0\r\n")
	if !anchored(m, []string{"127.0.0.1", "127.0.0.12"}) || anchored(m, []string{"127.0.0.1"}) {
		t.Error("wrong address found")
	}
}

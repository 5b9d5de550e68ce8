package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/scripts/internal/sip"
)

// held keeps connections from many addresses open: each says something and no more. It
// opens them again when they are closed, until it is stopped.
type held struct {
	opened, open atomic.Int64
	stop         func()
}

func hold(to string, sources, each int, say func(from netip.AddrPort) string, count *tally) *held {
	h := &held{}
	done := make(chan struct{})
	var group sync.WaitGroup
	for i := range sources * each {
		group.Go(func() {
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(strangerAddr(1+i%sources), 0)), Timeout: 2 * time.Second}
			for {
				select {
				case <-done:
					return
				default:
				}
				conn, err := d.Dial("tcp", to)
				if err != nil {
					time.Sleep(200 * time.Millisecond)
					continue
				}
				h.opened.Add(1)
				h.open.Add(1)
				if from, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil {
					n, _ := conn.Write([]byte(say(from)))
					count.requests.Add(1)
					count.bytesIn.Add(int64(n))
				}
				go func() {
					<-done
					conn.Close()
				}()
				b := make([]byte, 4096)
				for err == nil {
					var n int
					n, err = conn.Read(b)
					if n > 0 {
						count.answers.Add(1)
						count.bytesOut.Add(int64(n))
					}
				}
				conn.Close()
				h.open.Add(-1)
				time.Sleep(200 * time.Millisecond)
			}
		})
	}
	h.stop = func() { close(done); group.Wait() }
	return h
}

// slots takes all places of strangers' connections, and those of the admin listener.
func slots(b *bench) ([]*row, error) {
	s, err := b.start(options{phones: true})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	sip, err := sipSlots(b.seconds)
	if err != nil {
		return nil, err
	}
	return []*row{sip, adminSlots(s, b.seconds)}, nil
}

// sipSlots: ten addresses with ten connections each and an unproven INVITE on each,
// while a trunk and another stranger, who has credentials, want in.
func sipSlots(seconds int) (*row, error) {
	r := &row{Attack: "connections: 10 x 10 with an unproven INVITE"}
	count := &tally{}
	began := time.Now()
	h := hold(sutSIP.String(), 10, 10, func(from netip.AddrPort) string {
		return newIDs(newNumber(answered)).request("INVITE", from, "", sip.Description(from))
	}, count)
	defer h.stop()
	time.Sleep(2 * time.Second)
	var trunkIn, strangerIn, tries int
	var first time.Duration
	for until := began.Add(time.Duration(max(seconds, 20)) * time.Second); time.Now().Before(until); time.Sleep(time.Second) {
		tries++
		if overTCP(carrierAddr, credentials{}) {
			trunkIn++
		}
		if overTCP(netip.MustParseAddr("127.9.1.1"), phones) {
			if strangerIn++; strangerIn == 1 {
				first = time.Since(began)
			}
		}
	}
	open := h.open.Load()
	r.take(count, began)
	r.Calls, r.Disturbed = 2*tries, 2*tries-trunkIn-strangerIn
	r.Found = fmt.Sprintf("%d open at the end, %d opened; trunk in %d of %d, stranger with credentials in %d of %d", open, h.opened.Load(), trunkIn, tries, strangerIn, tries)
	if strangerIn > 0 {
		r.Found += fmt.Sprintf(", first after %.0f s", first.Seconds())
	}
	r.must(trunkIn == tries, "a trunk did not get in")
	r.must(strangerIn > 0, "a stranger with credentials never got in")
	return r, nil
}

// overTCP sends OPTIONS over a connection of its own, with credentials where it is
// challenged, and says whether it is taken.
func overTCP(from netip.Addr, c credentials) bool {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: 2 * time.Second}
	conn, err := d.Dial("tcp", sutSIP.String())
	if err != nil {
		return false
	}
	defer conn.Close()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return false
	}
	i, more, b := newIDs("ping"), "", make([]byte, 4096)
	for range 2 {
		i.cseq++
		i.branch += "t"
		text := i.request("OPTIONS", local, more, "")
		text = strings.Replace(text, "SIP/2.0/UDP", "SIP/2.0/TCP", 1)
		if _, err = conn.Write([]byte(text)); err != nil {
			return false
		}
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := conn.Read(b)
		if err != nil {
			return false
		}
		m := sip.Message(b[:n])
		if m.Is("200") {
			return true
		}
		if !m.Is("401") || c == (credentials{}) {
			return false
		}
		more = c.header(m, "OPTIONS", "sip:ping@"+sutSIP.String())
	}
	return false
}

// adminConnections is more than the admin listener takes.
const adminConnections = 300

// adminSlots floods the admin listener with idle connections while /readyz is asked.
func adminSlots(s *system, seconds int) *row {
	r := &row{Attack: "connections: 1,000 idle ones of the admin API"}
	count := &tally{}
	began := time.Now()
	files := s.files()
	h := hold(sutAdmin, 20, 50, func(netip.AddrPort) string { return "GET /readyz HTTP/1.1\r\nHost: x\r\nX: " }, count)
	defer h.stop()
	time.Sleep(2 * time.Second)
	var slowest time.Duration
	most := 0
	for until := began.Add(time.Duration(max(seconds, 15)) * time.Second); time.Now().Before(until); time.Sleep(time.Second) {
		r.Calls++
		took, err := s.ready(5 * time.Second)
		if slowest = max(slowest, took); err != nil {
			r.Disturbed++
		}
		most = max(most, s.files())
	}
	r.take(count, began)
	r.Found = fmt.Sprintf("%d open at the end, %d files more; /readyz answered %d of %d, slowest %d ms", h.open.Load(), most-files, r.Calls-r.Disturbed, r.Calls, slowest.Milliseconds())
	r.must(most-files <= adminConnections, "the listener took %d connections", most-files)
	r.must(r.Disturbed == 0, "/readyz was not answered %d times", r.Disturbed)
	return r
}

// shares: calls of one trunk that ring for ever, while another trunk calls.
func shares(b *bench) ([]*row, error) {
	var rows []*row
	for _, c := range []struct {
		name string
		o    options
	}{
		{"shares: 200 ringing calls, setups: 200", options{limits: ", limits: {setups: 200}"}},
		{"shares: 200 ringing calls, ports for 200", options{media: ", ports: 20000-20799"}},
	} {
		r, err := shareOf(b, c.name, c.o)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func shareOf(b *bench, name string, o options) (*row, error) {
	s, err := b.start(o)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	count := &tally{}
	var up, refused atomic.Int64
	neighbour, err := newPeer(neighbourAddr, 5060, count, func(_ *peer, m sip.Message) {
		switch {
		case m.Is("180"):
			up.Add(1)
		case m.Is("503"):
			refused.Add(1)
		}
	})
	if err != nil {
		return nil, err
	}
	defer neighbour.close()
	r := &row{Attack: name}
	began := time.Now()
	for range 200 {
		neighbour.send(newIDs(newNumber(ringing)).request("INVITE", neighbour.addr, "", sip.Description(netip.AddrPortFrom(neighbourAddr, 20000))))
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(time.Second)
	r.Calls, r.Disturbed = s.honest(carrierAddr, max(b.seconds, 5))()
	r.take(count, began)
	r.Found = fmt.Sprintf("%d ring, %d refused", up.Load(), refused.Load())
	r.must(r.Disturbed == 0, "%d of %d calls of the other trunk were disturbed", r.Disturbed, r.Calls)
	return r, nil
}

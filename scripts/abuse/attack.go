package main

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"flowbridge/scripts/internal/sip"
)

// bench is what all attacks need.
type bench struct {
	binary, dir string
	seconds     int // of each flood
}

func (b *bench) start(o options) (*system, error) { return start(b.binary, b.dir, o) }

// attacks are all attacks, by name.
var attacks = []struct {
	name string
	run  func(*bench) ([]*row, error)
}{
	{"tags", probe},
	{"answers", forge},
	{"branches", branches},
	{"strangers", strangers},
	{"forged", forgedTrunk},
	{"victim", victim},
	{"connections", slots},
	{"shares", shares},
	{"growth", growth},
}

// strangerAddr is an address that no trunk has.
func strangerAddr(n int) netip.Addr { return netip.AddrFrom4([4]byte{127, 9, 0, byte(n)}) }

// attack runs the attacks of these names, all if there are none, each against Flowbridge
// processes of its own. It fails if something did not hold.
func attack(binary, file string, seconds int, names []string) error {
	dir, err := os.MkdirTemp("", "abuse")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{binary: binary, dir: dir, seconds: seconds}
	var all []*row
	broken := 0
	printHead(os.Stdout)
	for _, a := range attacks {
		if len(names) > 0 && !slices.Contains(names, a.name) {
			continue
		}
		rows, err := a.run(b)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		for _, r := range rows {
			r.print(os.Stdout)
			broken += len(r.Broken)
		}
		all = append(all, rows...)
	}
	if len(all) == 0 {
		return fmt.Errorf("no attack is called %s", strings.Join(names, " or "))
	}
	if err := writeJSON(file, all); err != nil {
		return err
	}
	if broken > 0 {
		return fmt.Errorf("%w: %d", errBroken, broken)
	}
	return nil
}

// honest has a trunk call and hang up, one call after the other, for some seconds. The
// function that it gives waits for the end, and says how many calls there were, and how
// many of them were not as they should be.
func (s *system) honest(from netip.Addr, seconds int) func() (calls, disturbed int) {
	done := make(chan struct{})
	var n, bad atomic.Int64
	go func() {
		defer close(done)
		p, err := newPeer(from, 5060, nil, nil)
		if err != nil {
			bad.Add(1)
			return
		}
		defer p.close()
		for until := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(until); {
			n.Add(1)
			c, err := dial(p, newNumber(answered), credentials{}, false, 4*time.Second)
			if err != nil {
				bad.Add(1)
				time.Sleep(200 * time.Millisecond)
				continue
			}
			heard := c.isHeard(s.agent)
			if !c.bye() || !heard {
				bad.Add(1)
			}
		}
	}()
	return func() (int, int) { <-done; return int(n.Load()), int(bad.Load()) }
}

// growth floods for a while, and looks at the process before, meanwhile and afterwards.
func growth(b *bench) ([]*row, error) {
	var rows []*row
	for _, c := range []struct {
		name string
		text func(n int, from netip.AddrPort) string
		from func(i int) netip.Addr
	}{
		{"growth: strangers with stale nonces", func(n int, from netip.AddrPort) string {
			return strings.ReplaceAll(strangerForms(from)[6].text, "%b", fmt.Sprint("g", n))
		}, func(i int) netip.Addr { return strangerAddr(1 + i) }},
		{"growth: CANCELs of a neighbour for nothing", func(_ int, from netip.AddrPort) string {
			return newIDs("x").request("CANCEL", from, "", "")
		}, func(int) netip.Addr { return neighbourAddr }},
		{"growth: INVITEs of a neighbour that are refused", func(_ int, from netip.AddrPort) string {
			return newIDs("x").request("INVITE", from, "Require: nonsense\r\n", "")
		}, func(int) netip.Addr { return neighbourAddr }},
		{"growth: requests of a neighbour outside dialogs", func(n int, from netip.AddrPort) string {
			i := newIDs("x")
			i.toTag = fmt.Sprintf("%028x", n)
			return i.request([]string{"BYE", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY"}[n%6], from, "", "")
		}, func(int) netip.Addr { return neighbourAddr }},
	} {
		r, err := grow(b, c.name, c.text, c.from)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

const (
	growthRate    = 2000
	growthSources = 50
	// growthBound is how much memory the process may have more, a while after a flood.
	growthBound = 150 << 10 // kB
)

func grow(b *bench, name string, text func(int, netip.AddrPort) string, from func(int) netip.Addr) (*row, error) {
	s, err := b.start(options{phones: true})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	count := &tally{}
	var senders []*peer
	for i := range growthSources {
		p, err := newPeer(from(i), 0, count, func(*peer, sip.Message) {})
		if err != nil {
			return nil, err
		}
		defer p.close()
		senders = append(senders, p)
	}
	r := &row{Attack: name}
	before, files, peak := s.memory(), s.files(), 0
	honest := s.honest(carrierAddr, b.seconds)
	began := time.Now()
	last := began
	pace(began.Add(time.Duration(b.seconds)*time.Second), growthRate, func(n int) {
		p := senders[n%len(senders)]
		p.send(text(n, p.addr))
		if now := time.Now(); now.Sub(last) > 200*time.Millisecond {
			last, peak = now, max(peak, s.memory())
		}
	})
	r.Calls, r.Disturbed = honest()
	r.take(count, began)
	time.Sleep(35 * time.Second) // the longest transaction
	after := s.memory()
	r.Found = fmt.Sprintf("%d MB before, %d at most, %d after; %d files more", before>>10, peak>>10, after>>10, s.files()-files)
	r.must(s.alive(), "the process has ended")
	r.must(after-before < growthBound, "%d MB more than before", (after-before)>>10)
	r.must(r.Disturbed == 0, "%d of %d calls of another trunk were disturbed", r.Disturbed, r.Calls)
	return r, nil
}

package media

import (
	"net/netip"
	"testing"
	"time"
)

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func TestLatch(t *testing.T) {
	const ms = time.Millisecond
	type step struct {
		at   time.Duration
		from string
		want verdict // a lock is taken at once
	}
	const (
		named   = "198.51.100.7:4000"
		moved   = "198.51.100.7:61000" // same address, another port
		carrier = "203.0.113.9:5555"   // in the believed prefix
		third   = "203.0.113.10:5556"
		guess   = "192.0.2.66:4000"
	)
	for _, tt := range []struct {
		name  string
		named string
		steps []step
	}{
		{"the source of the SDP", named, []step{{0, named, lock}, {ms, named, keep}}},
		{"the address with another port", named, []step{{0, moved, lock}, {ms, moved, keep}}},
		{"a believed prefix", named, []step{{0, carrier, lock}, {ms, carrier, keep}}},
		{"a guessed address is not believed", named, []step{{0, guess, refuse}, {ms, named, lock}, {2 * ms, guess, refuse}}},
		{"locked is locked", named, []step{{0, named, lock}, {ms, moved, refuse}, {2 * ms, carrier, refuse}, {time.Hour, moved, refuse}, {time.Hour, named, keep}}},
		{"race of two sources, the named one wins", named, []step{
			{0, carrier, lock}, {20 * ms, named, lock}, {21 * ms, carrier, refuse}, {40 * ms, named, keep},
		}},
		{"race of two sources, the named one is first", named, []step{{0, named, lock}, {ms, carrier, refuse}, {20 * ms, named, keep}}},
		{"race of two sources, neither is named", named, []step{{0, carrier, lock}, {ms, third, refuse}, {2 * ms, carrier, keep}}},
		{"the named one in the last moment", named, []step{{0, moved, lock}, {relockWindow - 1, named, lock}}},
		{"the named one too late", named, []step{{0, moved, lock}, {relockWindow, named, refuse}, {relockWindow, moved, keep}}},
		{"a re-lock happens once", named, []step{{0, moved, lock}, {ms, named, lock}, {2 * ms, moved, refuse}, {3 * ms, named, keep}}},
		{"the window does not open without a lock", named, []step{{time.Hour, moved, lock}, {time.Hour + ms, named, lock}}},
		{"nothing named, only believed", "", []step{{0, named, refuse}, {0, carrier, lock}, {ms, third, refuse}}},
		{"IPv6", "[2001:db8::7]:4000", []step{{0, "[2001:db8::8]:4000", refuse}, {0, "[2001:db8::7]:9", lock}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l latch
			var sdp netip.AddrPort
			if tt.named != "" {
				sdp = addr(tt.named)
			}
			l.rename(sdp, prefixes("203.0.113.0/24"), 0)
			for i, s := range tt.steps {
				got := l.judge(addr(s.from), s.at)
				if got != s.want {
					t.Fatalf("step %d: %s at %v: got %d; want %d", i, s.from, s.at, got, s.want)
				}
				if got == lock {
					l.take(addr(s.from), s.at)
				}
			}
		})
	}
}

func TestLatchBelievesNothingBeforeItIsTold(t *testing.T) {
	var l latch
	if got := l.judge(addr("198.51.100.7:4000"), 0); got != refuse {
		t.Errorf("got %d; want refusal", got)
	}
}

func TestLatchRename(t *testing.T) {
	a, b := addr("198.51.100.7:4000"), addr("198.51.100.8:4000")
	for _, tt := range []struct {
		name string
		to   netip.AddrPort
		open bool
	}{
		{"same", a, false},
		{"other port", netip.AddrPortFrom(a.Addr(), 4002), true},
		{"other address", b, true},
		{"none", netip.AddrPort{}, true},
	} {
		var l latch
		l.rename(a, nil, 0)
		l.take(a, 0)
		l.rename(tt.to, prefixes("203.0.113.0/24"), 0)
		if open := !l.source.IsValid(); open != tt.open {
			t.Errorf("%s: open %v; want %v", tt.name, open, tt.open)
		}
		if !l.believes(netip.MustParseAddr("203.0.113.1")) {
			t.Errorf("%s: the new prefix is not believed", tt.name)
		}
	}
}

func TestLatchRelocksAgainAfterRename(t *testing.T) {
	var l latch
	for _, sdp := range []string{"198.51.100.7:4000", "198.51.100.7:6000"} {
		l.rename(addr(sdp), nil, 0)
		l.take(addr("198.51.100.7:5000"), 0)
		if got := l.judge(addr(sdp), time.Millisecond); got != lock {
			t.Errorf("%s: got %d; want a re-lock", sdp, got)
		}
		l.take(addr(sdp), time.Millisecond)
	}
}

// Two peers behind one address: late packets of the first do not lock.
func TestLatchRefusesTheFormerSourceForAWhile(t *testing.T) {
	const named, next = "198.51.100.7:4000", "198.51.100.7:6000"
	former := addr("198.51.100.7:61000")
	for _, tt := range []struct {
		name string
		to   string
		from netip.AddrPort
		at   time.Duration
		want verdict
	}{
		{"late", next, former, lateWindow - 1, refuse},
		{"after the window", next, former, lateWindow, lock},
		{"the new one", next, addr(next), 0, lock},
		{"a third port", next, addr("198.51.100.7:7000"), 0, lock},
		{"nobody is named", "", former, 0, lock},
		{"the former one is named", former.String(), former, 0, lock},
	} {
		var l latch
		l.rename(addr(named), nil, 0)
		l.take(former, 0)
		var to netip.AddrPort
		if tt.to != "" {
			to = addr(tt.to)
		}
		l.rename(to, prefixes("198.51.100.0/24"), 0)
		if got := l.judge(tt.from, tt.at); got != tt.want {
			t.Errorf("%s: got %d; want %d", tt.name, got, tt.want)
		}
	}
}

func TestPartyDestinations(t *testing.T) {
	const sdp, sdpRTCP = "198.51.100.7:4000", "198.51.100.7:4011"
	for _, tt := range []struct {
		name      string
		peer      Peer
		rtp, rtcp string // what is latched
		wantRTP   string
		wantRTCP  string
	}{
		{"from the SDP", Peer{RTP: addr(sdp), RTCP: addr(sdpRTCP)}, "", "", sdp, sdpRTCP},
		{"RTCP by default above", Peer{RTP: addr(sdp)}, "", "", sdp, "198.51.100.7:4001"},
		{"latched as named", Peer{RTP: addr(sdp), RTCP: addr(sdpRTCP)}, sdp, "", sdp, sdpRTCP},
		{"latched at another port", Peer{RTP: addr(sdp), RTCP: addr(sdpRTCP)}, "198.51.100.7:6", "", "198.51.100.7:6", sdpRTCP},
		{"latched elsewhere", Peer{RTP: addr(sdp), RTCP: addr(sdpRTCP)}, "203.0.113.1:6", "", "203.0.113.1:6", "203.0.113.1:7"},
		{"RTCP latched too", Peer{RTP: addr(sdp), RTCP: addr(sdpRTCP)}, "203.0.113.1:6", "203.0.113.1:99", "203.0.113.1:6", "203.0.113.1:99"},
		{"no port above the last", Peer{RTP: addr("198.51.100.7:65535")}, "", "", "198.51.100.7:65535", ""},
		{"nothing named", Peer{}, "203.0.113.1:6", "", "", ""},
		{"held by address", Peer{RTP: addr("0.0.0.0:4000")}, "", "", "", ""},
		{"held by port", Peer{RTP: addr("198.51.100.7:0")}, "", "", "", ""},
		{"multicast", Peer{RTP: addr("224.0.0.1:4000")}, "", "", "", ""},
		{"4-in-6", Peer{RTP: addr("[::ffff:198.51.100.7]:4000")}, "", "", sdp, "198.51.100.7:4001"},
	} {
		var p party
		p.set(tt.peer, 0)
		for k, src := range []string{tt.rtp, tt.rtcp} {
			if src != "" {
				p.latch(Kind(k)).take(addr(src), 0)
			}
		}
		for k, want := range []string{tt.wantRTP, tt.wantRTCP} {
			var w netip.AddrPort
			if want != "" {
				w = addr(want)
			}
			if got := p.dest(Kind(k)); got != w {
				t.Errorf("%s, kind %d: got %v; want %v", tt.name, k, got, w)
			}
		}
	}
}

func TestPartySet(t *testing.T) {
	rtp, rtcp := addr("198.51.100.7:4000"), addr("203.0.113.1:4011")
	locked := func() *party {
		var p party
		p.set(Peer{RTP: rtp, RTCP: rtcp}, 0)
		p.rtp.take(rtp, 0)
		p.rtcp.take(rtcp, 0)
		return &p
	}
	for _, tt := range []struct {
		name           string
		to             Peer
		rtpOn, rtcpOn  bool // locks that stay
		believesOfRTCP string
	}{
		{"same", Peer{RTP: rtp, RTCP: rtcp}, true, true, "198.51.100.7"},
		{"more believed", Peer{RTP: rtp, RTCP: rtcp, Believed: prefixes("192.0.2.0/24")}, true, true, "192.0.2.4"},
		{"other RTCP", Peer{RTP: rtp}, true, false, "198.51.100.7"},
		{"other RTP", Peer{RTP: addr("198.51.100.8:4000"), RTCP: rtcp}, false, false, "198.51.100.8"},
		{"none", Peer{Believed: prefixes("192.0.2.0/24")}, false, false, "192.0.2.4"},
	} {
		p := locked()
		p.set(tt.to, 0)
		if p.rtp.source.IsValid() != tt.rtpOn || p.rtcp.source.IsValid() != tt.rtcpOn {
			t.Errorf("%s: RTP locked on %v, RTCP on %v; want locked %v and %v", tt.name, p.rtp.source, p.rtcp.source, tt.rtpOn, tt.rtcpOn)
		}
		if !p.rtcp.believes(netip.MustParseAddr(tt.believesOfRTCP)) {
			t.Errorf("%s: RTCP from %s is not believed", tt.name, tt.believesOfRTCP)
		}
	}
}

func TestPeerIsCopied(t *testing.T) {
	given := Peer{RTP: addr("198.51.100.7:4000"), Believed: prefixes("192.0.2.1/24")}
	n := given.normal()
	given.Believed[0] = netip.MustParsePrefix("0.0.0.0/0")
	if want := netip.MustParsePrefix("192.0.2.0/24"); n.Believed[0] != want {
		t.Errorf("got %v; want %v", n.Believed[0], want)
	}
}

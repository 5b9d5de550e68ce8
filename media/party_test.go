package media

import (
	"net/netip"
	"testing"

	"flowbridge/media/latch"
	"flowbridge/media/packet"
)

func TestPartyDestinations(t *testing.T) {
	const sdp, sdpRTCP = "198.51.100.7:4000", "198.51.100.7:4011"
	for _, tt := range []struct {
		name      string
		peer      Peer
		rtp, rtcp string // latched sources
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
		p := party{named: &undescribed}
		p.set(new(tt.peer.normal()), 0)
		if tt.rtp != "" {
			p.rtp.Take(addr(tt.rtp), packet.Header{}, 0)
		}
		if tt.rtcp != "" {
			p.rtcp.source = addr(tt.rtcp)
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
	for _, tt := range []struct {
		name          string
		to            Peer
		rtpOn, rtcpOn bool // locks that must stay
	}{
		{"same", Peer{RTP: rtp, RTCP: rtcp}, true, true},
		{"more believed", Peer{RTP: rtp, RTCP: rtcp, Believed: prefixes("192.0.2.0/24")}, true, true},
		{"other RTCP", Peer{RTP: rtp}, true, false},
		{"other RTP", Peer{RTP: addr("198.51.100.8:4000"), RTCP: rtcp}, false, false},
		{"none", Peer{Believed: prefixes("192.0.2.0/24")}, false, false},
	} {
		p := party{named: &undescribed}
		p.set(new(Peer{RTP: rtp, RTCP: rtcp}.normal()), 0)
		p.rtp.Take(rtp, packet.Header{}, 0)
		p.rtcp.source = rtcp
		p.set(new(tt.to.normal()), 0)
		if p.rtp.Source().IsValid() != tt.rtpOn || p.rtcp.source.IsValid() != tt.rtcpOn {
			t.Errorf("%s: RTP locked on %v, RTCP on %v; want locked %v and %v", tt.name, p.rtp.Source(), p.rtcp.source, tt.rtpOn, tt.rtcpOn)
		}
	}
}

func TestPartyJudgesReports(t *testing.T) {
	const named, above, elsewhere, guess = "198.51.100.7:4011", "203.0.113.1:7", "203.0.113.1:9", "192.0.2.66:4011"
	for _, tt := range []struct {
		name   string
		mode   latch.Mode
		rtp    string // locked RTP source
		locked string
		from   string
		want   latch.Verdict
	}{
		{"the named one", latch.Auto, "", "", named, latch.Lock},
		{"a guess", latch.Auto, "203.0.113.1:6", "", guess, latch.Stray},
		{"the address of RTP", latch.Auto, "203.0.113.1:6", "", above, latch.Lock},
		{"before RTP", latch.Auto, "", "", above, latch.Stray},
		{"the locked one", latch.Auto, "203.0.113.1:6", above, above, latch.Keep},
		{"another port beside the locked one", latch.Auto, "203.0.113.1:6", above, elsewhere, latch.Stray},
		{"the named one after another", latch.Auto, "203.0.113.1:6", above, named, latch.Lock},
		{"strict", latch.Strict, "198.51.100.7:4000", "", "198.51.100.7:9", latch.Stray},
		{"strict, named", latch.Strict, "198.51.100.7:4000", "", named, latch.Lock},
		{"off, believed", latch.Off, "", "", above, latch.Keep},
		{"off, a guess", latch.Off, "", "", guess, latch.Stray},
	} {
		p := party{named: &undescribed}
		peer := Peer{
			RTP: addr("198.51.100.7:4000"), RTCP: addr(named), Believed: prefixes("203.0.113.1/32"), Latch: tt.mode,
		}.normal()
		p.set(&peer, 0)
		if tt.rtp != "" {
			p.rtp.Take(addr(tt.rtp), packet.Header{}, 0)
		}
		if tt.locked != "" {
			p.rtcp.source = addr(tt.locked)
		}
		if got := p.judgeReport(addr(tt.from)); got != tt.want {
			t.Errorf("%s: got %d; want %d", tt.name, got, tt.want)
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

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

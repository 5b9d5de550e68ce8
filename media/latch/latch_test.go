package latch

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"flowbridge/media/packet"
)

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// packets describes the packets of one source: n packets with one SSRC, one each 20 ms beginning at at, with increasing
// sequence numbers.
type packets struct {
	at   time.Duration
	from string
	ssrc uint32
	seq  uint16
	n    int
	want string // the latch's decision for each packet: k keep, l lock, s stray, u unproven, f foreign
}

// play gives the packets to a latch, and returns its decisions as letters.
func (p packets) play(l *Latch) string {
	got := make([]byte, 0, p.n)
	for i := range p.n {
		at, h := p.at+time.Duration(i)*20*time.Millisecond, packet.Header{SSRC: p.ssrc, Seq: p.seq + uint16(i)}
		v, src := Stray, addr(p.from)
		if l.Admits(src, at) {
			v = l.Judge(src, h, at)
		}
		switch v {
		case Keep:
			l.heard = at
		case Lock:
			l.Take(src, h, at)
		case Stray, Unproven, Foreign:
		}
		got = append(got, "klsuf"[v])
	}
	return string(got)
}

func TestLatch(t *testing.T) {
	const (
		ms, s = time.Millisecond, time.Second

		named   = "198.51.100.7:4000"
		moved   = "198.51.100.7:61000" // same address, another port
		carrier = "203.0.113.9:5555"   // the address from which the SIP comes
		third   = "203.0.113.9:5556"
		gateway = "192.0.2.200:7000" // listed in the configuration
		guess   = "192.0.2.66:4000"
	)
	for _, tt := range []struct {
		name  string
		mode  Mode
		named string
		steps []packets
	}{
		{"the source of the SDP at once", Auto, named, []packets{{0, named, 1, 9, 3, "lkk"}}},
		{"the address with another port has to prove itself", Auto, named, []packets{{0, moved, 1, 9, 4, "uulk"}}},
		{"so has a believed address", Auto, named, []packets{{0, carrier, 1, 65534, 4, "uulk"}}},
		{"and a listed one", Auto, named, []packets{{0, gateway, 1, 9, 4, "uulk"}}},
		{"a guessed address is nobody, before and after", Auto, named, []packets{
			{0, guess, 1, 9, 9, "sssssssss"}, {s, named, 1, 9, 2, "lk"}, {2 * s, guess, 1, 11, 3, "sss"},
		}},
		{"numbers that stand still prove nothing", Auto, named, []packets{{0, moved, 1, 9, 1, "u"}, {ms, moved, 1, 9, 1, "u"}, {2 * ms, moved, 1, 9, 1, "u"}}},
		{"nor do those that fall", Auto, named, []packets{{0, moved, 1, 9, 1, "u"}, {ms, moved, 1, 8, 1, "u"}, {2 * ms, moved, 1, 7, 1, "u"}}},
		{"nor those of several streams", Auto, named, []packets{{0, moved, 1, 9, 1, "u"}, {ms, moved, 2, 10, 1, "u"}, {2 * ms, moved, 3, 11, 1, "u"}}},
		{"nor those that are far apart", Auto, named, []packets{{0, moved, 1, 9, 2, "uu"}, {3 * s, moved, 1, 11, 2, "uu"}}},
		{"a packet that is missing does no harm", Auto, named, []packets{{0, moved, 1, 9, 1, "u"}, {ms, moved, 1, 11, 1, "u"}, {2 * ms, moved, 1, 14, 1, "l"}}},
		{"many sources at once do not crowd the right one out for ever", Auto, named, []packets{
			{0, "198.51.100.7:1", 1, 9, 1, "u"},
			{0, "198.51.100.7:2", 1, 9, 1, "u"},
			{0, "198.51.100.7:3", 1, 9, 1, "u"},
			{0, "198.51.100.7:4", 1, 9, 1, "u"},
			{0, "198.51.100.7:5", 1, 9, 1, "u"},
			{s, moved, 1, 9, 3, "uul"},
		}},
		{"learning ends", Auto, named, []packets{{LearnWindow, moved, 1, 9, 4, "ssss"}, {LearnWindow, carrier, 1, 9, 4, "ssss"}}},
		{"but not for the named and the listed", Auto, named, []packets{{LearnWindow, gateway, 1, 9, 4, "uulk"}, {LearnWindow + s, named, 5, 9, 4, "uulk"}}},
		{"locked is locked", Auto, named, []packets{
			{0, named, 1, 9, 200, "l" + strings.Repeat("k", 199)}, {2 * s, moved, 2, 9, 6, "ssssss"}, {3 * s, carrier, 2, 9, 6, "ssssss"}, {3 * s, gateway, 2, 9, 6, "ssssss"},
		}},
		{"race of two sources, the named one wins", Auto, named, []packets{
			{0, carrier, 1, 9, 4, "uulk"}, {60 * ms, named, 2, 9, 4, "uulk"}, {120 * ms, carrier, 1, 13, 3, "sss"},
		}},
		{"race of two sources, the named one is first", Auto, named, []packets{{0, named, 2, 9, 2, "lk"}, {20 * ms, carrier, 1, 9, 4, "ssss"}}},
		{"race of two sources, neither is named", Auto, named, []packets{
			{0, carrier, 1, 9, 2, "uu"}, {5 * ms, third, 2, 9, 2, "uu"}, {40 * ms, third, 2, 11, 1, "l"}, {41 * ms, carrier, 1, 11, 3, "sss"},
		}},
		{"the named one too late", Auto, named, []packets{{0, moved, 1, 9, 3, "uul"}, {relockWindow + 40*ms, moved, 1, 14, 2, "kk"}, {relockWindow + 40*ms, named, 2, 9, 4, "ssss"}}},
		{"a re-lock happens once", Auto, named, []packets{{0, moved, 1, 9, 3, "uul"}, {60 * ms, named, 2, 9, 3, "uul"}, {120 * ms, moved, 1, 12, 3, "sss"}}},
		{"silence, and a listed one takes over", Auto, named, []packets{{0, named, 1, 9, 2, "lk"}, {LearnWindow, gateway, 2, 9, 6, "uuuulk"}, {LearnWindow + s, named, 1, 11, 3, "sss"}}},
		{"silence, and another port does not once learning is over", Auto, named, []packets{{0, named, 1, 9, 2, "lk"}, {LearnWindow, moved, 2, 9, 6, "ssssss"}}},
		{"silence, and another port within the window", Auto, named, []packets{{0, named, 1, 9, 2, "lk"}, {3 * s, moved, 2, 9, 6, "uuuulk"}}},
		{"silence, and the named one comes back", Auto, named, []packets{{0, moved, 1, 9, 3, "uul"}, {time.Minute, named, 2, 9, 6, "uuuulk"}}},
		{"another SSRC beside the stream", Auto, named, []packets{{0, named, 1, 9, 2, "lk"}, {25 * ms, named, 666, 9, 3, "fff"}, {70 * ms, named, 1, 11, 3, "kkk"}}},
		{"another SSRC after the stream", Auto, named, []packets{{0, named, 1, 9, 2, "lk"}, {40 * ms, named, 2, 500, 4, "fflk"}}},
		{"an SSRC that pushed in gives way", Auto, named, []packets{
			{0, named, 1, 9, 2, "lk"}, {100 * ms, named, 666, 9, 3, "ffl"}, {150 * ms, named, 1, 11, 3, "ffl"}, {215 * ms, named, 666, 12, 2, "ff"},
		}},
		{"a jump in the numbers is the sender's affair", Auto, named, []packets{{0, named, 1, 9, 2, "lk"}, {30 * ms, named, 1, 20000, 2, "kk"}, {80 * ms, named, 1, 7, 1, "k"}}},
		{"a stream that begins far from where another was", Auto, named, []packets{{0, named, 1, 9, 2, "lk"}, {s, named, 2, 40000, 5, "lkkkk"}}},
		{"numbers that wrap, packets that come late", Auto, named, []packets{{0, named, 1, 65534, 4, "lkkk"}, {70 * ms, named, 1, 65533, 1, "k"}, {80 * ms, named, 1, 2, 1, "k"}}},
		{"nothing named, only believed", Auto, "", []packets{{0, named, 1, 9, 3, "sss"}, {0, carrier, 1, 9, 3, "uul"}}},
		{"IPv6", Auto, "[2001:db8::7]:4000", []packets{{0, "[2001:db8::8]:4000", 1, 9, 1, "s"}, {0, "[2001:db8::7]:9", 1, 9, 3, "uul"}}},

		{"strict: the source of the SDP and no other", Strict, named, []packets{
			{0, moved, 1, 9, 4, "ssss"}, {0, gateway, 1, 9, 4, "ssss"}, {0, named, 1, 9, 2, "lk"}, {s, named, 2, 9, 4, "lkkk"},
		}},
		{"off: all that is believed, one stream at a time", Off, named, []packets{
			{0, named, 1, 9, 2, "kk"},
			{40 * ms, moved, 1, 11, 2, "kk"},
			{80 * ms, moved, 2, 9, 2, "ff"},
			{time.Hour, gateway, 3, 9, 2, "kk"},
			{time.Hour + s, carrier, 4, 9, 2, "kk"},
			{time.Hour + s, guess, 4, 11, 2, "ss"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l Latch
			var sdp netip.AddrPort
			if tt.named != "" {
				sdp = addr(tt.named)
			}
			l.Describe(Description{Named: sdp, Believed: prefixes("203.0.113.9/32"), Listed: prefixes("192.0.2.200/32"), Mode: tt.mode}, 0)
			for i, s := range tt.steps {
				if got := s.play(&l); got != s.want {
					t.Fatalf("step %d: %s with SSRC %d at %v: got %s; want %s", i, s.from, s.ssrc, s.at, got, s.want)
				}
			}
		})
	}
}

func TestLatchBelievesNothingBeforeItIsTold(t *testing.T) {
	var l Latch
	if l.Admits(addr("198.51.100.7:4000"), 0) || l.Admits(netip.AddrPort{}, 0) {
		t.Error("a source is admitted")
	}
}

func TestLatchDescribe(t *testing.T) {
	a, b := addr("198.51.100.7:4000"), addr("198.51.100.8:4000")
	for _, tt := range []struct {
		name string
		to   Description
		open bool
	}{
		{"same", Description{Named: a}, false},
		{"other port", Description{Named: netip.AddrPortFrom(a.Addr(), 4002)}, true},
		{"other address", Description{Named: b}, true},
		{"none", Description{}, true},
		{"hold by zeros", Description{Held: true}, false},
		{"other mode", Description{Named: a, Mode: Strict}, true},
	} {
		var l Latch
		l.Describe(Description{Named: a}, 0)
		l.Take(a, packet.Header{}, 0)
		tt.to.Believed = prefixes("203.0.113.0/24")
		l.Describe(tt.to, 0)
		if open := !l.source.IsValid(); open != tt.open {
			t.Errorf("%s: open %v; want %v", tt.name, open, tt.open)
		}
		if !l.Believes(netip.MustParseAddr("203.0.113.1")) {
			t.Errorf("%s: the new prefix is not believed", tt.name)
		}
	}
}

// After an offer or answer, even one that changes nothing, the latch may learn a new source. If the locked source still
// sends, it stays locked.
func TestLatchLearnsAgainAfterAnOffer(t *testing.T) {
	const moved = "198.51.100.7:61000"
	named := Description{Named: addr("198.51.100.7:4000")}
	for _, tt := range []struct {
		name  string
		heard time.Duration // when the locked source was last heard
		want  string
	}{
		{"while the source sends", time.Hour - 20*time.Millisecond, "ssssss"},
		{"while it is silent", time.Hour - RelockSilence, "uuuulk"},
	} {
		var l Latch
		l.Describe(named, 0)
		l.Take(named.Named, packet.Header{}, tt.heard)
		l.Describe(named, time.Hour)
		if got := (packets{time.Hour, moved, 2, 9, 6, ""}).play(&l); got != tt.want {
			t.Errorf("%s: got %s; want %s", tt.name, got, tt.want)
		}
	}
}

func TestLatchRelocksAgainAfterAChange(t *testing.T) {
	var l Latch
	for _, sdp := range []string{"198.51.100.7:4000", "198.51.100.7:6000"} {
		l.Describe(Description{Named: addr(sdp)}, 0)
		l.Take(addr("198.51.100.7:5000"), packet.Header{}, 0)
		if got := (packets{time.Millisecond, sdp, 2, 9, 3, ""}).play(&l); got != "uul" {
			t.Errorf("%s: got %s; want a re-lock", sdp, got)
		}
	}
}

// Two peers follow each other behind one address. Late packets of the first peer must not lock the latch.
func TestLatchRefusesTheFormerSourceForAWhile(t *testing.T) {
	const named, next, former = "198.51.100.7:4000", "198.51.100.7:6000", "198.51.100.7:61000"
	for _, tt := range []struct {
		name string
		to   string
		from string
		at   time.Duration
		want string
	}{
		{"late", next, former, LateWindow - 50*time.Millisecond, "sss"},
		{"after the window", next, former, LateWindow, "uul"},
		{"the new one", next, next, 0, "lkk"},
		{"a third port", next, "198.51.100.7:7000", 0, "uul"},
		{"nobody is named", "", former, 0, "uul"},
		{"the former one is named", former, former, 0, "lkk"},
	} {
		var l Latch
		l.Describe(Description{Named: addr(named)}, 0)
		l.Take(addr(former), packet.Header{}, 0)
		to := Description{Listed: prefixes("198.51.100.0/24")}
		if tt.to != "" {
			to.Named = addr(tt.to)
		}
		l.Describe(to, 0)
		if got := (packets{tt.at, tt.from, 2, 9, 3, ""}).play(&l); got != tt.want {
			t.Errorf("%s: got %s; want %s", tt.name, got, tt.want)
		}
	}
}

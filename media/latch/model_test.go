package latch

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowbridge/media/packet"
)

// An attacker can forge any source address, but does not see the stream. Whatever it sends,
// it is never heard, it never disturbs the voice while the voice speaks, and after a pause
// the voice loses at most two packets.
func TestLatchUnderAttack(t *testing.T) {
	const named, otherPort, carrier, stranger = "198.51.100.7:4000", "198.51.100.7:4002", "203.0.113.9:4000", "192.0.2.66:4000"
	rapid.Check(t, func(t *rapid.T) {
		var l Latch
		now := time.Duration(0)
		hear := func(from string, h packet.Header) bool {
			src := addr(from)
			if !l.Admits(src, now) {
				return false
			}
			switch l.Judge(src, h, now) {
			case Keep:
				l.heard = now
			case Lock:
				l.Take(src, h, now)
			case Stray, Unproven, Foreign:
				return false
			}
			return true
		}
		describe := func() {
			l.Describe(Description{Named: addr(named), Believed: prefixes("203.0.113.9/32")}, now)
		}
		describe()
		seq := uint16(0)
		for range 30 * 50 { // longer than any pause in the test
			hear(named, packet.Header{SSRC: 1, Seq: seq})
			now += 20 * time.Millisecond
			seq++
		}
		paused, missed := false, 0
		forged := map[uint32]uint16{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"voice", "voice", "forged", "flood", "pause", "elsewhere", "offer"}).Draw(t, "step") {
			case "voice":
				now += time.Duration(rapid.IntRange(1, 25).Draw(t, "ms")) * time.Millisecond
				ok := hear(named, packet.Header{SSRC: 1, Seq: seq})
				seq++
				if ok {
					paused, missed = false, 0
				} else if missed++; !paused || missed > ProofFirst-1 {
					t.Fatalf("the voice is not heard at %v", now)
				}
			case "forged":
				ssrc := uint32(rapid.IntRange(2, 4).Draw(t, "ssrc"))
				for range rapid.IntRange(1, 6).Draw(t, "packets") {
					forged[ssrc]++
					if hear(named, packet.Header{SSRC: ssrc, Seq: forged[ssrc]}) && !paused {
						t.Fatalf("a forged stream is heard beside the voice at %v", now)
					}
				}
			case "flood":
				for ssrc := range uint32(8) {
					hear(named, packet.Header{SSRC: 100 + ssrc, Seq: seq})
				}
			case "pause":
				now += time.Duration(rapid.IntRange(50, 1500).Draw(t, "ms")) * time.Millisecond
				paused, missed = true, 0
			case "elsewhere":
				from := rapid.SampledFrom([]string{otherPort, carrier, stranger}).Draw(t, "from")
				for i := range uint16(6) {
					if hear(from, packet.Header{SSRC: 1, Seq: seq + i}) && (from == stranger || !paused) {
						t.Fatalf("%s is heard at %v", from, now)
					}
				}
			case "offer":
				describe()
			}
			if l.source != addr(named) && !paused {
				t.Fatalf("locked on %v", l.source)
			}
		}
	})
}

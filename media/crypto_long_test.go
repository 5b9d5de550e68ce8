//go:build !race

package media

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// These tests compute for a long time in one goroutine, so scripts/test.sh runs them without the race detector.

func TestRolloverIsFollowed(t *testing.T) {
	for _, suite := range allSuites {
		k := testKeys(suite, 1)
		t.Run(suite.String()+" from a high number", func(t *testing.T) {
			n := 1000
			if suite == SuiteAESCM128SHA80 {
				n += 2 * 65536
			}
			pkts := stretch(t, far(t, k), 65500, n)
			if n := feed(t, opening(t, k).takes, pkts...); n != len(pkts) {
				t.Errorf("%d of %d packets were taken", n, len(pkts))
			}
			if suite != SuiteAESCM128SHA80 {
				return
			}
			o := opening(t, k)
			if n := feed(t, o.takes, pkts[40:1000]...); n != 960 { // the first packets, and the wrap, were lost
				t.Errorf("%d of 960 packets behind the wrap were taken", n)
			}
			if why := o.takes(pkts[30]); why == faultNone { // its number would be negative
				t.Error("a packet from before the window was taken")
			}
		})
	}
}

// Some senders restart their packet numbers with a new key.
func TestCounterBeginsAnewWithKeys(t *testing.T) {
	old, fresh := testKeys(SuiteAESCM128SHA80, 1), testKeys(SuiteAESCM128SHA80, 2)
	var s secure
	opens := func(pkt []byte) fault {
		_, why := s.open(make([]byte, 0, bufferSize), pkt, RTP, 0)
		return why
	}
	s.set(cryptoChange{in: opening(t, old)})
	feed(t, opens, stretch(t, far(t, old), 60000, 70000)...)
	s.set(cryptoChange{in: opening(t, fresh)})
	if n := feed(t, opens, stretch(t, far(t, fresh), 64464, 2000)...); n != 2000 {
		t.Errorf("%d of 2000 packets were taken", n)
	}
}

// TestNumbersAreUsedOnce sends random streams of sources that jump, restart and repeat packets. The payload is zeros,
// so the ciphertext is AES-CM's keystream: no part of it may occur twice. The far side must accept every packet that
// is sent, and packets in the right order must all be sent.
func TestNumbersAreUsedOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k := testKeys(SuiteAESCM128SHA80, 3)
		s, ctx := sealing(t, k), far(t, k)
		seen := map[[16]byte]bool{}
		seq := map[uint32]uint16{}
		zeros := string(make([]byte, 16))
		for range rapid.IntRange(1, 60).Draw(rt, "bursts") {
			ssrc := uint32(rapid.IntRange(1, 2).Draw(rt, "ssrc"))
			switch rapid.IntRange(0, 3).Draw(rt, "how") {
			case 0:
				seq[ssrc] = uint16(rapid.Uint16().Draw(rt, "seq"))
			case 1:
				seq[ssrc] -= uint16(rapid.IntRange(0, 200).Draw(rt, "back"))
			}
			n := rapid.IntRange(1, 200).Draw(rt, "packets")
			out := 0
			for range n {
				pkt := rtpPacket(t, 0, seq[ssrc], zeros)
				binary.BigEndian.PutUint32(pkt[8:], ssrc)
				before := bytes.Clone(pkt)
				sealed, ok := s.seal(make([]byte, 0, bufferSize), pkt, RTP)
				if !bytes.Equal(pkt, before) {
					rt.Fatal("the packet itself was changed")
				}
				seq[ssrc]++
				if !ok {
					continue
				}
				out++
				stream := [16]byte(sealed[packet.HeaderLen:])
				if seen[stream] {
					rt.Fatalf("keystream of %d/%d was used before", ssrc, seq[ssrc]-1)
				}
				seen[stream] = true
				if _, err := ctx.DecryptRTP(nil, sealed, nil); err != nil {
					rt.Fatalf("%d/%d is not taken: %v", ssrc, seq[ssrc]-1, err)
				}
			}
			if out < n-stream.MaxMisorder-2 {
				rt.Fatalf("of %d packets in a row %d went out", n, out)
			}
		}
	})
}

// No packet number is used twice under a key, whenever the process is killed, whatever is relayed, and however old the
// state is that the next process finds. The next process finds the state that was taken last, or a newer one.
func TestNumbersAreUsedOnceInAllLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &lives{t: t, sent: map[[2]uint64]bool{}, seq: map[uint32]uint16{}}
		l.keys = Keys{Suite: SuiteAESCM128SHA80, Key: make([]byte, SuiteAESCM128SHA80.KeyLen())}
		change, err := (&Crypto{Send: &l.keys}).change()
		if err != nil {
			t.Fatal(err)
		}
		l.side = &relay{}
		l.side.init(1, l.side.local, [2]sockets{}, nil)
		l.side.secure[SideB].set(change)
		ssrc := rapid.SampledFrom([]uint32{7, 8, 9})
		for _, s := range []uint32{7, 8, 9} {
			l.seq[s] = rapid.Uint16().Draw(t, "first")
		}
		l.file = l.state(false)
		t.Repeat(map[string]func(*rapid.T){
			"packets": func(t *rapid.T) {
				who := ssrc.Draw(t, "source")
				for range rapid.SampledFrom([]int{1, 2, 50, 1000, 3000}).Draw(t, "packets") {
					l.seq[who]++
					l.seal(packetOf(who, l.seq[who]), RTP)
					if l.sealer().stale && rapid.IntRange(0, 9).Draw(t, "noted") > 0 {
						l.file = l.state(false)
					}
				}
			},
			"a late or repeated packet": func(t *rapid.T) {
				who := ssrc.Draw(t, "source")
				l.seal(packetOf(who, l.seq[who]-rapid.Uint16Range(0, 200).Draw(t, "behind")), RTP)
			},
			"a source that restarts": func(t *rapid.T) { l.seq[ssrc.Draw(t, "source")] = rapid.Uint16().Draw(t, "number") },
			"a report": func(t *rapid.T) {
				l.seal(binary.BigEndian.AppendUint32([]byte{0x80, 201, 0, 1}, ssrc.Draw(t, "source")), RTCP)
			},
			"a state":     func(*rapid.T) { l.file = l.state(false) },
			"a hand-over": func(*rapid.T) { l.resume(l.state(true)) },
			"a kill": func(t *rapid.T) {
				if l.side.note.resumed < resumptionsMost {
					l.resume(l.file)
				}
			},
		})
	})
}

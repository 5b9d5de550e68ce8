package stage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
	"flowbridge/sim"
)

const (
	wordLen   = 600 * opus.Rate / 1000 // samples
	wordEvery = 800 * opus.Rate / 1000
	wordScore = 0.7 // of sim.Match, from which on a word is recognised
)

// words returns n words with pauses between them.
func words(n int) (all []int16) {
	for i := range n {
		all = append(all, sim.SpeechLike(uint64(i), wordLen*time.Second/opus.Rate)...)
		all = append(all, make([]int16, wordEvery-wordLen)...)
	}
	return all
}

// recognised counts the words that are heard.
func recognised(heard, said []int16) (n int) {
	for at := 0; at < len(said); at += wordEvery {
		from, to := max(at-opus.Rate/10, 0), min(at+wordEvery, len(heard))
		if from < to {
			if _, score := sim.Match(heard[from:to], said[at:at+wordLen]); score >= wordScore {
				n++
			}
		}
	}
	return n
}

// network loses a share of the packets, and delays the others by 0 to twice the jitter.
func network(packets [][]byte, loss float64, jitter time.Duration) (at []time.Duration, order []int) {
	rng := rand.New(rand.NewPCG(1, 2))
	at = make([]time.Duration, len(packets))
	for i := range packets {
		at[i] = time.Duration(i)*20*time.Millisecond + time.Duration(rng.Float64()*2*float64(jitter))
		if rng.Float64() >= loss {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, k int) int { return int(at[i] - at[k]) })
	return at, order
}

// transcoded is what the other side hears of packets of side A.
func transcoded(t testing.TB, packets [][]byte, at []time.Duration, order []int) (heard []int16) {
	t.Helper()
	e := newEdges(t, opusSide())
	for _, i := range order {
		e.from(rtpOf(111, uint16(i), uint32(i)*960, packets[i]), at[i])
	}
	e.from(nil, e.now+time.Second)
	heard = make([]int16, (len(packets)+60)*opus.Frame)
	for _, pkt := range e.passed[SideA] {
		h, _ := packet.ParseRTP(pkt)
		audio.ULaw.Decode(heard[int(h.Timestamp):], packet.Payload(pkt))
	}
	return heard
}

// decoded is what a receiver hears that waits for every packet that comes at all.
func decoded(t testing.TB, packets [][]byte, came []int) (heard []int16) {
	t.Helper()
	dec, err := opus.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	is := make([]bool, len(packets)+1)
	for _, i := range came {
		is[i] = true
	}
	for i := range packets {
		var s [opus.Longest]int16
		switch {
		case is[i]:
			_, err = dec.Decode(packets[i], s[:])
		case is[i+1]:
			err = dec.Recover(packets[i+1], s[:opus.Frame])
		default:
			err = dec.Recover(nil, s[:opus.Frame])
		}
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, s[:opus.Frame]...)
	}
	return heard
}

// encoded is audio as Opus.
func encoded(t testing.TB, said []int16, s opus.Settings) (packets [][]byte) {
	t.Helper()
	enc, err := opus.NewEncoder(s)
	if err != nil {
		t.Fatal(err)
	}
	for ; len(said) >= opus.Frame; said = said[opus.Frame:] {
		var pkt [opus.MaxPacket]byte
		n, err := enc.Encode(said[:opus.Frame], pkt[:])
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, slices.Clone(pkt[:n]))
	}
	return packets
}

// TestWords: what is said in Opus is heard in G.711, also with loss and jitter, and no worse than by a receiver that
// waits for each packet.
func TestWords(t *testing.T) {
	const n = 20
	said := words(n)
	packets := encoded(t, said, opus.Settings{FEC: true})
	for _, tt := range []struct {
		loss  float64
		least int
	}{{0, n * 95 / 100}, {0.03, n * 85 / 100}, {0.1, n * 70 / 100}} {
		at, order := network(packets, tt.loss, 40*time.Millisecond)
		got := recognised(transcoded(t, packets, at, order), said)
		ideal := n
		if tt.loss > 0 {
			ideal = recognised(decoded(t, packets, order), said)
		}
		t.Logf("loss %.0f %%: %d of %d words, %d by a receiver that waits", tt.loss*100, got, n, ideal)
		if got < tt.least || got < ideal-1 {
			t.Errorf("loss %.0f %%: %d of %d words; want %d, and about %d", tt.loss*100, got, n, tt.least, ideal)
		}
	}
}

// BenchmarkWords counts the words of five minutes that are heard, encoded and decoded by libopus and by us. It needs
// REFERENCE, the program of media/opus/testdata/reference.c.
func BenchmarkWords(b *testing.B) {
	program := os.Getenv("REFERENCE")
	if program == "" {
		b.Skip("REFERENCE is not set")
	}
	const n = 375
	said := words(n)
	for _, encoder := range []string{"libopus", "ours"} {
		packets := encoded(b, said, opus.Settings{FEC: true})
		if encoder == "libopus" {
			packets = split(reference(b, program, raw(said), "encode", "24000", "1"))
		}
		for _, loss := range []float64{0, 0.03, 0.1} {
			at, order := network(packets, loss, 40*time.Millisecond)
			came := make([][]byte, len(packets))
			for _, i := range order {
				came[i] = packets[i]
			}
			var sent []byte
			for _, p := range came {
				sent = append(binary.LittleEndian.AppendUint16(sent, uint16(len(p))), p...)
			}
			theirs := samplesOf(reference(b, program, sent, "decode"))
			for name, heard := range map[string][]int16{
				"transcoded": transcoded(b, packets, at, order), "opus.Decoder": decoded(b, packets, order), "libopus": theirs,
			} {
				fmt.Printf("encoded by %s, loss %.0f %%, %s: %d of %d words\n", encoder, loss*100, name, recognised(heard, said), n)
			}
		}
	}
	for b.Loop() {
		continue
	}
}

func reference(b *testing.B, program string, in []byte, args ...string) []byte {
	b.Helper()
	c := exec.CommandContext(b.Context(), program, args...)
	c.Stdin = bytes.NewReader(in)
	out, err := c.Output()
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func raw(samples []int16) (b []byte) {
	for _, v := range samples {
		b = binary.LittleEndian.AppendUint16(b, uint16(v))
	}
	return b
}

func samplesOf(b []byte) (samples []int16) {
	for ; len(b) > 1; b = b[2:] {
		samples = append(samples, int16(binary.LittleEndian.Uint16(b)))
	}
	return samples
}

func split(b []byte) (packets [][]byte) {
	for n := binary.LittleEndian.Uint16(b); n != 0xffff; n = binary.LittleEndian.Uint16(b) {
		packets, b = append(packets, b[2:2+n]), b[2+n:]
	}
	return packets
}

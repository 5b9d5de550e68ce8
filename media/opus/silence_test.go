package opus

import (
	"bytes"
	"math"
	"testing"

	"flowbridge/media/audio"
)

// TestSilence: the packets of digital silence are those that the encoder makes, and what follows sounds as near to the
// original as without the shortcut.
func TestSilence(t *testing.T) {
	file := record(t, "speech.bin")
	speech := make([]int16, file.number())
	audio.ULaw.Decode(speech, file)
	speech = speech[:len(speech)/Frame*Frame]
	const pause = 400 // frames
	for name, s := range map[string]Settings{
		"usual": {}, "FEC": {FEC: true}, "low": {Bitrate: 12000, FEC: true}, "CBR": {CBR: true}, "large": {CBR: true, Bitrate: 64000},
		"DTX": {DTX: true},
	} {
		for _, level := range []int16{0, quietest, -quietest} {
			e, _ := pair(t, s)
			plain, _ := pair(t, s)
			quiet := make([]int16, pause*Frame)
			for i := range quiet {
				quiet[i] = level
			}
			var got, want [][]byte
			for i, samples := 0, append(append(append([]int16(nil), speech...), quiet...), speech...); i < len(samples); i += Frame {
				var a, b [MaxPacket]byte
				n, err := e.Encode(samples[i:i+Frame], a[:])
				m, failed := plain.codec.EncodeInt16(samples[i:i+Frame], b[:])
				if err != nil || failed != nil {
					t.Fatal(err, failed)
				}
				if m <= 2 {
					m = 0
				}
				if silent := i >= len(speech) && i < len(speech)+len(quiet); silent && !bytes.Equal(a[:n], b[:m]) {
					t.Fatalf("%s, level %d: the packet after %d frames of silence differs", name, level, (i-len(speech))/Frame)
				}
				if i == len(speech)+(pause-1)*Frame && e.silence.repeated >= settled != (name != "DTX" && name != "large") {
					t.Errorf("%s, level %d: encoding stops, or not: %d frames alike", name, level, e.silence.repeated)
				}
				if n > 0 && m > 0 && name != "DTX" {
					got, want = append(got, append([]byte(nil), a[:n]...)), append(want, append([]byte(nil), b[:m]...))
				}
			}
			if name == "DTX" {
				continue
			}
			after := len(speech) + len(quiet)
			ours, theirs := distance(speech, decodeAll(t, got)[after:]), distance(speech, decodeAll(t, want)[after:])
			if math.Abs(ours-theirs) > .15 {
				t.Errorf("%s, level %d: %.2f dB from the original after silence, %.2f without the shortcut", name, level, ours, theirs)
			}
		}
	}
}

// BenchmarkEncode is a packet of digital silence, and one of noise.
func BenchmarkEncode(b *testing.B) {
	for name, loud := range map[string]float64{"silence": 0, "voice": 3000} {
		b.Run(name, func(b *testing.B) {
			e, _ := pair(b, Settings{FEC: true})
			var samples [Frame]int16
			var packet [MaxPacket]byte
			for i := 0; b.Loop(); i++ {
				for k := range samples {
					samples[k] = int16(loud * math.Sin(float64(i*Frame+k)*.2) * math.Sin(float64(i*Frame+k)*.001))
				}
				if _, err := e.Encode(samples[:], packet[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

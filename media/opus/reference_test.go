package opus

import (
	"encoding/binary"
	"math"
	"os"
	"testing"

	"flowbridge/media/audio"
)

// recorded is a file that testdata/reference.c has written.
type recorded []byte

func record(t *testing.T, name string) recorded {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *recorded) number() uint16 {
	v := binary.LittleEndian.Uint16(*r)
	*r = (*r)[2:]
	return v
}

func (r *recorded) packets() (all [][]byte) {
	for n := r.number(); n != 0xffff; n = r.number() {
		all = append(all, (*r)[:n])
		*r = (*r)[n:]
	}
	return all
}

func decodeAll(t *testing.T, packets [][]byte) (all []int16) {
	t.Helper()
	_, d := pair(t, Settings{})
	for _, pkt := range packets {
		var s [Longest]int16
		n, err := d.Decode(pkt, s[:])
		if err != nil || n != Samples(pkt) {
			t.Fatalf("%d samples, %v", n, err)
		}
		all = append(all, s[:n]...)
	}
	return all
}

// TestReference: libopus' packets in each mode, bandwidth and length, mono and stereo, at 6 to 64 kbit/s, are decoded as
// libopus decodes them, to the last bit or so. Where each packet has another mode, only a packet of 2.5 or 5 ms of CELT
// that comes right behind SILK differs. It is blended with concealed audio, which libopus makes otherwise since 1.3.1, and
// which gopus 0.1.1 misplaces between stereo and mono: a click of 2.5 ms.
func TestReference(t *testing.T) {
	const stride = 7
	file := record(t, "modes.bin")
	for mode := 0; len(file) > 0; mode++ {
		got := decodeAll(t, file.packets())
		if want := int(file.number()); len(got) != want {
			t.Fatalf("mode %d: %d samples; want %d", mode, len(got), want)
		}
		var signal, noise, most float64
		for i := 0; i < len(got); i += stride {
			want := float64(int16(file.number()))
			off := math.Abs(float64(got[i]) - want)
			signal, noise, most = signal+want*want, noise+off*off, max(most, off)
		}
		decibels := 10 * math.Log10(signal/max(noise, 1))
		if decibels < 20 || mode < 16 && most > 1 {
			t.Errorf("mode %d: %.1f dB above the difference to libopus, which is %.0f at most", mode, decibels, most)
		}
	}
}

// TestSound: what we encode is as near to the original as what libopus encodes: at most 1 dB further in log-spectral
// distance from 300 to 3,400 Hz.
func TestSound(t *testing.T) {
	file := record(t, "speech.bin")
	original := make([]int16, file.number())
	file = file[audio.ULaw.Decode(original, file):]
	for _, bitrate := range []uint32{12000, 24000} {
		e, _ := pair(t, Settings{Bitrate: bitrate})
		var packets [][]byte
		for i := 0; i+Frame <= len(original); i += Frame {
			pkt := make([]byte, MaxPacket)
			n, err := e.Encode(original[i:i+Frame], pkt)
			if err != nil {
				t.Fatal(err)
			}
			packets = append(packets, pkt[:n])
		}
		ours := distance(original, decodeAll(t, packets))
		theirs := distance(original, decodeAll(t, file.packets()))
		t.Logf("%d bit/s: %.2f dB, libopus %.2f", bitrate, ours, theirs)
		if ours > theirs+1 || math.IsNaN(ours) {
			t.Errorf("%d bit/s: %.2f dB from the original, libopus %.2f", bitrate, ours, theirs)
		}
	}
}

// distance returns the mean log-spectral distance in dB from 300 to 3,400 Hz, in windows of 32 ms in which something is
// said, of which the best delay up to 20 ms is taken.
func distance(a, b []int16) float64 {
	const size = 256
	delay, best := 0, math.Inf(-1)
	for d := range Frame {
		sum := 0.0
		for i := range min(len(a), len(b)-d) {
			sum += float64(a[i]) * float64(b[i+d])
		}
		if sum > best {
			delay, best = d, sum
		}
	}
	b = b[delay:]
	total, windows := 0.0, 0
	for at := 0; at+size <= min(len(a), len(b)); at += size / 2 {
		if power(a[at:at+size]) < 300*300 {
			continue
		}
		sum, bins := 0.0, 0
		for bin := 300 * size / Rate; bin <= 3400*size/Rate; bin++ {
			off := level(a[at:at+size], bin) - level(b[at:at+size], bin)
			sum, bins = sum+off*off, bins+1
		}
		total, windows = total+math.Sqrt(sum/float64(bins)), windows+1
	}
	return total / float64(windows)
}

// level is the power in dB at a bin of a window.
func level(s []int16, bin int) float64 {
	var re, im float64
	for i, v := range s {
		x := float64(v) * (1 - math.Cos(2*math.Pi*float64(i)/float64(len(s))))
		sin, cos := math.Sincos(2 * math.Pi * float64(bin) * float64(i) / float64(len(s)))
		re, im = re+x*cos, im+x*sin
	}
	return 10 * math.Log10(re*re+im*im+1e6)
}

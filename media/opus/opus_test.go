package opus

import (
	"errors"
	"math"
	"testing"
)

// tone returns samples of 440 Hz.
func tone(n int) []int16 {
	s := make([]int16, n)
	for i := range s {
		s[i] = int16(8000 * math.Sin(2*math.Pi*440*float64(i)/Rate))
	}
	return s
}

// power returns the mean square of samples.
func power(s []int16) (p float64) {
	for _, v := range s {
		p += float64(v) * float64(v) / float64(len(s))
	}
	return p
}

func pair(t testing.TB, s Settings) (*Encoder, *Decoder) {
	t.Helper()
	e, err := NewEncoder(s)
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	return e, d
}

// TestRoundTrip: what is encoded is heard, as loud as before, and in as many bytes as the receiver wants.
func TestRoundTrip(t *testing.T) {
	for _, s := range []Settings{{}, {FEC: true}, {Bitrate: 8000}, {CBR: true, Bitrate: 16000}, {Bitrate: 1}, {Bitrate: 510000}} {
		e, d := pair(t, s)
		in, size := tone(50*Frame), 0
		var out []int16
		for i := range 50 {
			var pkt [MaxPacket]byte
			n, err := e.Encode(in[i*Frame:(i+1)*Frame], pkt[:])
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			if got := Samples(pkt[:n]); got != Frame {
				t.Fatalf("packet of %d samples", got)
			}
			size += n
			var samples [Longest]int16
			if n, err = d.Decode(pkt[:n], samples[:]); err != nil || n != Frame {
				t.Fatal(n, err)
			}
			out = append(out, samples[:n]...)
		}
		if got, want := power(out[10*Frame:]), power(in); got < want/2 || got > want*2 {
			t.Errorf("%+v: power %.0f; want %.0f", s, got, want)
		}
		bitrate := DefaultBitrate
		if s.Bitrate > 0 {
			bitrate = int(min(max(s.Bitrate, bitrateLeast), bitrateMost))
		}
		if size*8 > bitrate*6/5 {
			t.Errorf("%+v: %d bit/s", s, size*8)
		}
	}
}

// TestLoss: a lost packet is no hole, with FEC and without.
func TestLoss(t *testing.T) {
	for _, fec := range []bool{true, false} {
		e, d := pair(t, Settings{FEC: fec})
		in := tone(50 * Frame)
		for i := range 50 {
			var pkt [MaxPacket]byte
			n, _ := e.Encode(in[i*Frame:(i+1)*Frame], pkt[:])
			if i%5 == 4 {
				continue
			}
			if i%5 == 0 && i > 0 {
				var lost [Frame]int16
				if err := d.Recover(pkt[:n], lost[:]); err != nil || power(lost[:]) < power(in)/8 {
					t.Fatalf("fec %t, frame %d: power %.0f, %v", fec, i-1, power(lost[:]), err)
				}
			}
			var samples [Longest]int16
			if _, err := d.Decode(pkt[:n], samples[:]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDTX: nothing is sent for silence, but for a frame from time to time.
func TestDTX(t *testing.T) {
	e, _ := pair(t, Settings{DTX: true})
	sent := 0
	for range 100 {
		var pkt [MaxPacket]byte
		if n, err := e.Encode(make([]int16, Frame), pkt[:]); err != nil {
			t.Fatal(err)
		} else if n > 0 {
			sent++
		}
	}
	if sent == 0 || sent > 30 {
		t.Errorf("%d of 100 frames sent", sent)
	}
}

func TestSamples(t *testing.T) {
	for _, tt := range []struct {
		packet []byte
		want   int
	}{
		{nil, 0},
		{[]byte{0}, 80},
		{[]byte{1 << 3}, 160},
		{[]byte{3<<3 | 1}, 960},
		{[]byte{31 << 3}, 160},
		{[]byte{16 << 3}, 20},
		{[]byte{3}, 0},
		{[]byte{3, 12}, 960},
		{[]byte{3, 13}, 0},
		{[]byte{3, 0}, 0},
	} {
		if got := Samples(tt.packet); got != tt.want {
			t.Errorf("%x: %d samples; want %d", tt.packet, got, tt.want)
		}
	}
}

// TestPanicIsAnError: a panic of the codec is an error of this packet.
func TestPanicIsAnError(t *testing.T) {
	var d Decoder
	if _, err := d.Decode([]byte{8, 1}, make([]int16, Longest)); !errors.Is(err, ErrBroken) {
		t.Errorf("got %v", err)
	}
	var e Encoder
	if _, err := e.Encode(nil, nil); !errors.Is(err, ErrBroken) {
		t.Errorf("got %v", err)
	}
}

// TestAllocations: a packet costs no allocation. A lost one costs three in the library, of 1.5 KB together.
func TestAllocations(t *testing.T) {
	e, d := pair(t, Settings{FEC: true})
	in, i := tone(100*Frame), 0
	var pkt [MaxPacket]byte
	var out [Longest]int16
	run := func() {
		n, _ := e.Encode(in[i*Frame:(i+1)*Frame], pkt[:])
		_, _ = d.Decode(pkt[:n], out[:])
		i = (i + 1) % 100
	}
	for range 50 {
		run()
	}
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%.1f allocations for a packet", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = d.Recover(nil, out[:Frame]) }); n > 3 {
		t.Errorf("%.1f allocations for a lost packet", n)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0}, []byte{3, 12}, []byte{255, 255})
	f.Add([]byte{8, 1, 2, 3}, []byte{0x7b, 0x83, 1, 2, 3, 4, 5}, make([]byte, MaxPacket))
	e, _ := NewEncoder(Settings{FEC: true})
	in := tone(3 * Frame)
	var seed [3][]byte
	for i := range seed {
		var pkt [MaxPacket]byte
		n, _ := e.Encode(in[i*Frame:(i+1)*Frame], pkt[:])
		seed[i] = append([]byte(nil), pkt[:n]...)
	}
	f.Add(seed[0], seed[1], seed[2])
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		d, err := NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		var out [Longest]int16
		for _, pkt := range [][]byte{a, b, c, a} {
			errs := [3]error{d.Recover(pkt, out[:Frame])}
			n, err := d.Decode(pkt, out[:])
			errs[1], errs[2] = err, d.Recover(nil, out[:Frame])
			for _, err := range errs {
				if errors.Is(err, ErrBroken) {
					t.Fatal(err)
				}
			}
			if err == nil && (n < 1 || n > Longest) {
				t.Fatalf("%d samples", n)
			}
		}
	})
}

// TestVoice: the flags of a packet tell speech from a quiet room, as far as the packet has them.
func TestVoice(t *testing.T) {
	enc, err := NewEncoder(Settings{FEC: true})
	if err != nil {
		t.Fatal(err)
	}
	var voiced [2]int // of 20 packets each
	for i := range 40 {
		samples, packet := make([]int16, Frame), make([]byte, MaxPacket)
		for k := range samples {
			samples[k] = int16(i / 20 * int(6000*math.Sin(float64((i*Frame+k)*(i%7+3))/20)))
		}
		n, err := enc.Encode(samples, packet)
		if err != nil {
			t.Fatal(err)
		}
		is, known := Voice(packet[:n])
		if !known {
			t.Fatalf("packet %d: not known", i)
		}
		if is {
			voiced[i/20]++
		}
	}
	if voiced[0] > 0 || voiced[1] < 15 {
		t.Errorf("%d of 20 packets of silence have voice, and %d of sound", voiced[0], voiced[1])
	}
	for _, tt := range []struct {
		packet    []byte
		is, known bool
	}{
		{[]byte{8}, false, true},                  // DTX
		{[]byte{8, 0}, false, true},               //
		{[]byte{8, 0x80, 0}, true, true},          // SILK, 20 ms
		{[]byte{8, 0x40, 0}, false, true},         // only FEC
		{[]byte{3 << 3, 0x20, 0}, true, true},     // 60 ms, voice in the last 20 ms
		{[]byte{3 << 3, 0x10, 0}, false, true},    //
		{[]byte{8 | 4, 0x20, 0}, true, true},      // stereo, voice in the second channel
		{[]byte{8 | 4, 0x5f, 0}, false, true},     //
		{[]byte{16 << 3, 0x80, 0}, false, false},  // CELT
		{[]byte{8 | 1, 0x80, 0x80}, false, false}, // two frames
	} {
		if is, known := Voice(tt.packet); is != tt.is || known != tt.known {
			t.Errorf("% x: %t, %t", tt.packet, is, known)
		}
	}
}

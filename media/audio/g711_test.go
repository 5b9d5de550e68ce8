package audio

import "testing"

func TestG711Vectors(t *testing.T) {
	for _, tt := range []struct {
		code       byte
		uLaw, aLaw int16
	}{
		{0x00, -32124, -5504},
		{0x80, 32124, 5504},
		{0x7f, 0, -848},
		{0xff, 0, 848},
		{0x55, -716, -8},
		{0xd5, 716, 8},
		{0x2a, -5372, -32256},
		{0xaa, 5372, 32256},
		{0x70, -120, -688},
		{0xfe, 8, 880},
	} {
		if got := DecodeULaw(tt.code); got != tt.uLaw {
			t.Errorf("µ-law %#02x: got %d; want %d", tt.code, got, tt.uLaw)
		}
		if got := DecodeALaw(tt.code); got != tt.aLaw {
			t.Errorf("A-law %#02x: got %d; want %d", tt.code, got, tt.aLaw)
		}
	}
	for _, tt := range []struct {
		sample     int16
		uLaw, aLaw byte
	}{
		{0, 0xff, 0xd5},
		{-1, 0x7f, 0x55},
		{8, 0xfe, 0xd5},
		{-8, 0x7e, 0x55},
		{32767, 0x80, 0xaa},
		{-32768, 0x00, 0x2a},
		{32635, 0x80, 0xaa},
		{1000, 0xce, 0xfa},
		{-1000, 0x4e, 0x7a},
	} {
		if got := EncodeULaw(tt.sample); got != tt.uLaw {
			t.Errorf("µ-law of %d: got %#02x; want %#02x", tt.sample, got, tt.uLaw)
		}
		if got := EncodeALaw(tt.sample); got != tt.aLaw {
			t.Errorf("A-law of %d: got %#02x; want %#02x", tt.sample, got, tt.aLaw)
		}
	}
}

// Every sample goes to a code whose value is at least as near as the value of any
// other, but for the clipping at the top and A-law's rounding towards zero by
// up to its dropped three bits.
func TestG711RoundTrip(t *testing.T) {
	for code := range 256 {
		c := byte(code)
		if got := EncodeULaw(DecodeULaw(c)); got != c && c != 0x7f { // 0x7f is minus zero
			t.Errorf("µ-law %#02x comes back as %#02x", c, got)
		}
		if got := EncodeALaw(DecodeALaw(c)); got != c {
			t.Errorf("A-law %#02x comes back as %#02x", c, got)
		}
	}
	for s := -32768; s <= 32767; s++ {
		m := max(s, -s)
		u := int(DecodeULaw(EncodeULaw(int16(s))))
		if limit := max(4, (min(m, uLawClip)+uLawBias)/32+max(0, m-uLawClip)); abs(u-s) > limit {
			t.Fatalf("µ-law: %d becomes %d, more than %d away", s, u, limit)
		}
		a := int(DecodeALaw(EncodeALaw(int16(s))))
		if limit := max(8, m/32+1); abs(a-s) > limit {
			t.Fatalf("A-law: %d becomes %d, more than %d away", s, a, limit)
		}
	}
}

func TestG711IsMonotonic(t *testing.T) {
	for s := -32768; s < 32767; s++ {
		if DecodeULaw(EncodeULaw(int16(s))) > DecodeULaw(EncodeULaw(int16(s+1))) {
			t.Fatalf("µ-law falls at %d", s)
		}
		if DecodeALaw(EncodeALaw(int16(s))) > DecodeALaw(EncodeALaw(int16(s+1))) {
			t.Fatalf("A-law falls at %d", s)
		}
	}
}

func abs(n int) int { return max(n, -n) }

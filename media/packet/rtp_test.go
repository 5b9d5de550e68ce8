package packet

import (
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

func TestParseRTP(t *testing.T) {
	base := "\x00\x07\x00\x00\x00\xa0\xde\xad\xbe\xef"
	for _, tt := range []struct {
		name, pkt string
		want      bool
	}{
		{"header only", "\x80\x00" + base, true},
		{"marker and payload", "\x80\xe5" + base + "audio", true},
		{"empty", "", false},
		{"short", "\x80\x00" + base[:9], false},
		{"version 0", "\x00\x00" + base, false},
		{"version 1", "\x40\x00" + base, false},
		{"version 3", "\xc0\x00" + base, false},
		{"sender report", "\x80\xc8" + base, false},
		{"application RTCP", "\x80\xcc" + base, false},
		{"payload type 77 with marker", "\x80\xcd" + base, true},
		{"one CSRC", "\x81\x00" + base + "csrc", true},
		{"CSRC missing", "\x82\x00" + base + "csrc", false},
		{"extension", "\x90\x00" + base + "\xbe\xde\x00\x01word", true},
		{"extension cut", "\x90\x00" + base + "\xbe\xde\x00\x02word", false},
		{"extension header cut", "\x90\x00" + base + "\xbe\xde", false},
		{"extension without words", "\x90\x00" + base + "\xbe\xde\x00\x00", true},
		{"padding", "\xa0\x00" + base + "ab\x00\x02", true},
		{"all padding", "\xa0\x00" + base + "\x00\x00\x03", true},
		{"padding of nothing", "\xa0\x00" + base + "ab\x00", false},
		{"padding too long", "\xa0\x00" + base + "ab\x05", false},
		{"padding without a byte", "\xa0\x00" + base, false},
	} {
		h, ok := ParseRTP([]byte(tt.pkt))
		if ok != tt.want {
			t.Errorf("%s: got %v; want %v", tt.name, ok, tt.want)
		}
		if !ok {
			continue
		}
		if want := (Header{PayloadType: tt.pkt[1] & 0x7f, Seq: 7, Timestamp: 160, SSRC: 0xdeadbeef}); h != want {
			t.Errorf("%s: got %+v; want %+v", tt.name, h, want)
		}
	}
}

func TestValidRTCP(t *testing.T) {
	report := "\x80\xc9\x00\x01ssrc"
	for _, tt := range []struct {
		name, pkt string
		want      bool
	}{
		{"receiver report", report, true},
		{"compound", report + "\x81\xcb\x00\x01ssrc", true},
		{"header only", "\x80\xcb\x00\x00", true},
		{"lowest type", "\x80\xc0\x00\x00", true},
		{"highest type", "\x80\xdf\x00\x00", true},
		{"type below", "\x80\xbf\x00\x00", false},
		{"type above", "\x80\xe0\x00\x00", false},
		{"version 1", "\x40\xc9\x00\x01ssrc", false},
		{"empty", "", false},
		{"short", "\x80\xc9\x00", false},
		{"cut", report[:7], false},
		{"garbage behind", report + "ab", false},
		{"second of version 0", report + "\x00\xcb\x00\x00", false},
	} {
		if got := ValidRTCP([]byte(tt.pkt)); got != tt.want {
			t.Errorf("%s: got %v; want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzRTPHeader(f *testing.F) {
	f.Add([]byte("\x80\x00\x00\x07\x00\x00\x00\xa0\xde\xad\xbe\xefaudio"))
	f.Add([]byte("\xb1\x80\x00\x07\x00\x00\x00\xa0\xde\xad\xbe\xefcsrc\xbe\xde\x00\x01wordab\x00\x02"))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		h, ok := ParseRTP(pkt)
		if !ok {
			return
		}
		var p rtp.Header
		if n, err := p.Unmarshal(pkt); err == nil {
			want := Header{PayloadType: p.PayloadType, Seq: p.SequenceNumber, Timestamp: p.Timestamp, SSRC: p.SSRC}
			if n > len(pkt) || h != want {
				t.Errorf("got %+v; want %+v", h, want)
			}
		}
	})
}

func FuzzRTCP(f *testing.F) {
	f.Add([]byte("\x80\xc9\x00\x01ssrc"))
	f.Add([]byte("\x80\xc8\x00\x06ssrcntp1ntp2tsmppkts octs\x81\xcb\x00\x01ssrc"))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		if !ValidRTCP(pkt) {
			return
		}
		var total int
		for rest := pkt; len(rest) > 0; {
			var h rtcp.Header
			if err := h.Unmarshal(rest); err != nil {
				t.Fatal(err)
			}
			size := 4 * (int(h.Length) + 1)
			total += size
			rest = rest[size:]
		}
		if total != len(pkt) {
			t.Errorf("lengths add up to %d; want %d", total, len(pkt))
		}
	})
}

func TestPayloadSet(t *testing.T) {
	var p PayloadSet
	for _, pt := range []uint8{0, 8, 63, 64, 127} {
		if p.Has(pt) {
			t.Errorf("%d is in the set already", pt)
		}
		if p.Add(pt); !p.Has(pt) {
			t.Errorf("%d is not in the set", pt)
		}
	}
	n := 0
	for pt := range uint8(128) {
		if p.Has(pt) {
			n++
		}
	}
	if n != 5 {
		t.Errorf("%d are in the set; want 5", n)
	}
}

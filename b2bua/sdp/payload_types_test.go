package sdp

import (
	"net/netip"
	"slices"
	"strconv"
	"testing"
)

// FuzzPayloadTypes: whatever formats and packet time a description has, what is
// made of it has payload types, each once, and is read as the same.
func FuzzPayloadTypes(f *testing.F) {
	f.Add("0 8 101 0", "20")
	f.Add("72 128 abc 08 -1 96", "999999999999")
	f.Add("0\t8  127", "-20")
	f.Add("x", "1e2")
	at := netip.MustParseAddrPort("198.51.100.1:10000")
	f.Fuzz(func(t *testing.T, formats, ptime string) {
		body := "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP " + formats + "\r\na=ptime:" + ptime + "\r\n"
		d, err := Parse([]byte(body))
		if err != nil {
			return
		}
		kept := d.Media().MediaName.Formats
		for i, format := range kept {
			if n, err := strconv.Atoi(format); err != nil || n < 0 || n > 127 || slices.Contains(kept[:i], format) {
				t.Fatalf("%q leaves %q", formats, kept)
			}
		}
		out, err := d.ForTarget(at, kept, AsIs)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil || !slices.Equal(again.Media().MediaName.Formats, kept) {
			t.Fatalf("%q is read as %+v, %v", out, again, err)
		}
		value, told := d.Media().Attribute("ptime")
		if got, still := again.Media().Attribute("ptime"); got != value || still != told {
			t.Fatalf("ptime %q becomes %q", value, got)
		}
	})
}

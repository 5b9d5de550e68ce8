package agreement

import (
	"testing"

	"flowbridge/b2bua/sdp"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// Keys that are sent to a side have the clock of the codec that it speaks, which need not be the first of its
// description (RFC 4733 section 2.1).
func TestEventsHaveTheClockOfTheCodec(t *testing.T) {
	opus := sdp.Codec{Name: "OPUS", Clock: 48000}
	for _, tt := range []struct {
		formats string
		speaks  sdp.Codec
		number  uint8
		clock   uint32
	}{
		{"96 0 102 101", sdp.PCMU, 101, 8000},
		{"96 0 102 101", opus, 102, 48000},
		{"96 0 102", sdp.PCMU, 102, 8000},
		{"96 0 101", opus, 101, 8000},
		{"0 8 101", sdp.PCMA, 101, 8000},
		{"0 101", sdp.Codec{}, 101, 8000},
	} {
		d, err := sdp.Parse(siptest.CRLF("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP " + tt.formats + "\na=rtpmap:96 opus/48000\n" +
			"a=rtpmap:101 telephone-event/8000\na=rtpmap:102 telephone-event/48000\n"))
		if err != nil {
			t.Fatal(err)
		}
		a := Agreement{}
		a.Description[media.SideA], a.Codec[media.SideA] = d, tt.speaks
		if number, clock, ok := a.Events(media.SideA); number != tt.number || clock != tt.clock || !ok {
			t.Errorf("%s, speaking %s: %d with %d Hz, %v; want %d with %d Hz", tt.formats, tt.speaks.Name, number, clock, ok, tt.number, tt.clock)
		}
	}
}

package sdp

import (
	"strings"
	"testing"
)

// A browser that is promised packets which name their stream drops ours, so the promise is neither passed on nor
// repeated.
func TestMidIsNotPromised(t *testing.T) {
	d, err := Parse([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n" +
		"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if text := d.stream; strings.Contains(text, "sdes:mid") || !strings.Contains(text, "ssrc-audio-level") {
		t.Errorf("kept:\n%s", text)
	}
}

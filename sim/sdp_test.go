package sim

import (
	"errors"
	"net/netip"
	"testing"
)

func TestSDP(t *testing.T) {
	u, _ := codecFor(payloadPCMU)
	a, _ := codecFor(payloadPCMA)
	for _, addr := range []string{"127.0.0.1:4000", "[::1]:4000"} {
		ap := netip.MustParseAddrPort(addr)
		m, err := parseSDP(writeSDP(ap, 1, []codec{a, u}, 101))
		if err != nil || m.addr != ap || m.codec.name != "PCMA" || m.event != 101 {
			t.Errorf("got %+v, %v", m, err)
		}
	}
	offer := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
	if _, err := parseSDP([]byte(offer + "m=audio 4000 RTP/AVP 9 18\r\n")); !errors.Is(err, errNoCodec) {
		t.Errorf("got %v", err)
	}
	if m, err := parseSDP([]byte(offer + "m=audio 4000 RTP/AVP 9 0\r\n")); err != nil || m.codec.name != "PCMU" {
		t.Errorf("got %+v, %v", m, err)
	}
	for _, bad := range []string{"", "x", offer, offer + "m=audio 0 RTP/AVP 0\r\n", offer + "m=audio 4000 RTP/SAVP 0\r\n"} {
		if _, err := parseSDP([]byte(bad)); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

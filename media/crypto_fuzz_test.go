package media

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"

	"flowbridge/media/packet"
)

func FuzzOpen(f *testing.F) {
	keys := make([]*Keys, len(allSuites))
	valid := map[string]bool{}
	for i, s := range allSuites {
		keys[i] = testKeys(s, byte(i+1), 9)
		rtpOut := farSeals(f, far(f, keys[i]), rtpPacket(f, 0, 7, "payload"))
		rtcpOut, err := far(f, keys[i]).EncryptRTCP(nil, rtcpPacket(f, 7), nil)
		must(f, err)
		f.Add(rtpOut, byte(i), false)
		f.Add(rtcpOut, byte(i), true)
		valid[string(rtpOut)], valid[string(rtcpOut)] = true, true
	}
	f.Add([]byte{0x90, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0xff, 0xff}, byte(0), false)
	f.Add([]byte{0x9f, 0, 0, 1}, byte(4), false)
	f.Fuzz(func(t *testing.T, pkt []byte, suite byte, report bool) {
		kind := RTP
		if report {
			kind = RTCP
		}
		if len(pkt) > maxPacket {
			return
		}
		k := keys[int(suite)%len(keys)]
		before := bytes.Clone(pkt)
		plain, why := opening(t, k).open(make([]byte, 0, bufferSize), pkt, kind)
		if !bytes.Equal(pkt, before) {
			t.Fatal("the packet was changed")
		}
		if why == faultNone && !valid[string(pkt)] {
			t.Fatalf("a forgery was taken: % x", pkt)
		}
		if why != faultNone && plain != nil {
			t.Fatal("a packet that is not taken gives something")
		}
		if _, ok := packet.ParseRTP(pkt); ok && kind == RTP { // a valid packet in plain RTP leaves encrypted
			header := rtp.Header{}
			if _, err := header.Unmarshal(pkt); err != nil || header.ExtensionProfile == rtp.CryptexProfileOneByte || header.ExtensionProfile == rtp.CryptexProfileTwoByte {
				return // it goes to the side that is encrypted
			}
			out, ok := sealing(t, k).seal(make([]byte, 0, bufferSize), pkt, kind)
			if !ok {
				return
			}
			if back, why := opening(t, k).open(make([]byte, 0, bufferSize), out, kind); why != faultNone || !bytes.Equal(back[4:], pkt[4:]) {
				t.Fatalf("% x came back as % x, %d", pkt, back, why)
			}
		}
	})
}

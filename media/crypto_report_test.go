package media

import (
	"bytes"
	"fmt"
	"testing"
)

func TestReportsAreProtected(t *testing.T) {
	for _, suite := range allSuites {
		for _, mki := range [][]byte{nil, {0, 0, 0, 1}} {
			t.Run(fmt.Sprintf("%v with MKI % x", suite, mki), func(t *testing.T) {
				k := testKeys(suite, 1, mki...)
				ctx := far(t, k)
				o, s := opening(t, k), sealing(t, k)
				report := rtcpPacket(t, 7)
				in, err := ctx.EncryptRTCP(nil, report, nil)
				must(t, err)
				dst := make([]byte, 0, bufferSize)
				for i := range in {
					bad := bytes.Clone(in)
					bad[i] ^= 0x80
					if _, why := o.open(dst, bad, RTCP); why == faultNone {
						t.Errorf("a report with byte %d changed was taken", i)
					}
				}
				if _, why := o.open(dst, report, RTCP); why != faultUnauthentic {
					t.Errorf("a plain report: %d; want unauthentic", why)
				}
				plain, why := o.open(dst, in, RTCP)
				if why != faultNone || !bytes.Equal(plain, report) {
					t.Fatalf("got % x, %d; want % x", plain, why, report)
				}
				if _, why := o.open(dst, in, RTCP); why != faultReplayed {
					t.Errorf("again: %d; want replayed", why)
				}
				back := far(t, k)
				for range 3 {
					out, ok := s.seal(dst, report, RTCP)
					if !ok {
						t.Fatal("a report did not go out")
					}
					if plain, err := back.DecryptRTCP(nil, out, nil); err != nil || !bytes.Equal(plain, report) {
						t.Fatalf("the far side got % x, %v", plain, err)
					}
				}
				if _, ok := s.seal(dst, []byte{0x80, 203, 0, 0}, RTCP); ok {
					t.Error("a report of 4 bytes went out")
				}
			})
		}
	}
}

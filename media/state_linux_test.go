package media

import (
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// A state costs little where calls are set up.
func BenchmarkState(b *testing.B) {
	for name, secured := range map[string]bool{"plain": false, "SRTP": true} {
		b.Run(name, func(b *testing.B) {
			e := openEngine(b, nil)
			s := newSession(b, e, SessionConfig{})
			quiet(s)
			if secured {
				if err := s.SetCrypto(SideA, Crypto{Receive: benchKeys(1), Send: benchKeys(2)}); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.worker.do(command{op: opSync}); err != nil {
				b.Fatal(err)
			}
			b.Run("taken", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					_ = s.State()
				}
			})
			b.Run("encoded", func(b *testing.B) {
				b.ReportAllocs()
				st := s.State()
				var size int
				for b.Loop() {
					p, err := cbor.Marshal(&st)
					if err != nil {
						b.Fatal(err)
					}
					size = len(p)
				}
				b.ReportMetric(float64(size), "bytes")
			})
		})
	}
}

func benchKeys(n byte) *Keys {
	k := Keys{Suite: SuiteAESCM128SHA80, Key: make([]byte, SuiteAESCM128SHA80.KeyLen())}
	k.Key[0] = n
	return &k
}

package media

import (
	"net/netip"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// BenchmarkState measures what taking a state costs while a call is set up.
func BenchmarkState(b *testing.B) {
	for name, secured := range map[string]bool{"plain": false, "SRTP": true} {
		b.Run(name, func(b *testing.B) {
			e := openEngine(b, nil)
			br := &bridge{a: newClient(b, "127.0.1.1:0"), b: newClient(b, "127.0.2.1:0")}
			s := newSession(b, e, SessionConfig{})
			s.SetPeer(SideA, Peer{RTP: br.a.addr, Codec: "PCMU", Believed: []netip.Prefix{netip.PrefixFrom(br.a.addr.Addr(), 32)}})
			s.SetPeer(SideB, Peer{RTP: br.b.addr, Codec: "PCMU", Believed: []netip.Prefix{netip.PrefixFrom(br.b.addr.Addr(), 32)}})
			s.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 101})
			s.Start()
			for seq := range uint16(100) {
				br.a.send(s.Local(SideA), sourcePacket(b, 7, seq))
				br.b.read()
				br.b.send(s.Local(SideB), sourcePacket(b, 8, seq))
				br.a.read()
			}
			if secured {
				must(b, s.SetCrypto(SideA, Crypto{Receive: benchKeys(1), Send: benchKeys(2)}))
			}
			must(b, s.worker.do(command{op: opSync}))
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
					must(b, err)
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

package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/srtp/v3"
)

// allSuites lists all suites.
var allSuites = []Suite{
	SuiteAESCM128SHA80, SuiteAESCM128SHA32, suiteAES256CMSHA80, SuiteAES256CMSHA32, SuiteAEADAES128GCM, SuiteAEADAES256GCM,
}

// testKeys returns keys that are derived from a seed.
func testKeys(s Suite, seed byte, mki ...byte) *Keys {
	return &Keys{Suite: s, Key: bytes.Repeat([]byte{seed}, s.KeyLen()), MKI: mki}
}

// far returns the library's context for the far side. It shares nothing with our code.
func far(tb testing.TB, k *Keys) *srtp.Context {
	tb.Helper()
	s := suites[k.Suite]
	ctx, err := srtp.CreateContext(k.Key[:s.key], k.Key[s.key:], s.profile, srtp.MasterKeyIndicator(k.MKI),
		srtp.SRTPReplayProtection(64), srtp.SRTCPReplayProtection(64))
	must(tb, err)
	return ctx
}

func farSeals(tb testing.TB, ctx *srtp.Context, pkt []byte) []byte {
	tb.Helper()
	out, err := ctx.EncryptRTP(nil, pkt, nil)
	must(tb, err)
	return out
}

func opening(tb testing.TB, k *Keys) *opener {
	tb.Helper()
	ctx, err := k.context()
	must(tb, err)
	return newOpener(*k, ctx)
}

func sealing(tb testing.TB, k *Keys) *sealer {
	tb.Helper()
	ctx, err := k.context()
	must(tb, err)
	return newSealer(*k, ctx)
}

func TestSuites(t *testing.T) {
	for _, s := range allSuites {
		if got, ok := ParseSuite(s.String()); !ok || got != s {
			t.Errorf("%v is read as %v, %v", s, got, ok)
		}
		key, err1 := suites[s].profile.KeyLen()
		salt, err2 := suites[s].profile.SaltLen()
		if err := errors.Join(err1, err2); err != nil || s.KeyLen() != key+salt {
			t.Errorf("%v: %d bytes, %v; want %d", s, s.KeyLen(), err, key+salt)
		}
	}
	for _, name := range []string{"", "none", "aes_cm_128_hmac_sha1_8", "F8_128_HMAC_SHA1_80", "AES_192_CM_HMAC_SHA1_80"} {
		if s, ok := ParseSuite(name); ok {
			t.Errorf("%q is read as %v", name, s)
		}
	}
	if Suite(0).String() != "none" || Suite(99).String() != "none" || Suite(99).KeyLen() != 0 {
		t.Error("an unknown suite has a name or a key")
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	k := Keys{Suite: SuiteAESCM128SHA80, Key: bytes.Repeat([]byte("K"), 30)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		for _, v := range []any{k, &k, Crypto{Send: &k}, []Keys{k}} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "KKK") || strings.Contains(text, "4b4b") || strings.Contains(text, "75 75") {
				t.Errorf("%s of %T shows the key: %s", verb, v, text)
			}
		}
	}
}

func TestKeysAreChecked(t *testing.T) {
	for name, k := range map[string]*Keys{
		"no suite": {Key: make([]byte, 30)}, "unknown suite": {Suite: 77, Key: make([]byte, 30)},
		"short key": {Suite: SuiteAESCM128SHA80, Key: make([]byte, 29)}, "no key": {Suite: SuiteAEADAES128GCM},
		"long MKI": {Suite: SuiteAESCM128SHA80, Key: make([]byte, 30), MKI: make([]byte, 129)},
	} {
		if err := k.check(); !errors.Is(err, errKeys) {
			t.Errorf("%s: %v; want ErrKeys", name, err)
		}
	}
}

func TestWindow(t *testing.T) {
	w := window{}
	meet := func(index uint64, fresh bool) {
		t.Helper()
		if got := w.fresh(index); got != fresh {
			t.Errorf("%d is fresh: %v; want %v", index, got, fresh)
		}
		if fresh {
			w.add(index)
		}
	}
	meet(1000, true)
	meet(1000, false)
	meet(1063, true)
	meet(1000, false)
	meet(1001, true)
	meet(1064, true)
	meet(1000, false) // too old by now
	meet(999, false)
	meet(100000, true)
	meet(1064, false)
	meet(99937, true)
	meet(99936, false)
	for _, c := range []struct {
		top   uint64
		seq   uint16
		index uint64
		ok    bool
	}{
		{0, 5, 5, true},
		{100, 65530, 0, false},
		{65530, 3, 65539, true},
		{65539, 65530, 65530, true},
		{1<<32 + 5, 65535, 1<<32 - 1, true},
		{40000, 39000, 39000, true},
		{40000, 1, 65537, true},
	} {
		w := window{top: c.top, seen: 1}
		if index, ok := w.guess(c.seq); ok != c.ok || (ok && index != c.index) {
			t.Errorf("beside %d, %d is %d, %v; want %d, %v", c.top, c.seq, index, ok, c.index, c.ok)
		}
	}
}

// feed passes packets to open and returns how many it accepted.
func feed(t *testing.T, open func(pkt []byte) fault, pkts ...[]byte) (taken int) {
	t.Helper()
	for _, p := range pkts {
		if open(p) == faultNone {
			taken++
		}
	}
	return taken
}

func (o *opener) takes(pkt []byte) fault {
	_, why := o.open(make([]byte, 0, bufferSize), pkt, RTP)
	return why
}

// stretch returns n encrypted packets of the far side. Their numbers count up from
// from, modulo 2^16.
func stretch(tb testing.TB, ctx *srtp.Context, from uint16, n int) (pkts [][]byte) {
	tb.Helper()
	for i := range n {
		pkts = append(pkts, farSeals(tb, ctx, rtpPacket(tb, 0, from+uint16(i), "words")))
	}
	return pkts
}

func TestReplaysAndForgeries(t *testing.T) {
	for _, suite := range allSuites {
		t.Run(suite.String(), func(t *testing.T) {
			k := testKeys(suite, 1)
			ctx := far(t, k)
			o := opening(t, k)
			pkts := stretch(t, ctx, 100, 10)
			if n := feed(t, o.takes, pkts[3], pkts[1], pkts[2], pkts[0]); n != 4 {
				t.Errorf("%d of 4 packets out of order were taken", n)
			}
			for i := range 4 {
				if why := o.takes(pkts[i]); why != faultReplayed {
					t.Errorf("packet %d again: %d; want replayed", i, why)
				}
			}
			for i := range pkts[5] {
				bad := bytes.Clone(pkts[5])
				bad[i] ^= 0x01
				if why := o.takes(bad); why == faultNone {
					t.Errorf("a packet with byte %d changed was taken", i)
				}
			}
			for n := range pkts[5] {
				if why := o.takes(pkts[5][:n]); why == faultNone {
					t.Errorf("the first %d bytes of a packet were taken", n)
				}
			}
			if why := o.takes(rtpPacket(t, 0, 200, strings.Repeat("plain", 32))); why != faultUnauthentic {
				t.Errorf("plain RTP: %d; want unauthentic", why)
			}
			if why := o.takes(pkts[5]); why != faultNone {
				t.Errorf("the true one after all these: %d", why)
			}
		})
	}
}

func TestFormerKeys(t *testing.T) {
	old, fresh := testKeys(SuiteAESCM128SHA80, 1), testKeys(SuiteAEADAES128GCM, 2)
	var s secure
	dst := make([]byte, 0, bufferSize)
	now := time.Hour
	opens := func(pkt []byte) fault {
		_, why := s.open(dst, pkt, RTP, now)
		return why
	}
	s.set(cryptoChange{in: opening(t, old)})
	under := far(t, old)
	pkts := stretch(t, under, 60000, 10000) // the numbers cross a roll-over
	if n := feed(t, opens, pkts[:9000]...); n != 9000 {
		t.Fatalf("%d of 9000 packets were taken", n)
	}

	s.set(cryptoChange{in: opening(t, old)}) // a re-INVITE with the same keys
	if n := feed(t, opens, pkts[8990:9002]...); n != 2 {
		t.Errorf("the same keys again: %d were taken; want 2 and no replay", n)
	}

	s.set(cryptoChange{in: opening(t, fresh)})
	now += time.Minute // our answer was lost
	if n := feed(t, opens, pkts[9002:9010]...); n != 8 {
		t.Errorf("%d of 8 packets under the former keys were taken", n)
	}
	then := far(t, fresh)
	then.SetROC(0xcafe0001, 1) // RFC 3711 §3.3.1: the roll-over counter is not reset
	next := stretch(t, then, uint16(60000+9010-65536), 10)
	if n := feed(t, opens, next...); n != 10 {
		t.Errorf("%d of 10 packets under the new keys were taken", n)
	}
	if n := feed(t, opens, pkts[9010], pkts[9009]); n != 1 {
		t.Errorf("late under the former keys: %d; want 1 and no replay", n)
	}
	now += formerKeysFor
	if n := feed(t, opens, pkts[9011:9020]...); n != 0 {
		t.Errorf("%d packets under the former keys were taken after %v", n, formerKeysFor)
	}
	if s.former != nil {
		t.Error("the former keys are still there")
	}
}

func TestKeysComeBack(t *testing.T) {
	first, second := testKeys(SuiteAESCM128SHA80, 1), testKeys(SuiteAESCM128SHA80, 2)
	var s secure
	s.set(cryptoChange{in: opening(t, first), out: sealing(t, first)})
	in, out := s.in, s.out
	s.set(cryptoChange{in: opening(t, second), out: sealing(t, second)})
	if s.in == in || s.out == out {
		t.Fatal("other keys have the same contexts")
	}
	s.set(cryptoChange{in: opening(t, first), out: sealing(t, first)}) // the change was withdrawn
	if s.in != in || s.out != out {
		t.Error("keys that come back have another context: what was sent under them is not known any more")
	}
	s.set(cryptoChange{})
	if s.in != nil || s.former != nil || s.out != nil {
		t.Error("no keys, and still secured")
	}
	s.set(cryptoChange{out: sealing(t, first)})
	if s.out != out {
		t.Error("a key that comes back after none has another context")
	}
	awaited, err := (&Crypto{Awaited: true}).change() // another peer took over the side, and no keys were agreed on
	must(t, err)
	for _, c := range []cryptoChange{{}, awaited, {}, {out: sealing(t, first)}} {
		s.set(c)
	}
	if s.out != out {
		t.Error("a key that comes back after awaited ones has another context")
	}
}

// RFC 4568 §6.4: the first number is in the lower half.
func TestFirstNumberIsLow(t *testing.T) {
	k := testKeys(SuiteAEADAES128GCM, 1)
	s, ctx := sealing(t, k), far(t, k)
	for i := range 100 {
		sealed, ok := s.seal(make([]byte, 0, bufferSize), rtpPacket(t, 0, 65530+uint16(i), "x"), RTP)
		if !ok {
			t.Fatalf("packet %d did not go out", i)
		}
		if want := uint16(65530 + i - 1<<15); binary.BigEndian.Uint16(sealed[2:]) != want {
			t.Fatalf("packet %d has number %d; want %d", i, binary.BigEndian.Uint16(sealed[2:]), want)
		}
		if i%2 == 0 { // the other packets are lost
			if _, err := ctx.DecryptRTP(nil, sealed, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSourcesAreBounded(t *testing.T) {
	k := testKeys(SuiteAESCM128SHA32, 1)
	s, o := sealing(t, k), opening(t, k)
	ctx := far(t, k)
	sent, taken := 0, 0
	for ssrc := range uint32(3 * maxGuesses) {
		pkt := sourcePacket(t, ssrc+1, 1)
		if _, ok := s.seal(make([]byte, 0, bufferSize), pkt, RTP); ok {
			sent++
		}
		sealed := farSeals(t, ctx, pkt)
		if ssrc%2 == 0 {
			sealed[len(sealed)-1] ^= 1
		}
		if o.takes(sealed) == faultNone {
			taken++
		}
	}
	if sent != maxSources || taken != maxSources {
		t.Errorf("%d sources sent and %d taken; want %d", sent, taken, maxSources)
	}
}

// TestGuessesAreBounded: forged first packets of ever new sources make state for at most maxGuesses of them. A packet
// whose roll-over counter needs no guess is taken after that, too.
func TestGuessesAreBounded(t *testing.T) {
	k := testKeys(SuiteAESCM128SHA32, 1)
	o, ctx := opening(t, k), far(t, k)
	for ssrc := range uint32(3 * maxGuesses) {
		sealed := farSeals(t, ctx, sourcePacket(t, ssrc+1, 1))
		sealed[len(sealed)-1] ^= 1
		if o.takes(sealed) == faultNone {
			t.Fatal("a forged packet is taken")
		}
	}
	kept := 0
	for ssrc := range uint32(3 * maxGuesses) {
		if _, known := o.ctx.ROC(ssrc + 1); known {
			kept++
		}
	}
	if kept != maxGuesses {
		t.Errorf("there is state for %d forged sources; want %d", kept, maxGuesses)
	}
	if why := o.takes(farSeals(t, ctx, sourcePacket(t, 1<<20, 1))); why != faultNone {
		t.Errorf("an authentic packet is refused: %v", why)
	}
}

//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"flowbridge/media/audio"
)

// side is a phone with one codec, RTP or SRTP, and its own stream. Here the SRTP library assigns
// the packet numbers, whereas the B2BUA chooses them itself. So each side reads packets that were
// protected independently, by the book.
type side struct {
	*phone
	law   audio.Law
	suite string   // empty for RTP
	lines []string // additional lines of its session description

	at   netip.AddrPort // address to which it sends
	from *net.UDPConn   // socket from which it sends, usually that of its description

	secret     []byte        // the side's own master key and salt
	seal, open *srtp.Context // nil for RTP

	ssrc uint32
	seq  uint16
	ts   uint32

	got    []rtp.Packet // received packets, decrypted
	opened int          // number of arrivals that are in got
}

// newSide creates a side at an address. Its numbers start so that they pass 65535 in a long
// conversation, as a real phone's do at some time.
func (s *stage) newSide(addr netip.Addr, law audio.Law, suite string, lines ...string) *side {
	s.Helper()
	p := s.newPhone(addr)
	d := &side{phone: p, law: law, suite: suite, lines: lines, from: p.rtp, ssrc: 0x5eed0000 | uint32(local(p.rtp).Port()), seq: 65436, ts: 1<<32 - 8000}
	if suite != "" {
		d.secret = make([]byte, keyLength(suite))
		_, _ = rand.Read(d.secret)
		d.seal = d.context(d.secret)
	}
	return d
}

// profile returns the profile of a suite of SDES (RFC 4568 section 6.2, RFC 6188, RFC 7714).
func profile(suite string) srtp.ProtectionProfile {
	return map[string]srtp.ProtectionProfile{
		"AES_CM_128_HMAC_SHA1_80": srtp.ProtectionProfileAes128CmHmacSha1_80,
		"AES_CM_128_HMAC_SHA1_32": srtp.ProtectionProfileAes128CmHmacSha1_32,
		"AES_256_CM_HMAC_SHA1_80": srtp.ProtectionProfileAes256CmHmacSha1_80,
		"AES_256_CM_HMAC_SHA1_32": srtp.ProtectionProfileAes256CmHmacSha1_32,
		"AEAD_AES_128_GCM":        srtp.ProtectionProfileAeadAes128Gcm,
		"AEAD_AES_256_GCM":        srtp.ProtectionProfileAeadAes256Gcm,
	}[suite]
}

// keyLength returns the length of a suite's master key and salt, in bytes.
func keyLength(suite string) int {
	p := profile(suite)
	key, _ := p.KeyLen()
	salt, _ := p.SaltLen()
	return key + salt
}

func (d *side) context(key []byte) *srtp.Context {
	d.Helper()
	p := profile(d.suite)
	n, err := p.KeyLen()
	if err == nil && len(key) != keyLength(d.suite) {
		err = fmt.Errorf("%d bytes of key", len(key))
	}
	var c *srtp.Context
	if err == nil {
		c, err = srtp.CreateContext(key[:n], key[n:], p)
	}
	if err != nil {
		d.Fatalf("%s: %v", d.suite, err)
	}
	return c
}

// sdp returns the side's offer or answer: one codec, telephone-events, and a key.
func (d *side) sdp() string {
	at := local(d.rtp)
	kind, name, proto := 0, "PCMU", "RTP/AVP"
	if d.law == audio.ALaw {
		kind, name = 8, "PCMA"
	}
	lines := []string{"a=ptime:20", "a=sendrecv"}
	if d.suite != "" {
		proto = "RTP/SAVP"
		lines = append(lines, "a=crypto:1 "+d.suite+" inline:"+base64.StdEncoding.EncodeToString(d.secret))
	}
	return strings.Join(append(append([]string{
		"v=0", fmt.Sprintf("o=e2e 7 7 IN IP4 %v", at.Addr()), "s=e2e", fmt.Sprintf("c=IN IP4 %v", at.Addr()), "t=0 0",
		fmt.Sprintf("m=audio %d %s %d 101", at.Port(), proto, kind), fmt.Sprintf("a=rtpmap:%d %s/8000", kind, name),
		"a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15",
	}, lines...), d.lines...), "\n") + "\n"
}

// meets reads the B2BUA's address and key from its message.
func (d *side) meets(m message) {
	d.Helper()
	var err error
	d.at, err = m.rtp()
	must(d, err)
	_, line, secured := strings.Cut(m.body(), "\r\na=crypto:")
	if secured != (d.suite != "") || secured != strings.Contains(m.body(), " RTP/SAVP ") {
		d.Fatalf("SRTP by %q, and the other side says\n%s", d.suite, m.body())
	}
	if !secured {
		return
	}
	line, _, _ = strings.Cut(line, "\r\n")
	text, ok := strings.CutPrefix(line, "1 "+d.suite+" inline:")
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		d.Fatalf("a=crypto:%s; want tag 1 and %s (%v)", line, d.suite, err)
	}
	d.open = d.context(key)
}

// says sends audio as RTP, a packet every 20 ms.
func (d *side) says(samples []int16) {
	d.Helper()
	var packets [][]byte
	for i, all := 0, codes(d.law, samples); i+frame <= len(all); i += frame {
		packets = append(packets, d.packet(all[i:i+frame], i == 0))
	}
	d.talkFrom(d.from, packets, d.at)
}

// packet returns the next packet of the side's stream.
func (d *side) packet(payload []byte, marker bool) []byte {
	d.Helper()
	h := rtp.Header{Version: 2, Marker: marker, PayloadType: d.kind(), SequenceNumber: d.seq, Timestamp: d.ts, SSRC: d.ssrc}
	d.seq++
	d.ts += frame
	raw, err := (&rtp.Packet{Header: h, Payload: payload}).Marshal()
	if err == nil && d.seal != nil {
		raw, err = d.seal.EncryptRTP(nil, raw, nil)
	}
	must(d, err)
	return raw
}

func (d *side) kind() uint8 {
	if d.law == audio.ALaw {
		return 8
	}
	return 0
}

// hears returns the RTP received so far.
func (d *side) hears() []rtp.Packet {
	d.Helper()
	for _, a := range d.heard()[d.opened:] {
		d.opened++
		raw, err := a.data, error(nil)
		if d.open != nil {
			raw, err = d.open.DecryptRTP(nil, a.data, nil)
		}
		var p rtp.Packet
		if err == nil {
			err = p.Unmarshal(raw)
		}
		if err != nil {
			d.Fatalf("packet %d: %v", d.opened-1, err)
		}
		d.got = append(d.got, p)
	}
	return d.got
}

// awaits waits until this many packets have been received in total.
func (d *side) awaits(n int) []rtp.Packet {
	d.Helper()
	if !within(patience, func() bool { return len(d.hears()) >= n }) {
		d.Fatalf("%d packets are heard; want %d", len(d.hears()), n)
	}
	return d.got
}

// oneStream checks that packets are one stream with consecutive numbers and rising timestamps.
func oneStream(t *testing.T, got []rtp.Packet) {
	t.Helper()
	for i := 1; i < len(got); i++ {
		a, b := got[i-1].Header, got[i].Header
		if b.SSRC != a.SSRC || b.SequenceNumber != a.SequenceNumber+1 || int32(b.Timestamp-a.Timestamp) <= 0 {
			t.Fatalf("packet %d of %d: SSRC %x, number %d, timestamp %d after %x, %d, %d", i, len(got),
				b.SSRC, b.SequenceNumber, b.Timestamp, a.SSRC, a.SequenceNumber, a.Timestamp)
		}
	}
}

// evenly checks that timestamps also rise by exactly a packet's samples.
func evenly(t *testing.T, got []rtp.Packet) {
	t.Helper()
	oneStream(t, got)
	for i := 1; i < len(got); i++ {
		if step := got[i].Timestamp - got[i-1].Timestamp; step != frame {
			t.Fatalf("packet %d of %d: the timestamp rises by %d; want %d", i, len(got), step, frame)
		}
	}
}

// carries checks that packets have these codes as payload, under this payload type.
func carries(t *testing.T, got []rtp.Packet, kind uint8, want []byte) {
	t.Helper()
	if len(got) != len(want)/frame {
		t.Fatalf("%d packets; want %d", len(got), len(want)/frame)
	}
	for i, p := range got {
		if p.PayloadType != kind || !bytes.Equal(p.Payload, want[i*frame:(i+1)*frame]) {
			t.Fatalf("packet %d of %d, payload type %d: %x; want type %d: %x", i, len(got), p.PayloadType, p.Payload, kind, want[i*frame:(i+1)*frame])
		}
	}
}

// payloads returns the payloads of packets, joined.
func payloads(got []rtp.Packet) []byte {
	var all []byte
	for _, p := range got {
		all = append(all, p.Payload...)
	}
	return all
}

// length returns how many packets some audio makes.
func length(samples []int16) int { return len(samples) / frame }

// conversation is a call between two sides, which SIPp sets up.
type conversation struct {
	*stage
	one, two       *side
	carrier, agent *sipp
	id             string // Call-ID on the carrier's side
}

// converse sets up a call of two sides with their own descriptions. options are for both SIPps.
func (s *stage) converse(one, two *side, options ...string) *conversation {
	s.Helper()
	c := &conversation{stage: s, one: one, two: two}
	c.agent = s.agentPlays("described", options, "@SDP@", two.sdp())
	c.carrier = s.carrierPlays("described", options, "@SDP@", one.sdp())
	c.id = c.carrier.answered(1)[0]
	c.agent.confirmed(1)
	one.meets(c.carrier.received("SIP/2.0 200", 1)[0])
	two.meets(c.agent.received("INVITE ", 1)[0])
	return c
}

// hangUp makes the carrier end the call.
func (c *conversation) hangUp() {
	c.Helper()
	c.carrier.proceed(c.id)
	c.carrier.finish()
	c.agent.finish()
}

package sim

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestParseFault(t *testing.T) {
	for in, want := range map[string]Fault{
		"":            {},
		"slow":        {Kind: FaultSlow, After: 2 * time.Second},
		"slow:250ms":  {Kind: FaultSlow, After: 250 * time.Millisecond},
		"late":        {Kind: FaultLate, After: 10 * time.Second},
		"hangup:1s":   {Kind: FaultHangup, After: time.Second},
		"early":       {Kind: FaultEarly, After: time.Second},
		"early:200ms": {Kind: FaultEarly, After: 200 * time.Millisecond},
		"status:302":  {Kind: FaultStatus, Status: 302},
		"status:699":  {Kind: FaultStatus, Status: 699},
		"500":         {Kind: Fault500},
		"failed":      {Kind: FaultFailed},
		"hang":        {Kind: FaultHang},
		"malformed":   {Kind: FaultMalformed},
		"reset":       {Kind: FaultReset},
		"silent":      {Kind: FaultSilent},
		"busy":        {Kind: FaultBusy},
		"429":         {Kind: Fault429},
		"429:1500ms":  {Kind: Fault429, After: 1500 * time.Millisecond},
		"html":        {Kind: FaultHTML},
		"html:200":    {Kind: FaultHTML, Status: 200},
		"gzipbomb":    {Kind: FaultGzipBomb},
		"redirect":    {Kind: FaultRedirect},
	} {
		got, err := ParseFault(in)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"x", "busy:1s", "slow:", "slow:x", "slow:-1s", "SLOW", "status", "status:", "status:200", "status:700", "status:x", "reset:1s", "early:x", "429:", "429:2", "html:", "html:600", "echo:1", "crlf:x"} {
		if _, err := ParseFault(in); err == nil {
			t.Errorf("%q accepted", in)
		}
	}
}

func packet(seq uint16, ts uint32, ssrc uint32, kind byte, payload []byte) []byte {
	b := make([]byte, rtpHeader, rtpHeader+len(payload))
	b[0], b[1] = 0x80, kind
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], ts)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return append(b, payload...)
}

func TestReceptionCounts(t *testing.T) {
	var r reception
	now := time.Unix(0, 0)
	frame := func(v byte) []byte {
		f := make([]byte, frameSamples)
		for i := range f {
			f[i] = v
		}
		return f
	}
	u, _ := codecFor(payloadPCMU)
	peer := &remoteMedia{codec: u, event: 101}
	in := func(seq int, v byte) { r.take(packet(uint16(seq), uint32(seq)*160, 1, 0, frame(v)), peer, now) }
	in(65534, 1)
	in(65535, 2)
	in(65536+1, 4) // over the wrap, one late
	in(65536, 3)
	in(65536, 3)   // twice
	in(65536+4, 7) // two lost
	r.take([]byte("no rtp at all"), peer, now)
	r.take(packet(9, 9, 1, 96, frame(0)), peer, now)
	r.take(packet(5, 65540*160, 1, 101, []byte{5, 0, 0, 80}), peer, now)
	r.take(packet(6, 65540*160, 1, 101, []byte{5, 0x80, 0, 160}), peer, now)
	if got := r.lost(); r.stats.Received != 7 || got != 2 || r.stats.OutOfOrder != 1 || r.stats.Duplicates != 1 || r.stats.Foreign != 2 {
		t.Errorf("got %+v, lost %d", r.stats, got)
	}
	if string(r.digits) != "5" {
		t.Errorf("digits %q", r.digits)
	}
	for i, want := range []byte{1, 2, 3, 4, 0xff, 0xff, 7} {
		if got := r.heard[i*frameSamples]; got != want {
			t.Errorf("frame %d: got %d; want %d", i, got, want)
		}
	}
	// Another source goes on where the first one ended.
	r.take(packet(100, 5, 2, 8, frame(0xd5)), peer, now)
	if len(r.heard) != 8*frameSamples || r.lost() != 2 {
		t.Errorf("got %d samples, %d lost", len(r.heard), r.lost())
	}
}

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

func TestTones(t *testing.T) {
	if _, err := newTones("12x"); err == nil {
		t.Error("accepted x")
	}
	q, _ := newTones("1D")
	events, firsts, ends := 0, 0, 0
	for f := range uint32(60) {
		p, _, first, event := q.next(f * frameSamples)
		if !event {
			continue
		}
		events++
		if first {
			firsts++
		}
		if p[1]&0x80 != 0 {
			ends++
		}
	}
	if events != 16 || firsts != 2 || ends != 6 {
		t.Errorf("got %d packets, %d firsts, %d ends", events, firsts, ends)
	}
	if _, _, _, event := (*tones)(nil).next(0); event {
		t.Error("event from nothing")
	}
}

func TestOneWayDelays(t *testing.T) {
	var sent, same, rewritten []PacketMark
	for i := range 100 {
		m := PacketMark{SSRC: 1, Seq: uint16(i), Sum: uint32(1000 + i%60), At: int64(i) * 20e6}
		sent = append(sent, m)
		m.At += int64(1+i) * 1e6
		if i == 50 {
			continue
		}
		same = append(same, m)
		m.SSRC, m.Seq = 2, m.Seq+777
		rewritten = append(rewritten, m)
	}
	for name, heard := range map[string][]PacketMark{"same": same, "rewritten": rewritten} {
		d := PooledDelays([]MarkPair{{sent, heard}})
		if d.Packets != 99 || d.Min != time.Millisecond || d.P50 != 50*time.Millisecond || d.P99 != 100*time.Millisecond || d.Max != 100*time.Millisecond {
			t.Errorf("%s: got %+v", name, d)
		}
	}
	if d := PooledDelays([]MarkPair{{sent, nil}}); d != (Delays{}) {
		t.Errorf("got %+v", d)
	}
}

func TestSipfragStatus(t *testing.T) {
	for body, want := range map[string]int{
		"SIP/2.0 200 OK\r\n": 200, "SIP/2.0 100 Trying": 100, "SIP/2.0 603": 603,
		"": 0, "SIP/2.0 ": 0, "SIP/2.0 20": 0, "SIP/2.0 2x0 OK": 0, "SIP/2.0 -12": 0, "SIP/1.0 200 OK": 0, "NOTIFY": 0,
	} {
		if got := sipfragStatus([]byte(body)); got != want {
			t.Errorf("%q: got %d; want %d", body, got, want)
		}
	}
}

package media

import (
	"bytes"
	"testing"

	"flowbridge/media/audio"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

func TestRewrite(t *testing.T) {
	const before = "\x80\xe5\xff\xff\xff\xff\xff\xff\x00\x00\x00\x01audio"
	for _, tt := range []struct {
		name    string
		rewrite rewrite
		want    string
	}{
		{"identity", rewrite{}, before},
		{"SSRC", rewrite{Shift: stream.Shift{SSRC: 0x01020304}}, "\x80\xe5\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04audio"},
		{"sequence wraps", rewrite{Shift: stream.Shift{SeqOffset: 3}}, "\x80\xe5\x00\x02\xff\xff\xff\xff\x00\x00\x00\x01audio"},
		{"timestamp wraps", rewrite{Shift: stream.Shift{TimeOffset: 161}}, "\x80\xe5\xff\xff\x00\x00\x00\xa0\x00\x00\x00\x01audio"},
		{"payload type keeps the marker", rewrite{Payload: [8]PayloadChange{{From: 8, To: 0}, {From: 101, To: 96}}}, "\x80\xe0\xff\xff\xff\xff\xff\xff\x00\x00\x00\x01audio"},
		{"payload type to 0", rewrite{Payload: [8]PayloadChange{{From: 101, To: 0}}}, "\x80\x80\xff\xff\xff\xff\xff\xff\x00\x00\x00\x01audio"},
		{"payload types are changed once", rewrite{Payload: [8]PayloadChange{{From: 101, To: 96}, {From: 96, To: 101}}}, "\x80\xe0\xff\xff\xff\xff\xff\xff\x00\x00\x00\x01audio"},
		{"another payload type", rewrite{Payload: [8]PayloadChange{{From: 0, To: 8}}}, before},
		{"PCMU to PCMA", rewrite{Payload: [8]PayloadChange{{From: 101, To: 8, Op: PayloadToALaw}}}, "\x80\x88\xff\xff\xff\xff\xff\xff\x00\x00\x00\x01" + translated("audio", audio.EncodeALaw)},
		{"an impossible one leaves the marker alone", rewrite{Payload: [8]PayloadChange{{From: 101, To: 255}}}, "\x80\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x01audio"},
	} {
		pkt := []byte(before)
		tt.rewrite.apply(pkt)
		if string(pkt) != tt.want {
			t.Errorf("%s: got % x; want % x", tt.name, pkt, tt.want)
		}
	}
}

// translated returns PCMU converted to the other law, sample by sample.
func translated(ulaw string, encode func(int16) byte) string {
	out := []byte(ulaw)
	for i, code := range out {
		out[i] = encode(audio.DecodeULaw(code))
	}
	return string(out)
}

func TestRewriteDrops(t *testing.T) {
	r := rewrite{Payload: [8]PayloadChange{{From: 0, To: 0, Op: PayloadDrop}}}
	for pt, relayed := range map[uint8]bool{0: false, 8: true} {
		if got := r.apply(rtpPacket(t, pt, 1, "x")); got != relayed {
			t.Errorf("payload type %d: relayed %v; want %v", pt, got, relayed)
		}
	}
}

// FuzzRewrite: a rewrite of the header changes nothing after the header, and the identity
// changes nothing at all.
func FuzzRewrite(f *testing.F) {
	f.Add([]byte("\x80\x00\x00\x07\x00\x00\x00\xa0\xde\xad\xbe\xefaudio"))
	f.Add([]byte("\xb1\x80\x00\x07\x00\x00\x00\xa0\xde\xad\xbe\xefcsrc\xbe\xde\x00\x01wordab\x00\x02"))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		h, ok := packet.ParseRTP(pkt)
		if !ok {
			return
		}
		changed := bytes.Clone(pkt)
		(&rewrite{}).apply(changed)
		if !bytes.Equal(changed, pkt) {
			t.Error("the identity changed the packet")
		}
		r := rewrite{Shift: stream.Shift{SSRC: 5, SeqOffset: 1, TimeOffset: 160}, Payload: [8]PayloadChange{{From: h.PayloadType, To: h.PayloadType ^ 1}}}
		r.apply(changed)
		if !bytes.Equal(changed[packet.HeaderLen:], pkt[packet.HeaderLen:]) || changed[0] != pkt[0] {
			t.Error("the rewrite went past the header")
		}
	})
}

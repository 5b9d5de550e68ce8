package sim

import (
	"encoding/binary"
	"strings"
	"time"
)

// Party is a program that plays one end of an answered call. The goroutines that send and receive call it, so it must
// not block.
type Party interface {
	// Speak is called every 20 ms. It fills the frame, 160 samples of silence, or returns one of Keys that is pressed.
	Speak(now time.Time, frame []int16) (key byte)
	// Hear gets each packet that came, without duplicates. The payload is only valid during the call.
	Hear(p Packet)
}

// Packet is an RTP packet of G.711, or of a telephone-event.
type Packet struct {
	At              time.Time
	SSRC, Timestamp uint32
	PayloadType     uint8
	Event           bool // a telephone-event (RFC 4733)
	Payload         []byte
}

// Keys are the keys of a telephone, by their event (RFC 4733 §3.2).
const Keys = "0123456789*#ABCD"

// pressed is the key that a party presses; 0: none.
type pressed struct {
	key     byte
	began   uint32
	samples uint16
}

// join makes a party play this end.
func (s *stream) join(p Party) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.party, s.rx.hear = p, p.Hear
}

// speak fills the payload with what the party says. It reports whether it has sent a key instead. The end of a key is
// sent three times (RFC 4733 §2.5.1.4).
func (s *stream) speak(payload []byte, peer *remoteMedia, now time.Time) (keyed bool) {
	var pcm [frameSamples]int16
	key := s.party.Speak(now, pcm[:])
	copy(payload, peer.codec.encodeAll(pcm[:]))
	for range 3 {
		if s.key.key != key && s.key.key != 0 {
			s.sendKey(peer, 0x80)
		}
	}
	if s.key.key != key {
		s.key = pressed{key: key, began: s.ts}
	}
	if key == 0 || peer.event == 0 {
		return false
	}
	s.key.samples += frameSamples
	s.sendKey(peer, 0)
	s.ts += frameSamples
	return true
}

// sendKey sends a telephone-event of -10 dBm0 (RFC 4733 §2.3), if the peer takes any.
func (s *stream) sendKey(peer *remoteMedia, end byte) {
	if peer.event == 0 {
		return
	}
	packet := append([]byte(nil), s.out[:rtpHeader]...)
	if packet[1] = peer.event; s.key.samples == frameSamples && end == 0 {
		packet[1] |= 0x80
	}
	binary.BigEndian.PutUint16(packet[2:], s.seq)
	binary.BigEndian.PutUint32(packet[4:], s.key.began)
	packet = append(packet, byte(strings.IndexByte(Keys, s.key.key)), end|10)
	s.seq++
	s.transmit(binary.BigEndian.AppendUint16(packet, s.key.samples), peer)
}

package sim

import (
	"encoding/binary"
	"strings"
	"time"
)

// Party is a program that plays one end of an answered call, in place of the built-in words. The goroutines that send
// and receive call it, so it must not block.
type Party interface {
	// Speak is called every 20 ms. It fills the frame, 160 samples of silence, and returns 0; or it returns the key that
	// is pressed at that time: one of 0-9, *, # and A-D.
	Speak(now time.Time, frame []int16) (key byte)
	// Hear gets each packet that came, without duplicates. The payload is only valid during the call.
	Hear(p Packet)
}

// Packet is an RTP packet of G.711, or of a telephone-event.
type Packet struct {
	At          time.Time
	SSRC        uint32
	Timestamp   uint32
	PayloadType uint8
	Event       bool // a telephone-event (RFC 4733)
	Payload     []byte
}

// Keys are the keys of a telephone, by their event (RFC 4733 §3.2).
const Keys = "0123456789*#ABCD"

// The bits and the repetition of a telephone-event (RFC 4733 §2.3, §2.5.1.4).
const (
	eventEnd     = 0x80
	eventVolume  = 10 // -10 dBm0
	eventRepeats = 3  // packets that tell the end
)

// pressed is the key that a party presses.
type pressed struct {
	key     byte // 0: none
	began   uint32
	samples uint16
}

// join makes a party play this end.
func (s *stream) join(p Party) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.party, s.rx.hear = p, p.Hear
}

// speak fills the payload with what the party says. It reports whether the party presses a key: then it has sent the
// event.
func (s *stream) speak(payload []byte, peer *remoteMedia, now time.Time) (keyed bool) {
	var pcm [frameSamples]int16
	key := s.party.Speak(now, pcm[:])
	copy(payload, peer.codec.encodeAll(pcm[:]))
	if peer.event == 0 {
		key = 0 // the other side takes no keys
	}
	if s.key.key != 0 && s.key.key != key {
		for range eventRepeats {
			s.sendKey(peer, eventEnd)
		}
		s.key = pressed{}
	}
	if key == 0 {
		return false
	}
	if s.key.key == 0 {
		s.key = pressed{key: key, began: s.ts}
	}
	s.key.samples += frameSamples
	s.sendKey(peer, 0)
	s.ts += frameSamples
	return true
}

// sendKey sends a packet of the key that is pressed.
func (s *stream) sendKey(peer *remoteMedia, end byte) {
	packet := make([]byte, rtpHeader, rtpHeader+4)
	copy(packet, s.out[:rtpHeader])
	packet[1] = peer.event
	if s.key.samples == frameSamples && end == 0 {
		packet[1] |= 0x80
	}
	binary.BigEndian.PutUint16(packet[2:], s.seq)
	binary.BigEndian.PutUint32(packet[4:], s.key.began)
	packet = append(packet, byte(max(strings.IndexByte(Keys, s.key.key), 0)), end|eventVolume)
	s.seq++
	s.transmit(binary.BigEndian.AppendUint16(packet, s.key.samples), peer)
}

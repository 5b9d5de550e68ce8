package opus

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/thesyncim/gopus"
)

const (
	// Rate is the sampling rate of all samples, in Hz.
	Rate = 8000

	// Clock is the rate of the RTP timestamps, in Hz, at any bandwidth (RFC 7587 section 4.1).
	Clock = 48000

	// Scale is the length of a sample in units of Clock.
	Scale = Clock / Rate

	// Frame is the length of an encoded packet: 20 ms, in samples.
	Frame = Rate / 50

	// Longest is the longest packet, 120 ms, in samples (RFC 6716 section 3.4).
	Longest = Rate * 120 / 1000

	// MaxPacket is the size of the largest packet that is encoded, in bytes: one frame (RFC 6716 section 3.4).
	MaxPacket = 1275

	// DefaultBitrate is the bitrate in bit/s if the receiver names none. With in-band FEC, narrowband speech gains
	// nothing above it.
	DefaultBitrate = 24000

	bitrateLeast, bitrateMost = 6000, 64000 // bit/s

	complexity   = 1
	expectedLoss = 10 // percent, for which the encoder adds FEC
)

// ErrBroken means that the codec has panicked. It must not be used again.
var ErrBroken = errors.New("the Opus codec has failed")

// errLength means that a packet is not a packet of Opus.
var errLength = errors.New("not an Opus packet")

// Settings are a receiver's wishes (RFC 7587 section 6.1).
type Settings struct {
	Bitrate uint32 `cbor:"1,keyasint,omitempty"` // maxaveragebitrate, limited to 6000 to 64000 bit/s; 0: default
	FEC     bool   `cbor:"2,keyasint,omitempty"` // useinbandfec
	DTX     bool   `cbor:"3,keyasint,omitempty"` // usedtx
	CBR     bool   `cbor:"4,keyasint,omitempty"` // cbr
}

// guarded turns a panic of the codec into ErrBroken, including a memory fault in its assembly code, which would
// otherwise end the process. before is the result of debug.SetPanicOnFault.
func guarded(before bool, err *error) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrBroken, p)
	}
}

// Encoder encodes the samples of one stream. It belongs to one goroutine at a time.
type Encoder struct {
	codec   *gopus.Encoder
	silence silence
}

// NewEncoder returns an encoder for a receiver with these wishes. It takes 0.2 ms and 160 KB.
func NewEncoder(s Settings) (e *Encoder, err error) {
	defer guarded(debug.SetPanicOnFault(true), &err)
	c, err := gopus.NewEncoder(gopus.EncoderConfig{SampleRate: Rate, Channels: 1, Application: gopus.ApplicationVoIP})
	if err != nil {
		return nil, fmt.Errorf("opus: %w", err)
	}
	bitrate := DefaultBitrate
	if s.Bitrate > 0 {
		bitrate = int(min(max(s.Bitrate, bitrateLeast), bitrateMost))
	}
	mode := gopus.BitrateModeVBR
	if s.CBR {
		mode = gopus.BitrateModeCBR
	}
	loss := 0
	if s.FEC {
		loss = expectedLoss
	}
	c.SetFEC(s.FEC)
	c.SetDTX(s.DTX)
	err = errors.Join(c.SetComplexity(complexity), c.SetFrameSize(Frame), c.SetBitrate(bitrate),
		c.SetBitrateMode(mode), c.SetSignal(gopus.SignalVoice), c.SetPacketLoss(loss))
	if err != nil {
		return nil, fmt.Errorf("opus: %w", err)
	}
	return &Encoder{codec: c}, nil
}

// Encode encodes Frame samples into packet, which must have room for MaxPacket bytes, and returns the packet's size. A
// size of 0 means that nothing is sent for this frame, because of DTX.
func (e *Encoder) Encode(samples []int16, packet []byte) (n int, err error) {
	defer guarded(debug.SetPanicOnFault(true), &err)
	if known := e.silence.next(samples); known != nil {
		return copy(packet, known), nil
	}
	n, err = e.codec.EncodeInt16(samples, packet)
	if n <= 2 && err == nil { // a frame of DTX (RFC 7587 section 3.1.3)
		n = 0
	}
	e.silence.note(packet[:n])
	return n, err
}

// Reset makes the next frame the first of a stream.
func (e *Encoder) Reset() (err error) {
	defer guarded(debug.SetPanicOnFault(true), &err)
	e.codec.Reset()
	e.silence = silence{}
	return nil
}

// Decoder decodes the packets of one stream. It belongs to one goroutine at a time.
type Decoder struct {
	codec *gopus.Decoder
	found [Longest]float32 // by FEC
}

// NewDecoder returns a decoder. It takes 0.6 ms and 320 KB.
func NewDecoder() (d *Decoder, err error) {
	defer guarded(debug.SetPanicOnFault(true), &err)
	c, err := gopus.NewDecoder(gopus.DefaultDecoderConfig(Rate, 1))
	if err != nil {
		return nil, fmt.Errorf("opus: %w", err)
	}
	return &Decoder{codec: c}, nil
}

// Decode decodes a packet into samples, which has room for Longest, and returns their number. Stereo becomes mono.
func (d *Decoder) Decode(packet []byte, samples []int16) (n int, err error) {
	defer guarded(debug.SetPanicOnFault(true), &err)
	if Samples(packet) == 0 {
		return 0, errLength // the codec would take an empty packet for a lost one
	}
	return d.codec.DecodeInt16(packet, samples)
}

// Recover fills samples, 2.5 ms or a multiple of it up to Longest, in place of lost packets: the samples just before
// packet, from its in-band FEC (RFC 6716 section 2.1.7). If packet is nil or has no FEC, they are made up.
func (d *Decoder) Recover(packet []byte, samples []int16) (err error) {
	defer guarded(debug.SetPanicOnFault(true), &err)
	if Samples(packet) == 0 || !gopus.PacketHasLBRR(packet) {
		n, err := d.codec.DecodeInt16(nil, samples)
		clear(samples[min(max(n, 0), len(samples)):])
		return err
	}
	found := d.found[:len(samples)]
	n, err := d.codec.DecodeWithFEC(packet, found, true)
	clear(samples)
	for i, v := range found[:min(max(n, 0), len(found))] {
		samples[i] = int16(min(max(v*32768, -32768), 32767))
	}
	return err
}

// Reset makes the next packet the first of a stream.
func (d *Decoder) Reset() (err error) {
	defer guarded(debug.SetPanicOnFault(true), &err)
	d.codec.Reset()
	return nil
}

// Voice reports whether the encoder found voice in a packet, by the flags of SILK (RFC 6716 section 4.2.3). known is
// false for a packet without them: of CELT alone, or of several frames. A packet of one or two bytes is a pause by DTX
// (RFC 7587 section 3.1.3).
func Voice(packet []byte) (is, known bool) {
	if len(packet) <= 2 {
		return false, true
	}
	toc := gopus.ParseTOC(packet[0])
	if toc.Mode == gopus.ModeCELT || toc.FrameCode != 0 {
		return false, false
	}
	const frame = Clock / 50 // of SILK, at most
	n := max(toc.FrameSize/frame, 1)
	mask := byte(0xff) << (8 - n)
	if toc.Stereo { // behind the flag for FEC come the flags of the second channel
		mask |= mask >> (n + 1)
	}
	return packet[1]&mask != 0, true
}

// Samples returns the length of a packet in samples, at most Longest, or 0 if it is malformed (RFC 6716 section 3.1).
func Samples(packet []byte) int {
	if len(packet) == 0 {
		return 0
	}
	frames := 1
	switch packet[0] & 3 {
	case 1, 2:
		frames = 2
	case 3:
		if len(packet) < 2 {
			return 0
		}
		frames = int(packet[1] & 0x3f)
	}
	if n := gopus.ParseTOC(packet[0]).FrameSize / Scale * frames; n <= Longest {
		return n
	}
	return 0
}

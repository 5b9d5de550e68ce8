package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// These are the formats of a WAV file that can be played (RFC 2361).
const (
	wavPCM        = 1
	wavALaw       = 6
	wavULaw       = 7
	wavExtensible = 0xfffe
)

// maxWAV limits a WAV file: ten minutes of 16-bit samples, and 64 KB of other chunks.
const maxWAV = 2*10*60*Rate + 64<<10

// ErrWAV means that a file is not a WAV file that can be played. The wrapping error says why.
var ErrWAV = errors.New("not a WAV file that can be played")

// wavFormat is the chunk "fmt ".
type wavFormat struct {
	tag, channels uint16
	rate          uint32
	bits          uint16
}

// ReadWAV reads a WAV file: mono, 8000 Hz, 16-bit PCM or 8-bit G.711 (A-law or µ-law), up to ten minutes. The error is
// ErrWAV, ErrSound, or an error of r.
func ReadWAV(r io.Reader) (*Sound, error) {
	samples, err := readWAV(r, 1)
	if err != nil {
		return nil, err
	}
	return NewSound(samples)
}

// ReadSides reads a recording of both sides of a call from such a file: stereo, up to ten minutes. The errors are those
// of ReadWAV.
func ReadSides(r io.Reader) (left, right []int16, err error) {
	samples, err := readWAV(r, 2)
	for pair := range slices.Chunk(samples[:len(samples)/2*2], 2) {
		left, right = append(left, pair[0]), append(right, pair[1])
	}
	if err == nil && len(left) == 0 {
		err = errEmpty
	}
	return left, right, err
}

// readWAV returns the samples of all channels, in turns.
func readWAV(r io.Reader, channels uint16) ([]int16, error) {
	most := maxWAV * int64(channels)
	file, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read: %w", err)
	case len(file) < 12 || string(file[:4]) != "RIFF" || string(file[8:12]) != "WAVE":
		return nil, fmt.Errorf("%w: it does not begin with RIFF and WAVE", ErrWAV)
	}
	var format *wavFormat
	for rest := file[12:]; len(rest) >= 8; {
		id, size := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:8]))
		rest = rest[8:]
		if size == math.MaxUint32 && int64(len(file)) <= most { // a stream's, whose length was not known
			size = int64(len(rest))
		}
		chunk := rest[:min(size, int64(len(rest)))]
		switch {
		case id == "fmt ":
			if format, err = parseWAVFormat(chunk, channels); err != nil {
				return nil, err
			}
		case id == "data" && format == nil:
			return nil, fmt.Errorf("%w: its data come before their format", ErrWAV)
		case id == "data" && int64(len(file)) > most && int64(len(chunk)) < size: // the rest was not read
			return nil, ErrLong
		case id == "data" && int64(len(chunk)) < size:
			return nil, fmt.Errorf("%w: its data are cut short: %d of %d bytes are there", ErrWAV, len(chunk), size)
		case id == "data":
			return format.decode(chunk), nil
		}
		rest = rest[min(size+size%2, int64(len(rest))):]
	}
	return nil, fmt.Errorf("%w: it has no data", ErrWAV)
}

func parseWAVFormat(chunk []byte, channels uint16) (*wavFormat, error) {
	if len(chunk) < 16 {
		return nil, fmt.Errorf("%w: its format is cut short", ErrWAV)
	}
	f := &wavFormat{
		tag:      binary.LittleEndian.Uint16(chunk),
		channels: binary.LittleEndian.Uint16(chunk[2:]),
		rate:     binary.LittleEndian.Uint32(chunk[4:]),
		bits:     binary.LittleEndian.Uint16(chunk[14:]),
	}
	if f.tag == wavExtensible && len(chunk) >= 26 {
		f.tag = binary.LittleEndian.Uint16(chunk[24:]) // the sub-format starts with the tag
	}
	wants := uint16(8)
	switch f.tag {
	case wavPCM:
		wants = 16
	case wavALaw, wavULaw:
	default:
		return nil, fmt.Errorf("%w: its encoding is %d; it has to be 16-bit PCM (1), A-law (6) or µ-law (7)", ErrWAV, f.tag)
	}
	switch {
	case f.channels != channels:
		wanted := [...]string{1: "mono", 2: "stereo"}[channels]
		return nil, fmt.Errorf("%w: it has %d channels; it has to be %s", ErrWAV, f.channels, wanted)
	case f.rate != Rate:
		return nil, fmt.Errorf("%w: it has %d samples a second; it has to have 8000", ErrWAV, f.rate)
	case f.bits != wants:
		return nil, fmt.Errorf("%w: it has %d bits a sample; it has to have %d", ErrWAV, f.bits, wants)
	}
	return f, nil
}

func (f *wavFormat) decode(data []byte) []int16 {
	if f.tag == wavPCM {
		samples := make([]int16, len(data)/2)
		for i := range samples {
			samples[i] = int16(binary.LittleEndian.Uint16(data[2*i:])) // two's complement
		}
		return samples
	}
	table := &uLawTable
	if f.tag == wavALaw {
		table = &aLawTable
	}
	samples := make([]int16, len(data))
	for i, code := range data {
		samples[i] = table[code]
	}
	return samples
}

// WAV returns the WAV file of mono samples at Rate, 16-bit PCM.
func WAV(samples []int16) []byte {
	const head, size = 44, 2
	le, data := binary.LittleEndian, size*len(samples)
	b := append(make([]byte, 0, head+data), "RIFF"...)
	b = append(le.AppendUint32(b, uint32(head-8+data)), "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(le.AppendUint16(b, 1), 1) // PCM, one channel
	b = le.AppendUint32(le.AppendUint32(b, Rate), size*Rate)
	b = le.AppendUint16(le.AppendUint16(b, size), 8*size)
	b = le.AppendUint32(append(b, "data"...), uint32(data))
	for _, v := range samples {
		b = le.AppendUint16(b, uint16(v))
	}
	return b
}

package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
	file, err := io.ReadAll(io.LimitReader(r, maxWAV+1))
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
		chunk := rest[:min(size, int64(len(rest)))]
		switch {
		case id == "fmt ":
			if format, err = parseWAVFormat(chunk); err != nil {
				return nil, err
			}
		case id == "data" && format == nil:
			return nil, fmt.Errorf("%w: its data come before their format", ErrWAV)
		case id == "data" && len(file) > maxWAV && int64(len(chunk)) < size: // the file was cut off at maxWAV
			return nil, ErrLong
		case id == "data" && int64(len(chunk)) < size:
			return nil, fmt.Errorf("%w: its data are cut short: %d of %d bytes are there", ErrWAV, len(chunk), size)
		case id == "data":
			return NewSound(format.decode(chunk))
		}
		rest = rest[min(size+size%2, int64(len(rest))):]
	}
	return nil, fmt.Errorf("%w: it has no data", ErrWAV)
}

func parseWAVFormat(chunk []byte) (*wavFormat, error) {
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
	case f.channels != 1:
		return nil, fmt.Errorf("%w: it has %d channels; it has to be mono", ErrWAV, f.channels)
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

package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// wav returns a WAV file with these properties.
func wav(tag, channels uint16, rate uint32, bits uint16, data []byte, extra ...byte) []byte {
	var f bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&f, binary.LittleEndian, v)
		}
	}
	f.WriteString("RIFF")
	put(uint32(36 + len(extra) + len(data)))
	f.WriteString("WAVEfmt ")
	put(uint32(16), tag, channels, rate, rate*uint32(channels)*uint32(bits)/8, channels*bits/8, bits)
	f.Write(extra)
	f.WriteString("data")
	put(uint32(len(data)))
	f.Write(data)
	return f.Bytes()
}

func TestReadWAV(t *testing.T) {
	list := append([]byte("LIST\x05\x00\x00\x00hello\x00"), "junk\x00\x00\x00\x00"...) // an odd chunk is padded
	for _, tt := range []struct {
		name string
		file []byte
		want []int16 // decoded µ-law
		err  string
	}{
		{"PCM", wav(1, 1, 8000, 16, []byte{0, 0, 0xe8, 0x03, 0x18, 0xfc}), []int16{0, 988, -988}, ""},
		{"PCM with other chunks", wav(1, 1, 8000, 16, []byte{0, 0, 0xe8, 0x03}, list...), []int16{0, 988}, ""},
		{"µ-law", wav(7, 1, 8000, 8, []byte{0xff, 0x00}), []int16{0, -32124}, ""},
		{"A-law", wav(6, 1, 8000, 8, []byte{0xd5, 0x2a}), []int16{8, -32124}, ""},
		{"cut short", wav(7, 1, 8000, 8, make([]byte, 100))[:54], nil, "its data are cut short: 10 of 100 bytes are there"},
		{"stereo", wav(1, 2, 8000, 16, make([]byte, 8)), nil, "it has 2 channels; it has to be mono"},
		{"44.1 kHz", wav(1, 1, 44100, 16, make([]byte, 8)), nil, "it has 44100 samples a second; it has to have 8000"},
		{"8-bit PCM", wav(1, 1, 8000, 8, make([]byte, 8)), nil, "it has 8 bits a sample; it has to have 16"},
		{"float", wav(3, 1, 8000, 32, make([]byte, 8)), nil, "its encoding is 3"},
		{"empty", wav(1, 1, 8000, 16, nil), nil, "it has no samples"},
		{"too long", wav(7, 1, 8000, 8, make([]byte, 601*8000)), nil, ErrLong.Error()},
		{"far too long", wav(1, 1, 8000, 16, make([]byte, maxWAV+1)), nil, ErrLong.Error()},
		{"far too long and stereo", wav(1, 2, 8000, 16, make([]byte, maxWAV+1)), nil, "it has 2 channels"},
		{"large and no WAV", make([]byte, maxWAV+1), nil, "it does not begin with RIFF and WAVE"},
		{"no WAV", []byte("ID3 is what MP3 files begin with"), nil, "it does not begin with RIFF and WAVE"},
		{"no data", wav(1, 1, 8000, 16, nil)[:36], nil, "it has no data"},
		{"no format", append([]byte("RIFF\x10\x00\x00\x00WAVEdata\x02\x00\x00\x00"), 0, 0), nil, "its data come before their format"},
		{"format cut short", []byte("RIFF\x10\x00\x00\x00WAVEfmt \x04\x00\x00\x00\x01\x00\x01\x00"), nil, "its format is cut short"},
	} {
		s, err := ReadWAV(bytes.NewReader(tt.file))
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || (!errors.Is(err, ErrWAV) && !errors.Is(err, ErrSound)) {
				t.Errorf("%s: got %v; want %q", tt.name, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := make([]int16, 0, len(tt.want))
		for _, code := range s.In(ULaw) {
			got = append(got, DecodeULaw(code))
		}
		for i := range tt.want {
			if len(got) != len(tt.want) || got[i] != tt.want[i] {
				t.Errorf("%s: got %v; want %v", tt.name, got, tt.want)
				break
			}
		}
	}
	if _, err := ReadWAV(failing{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func FuzzReadWAV(f *testing.F) {
	f.Add(wav(1, 1, 8000, 16, []byte{1, 2, 3, 4}))
	f.Add(wav(0xfffe, 1, 8000, 16, []byte{1, 2}))
	f.Add(wav(1, 2, 8000, 16, []byte{1, 2, 3, 4, 5, 6}))
	f.Add([]byte("RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, file []byte) {
		s, err := ReadWAV(bytes.NewReader(file))
		if (s == nil) == (err == nil) || (s != nil && s.Duration() <= 0) {
			t.Errorf("got %v, %v", s, err)
		}
		if left, right, err := ReadSides(bytes.NewReader(file)); len(left) != len(right) || (len(left) == 0) == (err == nil) {
			t.Errorf("got %d and %d samples, %v", len(left), len(right), err)
		}
	})
}

func TestReadSides(t *testing.T) {
	for _, tt := range []struct {
		file []byte
		want [2][]int16
		err  string
	}{
		{wav(1, 2, 8000, 16, []byte{1, 0, 2, 0, 3, 0, 4, 0, 5, 0}), [2][]int16{{1, 3}, {2, 4}}, ""}, // the last pair is not whole
		{wav(1, 2, 8000, 16, nil), [2][]int16{}, "it has no samples"},
		{wav(1, 1, 8000, 16, make([]byte, 8)), [2][]int16{}, "it has 1 channels; it has to be stereo"},
		{wav(1, 2, 8000, 16, make([]byte, 2*maxWAV)), [2][]int16{}, ErrLong.Error()},
	} {
		left, right, err := ReadSides(bytes.NewReader(tt.file))
		if !slices.Equal(left, tt.want[0]) || !slices.Equal(right, tt.want[1]) ||
			(err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("got %d and %d samples, %v; want %v, %s", len(left), len(right), err, tt.want, tt.err)
		}
	}
}

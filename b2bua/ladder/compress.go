package ladder

import (
	_ "embed"
	"fmt"
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
)

// dictionary is text that resembles the ladders to compress. The file belongs to version 1 of the format: another
// dictionary needs another version.
//
//go:embed dictionary.txt
var dictionary []byte

// typical returns the dictionary for the compressor.
var typical = sync.OnceValue(func() *s2.Dict {
	return s2.MakeDict(dictionary,
		nil)
}) //nolint:gochecknoglobals // made once

// The first byte of an encoded ladder.
const (
	version = 1 // compressed
	plain   = 2 // not compressed
)

// decodedMax bounds a ladder before its compression, in bytes.
const decodedMax = 4 << 20

// pack appends a ladder in its stored form.
func pack(b, raw []byte) []byte {
	b = append(b, version)
	most := s2.MaxEncodedLen(len(raw))
	b = slices.Grow(b, most)
	return b[:len(b)+len(typical().Encode(b[len(b):len(b)+most], raw))]
}

// unpack undoes pack.
func unpack(b []byte) ([]byte, error) {
	if len(b) > 0 && len(b) <= decodedMax && b[0] == plain {
		return b[1:], nil
	}
	if len(b) == 0 || b[0] != version {
		return nil, errMalformed
	}
	n, err := s2.DecodedLen(b[1:])
	if err != nil || n > decodedMax {
		return nil, errMalformed
	}
	raw, err := typical().Decode(make([]byte, n), b[1:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return raw, nil
}

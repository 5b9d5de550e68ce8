package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"sync"
)

// The states of calls contain their SRTP keys. So each state is sealed for its id, with a key derived from the
// signalling key.

// sealing returns the cipher for states.
func sealing(key [32]byte) (cipher.AEAD, error) {
	own, err := hkdf.Key(sha256.New, key[:], nil, "flowbridge journal", len(key))
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// openState returns the state that was sealed for an id, or nil if it is damaged or was sealed with another key.
func openState(aead cipher.AEAD, id string, sealed []byte) []byte {
	state, err := aead.Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return nil
	}
	return state
}

// room is a buffer for one record with its time, its sealed state, and its id.
type room struct{ noted, sealed, id []byte }

func (r *room) seal(aead cipher.AEAD, id string, state []byte) {
	r.id = append(r.id[:0], id...)
	r.sealed = aead.Seal(r.sealed[:0], nil, state, r.id)
}

var rooms = sync.Pool{New: func() any {
	return &room{sealed: make([]byte, 0,
		8192)}
}} //nolint:gochecknoglobals // spare memory

func takeRoom() *room { return rooms.Get().(*room) }

func (r *room) release() {
	if cap(r.noted)+cap(r.sealed) <= 64<<10 {
		rooms.Put(r)
	}
}

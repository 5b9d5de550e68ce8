package dialog

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
)

// Seals encrypts what is given to others to keep.
type Seals struct{ aead cipher.AEAD }

// NewSeals returns the seals of a node for one purpose. key is the node's, which also serves others.
func NewSeals(purpose string, key [32]byte) (Seals, error) {
	own := sha256.Sum256(append([]byte(purpose), key[:]...))
	block, err := aes.NewCipher(own[:])
	if err != nil {
		return Seals{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return Seals{aead}, err
}

// Seal returns a value as JSON, sealed, in letters, digits, - and _. It fails if the value can't be JSON.
func (s Seals) Seal(v any) (string, error) {
	var b bytes.Buffer
	plain := json.NewEncoder(&b)
	plain.SetEscapeHTML(false) // a & in a URL must not take six bytes
	if err := plain.Encode(v); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil)), nil
}

// errSeal means that a text was not sealed for this purpose by this node.
var errSeal = errors.New("not sealed by this node")

// Open reads a sealed text into a value. Its error is errSeal.
func (s Seals) Open(text string, into any) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return errSeal
	}
	plain, err := s.aead.Open(nil, nil, b, nil)
	if err != nil || json.Unmarshal(plain, into) != nil {
		return errSeal
	}
	return nil
}

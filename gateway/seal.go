package gateway

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
)

// sealed is what the gateway's end of a dialog needs to outlive its process.
type sealed struct {
	CallID     string          `json:"c"`
	LocalTag   string          `json:"l"`
	RemoteTag  string          `json:"r"`
	Local      string          `json:"f"` // URI of our From
	Remote     string          `json:"t"` // URI of the B2BUA's To
	Target     string          `json:"u"` // URI of the B2BUA's Contact
	At         string          `json:"a"` // address and port that the B2BUA's INVITE came from
	CallSID    string          `json:"s"`
	URL        string          `json:"w"` // of the bot's socket
	Parameters json.RawMessage `json:"p,omitempty"`
	Law        uint8           `json:"g,omitempty"` // payload type of the audio
	Event      uint8           `json:"e,omitempty"` // payload type of DTMF events; 0 if none
}

// seals encrypts what is put into Contacts.
type seals struct{ aead cipher.AEAD }

func newSeals(key [32]byte) (seals, error) {
	own := sha256.Sum256(append([]byte("websocket gateway"), key[:]...)) // the node's key also serves others
	block, err := aes.NewCipher(own[:])
	if err != nil {
		return seals{}, err
	}
	aead, err := cipher.NewGCM(block)
	return seals{aead}, err
}

// seal returns the text for the user part of a Contact.
func (s seals) seal(v *sealed) (string, error) {
	var b bytes.Buffer
	plain := json.NewEncoder(&b)
	plain.SetEscapeHTML(false) // a & in a URL must not take six bytes
	if err := plain.Encode(v); err != nil {
		return "", err
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(text)+s.aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nonce, nonce, text, nil)), nil
}

// maxContact bounds the line of a sealed Contact, in bytes. The B2BUA takes no header of more than 4,096 bytes, and a
// change of the call's audio can make the Contact a little longer.
const maxContact = 4000

// errContact means that the Contact of a call would be too long.
var errContact = errors.New("the bot's URL and parameters are too long for a call, make them shorter")

// fits returns an error if what is to be sealed is too long for a Contact.
func (s seals) fits(v *sealed) error {
	user, err := s.seal(v)
	if err == nil && len("Contact: <sip:@127.0.0.1:65535>")+len(user) > maxContact {
		err = errContact
	}
	return err
}

var errSeal = errors.New("not sealed by this node")

// open opens a sealed text.
func (s seals) open(user string) (v sealed, err error) {
	b, err := base64.RawURLEncoding.DecodeString(user)
	n := s.aead.NonceSize()
	if err != nil || len(b) < n {
		return v, errSeal
	}
	text, err := s.aead.Open(nil, b[:n], b[n:], nil)
	if err != nil {
		return v, errSeal
	}
	return v, json.Unmarshal(text, &v)
}

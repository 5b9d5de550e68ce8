package receipt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"flowbridge/store/record"
)

// Receipt is one line of a chain.
type Receipt struct {
	// N counts the chain's receipts from 1.
	N int64 `json:"n"`
	// Call is Flowbridge's id of the call.
	Call string `json:"call"`
	// At is when the statement had ended.
	At record.Time `json:"at"`
	// Node is the name of the node that has sent it.
	Node string      `json:"node"`
	Told record.Told `json:"told"`
	// Prev is the hash of the receipt before, or empty for the first one.
	Prev string `json:"prev"`
}

// start is the first line of a segment.
type start struct {
	// Receipts is the version of the format.
	Receipts int         `json:"receipts"`
	Node     string      `json:"node"`
	At       record.Time `json:"at"`
	// Key is the public key with which the lines are signed.
	Key []byte `json:"key"`
	// After and Prev are the number and the hash of the receipt before the segment's first one. They are zero for the
	// first segment.
	After int64  `json:"after"`
	Prev  string `json:"prev"`
}

const (
	format = 1
	// maxLine bounds a line, in bytes. A usual one has 600.
	maxLine = 4096

	beginSignature, endSignature = `,"sig":"`, `"}`
)

var (
	signatureSize = base64.StdEncoding.EncodedLen(ed25519.SignatureSize)

	beginStart = []byte(`{"receipts":`)

	errLine      = errors.New("it is no line of a chain of receipts")
	errSignature = errors.New("it is not what the key has signed")
	errLong      = fmt.Errorf("a receipt has at most %d bytes", maxLine)
)

// sign returns an object as a signed line, without a line feed.
func sign(v any, key ed25519.PrivateKey) ([]byte, error) {
	line, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	line = line[:len(line)-1]
	signature := ed25519.Sign(key, line)
	line = append(line, beginSignature...)
	line = base64.StdEncoding.AppendEncode(line, signature)
	if line = append(line, endSignature...); len(line) > maxLine {
		return nil, errLong
	}
	return line, nil
}

// signed returns the signature of a line and the bytes that it is of.
func signed(line []byte) (text, signature []byte, err error) {
	line, isLine := bytes.CutSuffix(line, []byte(endSignature))
	at := len(line) - signatureSize
	if !isLine || at < 0 {
		return nil, nil, errLine
	}
	text, isLine = bytes.CutSuffix(line[:at], []byte(beginSignature))
	signature, err = base64.StdEncoding.Strict().AppendDecode(nil, line[at:])
	if !isLine || err != nil {
		return nil, nil, errLine
	}
	return text, signature, nil
}

// open reads a line into v, which is a *Receipt or a *start. With a key it also checks the signature.
func open(line []byte, key ed25519.PublicKey, v any) error {
	text, signature, err := signed(line)
	if err != nil {
		return err
	}
	if key != nil && !ed25519.Verify(key, text, signature) {
		return errSignature
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("%w: %w", errLine, err)
	}
	return nil
}

// openStart reads the first line of a segment, which is signed by the key in it.
func openStart(line []byte) (s start, err error) {
	if err := open(line, nil, &s); err != nil {
		return s, err
	}
	if s.Receipts != format || len(s.Key) != ed25519.PublicKeySize {
		return s, fmt.Errorf("%w of version %d", errLine, format)
	}
	return s, open(line, s.Key, &s)
}

// isStart reports whether a line begins a segment.
func isStart(line []byte) bool { return bytes.HasPrefix(line, beginStart) }

func hashOf(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

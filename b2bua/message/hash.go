package message

import (
	"crypto/md5" // what most phones and PBXs can, after SHA-256
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
)

// Algorithm is a hash of digest authentication by its name (RFC 8760 section
// 2): of challenges to trunks (auth.go) and of those that targets send
// (digest.go).
type Algorithm string

// Hashes are the algorithms that targets may ask for. None stands for MD5 (RFC
// 7616 section 3.3).
var Hashes = map[string]func() hash.Hash{"": md5.New, "MD5": md5.New, "SHA-256": sha256.New, "SHA-512-256": sha512.New512_256}

// Algorithms are those that trunks may be asked for, the preferred one first
// (RFC 8760 section 2.4). Credentials that name none are of the last (RFC 7616
// section 3.3).
func Algorithms() [2]Algorithm { return [...]Algorithm{"SHA-256", "MD5"} }

// Offered are the algorithms of these names, in their order.
func Offered(names []string) (all []Algorithm) {
	for _, name := range names {
		for _, a := range Algorithms() {
			if string(a) == name {
				all = append(all, a)
			}
		}
	}
	return all
}

// Sum is the hash of parts with colons between them, in hexadecimal.
func (a Algorithm) Sum(parts ...string) string {
	h := Hashes[string(a)]()
	for i, p := range parts {
		if i > 0 {
			h.Write([]byte{':'})
		}
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

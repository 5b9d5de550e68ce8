package b2bua

import (
	"crypto/md5" // what most phones and PBXs can, after SHA-256
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
)

// algorithm is a hash of digest authentication by its name (RFC 8760 section
// 2): of challenges to trunks (auth.go) and of those that targets send
// (digest.go).
type algorithm string

// hashes are the algorithms that targets may ask for. None stands for MD5 (RFC
// 7616 section 3.3).
var hashes = map[string]func() hash.Hash{"": md5.New, "MD5": md5.New, "SHA-256": sha256.New, "SHA-512-256": sha512.New512_256}

// algorithms are those that trunks may be asked for, the preferred one first
// (RFC 8760 section 2.4). Credentials that name none are of the last (RFC 7616
// section 3.3).
func algorithms() [2]algorithm { return [...]algorithm{"SHA-256", "MD5"} }

// offered are the algorithms of these names, in their order.
func offered(names []string) (all []algorithm) {
	for _, name := range names {
		for _, a := range algorithms() {
			if string(a) == name {
				all = append(all, a)
			}
		}
	}
	return all
}

// sum is the hash of parts with colons between them, in hexadecimal.
func (a algorithm) sum(parts ...string) string {
	h := hashes[string(a)]()
	for i, p := range parts {
		if i > 0 {
			h.Write([]byte{':'})
		}
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

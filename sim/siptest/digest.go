package siptest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"

	"flowbridge/media"
)

// SentCredentials parses the credentials of a request.
func SentCredentials(tb testing.TB, req *sip.Request, name string) []*digest.Credentials {
	tb.Helper()
	var all []*digest.Credentials
	for _, h := range req.GetHeaders(name) {
		c, err := digest.ParseCredentials(h.Value())
		if err != nil {
			tb.Fatalf("%s: %v", h.Value(), err)
		}
		all = append(all, c)
	}
	return all
}

// CheckCredentials checks the credentials of a request against a password,
// by the formulas of RFC 7616 section 3.4.1.
func CheckCredentials(tb testing.TB, req *sip.Request, c *digest.Credentials, user, password string) {
	tb.Helper()
	algorithm, session := strings.CutSuffix(strings.ToUpper(c.Algorithm), "-SESS")
	h := func(parts ...string) string {
		sum := map[string]func() hash.Hash{
			"": md5.New, "MD5": md5.New, "SHA-256": sha256.New,
			"SHA-512-256": sha512.New512_256,
		}[algorithm]()
		sum.Write([]byte(strings.Join(parts, ":")))
		return fmt.Sprintf("%x", sum.Sum(nil))
	}
	a1 := h(user, c.Realm, password)
	if session {
		a1 = h(a1, c.Nonce, c.Cnonce)
	}
	a2 := h(string(req.Method), req.Recipient.String())
	if c.QOP == "auth-int" {
		a2 = h(string(req.Method), req.Recipient.String(), h(string(req.Body())))
	}
	want := h(a1, c.Nonce, a2)
	if c.QOP != "" {
		want = h(a1, c.Nonce, fmt.Sprintf("%08x", c.Nc), c.Cnonce, c.QOP, a2)
	}
	if c.Response != want || c.URI != req.Recipient.String() || c.Username != user {
		tb.Errorf("wrong credentials %+v of\n%s", c, req)
	}
}

// SRTPKey returns the key for a seed, as in a=crypto.
func SRTPKey(s media.Suite, seed byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{seed}, s.KeyLen()))
}

package sim

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

const (
	nonceLifetime = time.Minute
	maxNonces     = 10_000
)

// SIPAuth holds the credentials that an INVITE must present (RFC 3261 section 22, RFC 8760).
type SIPAuth struct {
	User, Password string
	Algorithm      string // md5, sha-256 or sha-512-256; md5 if empty
	Realm          string // realm of the challenge
}

// Challenger asks for credentials and checks them. Each nonce is valid for a minute.
type Challenger struct {
	auth SIPAuth

	mu     sync.Mutex
	nonces map[string]*nonce
	order  []string // oldest first
}

type nonce struct {
	until time.Time
	count int // nonce count (nc) of the last credentials
}

// Validate returns an error that says what is wrong with the credentials. The zero value is valid.
func (a SIPAuth) Validate() error {
	if a == (SIPAuth{}) {
		return nil
	}
	if a.User == "" || a.Password == "" {
		return errors.New("digest user and password are both needed")
	}
	switch strings.ToLower(a.Algorithm) {
	case "", "md5", "sha-256", "sha-512-256":
		return nil
	}
	return fmt.Errorf("digest algorithm %q: md5, sha-256 or sha-512-256", a.Algorithm)
}

// NewChallenger returns a challenger, or nil for the zero value.
func NewChallenger(a SIPAuth) *Challenger {
	if a == (SIPAuth{}) {
		return nil
	}
	a.Algorithm = strings.ToUpper(a.Algorithm)
	if a.Algorithm == "" {
		a.Algorithm = "MD5"
	}
	return &Challenger{auth: a, nonces: map[string]*nonce{}}
}

// check verifies the credentials of a request. The reason is empty if they are valid. They are
// stale if only the nonce is too old (RFC 7616 section 3.3).
func (c *Challenger) check(req *sip.Request, now time.Time) (reason string, stale bool) {
	for _, h := range req.GetHeaders("Authorization") {
		got, err := digest.ParseCredentials(h.Value())
		if err != nil || got.Realm != c.auth.Realm {
			continue
		}
		reason = c.verify(req, got)
		if reason != "" {
			return reason, false
		}
		if !c.spend(got.Nonce, got.Nc, now) {
			return "nonce is too old, or was used before", true
		}
		return "", false
	}
	return "no credentials", false
}

func (c *Challenger) verify(req *sip.Request, got *digest.Credentials) string {
	switch {
	case got.Username != c.auth.User:
		return "unknown user"
	case got.URI != req.Recipient.String():
		return "uri is not the Request-URI"
	case !strings.EqualFold(got.Algorithm, c.auth.Algorithm) || got.QOP != "auth":
		return "algorithm or qop is not the one that was asked for"
	}
	want, err := digest.Digest(c.challenge(got.Nonce, false), digest.Options{
		Method: string(req.Method), URI: got.URI, Count: got.Nc, Cnonce: got.Cnonce,
		Username: c.auth.User, Password: c.auth.Password,
	})
	if err != nil || subtle.ConstantTimeCompare([]byte(want.Response), []byte(got.Response)) != 1 {
		return "wrong password"
	}
	return ""
}

func (c *Challenger) challenge(nonce string, stale bool) *digest.Challenge {
	return &digest.Challenge{
		Realm: c.auth.Realm, Nonce: nonce, Algorithm: c.auth.Algorithm, QOP: []string{"auth"},
		Stale: stale,
	}
}

// header returns a value for WWW-Authenticate with a new nonce.
func (c *Challenger) header(stale bool, now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.order) > 0 {
		if len(c.order) < maxNonces && now.Before(c.nonces[c.order[0]].until) {
			break
		}
		delete(c.nonces, c.order[0])
		c.order = c.order[1:]
	}
	n := rand.Text()
	c.nonces[n] = &nonce{until: now.Add(nonceLifetime)}
	c.order = append(c.order, n)
	return c.challenge(n, stale).String()
}

// spend counts a use of a nonce. It reports whether the nonce's count is higher than before.
func (c *Challenger) spend(value string, count int, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nonces[value]
	if n == nil || !now.Before(n.until) || count <= n.count {
		return false
	}
	n.count = count
	return true
}

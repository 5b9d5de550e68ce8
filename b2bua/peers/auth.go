package peers

import (
	"crypto/subtle"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// ourRealm is the realm of trunks' credentials. It must never change, because it is part of the
// hash.
const ourRealm = "flowbridge"

// secret checks a trunk's credentials. It holds H(A1) for each algorithm instead of the password.
type secret struct {
	username string
	ha1      [2]string
}

func newSecret(a *config.Auth) *secret {
	if a == nil {
		return nil
	}
	s := &secret{username: a.Username}
	for i, alg := range message.Algorithms() {
		s.ha1[i] = alg.Sum(a.Username, ourRealm, a.Password.Reveal())
	}
	return s
}

// AppendChallenges appends one WWW-Authenticate line for each algorithm. If short is set, it uses
// as few bytes as possible, and leaves out the algorithm MD5, which is the default (RFC 7616
// section 3.3).
func AppendChallenges(out []byte, offer []message.Algorithm, nonce message.Nonce, stale, short bool) []byte {
	for _, a := range offer {
		out = append(out, "WWW-Authenticate: "...)
		out = append(appendChallenge(out, a, nonce, stale, short), "\r\n"...)
	}
	return out
}

func appendChallenge(out []byte, a message.Algorithm, nonce message.Nonce, stale, short bool) []byte {
	out = append(out, `Digest realm="`+ourRealm+`", nonce="`...)
	out = append(out, nonce[:]...)
	if !short || a != "MD5" {
		out = append(append(out, `", algorithm=`...), a...)
		out = append(out, `, qop="auth"`...)
	} else {
		out = append(out, `", qop="auth"`...)
	}
	if stale {
		out = append(out, ", stale=true"...)
	}
	return out
}

// Authenticator challenges trunks and checks their credentials (RFC 3261 section 22.4,
// as a UAS). It is safe for concurrent use.
type Authenticator struct {
	mint     *message.Minter
	offer    []message.Algorithm
	replays  *message.Replays
	throttle *message.Throttle
	nobody   *secret // checked for an unknown user, so that this takes as long as for a known one
}

// NewAuthenticator returns an authenticator that offers these algorithms.
func NewAuthenticator(m *message.Minter, offer []message.Algorithm, now time.Time) *Authenticator {
	nobody := newSecret(&config.Auth{Username: "", Password: config.Secret(m.Tag())})
	return &Authenticator{
		mint: m, offer: offer, replays: message.NewReplays(now), throttle: message.NewThrottle(),
		nobody: nobody,
	}
}

// Proof says what a request's credentials prove.
type Proof int

// The values of Proof.
const (
	ProofNone    Proof = iota // the request has no credentials for our realm
	ProofRight                // the credentials are a trunk's
	ProofStale                // the credentials are right, but the nonce is too old or was used before
	ProofWrong                // the credentials are wrong or malformed
	ProofBlocked              // not checked, because too many credentials were wrong before
)

// Check checks a request's credentials. If they are right, it returns the first of trunks that they
// belong to.
func (a *Authenticator) Check(req *sip.Request, trunks []*Trunk, now time.Time) (*Trunk, Proof) {
	c, found := credentialsOf(req)
	if !found {
		return nil, ProofNone
	}
	nonce, ours := a.mint.ReadNonce([]byte(c.nonce))
	if !ours {
		return nil, ProofWrong // does not count as a failure, because it tests no password
	}
	if a.throttle.Blocked(nonce, now) {
		return nil, ProofBlocked
	}
	t, bare := a.match(c, req, trunks)
	switch nc, ok := c.count(); {
	case t == nil || !ok:
		a.throttle.Fail(nonce, now)
		return nil, ProofWrong
	case bare && !a.mint.IsFor(nonce, resourceUser(&req.Recipient)), !a.replays.Fresh(nonce, now),
		!a.replays.Use(nonce, nc, now):
		return nil, ProofStale
	default:
		return t, ProofRight
	}
}

// credentialsOf returns the credentials for our realm in a request, or false if there are none. For
// malformed credentials it returns empty ones.
func credentialsOf(req *sip.Request) (credentials, bool) {
	for _, h := range req.GetHeaders("Authorization") {
		c, digest, err := parseCredentials(h.Value())
		if digest && (err != nil || c.realm == ourRealm) {
			return c, true
		}
	}
	return credentials{}, false
}

// count returns the nonce count (nc). ok is false if the credentials lack qop, which our challenge
// asks for: a response without qop (RFC 2069) could be replayed while the nonce is valid.
func (c credentials) count() (nc uint32, ok bool) {
	n, err := strconv.ParseUint(c.nc, 16, 32)
	return uint32(n), err == nil && len(c.nc) == 8 && c.cnonce != "" && strings.EqualFold(c.qop, "auth")
}

// match returns the trunk whose user name and password lead to the response, if the credentials are
// for this call, and nil otherwise. For an unknown user it takes as long. bare reports that the
// credentials do not name the called user.
func (a *Authenticator) match(c credentials, req *sip.Request, trunks []*Trunk) (found *Trunk, bare bool) {
	tried := false
	for _, t := range trunks {
		if t.secret == nil || t.secret.username != c.username {
			continue
		}
		tried = true
		if found == nil && c.fits(t.secret, req.Method) && a.offers(c.algorithm) {
			found = t
		}
	}
	if !tried {
		c.fits(a.nobody, req.Method)
	}
	if found == nil {
		return nil, false
	}
	same, bare := sameResource(c.uri, &req.Recipient, found.Caller.Country)
	if !same {
		return nil, false
	}
	return found, bare
}

// offers reports whether our challenges offer this algorithm.
func (a *Authenticator) offers(name string) bool {
	if name == "" {
		name = "MD5"
	}
	return slices.ContainsFunc(a.offer, func(alg message.Algorithm) bool { return strings.EqualFold(string(alg), name) })
}

// fits reports whether the response in c was made with this secret (RFC 7616 section 3.4.1).
func (c credentials) fits(s *secret, method sip.RequestMethod) bool {
	all := message.Algorithms()
	i := len(all) - 1
	if c.algorithm != "" {
		for i >= 0 && !strings.EqualFold(c.algorithm, string(all[i])) {
			i--
		}
	}
	if i < 0 {
		return false
	}
	a := all[i]
	want := a.Sum(s.ha1[i], c.nonce, c.nc, c.cnonce, c.qop, a.Sum(string(method), c.uri))
	return subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(c.response))) == 1
}

// sameResource reports whether the uri of credentials names the same user as the Request-URI (RFC
// 3261 section 22.4), so that credentials for one number are not valid for another. The users must
// be equal, or the same number in the caller's country. Host, port and parameters may differ,
// because proxies rewrite them. bare reports that the uri has only a host and no user, as some
// phones write it; then the nonce must be for the called user.
func sameResource(text string, uri *sip.Uri, country string) (same, bare bool) {
	var u sip.Uri
	if err := sip.ParseUri(text, &u); err != nil {
		return false, false
	}
	user, called := resourceUser(&u), resourceUser(uri)
	if user == "" {
		return u.Host != "" && SameHost(u.Host, uri.Host), called != ""
	}
	if message.Unescape(user) == message.Unescape(called) {
		return true, false
	}
	number := message.PartyOf("", uri, country).Number
	return number != "" && number == message.PartyOf("", &u, country).Number, false
}

// resourceUser returns the user of a SIP URI, or the number of a tel URI.
func resourceUser(uri *sip.Uri) string {
	user := uri.User
	if raw := uri.Raw(); raw != "" {
		user = raw
	}
	user, _, _ = strings.Cut(user, ";")
	return user
}

// ChallengeHeaders returns the headers of a 401 to a request.
func (a *Authenticator) ChallengeHeaders(to netip.Addr, req *sip.Request, stale bool, now time.Time) []sip.Header {
	nonce := a.mint.Challenge(to, []byte(resourceUser(&req.Recipient)), now)
	var headers []sip.Header
	for _, alg := range a.offer {
		headers = append(headers, sip.NewHeader("WWW-Authenticate", string(appendChallenge(nil, alg, nonce, stale, false))))
	}
	return headers
}

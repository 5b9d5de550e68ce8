package leg

import (
	"bytes"
	"crypto/rand"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// These are the limits for challenges to a leg.
const (
	// maxChallenged bounds the answered challenges to one INVITE: one of a proxy, one of the target, and one for a stale
	// nonce.
	maxChallenged    = 3
	maxChallenges    = 16   // challenges that are read from one response
	maxChallengeText = 4096 // bytes of one header that is read
	maxChallengeWord = 1024 // bytes of one parameter that is read
	maxRealms        = 8    // realms that one leg remembers
)

// Digest answers challenges (RFC 3261 section 22 as a UAC, RFC 7616, RFC 8760). It holds the
// credentials for a peer, and the realms that have asked for them. It is plain data.
type Digest struct {
	auth   *config.Auth // nil if there are no credentials
	realms []realm
}

// NewDigest returns a Digest with these credentials. auth may be nil.
func NewDigest(auth *config.Auth) Digest { return Digest{auth: auth} }

// realm is a protection space: its last challenge, and how often we have answered that. The target
// and each proxy have their own realm.
type realm struct {
	proxy     bool
	challenge digest.Challenge // Algorithm lacks -sess, and QOP is the one we use
	algorithm string           // as the challenge spells it; empty if the challenge names none
	cnonce    string
	count     int // nonce count (nc) of the last answer
}

// session reports whether the challenge asks for the -sess variant of the algorithm.
func (r *realm) session() bool { return len(r.algorithm) > len(r.challenge.Algorithm) }

func isChallenge(code int) bool { return code == 401 || code == 407 }

// Learn stores the challenges of a 401 or 407. It returns cause.None if the request can be sent
// again with credentials, and otherwise the cause for giving up. answered says that the refused
// request already had credentials: then a known realm gets them again only if it says that the
// nonce was stale (RFC 3261 section 22.2, RFC 7616 section 3.3).
func (d *Digest) Learn(res *sip.Response, answered bool) cause.Cause {
	if d.auth == nil {
		return cause.AuthMissing
	}
	var seen []*realm
	why := cause.AuthUnsupported
	for _, c := range challengesOf(res) {
		// Of several challenges for a realm, the topmost supported one counts (RFC 8760 section 2.4).
		if slices.ContainsFunc(seen, func(r *realm) bool {
			return r.proxy == c.proxy &&
				r.challenge.Realm == c.challenge.Realm
		}) {
			continue
		}
		seen = append(seen, &c)
		known := d.realm(c.proxy, c.challenge.Realm)
		switch {
		case known == nil && len(d.realms) >= maxRealms:
			continue
		case known == nil:
			d.realms = append(d.realms, c)
		case answered && !c.challenge.Stale:
			if why == cause.AuthUnsupported {
				why = cause.AuthRefused
			}
			continue
		default:
			if c.challenge.Nonce == known.challenge.Nonce && c.algorithm == known.algorithm {
				c.cnonce, c.count = known.cnonce, known.count
			}
			*known = c
		}
		why = cause.None
	}
	return why
}

func (d *Digest) realm(proxy bool, name string) *realm {
	for i := range d.realms {
		if r := &d.realms[i]; r.proxy == proxy && r.challenge.Realm == name {
			return r
		}
	}
	return nil
}

// Authorize adds credentials for every realm in d to a request.
func (d *Digest) Authorize(req *sip.Request) {
	for i := range d.realms {
		r := &d.realms[i]
		name := "Authorization"
		if r.proxy {
			name = "Proxy-Authorization"
		}
		if value := r.answer(d.auth, req); value != "" {
			req.AppendHeader(sip.NewHeader(name, value))
		}
	}
}

// answer returns the Authorization value for a request, or "". The client nonce stays the same as
// long as the server's nonce does, as RFC 7616 section 3.4.2 requires for the -sess algorithms.
func (r *realm) answer(auth *config.Auth, req *sip.Request) string {
	r.count++
	o := digest.Options{
		Method: string(req.Method), URI: req.Recipient.String(), Count: r.count, Cnonce: r.cnonce,
		Username: auth.Username, Password: auth.Password.Reveal(),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(req.Body())), nil },
	}
	if r.session() {
		a := message.Algorithm(r.challenge.Algorithm)
		o.A1 = a.Sum(a.Sum(auth.Username, r.challenge.Realm, auth.Password.Reveal()), r.challenge.Nonce, r.cnonce)
	}
	c, err := digest.Digest(&r.challenge, o)
	if err != nil { // can't happen: challenge.realm has rejected such challenges
		return ""
	}
	c.Algorithm = r.algorithm
	return c.String()
}

// isCredentials reports whether a header has digest credentials, such as Authorize adds.
func isCredentials(h sip.Header) bool {
	name := h.Name()
	return (message.EqualFold(name, "authorization") ||
		message.EqualFold(name, "proxy-authorization")) && digest.IsDigest(h.Value())
}

// challengesOf returns the usable challenges of a response, in order: those of WWW-Authenticate,
// and those of Proxy-Authenticate. A forking proxy may send both (RFC 3261 section 22.3).
func challengesOf(res *sip.Response) (usable []realm) {
	n := 0
	for _, name := range []string{"WWW-Authenticate", "Proxy-Authenticate"} {
		for _, h := range res.GetHeaders(name) {
			for _, c := range parseChallenges(h.Value()) {
				if n++; n > maxChallenges {
					return usable
				}
				if r, ok := c.realm(); ok {
					r.proxy = name == "Proxy-Authenticate"
					usable = append(usable, r)
				}
			}
		}
	}
	return usable
}

// challenge holds the parameters of one challenge. Their names are in lower case.
type challenge struct {
	scheme string
	params map[string]string
}

// realm returns the realm of a challenge. It returns false if we can't answer the challenge.
func (c challenge) realm() (realm, bool) {
	for _, name := range []string{"realm", "nonce", "opaque"} {
		if v, there := c.params[name]; !echoable(v) || (!there && name != "opaque") {
			return realm{}, false
		}
	}
	r := realm{cnonce: rand.Text(), algorithm: c.params["algorithm"]}
	r.challenge = digest.Challenge{
		Realm: c.params["realm"], Nonce: c.params["nonce"], Opaque: c.params["opaque"],
		Stale: strings.EqualFold(c.params["stale"], "true"),
	}
	r.challenge.Algorithm = strings.TrimSuffix(strings.ToUpper(r.algorithm), "-SESS")
	qop, ok := chooseQOP(c.params["qop"])
	if qop != "" {
		r.challenge.QOP = []string{qop}
	}
	if !message.Algorithm(r.challenge.Algorithm).Known() || !strings.EqualFold(c.scheme, "Digest") {
		return realm{}, false
	}
	// Without qop there is no client nonce, which the -sess algorithms need.
	return r, ok && (qop != "" || !r.session())
}

// chooseQOP chooses a qop from the list in a challenge: auth if it is offered, otherwise auth-int
// (RFC 7616 section 3.4). It returns "" for an empty list, as sent by a server that supports only
// RFC 2069, and false if it knows no qop in the list.
func chooseQOP(list string) (qop string, ok bool) {
	if strings.TrimSpace(list) == "" {
		return "", true
	}
	for one := range strings.SplitSeq(list, ",") {
		switch one = strings.TrimSpace(one); {
		case strings.EqualFold(one, "auth"):
			return "auth", true
		case strings.EqualFold(one, "auth-int"):
			qop = "auth-int"
		}
	}
	return qop, qop != ""
}

// echoable reports whether the digest library can quote a value correctly. For unprintable
// characters it would write Go escapes.
func echoable(s string) bool {
	return len(s) <= maxChallengeWord && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
}

// parseChallenges reads the challenges of one header, of any scheme (RFC 7235 section 2.1). From a
// malformed header it returns the challenges before the error, and from a header that is too long
// none.
func parseChallenges(header string) (all []challenge) {
	if len(header) > maxChallengeText {
		return nil
	}
	s := challengeText{header}
	for {
		s.skip(" \t\r\n,")
		word := s.word()
		if word == "" {
			return all
		}
		spaced := s.skip(" \t\r\n")
		switch {
		case s.take('='):
			value, ok := s.value()
			if !ok {
				return all[:max(0, len(all)-1)]
			}
			if len(all) == 0 {
				continue // ignore a parameter without a scheme
			}
			if p, name := all[len(all)-1].params, strings.ToLower(word); p[name] == "" {
				p[name] = value
			}
		case spaced && s.rest != "" && s.rest[0] != ',':
			if len(all) >= maxChallenges {
				return all
			}
			all = append(all, challenge{scheme: word, params: map[string]string{}})
		default: // skip an element of a list, such as qop=auth,auth-int without quotes
		}
	}
}

// challengeText is the part of a header that has not been read yet.
type challengeText struct{ rest string }

func (t *challengeText) skip(set string) bool {
	n := len(t.rest)
	t.rest = strings.TrimLeft(t.rest, set)
	return len(t.rest) < n
}

func (t *challengeText) take(c byte) bool {
	if t.rest == "" || t.rest[0] != c {
		return false
	}
	t.rest = t.rest[1:]
	return true
}

// until reads up to the first of the characters in set.
func (t *challengeText) until(set string) (s string) {
	n := strings.IndexAny(t.rest, set)
	if n < 0 {
		n = len(t.rest)
	}
	s, t.rest = t.rest[:n], t.rest[n:]
	return s
}

func (t *challengeText) word() string { return t.until(" \t\r\n,=\"") }

// value reads a token, or a quoted string without its quotes and escapes. It returns false if the
// quote is not closed.
func (t *challengeText) value() (string, bool) {
	t.skip(" \t\r\n")
	if !strings.HasPrefix(t.rest, `"`) {
		return t.until(" \t\r\n,"), true
	}
	content, after, closed := message.CutQuoted(t.rest)
	t.rest = after
	return message.Unquote(content), closed
}

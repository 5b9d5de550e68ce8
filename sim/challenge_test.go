package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// answerTo returns the credentials that answer a challenge.
func answerTo(t *testing.T, header, uri, user, password string, count int) string {
	t.Helper()
	c, err := digest.ParseChallenge(header)
	if err != nil {
		t.Fatalf("%q: %v", header, err)
	}
	cred, err := digest.Digest(c, digest.Options{Method: "INVITE", URI: uri, Count: count, Username: user, Password: password})
	must(t, err)
	return cred.String()
}

func TestInviteIsChallenged(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"", "md5", "sha-256", "SHA-512-256"} {
		h := start(t, AgentOptions{RingFor: -1}, func(h *openHouse) {
			h.asks = NewChallenger(SIPAuth{User: "bob", Password: "zanzibar", Algorithm: algorithm, Realm: "house"})
		})
		c := startCarrier(t)
		cc := h.call(number)
		plain := cc.Headers
		attempt := func(name, credentials string, status int, stale bool) string {
			t.Helper()
			cc.Headers = plain
			if credentials != "" {
				cc.Headers = append(append([]Header(nil), plain...), Header{"Authorization", credentials})
			}
			r := place(t, c, cc)
			asked := ""
			for _, h := range r.Headers {
				if after, ok := strings.CutPrefix(h, "WWW-Authenticate: "); ok {
					asked = after
				}
			}
			if r.Status != status || (status == 401) != (asked != "") || strings.Contains(asked, "stale=true") != stale {
				t.Errorf("%s: %d %s, challenge %q; want %d", name, r.Status, r.Reason, asked, status)
			}
			return asked
		}
		asked := attempt("no credentials", "", 401, false)
		if want := "algorithm=" + strings.ToUpper(algorithm); !strings.Contains(asked, want) {
			t.Errorf("challenge %q; want %s", asked, want)
		}
		attempt("wrong password", answerTo(t, asked, cc.To, "bob", "x", 1), 401, false)
		attempt("wrong user", answerTo(t, asked, cc.To, "eve", "zanzibar", 1), 401, false)
		attempt("other uri", answerTo(t, asked, "sip:x@y", "bob", "zanzibar", 1), 401, false)
		attempt("other nonce", answerTo(t, strings.Replace(asked, `nonce="`, `nonce="x`, 1), cc.To, "bob", "zanzibar", 1), 401, true)
		good := answerTo(t, asked, cc.To, "bob", "zanzibar", 1)
		attempt("good", good, 200, false)
		attempt("used nonce", good, 401, true)
		if n := len(h.all()); n != 1 {
			t.Errorf("%d calls", n)
		}
	}
}

func TestNoncesExpire(t *testing.T) {
	c := NewChallenger(SIPAuth{User: "bob", Password: "p", Realm: "house"})
	req := sip.NewRequest(sip.INVITE, sip.Uri{Scheme: "sip", User: "a", Host: "b"})
	now := time.Unix(1000, 0)
	asked := c.header(false, now)
	req.AppendHeader(sip.NewHeader("Authorization", answerTo(t, asked, req.Recipient.String(), "bob", "p", 1)))
	if reason, stale := c.check(req, now.Add(nonceLifetime)); reason == "" || !stale {
		t.Errorf("an old nonce: %q, stale %v", reason, stale)
	}
	if reason, _ := c.check(req, now.Add(nonceLifetime-1)); reason != "" {
		t.Errorf("a young nonce: %q", reason)
	}
	for i := range maxNonces + 10 {
		c.header(false, now.Add(time.Duration(i)))
	}
	if len(c.nonces) != maxNonces || len(c.order) != maxNonces {
		t.Errorf("%d nonces are kept", len(c.nonces))
	}
	c.header(false, now.Add(time.Hour))
	if len(c.nonces) != 1 {
		t.Errorf("%d nonces are kept", len(c.nonces))
	}
}

func TestSIPAuthValidate(t *testing.T) {
	for _, a := range []SIPAuth{{}, {User: "a", Password: "b"}, {User: "a", Password: "b", Algorithm: "Sha-256"}} {
		if err := a.Validate(); err != nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
	for _, a := range []SIPAuth{{User: "a"}, {Password: "b"}, {Algorithm: "md5"}, {User: "a", Password: "b", Algorithm: "sha-1"}} {
		if err := a.Validate(); err == nil {
			t.Errorf("%+v accepted", a)
		}
	}
}

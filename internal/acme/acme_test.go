package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestCertificate: a certificate is ordered by either challenge, kept as it is while it is good, and renewed after two
// thirds of its time. Only the process's user can read its key.
func TestCertificate(t *testing.T) {
	for _, challenge := range []string{HTTP01, TLSALPN01} {
		t.Run(challenge, func(t *testing.T) {
			ca := newAuthority(t)
			k, log := ca.keeper(challenge)
			if wait := k.look(t.Context()); wait != lookEvery {
				t.Fatalf("it looks again in %v:\n%s", wait, log)
			}
			first, err := tls.LoadX509KeyPair(k.File, k.File)
			must(t, err)
			for _, file := range []string{k.File, k.Account} {
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v %v", file, info.Mode(), err)
				}
			}
			if k.look(t.Context()); ca.orders != 1 {
				t.Errorf("%d orders of a good certificate", ca.orders)
			}
			ca.age, ca.life = 2*time.Hour, 30*time.Minute // less than a third is left
			k.Domains = k.Domains[:1]
			must(t, os.Remove(k.File))
			k.look(t.Context())
			second, err := tls.LoadX509KeyPair(k.File, k.File)
			must(t, err)
			if k.look(t.Context()); ca.orders != 3 || second.Leaf.Equal(first.Leaf) {
				t.Errorf("%d orders; want one for the renewal", ca.orders)
			}
			if !strings.Contains(log.String(), "no certificate yet") || strings.Count(log.String(), `"certificate received"`) != 3 {
				t.Errorf("the log:\n%s", log)
			}
		})
	}
}

// TestBadAuthorities: an authority that lies, hangs or has had enough costs nothing but the new certificate: the old
// one stays, the log says what was wrong, and the pauses grow, or are as long as it asks.
func TestBadAuthorities(t *testing.T) {
	text := func(status int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(status); _, _ = w.Write([]byte(body)) }
	}
	limited := func(after string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", after)
			text(429, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates"}`)(w)
		}
	}
	for name, tt := range map[string]struct {
		path   string
		answer func(http.ResponseWriter)
		change func(ca *authority, k *Keeper)
		want   string
		wait   time.Duration // 0: retryFirst
	}{
		"another name": {change: func(ca *authority, k *Keeper) {
			ca.lie = func(w http.ResponseWriter, path string) bool {
				if path == "/cert" {
					other := newAuthority(ca.t)
					ca.issued = other.sign([]string{"evil.example.com"}, &ca.key.PublicKey)
				}
				return false
			}
		}, want: "private key does not match"},
		"without a domain":     {change: func(ca *authority, _ *Keeper) { ca.fewer = true }, want: "www.example.com"},
		"over already":         {change: func(ca *authority, _ *Keeper) { ca.life = -time.Second }, want: "it is valid from"},
		"garbage":              {path: "/cert", answer: text(200, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), want: "can't be used"},
		"no certificate":       {path: "/cert", answer: text(200, "<html>"), want: "certificate chain is empty"},
		"an endless one":       {path: "/cert", answer: func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 8<<20)) }, want: "certificate"},
		"no directory":         {path: "/dir", answer: text(200, "<html>"), want: "invalid character"},
		"an endless directory": {path: "/dir", answer: func(w http.ResponseWriter) { _, _ = w.Write([]byte(strings.Repeat(" ", 8<<20))) }, want: "too large"},
		"no account":           {path: "/account", answer: text(403, `{"type":"urn:ietf:params:acme:error:unauthorized","detail":"go away"}`), want: "go away"},
		"limited":              {path: "/new", answer: limited("7200"), want: "too many certificates", wait: 2 * time.Hour},
		"limited for a year":   {path: "/new", answer: limited("31536000"), want: "too many", wait: retryAsked},
		"limited for no time":  {path: "/new", answer: limited("-5"), want: "too many"},
		"another challenge":    {change: func(_ *authority, k *Keeper) { k.Domains = []string{"sip.example.com"} }, path: "/authz/0", answer: text(200, `{"status":"pending","identifier":{"type":"dns","value":"sip.example.com"},"challenges":[{"type":"dns-01","url":"x","token":"t"}]}`), want: "offers no challenge http-01"},
		"it can't ask":         {change: func(ca *authority, _ *Keeper) { ca.at = "127.0.0.1:1" }, want: "connection refused"},
		"the port is taken":    {change: func(ca *authority, k *Keeper) { k.Listen = ca.Listener.Addr().String() }, want: "sip.tls.acme.listen"},
		"hangs": {change: func(ca *authority, _ *Keeper) {
			ca.lie = func(_ http.ResponseWriter, path string) bool {
				if path == "/new" {
					<-ca.t.Context().Done()
				}
				return path == "/new"
			}
		}, want: "deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t)
			k, log := ca.keeper(HTTP01)
			old := chainOf(nil, nil)
			if tt.path != "" {
				ca.lie = func(w http.ResponseWriter, path string) bool {
					if path == tt.path {
						tt.answer(w)
					}
					return path == tt.path
				}
			}
			if tt.change != nil {
				tt.change(ca, k)
			}
			must(t, os.WriteFile(k.File, old, 0o600))
			ctx := t.Context()
			if name == "hangs" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				if _, _, err := k.order(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				return
			}
			wait := k.look(ctx)
			if tt.wait == 0 {
				tt.wait = retryFirst
			}
			if wait != tt.wait || !strings.Contains(log.String(), tt.want) || !strings.Contains(log.String(), "the CA issued no certificate") {
				t.Errorf("it waits for %v and says:\n%s\nwant %v and %q", wait, log, tt.wait, tt.want)
			}
			if now, err := os.ReadFile(k.File); err != nil || string(now) != string(old) {
				t.Errorf("the file has changed: %v", err)
			}
			for _, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
				k.orderAfter = time.Time{} // as if the pause were over
				if wait := k.look(ctx); tt.wait == retryFirst && wait != want*time.Minute {
					t.Errorf("the next pause is %v; want %v min", wait, want)
				}
			}
		})
	}
}

// shared is a fleet's database.
type shared struct {
	text []byte
	mine bool
	err  error
}

func (s *shared) Certificate(context.Context) ([]byte, error) { return s.text, s.err }

func (s *shared) Publish(_ context.Context, text []byte) error { s.text = text; return s.err }

func (s *shared) Turn(context.Context, time.Duration) (mine bool, err error) { return s.mine, s.err }

// TestFleet: one node orders, the others take what it gets, and none orders while the database is away.
func TestFleet(t *testing.T) {
	ca, db := newAuthority(t), &shared{mine: true}
	one, _ := ca.keeper(HTTP01)
	two, log := ca.keeper(HTTP01)
	one.Share, two.Share = db, db
	db.err = errors.New("away")
	two.look(t.Context())
	if wait := two.look(t.Context()); wait != lookSoon || ca.orders != 0 || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "away") {
		t.Errorf("without the database: %v, %d orders\n%s", wait, ca.orders, log)
	}
	db.err, db.mine = nil, false
	if wait := two.look(t.Context()); wait != lookSoon || ca.orders != 0 {
		t.Errorf("while another node orders: %v, %d orders", wait, ca.orders)
	}
	db.mine = true
	one.look(t.Context())
	if wait := two.look(t.Context()); wait != lookEvery || ca.orders != 1 {
		t.Errorf("%v, %d orders; want one for both", wait, ca.orders)
	}
	mine, err := os.ReadFile(one.File)
	must(t, err)
	if theirs, err := os.ReadFile(two.File); err != nil || string(mine) != string(theirs) {
		t.Errorf("the nodes have different certificates: %v", err)
	}
	db.text = []byte("garbage")
	if wait := two.look(t.Context()); wait != lookEvery || !strings.Contains(log.String(), "certificate not usable") {
		t.Errorf("garbage in the database: %v\n%s", wait, log)
	}
}

// TestFleetServesWhileTheCARefuses: a node that may not order for hours takes what another node gets in that time.
func TestFleetServesWhileTheCARefuses(t *testing.T) {
	ca, db := newAuthority(t), &shared{mine: true}
	one, _ := ca.keeper(HTTP01)
	two, log := ca.keeper(HTTP01)
	one.Share, two.Share = db, db
	ca.lie = func(w http.ResponseWriter, path string) bool {
		if path == "/new" {
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(429)
			_, _ = w.Write([]byte(`{"type":"urn:ietf:params:acme:error:rateLimited"}`))
		}
		return path == "/new"
	}
	for range 2 { // the second time without a question to the authority
		if wait := two.look(t.Context()); wait != lookSoon || strings.Count(log.String(), `"retry_in":"2h0m0s"`) != 1 {
			t.Fatalf("it looks again in %v:\n%s", wait, log)
		}
	}
	ca.lie = nil
	one.look(t.Context())
	if wait := two.look(t.Context()); wait != lookEvery || ca.orders != 1 {
		t.Errorf("%v, %d orders:\n%s", wait, ca.orders, log)
	}
	if _, err := tls.LoadX509KeyPair(two.File, two.File); err != nil {
		t.Error(err)
	}
}

// TestFullDisk: a certificate that the disk does not take is not ordered again.
func TestFullDisk(t *testing.T) {
	ca := newAuthority(t)
	k, log := ca.keeper(HTTP01)
	must(t, os.MkdirAll(k.File+"/full", 0o700)) // no file can replace it
	for range 3 {
		if wait := k.look(t.Context()); wait != lookSoon || ca.orders != 1 || strings.Count(log.String(), "certificate not usable") != 1 {
			t.Fatalf("it looks again in %v, %d orders:\n%s", wait, ca.orders, log)
		}
	}
	must(t, os.RemoveAll(k.File))
	if wait := k.look(t.Context()); wait != lookEvery || ca.orders != 1 {
		t.Errorf("it looks again in %v, %d orders:\n%s", wait, ca.orders, log)
	}
	if _, err := tls.LoadX509KeyPair(k.File, k.File); err != nil {
		t.Error(err)
	}
}

// TestAsk: a directory that answers is one, and what answers otherwise is named.
func TestAsk(t *testing.T) {
	ca := newAuthority(t)
	k, _ := ca.keeper(HTTP01)
	must(t, Ask(t.Context(), k.Config))
	ca.lie = func(w http.ResponseWriter, _ string) bool { w.WriteHeader(503); return true }
	if err := Ask(t.Context(), k.Config); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
	ca.lie = func(w http.ResponseWriter, _ string) bool { _, _ = w.Write([]byte("{}")); return true }
	if err := Ask(t.Context(), k.Config); err == nil || !strings.Contains(err.Error(), "does not support the RFC 8555 version of ACME") {
		t.Errorf("got %v", err)
	}
	k.Directory = "https://127.0.0.1:1/dir"
	if err := Ask(t.Context(), k.Config); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}

// TestState: while the authority gives nothing, the keeper says why, and when it asks again.
func TestState(t *testing.T) {
	ca := newAuthority(t)
	k, _ := ca.keeper(HTTP01)
	ca.lie = func(w http.ResponseWriter, _ string) bool { w.WriteHeader(403); return true }
	wait := k.look(t.Context())
	if next, why := k.State(); why == nil || !strings.Contains(why.Error(), "403") || time.Until(next) <= 0 || time.Until(next) > wait {
		t.Errorf("next %v, why %v", next, why)
	}
	ca.lie, k.orderAfter = nil, time.Time{}
	k.look(t.Context())
	if next, why := k.State(); why != nil || !next.IsZero() {
		t.Errorf("afterwards: next %v, why %v", next, why)
	}
}

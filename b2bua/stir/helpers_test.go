package stir

import (
	"bytes"
	"crypto/x509"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"flowbridge/internal/stirtest"
)

const where = "https://certs.example.net/shaken.pem"

// jose and body are the header and the claims of a PASSporT that fits request.
var jose = stirtest.Header(where)

func body(iat time.Time) string { return stirtest.Claims("15075550100", "15075785607", iat) }

var provider = stirtest.Provider

// signer signs calls that fit request.
type signer struct{ *stirtest.Signer }

func newSigner(t testing.TB, list []byte, change ...func(*x509.Certificate)) *signer {
	t.Helper()
	return &signer{stirtest.New(t, list, change...)}
}

// identity returns a valid Identity header.
func (s *signer) identity(t testing.TB) string {
	t.Helper()
	return s.Identity(t, where, "15075550100", "15075785607")
}

func request(identity ...string) *Request {
	return &Request{Identity: identity, From: "+15075550100", To: "+15075785607", Called: "+15075785607", CallID: "one", FromTag: "a", Came: time.Now()}
}

func (s *signer) policy() *Policy {
	return &Policy{Roots: s.Root, Hosts: []string{"certs.example.net"}, Fresh: time.Minute, Timeout: time.Second}
}

// server answers requests for certificates without a network.
type server struct {
	mu     sync.Mutex
	asked  []string
	answer func(*http.Request) (*http.Response, error)
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.String())
	s.mu.Unlock()
	return s.answer(r)
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func says(status int, body []byte, headers ...string) func(*http.Request) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Add(headers[i], headers[i+1])
	}
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader(body))}, nil
	}
}

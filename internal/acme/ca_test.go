package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// authority is a CA in the test's process. It asks as a real one does, and believes every signature.
type authority struct {
	*httptest.Server
	t     *testing.T
	at    string        // where it asks
	age   time.Duration // of its certificates when they are issued
	life  time.Duration // what is left of it then
	fewer bool          // the last name is missing

	// lie changes what it answers to a path; it reports whether it has answered.
	lie func(w http.ResponseWriter, path string) bool

	mu     sync.Mutex
	orders int
	valid  bool // the authorization
	why    string
	names  []string // of the order
	issued []byte
	key    *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ca := &authority{t: t, at: l.Addr().String(), age: time.Minute, life: 90 * 24 * time.Hour, key: key}
	must(t, l.Close()) // nobody else takes a port of this range so soon
	ca.Server = httptest.NewTLSServer(ca)
	t.Cleanup(ca.Close)
	return ca
}

// keeper keeps a certificate of the authority.
func (ca *authority) keeper(challenge string) (*Keeper, *bytes.Buffer) {
	ca.t.Helper()
	dir, log := ca.t.TempDir(), &bytes.Buffer{}
	root := filepath.Join(dir, "ca.pem")
	must(ca.t, os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate().Raw}), 0o600))
	return &Keeper{Config: Config{
		Domains: []string{"sip.example.com", "www.example.com"}, Directory: ca.URL + "/dir", CA: root,
		Challenge: challenge, Listen: ca.at, File: filepath.Join(dir, "acme.pem"), Account: filepath.Join(dir, "account.pem"), Log: zerolog.New(log),
	}}, log
}

func (ca *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var jws struct{ Payload string }
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &jws)
	payload, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
	w.Header().Set("Replay-Nonce", fmt.Sprint(time.Now().UnixNano()))
	if ca.lie != nil && ca.lie(w, r.URL.Path) {
		return
	}
	ca.mu.Lock()
	defer ca.mu.Unlock()
	authorization := map[bool]string{true: "valid", false: "pending"}[ca.valid]
	if ca.why != "" {
		authorization = "invalid"
	}
	say := func(status int, v any) { w.WriteHeader(status); _ = json.NewEncoder(w).Encode(v) }
	order := func(status string) map[string]any {
		if ca.issued != nil && status == "ready" {
			status = "valid"
		}
		var ids []map[string]string
		for _, name := range ca.names {
			ids = append(ids, map[string]string{"type": "dns", "value": name})
		}
		if r.URL.Path == "/new" { // as Pebble does
			w.Header().Set("Location", ca.URL+"/order")
		}
		return map[string]any{
			"status": status, "identifiers": ids, "authorizations": []string{ca.URL + "/authz/0"},
			"finalize": ca.URL + "/finalize", "certificate": ca.URL + "/cert",
		}
	}
	switch r.URL.Path {
	case "/dir":
		say(200, map[string]string{"newNonce": ca.URL + "/nonce", "newAccount": ca.URL + "/account", "newOrder": ca.URL + "/new"})
	case "/nonce":
	case "/account":
		w.Header().Set("Location", ca.URL+"/account/1")
		say(201, map[string]string{"status": "valid"})
	case "/new":
		var asked struct{ Identifiers []struct{ Value string } }
		_ = json.Unmarshal(payload, &asked)
		ca.orders, ca.names, ca.valid, ca.why, ca.issued = ca.orders+1, nil, false, "", nil
		for _, id := range asked.Identifiers {
			ca.names = append(ca.names, id.Value)
		}
		say(201, order("pending"))
	case "/authz/0":
		challenge := func(kind string) map[string]any {
			c := map[string]any{"type": kind, "url": ca.URL + "/" + kind, "token": "token", "status": authorization}
			if ca.why != "" {
				c["error"] = map[string]any{"type": "urn:ietf:params:acme:error:connection", "detail": ca.why, "status": 400}
			}
			return c
		}
		say(200, map[string]any{
			"status": authorization, "identifier": map[string]string{"type": "dns", "value": ca.names[0]},
			"challenges": []any{challenge("http-01"), challenge("tls-alpn-01"), challenge("dns-01")},
		})
	case "/http-01", "/tls-alpn-01":
		if err := ca.asks(r.URL.Path); err != nil {
			ca.why = err.Error()
		}
		ca.valid = ca.why == ""
		say(200, map[string]string{"type": r.URL.Path[1:], "url": ca.URL + r.URL.Path, "token": "token", "status": "processing"})
	case "/order":
		say(200, order("ready"))
	case "/finalize":
		var asked struct{ CSR string }
		_ = json.Unmarshal(payload, &asked)
		der, _ := base64.RawURLEncoding.DecodeString(asked.CSR)
		request, err := x509.ParseCertificateRequest(der)
		if err != nil || request.CheckSignature() != nil {
			say(400, map[string]string{"type": "urn:ietf:params:acme:error:badCSR", "detail": "bad"})
			return
		}
		ca.issued = ca.sign(request.DNSNames, request.PublicKey)
		say(200, order("processing"))
	case "/cert":
		_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: ca.issued})
	default:
		say(404, map[string]string{"detail": "no " + r.URL.Path})
	}
}

// sign issues a certificate.
func (ca *authority) sign(names []string, public any) []byte {
	now := time.Now()
	if ca.fewer {
		names = names[:len(names)-1]
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: now.Add(-ca.age), NotAfter: now.Add(ca.life),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, ca.key)
	if err != nil {
		ca.t.Error(err)
	}
	return der
}

// asks asks the node as a CA does.
func (ca *authority) asks(kind string) error {
	if kind == "/http-01" {
		res, err := http.Get("http://" + ca.at + "/.well-known/acme-challenge/token")
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || !strings.HasPrefix(string(text), "token.") {
			return fmt.Errorf("got %s %q: %w", res.Status, text, err)
		}
		for _, path := range []string{"/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/other"} {
			if res, err := http.Get("http://" + ca.at + path); err != nil || res.StatusCode != 404 {
				ca.t.Errorf("%s: %v %v; want 404", path, res, err)
			}
		}
		return nil
	}
	hello := &tls.Config{ServerName: ca.names[0], NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true}
	ctx, cancel := context.WithTimeout(ca.t.Context(), time.Minute)
	defer cancel()
	conn, err := (&tls.Dialer{Config: hello}).DialContext(ctx, "tcp", ca.at)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	state := conn.(*tls.Conn).ConnectionState()
	leaf := state.PeerCertificates[0]
	for _, e := range leaf.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) && e.Critical && state.NegotiatedProtocol == "acme-tls/1" {
			return leaf.VerifyHostname(ca.names[0])
		}
	}
	return fmt.Errorf("no acmeIdentifier, protocol %q", state.NegotiatedProtocol)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

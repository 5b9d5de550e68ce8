package hooks

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

var anywhere = netip.MustParseAddrPort("127.0.0.1:0")

func start(t *testing.T, o Options) (*Server, string) {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, s.listener.Addr().String()
}

func get(t *testing.T, client *http.Client, method, url string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func saying(words string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, words) })
}

// Hooks with the same address share a listener. Other paths are not served, and a panic
// ends only the request that caused it.
func TestListeners(t *testing.T) {
	var log bytes.Buffer
	_, at := start(t, Options{Listen: anywhere, Log: zerolog.New(&log), Endpoints: []Endpoint{
		{Name: "a", Path: "/a", Handler: saying("a")},
		{Name: "b", Path: "/b/c", Below: true, Handler: saying("b")},
		{Name: "p", Path: "/p", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") })},
	}})
	for path, want := range map[string]string{
		"/a": "200 a", "/b/c": "200 b", "/b/c/x": "200 b", "/": "404", "/a/x": "404", "/b": "404", "/a//x": "404", "/debug/pprof/": "404", "/p": "500",
	} {
		code, body, h := get(t, http.DefaultClient, "GET", "http://"+at+path)
		if got := http.StatusText(code); !strings.HasPrefix(want, itoa(code)) || (code == 200 && body != want[4:]) || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s %q", path, code, got, body)
		}
	}
	if !strings.Contains(log.String(), "oops") {
		t.Errorf("the panic is not in the log: %s", log.String())
	}
	taken := netip.MustParseAddrPort(at)
	if s, err := Start(t.Context(), Options{Listen: taken, Endpoints: []Endpoint{{Name: "twilio", Path: "/a", Handler: saying("")}}}); err == nil || !strings.HasPrefix(err.Error(), "hooks.listen: ") {
		t.Errorf("a port that is taken: %v, %v", s, err)
	}
}

// TLS errors and panics are logged in the log's own format, at most ten of each kind a
// minute.
func TestLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, cert, key, 1, time.Unix(1000, 0))
	lines := make(logged, 100)
	panics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") })
	s, err := Start(t.Context(), Options{
		Listen: anywhere, Cert: cert, Key: key, Log: zerolog.New(lines),
		Endpoints: []Endpoint{{Name: "a", Path: "/a", Handler: panics}},
	})
	if err != nil {
		t.Fatal(err)
	}
	at := s.listener.Addr().String()
	for range 20 { // net/http answers these with 400 in plain HTTP
		if code, _, _ := get(t, http.DefaultClient, "GET", "http://"+at+"/a"); code != 400 {
			t.Errorf("without TLS: got %d", code)
		}
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // who it is does not matter here
	}}
	for range 20 {
		if code, _, _ := get(t, client, "GET", "https://"+at+"/a"); code != 500 {
			t.Errorf("a panic: got %d", code)
		}
	}
	said := map[string]int{}
	for said["TLS handshake error"] < 10 || said["oops"] < 10 {
		lines.count(t, said)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for len(lines) > 0 {
		lines.count(t, said)
	}
	if said["TLS handshake error"] != 10 || said["oops"] != 10 {
		t.Errorf("got %v", said)
	}
}

// logged receives the lines of a log.
type logged chan string

func (l logged) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// count waits for a log line, and counts it under its subject.
func (l logged) count(t *testing.T, said map[string]int) {
	t.Helper()
	line := <-l
	if !json.Valid([]byte(line)) {
		t.Errorf("the log has %s", line)
	}
	for _, words := range []string{"TLS handshake error", "oops"} {
		if strings.Contains(line, words) {
			said[words]++
		}
	}
}

// Vapi waits 7.5 s for an answer, and the configuration allows 5.5 s for it. Reading the
// headers of a request must take only a small part of that time.
func TestHeaderTimeout(t *testing.T) {
	s, _ := start(t, Options{Listen: anywhere, Endpoints: []Endpoint{{Name: "a", Path: "/a", Handler: saying("a")}}})
	if got := s.server.ReadHeaderTimeout; got <= 0 || got > 2*time.Second {
		t.Errorf("got %v", got)
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// A certificate that is replaced is used from then on. If the new file is broken, the old
// certificate stays in use, and one line is logged. Files are checked once a second.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, cert, key, 1, time.Unix(1000, 0))
	var log bytes.Buffer // written only during handshakes for which the test waits
	var clock atomic.Int64
	now := func() time.Time { return time.Unix(clock.Load(), 0) }
	_, at := start(t, Options{Listen: anywhere, now: now, Log: zerolog.New(&log), Cert: cert, Key: key, Endpoints: []Endpoint{{Name: "a", Path: "/a", Handler: saying("a")}}})
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // its serial number is looked at
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("serial %d", got)
	}
	writePair(t, cert, key, 2, time.Unix(2000, 0))
	if got := serial(); got != 1 {
		t.Errorf("within the second: serial %d", got)
	}
	clock.Add(1)
	if got := serial(); got != 2 {
		t.Errorf("after it was replaced: serial %d", got)
	}
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		clock.Add(1)
		if got := serial(); got != 2 {
			t.Errorf("after it was broken: serial %d", got)
		}
	}
	if n := strings.Count(log.String(), "the new certificate can't be used"); n != 1 {
		t.Errorf("%d lines say that it is broken: %s", n, log.String())
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	clock.Add(1)
	if got := serial(); got != 2 || strings.Count(log.String(), "the new certificate can't be used") != 2 {
		t.Errorf("after it was removed: serial %d, %s", got, log.String())
	}
	writePair(t, cert, key, 3, time.Unix(3000, 0))
	clock.Add(1)
	if got := serial(); got != 3 {
		t.Errorf("after it was mended: serial %d", got)
	}
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{Listen: anywhere, Cert: cert, Key: key, Endpoints: []Endpoint{{Name: "a", Path: "/a", Handler: saying("a")}}}); err == nil || !strings.HasPrefix(err.Error(), "hooks.tls: ") {
		t.Errorf("a broken one at the start: %v", err)
	}
}

func writePair(t *testing.T, cert, key string, serial int64, at time.Time) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// An agent gets the variables of its call, by any id that it knows for the call. Other
// agents don't get them.
func TestVariables(t *testing.T) {
	var log bytes.Buffer
	v := &Variables{Path: "/variables", Token: "hush-token", Log: zerolog.New(&log), Find: func(_ context.Context, id string) (Call, error) {
		switch id {
		case "CA1", "a/b@c", "sf id", "a+b", "a//b":
			return Call{ID: "ours", ExternalID: id, Variables: map[string]string{"X-Name": "Ada <&> \"L\"\u2028"}}, nil
		case "two":
			return Call{}, ErrSeveral
		case "odd":
			return Call{}, errors.New("secret reason")
		}
		return Call{}, ErrUnknown
	}}
	ask := func(method, target, authorization string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, target, http.NoBody)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		v.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		method, target, authorization string
		status                        int
	}{
		{"GET", "/variables?id=CA1", "Bearer hush-token", 200},
		{"GET", "/variables/CA1", "bearer hush-token", 200},
		{"GET", "/variables/a/b@c", "Bearer hush-token", 200},
		{"GET", "/variables?id=sf%20id", "Bearer hush-token", 200},
		{"GET", "/variables?x=1&id=a+b", "Bearer hush-token", 200},
		{"GET", "/variables?id=a%2Bb", "Bearer hush-token", 200},
		{"GET", "/variables?id=a%2F%2Fb", "Bearer hush-token", 200},
		{"GET", "/variables?id=%zz", "Bearer hush-token", 400},
		{"HEAD", "/variables/CA1", "Bearer hush-token", 200},
		{"GET", "/variables/CA1", "", 401},
		{"GET", "/variables/CA1", "Bearer wrong", 401},
		{"GET", "/variables/CA1", "Basic hush-token", 401},
		{"POST", "/variables/CA1", "Bearer hush-token", 405},
		{"GET", "/variables", "Bearer hush-token", 400},
		{"GET", "/variables/", "Bearer hush-token", 400},
		{"GET", "/variables/" + strings.Repeat("a", 257), "Bearer hush-token", 400},
		{"GET", "/variables/none", "Bearer hush-token", 404},
		{"GET", "/variables/two", "Bearer hush-token", 409},
		{"GET", "/variables/odd", "Bearer hush-token", 503},
	} {
		w := ask(c.method, c.target, c.authorization)
		if w.Code != c.status || !json.Valid(w.Body.Bytes()) || strings.Contains(w.Body.String(), "secret reason") {
			t.Errorf("%s %s, %s: got %d %s", c.method, c.target, c.authorization, w.Code, w.Body)
		}
	}
	var got Call
	if err := json.Unmarshal(ask("GET", "/variables/CA1", "Bearer hush-token").Body.Bytes(), &got); err != nil || got.Variables["X-Name"] != "Ada <&> \"L\"\u2028" {
		t.Errorf("got %+v, %v", got, err)
	}
	if strings.Contains(log.String(), "hush") {
		t.Errorf("the token is in the log: %s", log.String())
	}
	for range 100 {
		ask("GET", "/variables/CA1", "Bearer hush-guess")
	}
	if n := strings.Count(log.String(), "wrong token"); n == 0 || n > 10 || strings.Contains(log.String(), "hush") {
		t.Errorf("%d lines say that the token was wrong: %s", n, log.String())
	}
	v.Token = ""
	if w := ask("GET", "/variables/CA1", "Bearer "); w.Code != 401 {
		t.Errorf("without a token of its own: got %d", w.Code)
	}
}

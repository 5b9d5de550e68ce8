package publicaddr

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

// service returns the URL of a metadata service with one path.
func service(t *testing.T, path, header, text string, status int) string {
	t.Helper()
	name, value, _ := strings.Cut(header, ": ")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			_, _ = w.Write([]byte("token"))
		case r.Method != http.MethodGet || r.URL.RequestURI() != path || name != "" && r.Header.Get(name) != value:
			http.NotFound(w, r)
		case status/100 == 3:
			http.Redirect(w, r, "http://127.0.0.1:1/", status)
		default:
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Each cloud's metadata service gets the request that its documents describe. Only a short answer with a public address
// is accepted.
func TestClouds(t *testing.T) {
	for _, c := range clouds {
		header := c.header
		if c.name == "AWS" {
			header = "X-Aws-Ec2-Metadata-Token: token"
		}
		addr, from, err := askClouds(t.Context(), service(t, c.path, header, "203.0.113.9\n", 200))
		if err != nil || addr.String() != "203.0.113.9" || from != c.name+"'s metadata" {
			t.Errorf("%s: %v from %q, %v", c.name, addr, from, err)
		}
	}
	hetzner := clouds[3]
	for name, tt := range map[string]struct {
		text   string
		status int
		want   string
	}{
		"private":       {"10.0.0.5", 200, `"10.0.0.5" is no public IPv4 address`},
		"shared":        {"100.64.0.5", 200, "is no public IPv4 address"},
		"loopback":      {"127.0.0.1", 200, "is no public IPv4 address"},
		"IPv6":          {"2001:db8::1", 200, "is no public IPv4 address"},
		"empty":         {"", 200, `"" is no public IPv4 address`},
		"a page":        {strings.Repeat("<html>", 50), 200, "more than 64 bytes"},
		"several":       {"203.0.113.9\n203.0.113.10", 200, "has several lines"},
		"redirect":      {"", 302, "it redirects"},
		"fails":         {"203.0.113.9", 500, "the answer is 500"},
		"not this path": {"", 404, "the answer is 404"},
	} {
		_, _, err := askClouds(t.Context(), service(t, hetzner.path, "", tt.text, tt.status))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %s", name, err, tt.want)
		}
	}
}

// If no service answers, the search ends after its time limit, with an error that names each cloud.
func TestCloudHangs(t *testing.T) {
	hang := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, _, err := askClouds(ctx, s.URL)
	if err == nil || !strings.Contains(err.Error(), "Hetzner: ") || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("got %v", err)
	}
}

// stunServer runs a STUN server that answers with this address.
func stunServer(t *testing.T, ip string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			req := &stun.Message{Raw: b[:n]}
			if req.Decode() != nil || ip == "" {
				continue
			}
			res := stun.MustBuild(stun.NewTransactionIDSetter(req.TransactionID), stun.BindingSuccess,
				&stun.XORMappedAddress{IP: net.ParseIP(ip), Port: 4711}, stun.Fingerprint)
			_, _ = conn.WriteTo(res.Raw, from)
		}
	}()
	return conn.LocalAddr().String()
}

func TestSTUN(t *testing.T) {
	server := stunServer(t, "203.0.113.9")
	addr, from, err := Find(t.Context(), server)
	if err != nil || addr.String() != "203.0.113.9" || from != "the STUN server "+server {
		t.Errorf("got %v from %q, %v", addr, from, err)
	}
	if _, _, err := Find(t.Context(), stunServer(t, "192.168.1.5")); err == nil || !strings.Contains(err.Error(), "no public") {
		t.Errorf("a private address: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, _, err = Find(ctx, stunServer(t, ""))
	if err == nil || !strings.Contains(err.Error(), "does not tell it") || errors.Is(err, net.ErrClosed) {
		t.Errorf("a silent server: %v", err)
	}
}

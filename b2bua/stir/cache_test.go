package stir

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// If a URL has no certificate, or its server fails, it is not requested again at once.
func TestBadAnswers(t *testing.T) {
	s := newSigner(t, provider)
	elsewhere := func(*http.Request) (*http.Response, error) { return nil, errors.New("no route to host") }
	for _, tt := range []struct {
		name   string
		answer func(*http.Request) (*http.Response, error)
		status int
	}{
		{"404", says(404, nil), StatusUnfetched},
		{"a redirect", says(302, nil, "Location", "https://evil.example/x.pem"), StatusUnfetched},
		{"no connection", elsewhere, StatusUnfetched},
		{"nothing", says(200, nil), StatusCredential},
		{"a page", says(200, []byte("<html>")), StatusCredential},
		{"too large", says(200, append(make([]byte, maxFile), s.File...)), StatusUnfetched},
		{"too many", says(200, []byte(strings.Repeat(string(s.File), 5))), StatusCredential},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := &server{answer: tt.answer}
			v := New(t.Context(), server)
			for range 3 {
				if got := v.Verify(s.policy(), request(s.identity(t))); got.Status != tt.status {
					t.Errorf("%s: %v; want %d", tt.name, got, tt.status)
				}
			}
			if n := server.count(); n != 1 {
				t.Errorf("%s: asked %d times: %v", tt.name, n, server.asked)
			}
			time.Sleep(pauseAfter)
			v.Verify(s.policy(), request(s.identity(t)))
			if n := server.count(); n != 2 {
				t.Errorf("%s: asked %d times after a pause", tt.name, n)
			}
			if f := v.Fetches(); f.OK != 0 || f.Failed != 2 || f.Cached != 2 {
				t.Errorf("%s: %+v", tt.name, f)
			}
		})
	}
}

// A hanging server delays calls by a second, but only those of its first second. Only one request runs. If the
// certificate comes late, later calls can use it.
func TestHangingServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t, provider)
		late := 4 * time.Second
		server := &server{answer: func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(late):
				return says(200, s.File)(r)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}}
		v := New(t.Context(), server)
		ask := func() (Result, time.Duration) {
			at := time.Now()
			got := v.Verify(s.policy(), request(s.identity(t)))
			return got, time.Since(at)
		}
		got, took := ask()
		if got.Status != StatusUnfetched || took != time.Second {
			t.Errorf("%v after %v", got, took)
		}
		for range 100 {
			if got, took := ask(); got.Status != StatusUnfetched || took != 0 {
				t.Errorf("%v after %v", got, took)
			}
		}
		if n := server.count(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got, took := ask(); got.Status != 0 || took != 0 {
			t.Errorf("%v after %v", got, took)
		}

		late = time.Hour
		if got := v.Verify(s.policy(), request(moved(t, s, where+"2"))); got.Status != StatusUnfetched {
			t.Errorf("verified: %v; want unfetched", got)
		}
		time.Sleep(fetchTimeout)
		synctest.Wait()
		at := time.Now() // the host is not asked, whatever the path is
		if got := v.Verify(s.policy(), request(moved(t, s, where+"3"))); got.Status != StatusUnfetched || time.Since(at) != 0 || server.count() != 2 {
			t.Errorf("%v after %v, %v", got, time.Since(at), server.asked)
		}
		if got, took := ask(); got.Status != 0 || took != 0 { // a cached certificate can still be used
			t.Errorf("%v after %v", got, took)
		}
	})
}

// However many URLs callers name, only a few requests run at a time, and the cache is bounded.
func TestManyURLs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t, provider)
		server := &server{answer: func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}}
		v := New(t.Context(), server)
		p := s.policy()
		p.Hosts = []string{"*.example.net"}
		for i := range 200 {
			go v.Verify(p, request(moved(t, s, fmt.Sprintf("https://h%d.example.net/x.pem", i))))
		}
		synctest.Wait()
		if n := server.count(); n != maxOfEntry {
			t.Errorf("%d requests to the hosts of an entry", n)
		}
		for i := range 200 {
			q := *p
			q.Trunk, q.Hosts = fmt.Sprint("trunk", i), []string{fmt.Sprintf("i%d.example.net", i)}
			go v.Verify(&q, request(moved(t, s, "https://"+q.Hosts[0]+"/x.pem")))
		}
		synctest.Wait()
		if n := server.count(); n != maxFlights {
			t.Errorf("%d requests", n)
		}
		time.Sleep(time.Minute)
		server.answer = says(200, s.File)
		for i := range maxCached + 100 {
			v.Verify(p, request(moved(t, s, fmt.Sprintf("https://h.example.net/%d.pem", i))))
		}
		server.answer = says(404, nil)
		for i := range maxCached + 100 {
			v.Verify(p, request(moved(t, s, fmt.Sprintf("https://g%d.example.net/x.pem", i))))
		}
		for _, kept := range []*shelf{&v.cache.good, &v.cache.others} {
			if n, m := len(kept.entries), kept.recent.Len(); n != kept.most || n != m {
				t.Errorf("%d and %d of %d are kept", n, m, kept.most)
			}
		}
	})
}

// A caller that names many missing URLs does not affect other calls: their cached certificates stay, and certificates
// of other hosts, or of the same host, can still be fetched.
func TestRandomPaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t, provider)
		hang := false
		server := &server{answer: func(r *http.Request) (*http.Response, error) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/shaken.pem"):
				return says(200, s.File)(r)
			case hang:
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return says(404, nil)(r)
		}}
		v, p := New(t.Context(), server), s.policy()
		p.Hosts = []string{"certs.example.net", "other.example.net"}
		right := func(when, url string) {
			t.Helper()
			if got := v.Verify(p, request(s.Identity(t, url, "15075550100", "15075785607"))); got.Status != 0 {
				t.Errorf("%s: %v", when, got)
			}
		}
		right("at first", where)
		asked := server.count()
		for i := range maxCached + maxOthers {
			v.Verify(p, request(moved(t, s, fmt.Sprintf("https://certs.example.net/%d.pem", i))))
		}
		if n := server.count() - asked; n != maxMisses {
			t.Errorf("the host was asked %d times for what it has not", n)
		}
		right("while its host is left alone", where)
		right("of another host", "https://other.example.net/shaken.pem")
		time.Sleep(usuallyFresh)
		for i := range maxMisses {
			v.Verify(p, request(moved(t, s, fmt.Sprintf("https://certs.example.net/again%d.pem", i))))
		}
		right("that is fetched again", where)

		time.Sleep(usuallyFresh)
		hang = true
		for i := range 100 {
			go v.Verify(p, request(moved(t, s, fmt.Sprintf("https://certs.example.net/hangs%d.pem", i))))
		}
		synctest.Wait()
		right("while others hang", where)
		right("of another host, while others hang", "https://other.example.net/b/shaken.pem")
	})
}

// A trunk whose callers name many certificates can't use up another trunk's requests or places in the cache.
func TestTrunksShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, other := newSigner(t, provider), newSigner(t, provider)
		hang := true
		server := &server{answer: func(r *http.Request) (*http.Response, error) {
			if hang && r.URL.Path != "/shaken.pem" {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return says(200, s.File)(r)
		}}
		v, loud, quiet := New(t.Context(), server), s.policy(), s.policy()
		loud.Trunk, quiet.Trunk = "loud", "quiet"
		loud.Hosts = []string{"*.a.example", "*.b.example", "*.c.example", "*.d.example", "*.e.example", "certs.example.net"}
		quiet.Hosts = []string{"*.a.example", "certs.example.net"}
		for _, of := range "abcde" {
			for i := range maxOfEntry {
				go v.Verify(loud, request(moved(t, s, fmt.Sprintf("https://h%d.%c.example/x.pem", i, of))))
			}
		}
		synctest.Wait()
		if n := server.count(); n != maxFlights/2 {
			t.Errorf("%d requests for one trunk", n)
		}
		if got := v.Verify(quiet, request(moved(t, s, "https://h.a.example/shaken.pem"))); got.Status != 0 {
			t.Errorf("another trunk, by the same entry: %v", got)
		}
		time.Sleep(time.Minute)

		// A certificate that has not signed anything displaces no other certificate. A host's failure for one trunk does not
		// count for another trunk.
		hang = false
		if got := v.Verify(quiet, request(s.identity(t))); got.Status != 0 {
			t.Errorf("verified: %v; want no fault", got)
		}
		asked := server.count()
		for i := range maxCached + maxOthers {
			v.Verify(loud, request(moved(t, other, fmt.Sprintf("https://certs.example.net/%d.pem", i))))
		}
		if n := len(v.cache.good.entries); n != 2 {
			t.Errorf("%d certificates count as good", n)
		}
		if n := len(v.cache.others.entries); n > maxOthers {
			t.Errorf("%d others are kept", n)
		}
		if got := v.Verify(quiet, request(s.identity(t))); got.Status != 0 || server.count() != asked+maxCached+maxOthers {
			t.Errorf("%v, after %d requests", got, server.count()-asked)
		}
		server.answer = says(404, nil)
		for i := range maxMisses {
			v.Verify(loud, request(moved(t, s, fmt.Sprintf("https://certs.example.net/not%d.pem", i))))
		}
		server.answer = says(200, s.File)
		if got := v.Verify(quiet, request(moved(t, s, "https://certs.example.net/new.pem"))); got.Status != 0 {
			t.Errorf("a new one of the same host: %v", got)
		}
	})
}

// If the cache is full, the oldest entries of the trunk that has the most are displaced first by those of another
// trunk.
func TestShelfOfTrunks(t *testing.T) {
	s := newShelf(8)
	for i := range 20 {
		s.keep(&entry{key: fmt.Sprint("loud", i), trunk: "loud"})
		if i < 3 {
			s.keep(&entry{key: fmt.Sprint("quiet", i), trunk: "quiet"})
		}
	}
	for _, key := range []string{"quiet0", "quiet1", "quiet2", "loud15", "loud19"} {
		if s.at(key) == nil {
			t.Errorf("%s is gone", key)
		}
	}
	if len(s.entries) != 8 || s.recent.Len() != 8 {
		t.Errorf("%d and %d entries", len(s.entries), s.recent.Len())
	}
}

// A certificate has one key in the cache, whatever the spelling of its URL (RFC 3986 section 6.2).
func TestNormalURL(t *testing.T) {
	hosts := []string{"certs.example.net", "2001:db8::1"}
	for in, want := range map[string]string{
		"https://certs.example.net/shaken.pem":       where,
		"HTTPS://CERTS.Example.NET/shaken.pem":       where,
		"https://certs.example.net./shaken.pem":      where,
		"https://certs.example.net:443/shaken.pem":   where,
		"https://certs.example.net:/shaken.pem":      where,
		"https://certs.example.net/a/../shaken.pem":  where,
		"https://certs.example.net/./shaken.pem":     where,
		"https://certs.example.net/%2e/%73haken.pem": where,
		"https://certs.example.net/../../shaken.pem": where,
		"https://certs.example.net:8443/shaken.pem":  "https://certs.example.net:8443/shaken.pem",
		"https://certs.example.net/Shaken.pem":       "https://certs.example.net/Shaken.pem",
		"https://certs.example.net//shaken.pem":      "https://certs.example.net//shaken.pem",
		"https://certs.example.net/a%2Fb":            "https://certs.example.net/a%2Fb",
		"https://certs.example.net/a%20b":            "https://certs.example.net/a%20b",
		"https://certs.example.net":                  "https://certs.example.net/",
		"https://[2001:DB8::1]:443/x":                "https://[2001:db8::1]/x",
	} {
		u, _, err := allowed(in, hosts)
		if err != nil || u.String() != want {
			t.Errorf("%s: %v, %v; want %s", in, u, err, want)
		}
	}
}

func TestFreshness(t *testing.T) {
	now := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, tt := range []struct {
		headers []string
		want    time.Duration
	}{
		{nil, usuallyFresh},
		{[]string{"Cache-Control", "public, max-age=3600"}, time.Hour},
		{[]string{"Cache-Control", "max-age=3600", "Age", "600"}, 50 * time.Minute},
		{[]string{"Cache-Control", "max-age=3600", "Expires", at(time.Minute)}, time.Hour},
		{[]string{"Expires", at(time.Hour)}, time.Hour},
		{[]string{"Expires", at(time.Hour), "Date", at(30 * time.Minute)}, 30 * time.Minute},
		{[]string{"Expires", at(-time.Hour)}, leastFresh},
		{[]string{"Expires", "0"}, usuallyFresh},
		{[]string{"Cache-Control", "no-store"}, leastFresh},
		{[]string{"Cache-Control", "max-age=0"}, leastFresh},
		{[]string{"Cache-Control", "max-age=99999999"}, longestFresh},
		{[]string{"Cache-Control", "max-age=-1"}, usuallyFresh},
	} {
		res, _ := says(200, nil, tt.headers...)(nil)
		if got := freshness(res.Header, now); got != tt.want {
			t.Errorf("%q: %v; want %v", tt.headers, got, tt.want)
		}
	}
}

// A certificate is fetched once as long as it is fresh, and then again. An expired certificate is not used.
func TestCertificateIsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigner(t, provider, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(30 * time.Minute) })
		server := &server{answer: says(200, s.File, "Cache-Control", "max-age=86400")}
		v := New(t.Context(), server)
		for range 3 {
			if got := v.Verify(s.policy(), request(s.identity(t))); got.Status != 0 {
				t.Errorf("verified: %v; want no fault", got)
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(28 * time.Minute)
		if got := v.Verify(s.policy(), request(s.identity(t))); got.Status != StatusCredential || server.count() != 1 {
			t.Errorf("%v, %v", got, server.asked)
		}
		time.Sleep(24 * time.Hour)
		if v.Verify(s.policy(), request(s.identity(t))); server.count() != 2 {
			t.Errorf("asked for %v; want two requests", server.asked)
		}
	})
}

// A caller chooses the host of a pattern. It must not lead to an address of this machine or its networks. A host that
// the configuration names in full may be there.
func TestHostsThatLeadInside(t *testing.T) {
	asked := make(chan struct{}, 1)
	victim := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	defer victim.Close()
	victim.Config.ErrorLog = log.New(io.Discard, "", 0)
	u, err := url.Parse(victim.URL) // at 127.0.0.1
	if err != nil {
		t.Fatal(err)
	}
	for _, hosts := range [][]string{{"*.0.0.1:" + u.Port()}, {"*.0.0.1:" + u.Port(), u.Host}} {
		c := newCache(t.Context(), nil)
		transport, ok := c.client.Transport.(*http.Transport)
		if !ok {
			t.Fatal("no transport")
		}
		transport.TLSClientConfig = victim.Client().Transport.(*http.Transport).TLSClientConfig
		_, err := c.get(victim.URL+"/x.pem", &Policy{Hosts: hosts, Timeout: time.Minute}, time.Now().Add(time.Minute))
		if named := len(hosts) == 2; errors.Is(err, errForbidden) == named || len(asked) > 0 != named {
			t.Errorf("%v: %v; asked %d times", hosts, err, len(asked))
		}
	}
	for _, at := range []string{
		"127.0.0.1:443", "[::1]:443", "[::ffff:127.0.0.1]:443", "10.0.0.1:443", "169.254.169.254:443",
		"[fe80::1%lo]:443", "[fd00::1]:443", "100.64.0.1:443", "0.0.0.0:443",
	} {
		if err := onlyPublic(context.WithValue(t.Context(), chosenByCaller{}, true), "tcp", at, nil); !errors.Is(err, errForbidden) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

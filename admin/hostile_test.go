package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// served is an API as it runs: with the bounds of its listener. Its token is "right".
func served(t *testing.T, change ...func(*Options)) string {
	t.Helper()
	opts := everything()
	opts.Access = func() Access {
		return Access{Tokens: []Token{{Name: "anna", Secret: "right", Rights: RightsOperate}}}
	}
	for _, c := range change {
		c(&opts)
	}
	l, err := Listen(t.Context(), Address{TCP: "127.0.0.1:0"})
	must(t, err)
	srv := Server(New(opts), zerolog.Nop())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return l.Addr().String()
}

// dialled is a connection with something sent.
func dialled(t *testing.T, at, text string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", at)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, _ = io.WriteString(c, text) // it may be refused
	return c
}

// answers are the status lines that come until the connection ends, or for a while nothing does.
func answers(c net.Conn) (all []string) {
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return all
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		all = append(all, fmt.Sprint(res.StatusCode))
		if res.Close {
			return all
		}
	}
}

const right = "Host: localhost\r\nAuthorization: Bearer right\r\n"

// What is not HTTP as it should be is refused, and costs no more than its connection.
func TestRawRequests(t *testing.T) {
	at := served(t)
	for name, tc := range map[string]struct{ sends, want string }{
		"HTTP/1.0":                 {"GET /api/calls HTTP/1.0\r\n" + right + "\r\n", "200"},
		"HTTP/1.0 without a host":  {"GET /healthz HTTP/1.0\r\n\r\n", "200"},
		"HTTP/0.9":                 {"GET /healthz\r\n\r\n", "400"},
		"HTTP/3.0":                 {"GET /healthz HTTP/3.0\r\nHost: a\r\n\r\n", "505"},
		"no host":                  {"GET /healthz HTTP/1.1\r\n\r\n", "400"},
		"two lengths":              {"POST /api/drain HTTP/1.1\r\n" + right + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"},
		"length and chunks":        {"POST /api/calls/live/mask HTTP/1.1\r\n" + right + "Connection: close\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		"unknown coding":           {"POST /api/drain HTTP/1.1\r\n" + right + "Transfer-Encoding: gzip\r\n\r\n", "501"},
		"broken chunk":             {"POST /api/calls/live/mask HTTP/1.1\r\n" + right + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
		"NUL in a header":          {"GET /healthz HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", "400"},
		"space before a colon":     {"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n", "400"},
		"a longer query":           {"GET /api/cdrs?" + strings.Repeat("trunk=a&", 5000) + " HTTP/1.1\r\n" + right + "\r\n", "431"},
		"many parameters":          {"GET /api/cdrs?" + strings.Repeat("a&", 5000) + " HTTP/1.1\r\n" + right + "Connection: close\r\n\r\n", "400"},
		"a long number":            {"GET /api/cdrs?number=" + strings.Repeat("1", 10000) + " HTTP/1.1\r\n" + right + "Connection: close\r\n\r\n", "400"},
		"a long path":              {"GET /" + strings.Repeat("a/", 5000) + " HTTP/1.1\r\n" + right + "Connection: close\r\n\r\n", "404"},
		"dots":                     {"GET /api/recordings/../../../etc/passwd HTTP/1.1\r\n" + right + "Connection: close\r\n\r\n", "307"},
		"escaped dots":             {"GET /api/recordings/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1\r\n" + right + "Connection: close\r\n\r\n", "404"},
		"another one's URL":        {"GET http://evil.example/api/calls HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "401"},
		"a tunnel":                 {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n", "400"},
		"an upgrade":               {"GET /api/calls HTTP/1.1\r\n" + right + "Connection: close, Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n", "200"},
		"HTTP/2 at once":           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
		"the server itself":        {"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "200"},
		"a method of nobody":       {"BREW /api/calls HTTP/1.1\r\n" + right + "Connection: close\r\n\r\n", "405"},
		"pipelined":                {strings.Repeat("GET /api/calls HTTP/1.1\r\n"+right+"\r\n", 20) + "GET /x HTTP/1.1\r\n" + right + "Connection: close\r\n\r\n", strings.Repeat("200 ", 20) + "404"},
		"pipelined without tokens": {strings.Repeat("GET /api/calls HTTP/1.1\r\nHost: localhost\r\n\r\n", 20), "401"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(answers(dialled(t, at, tc.sends)), " "); got != tc.want {
				t.Errorf("got %q; want %q", got, tc.want)
			}
		})
	}
}

// endless is a body of 100 MB that counts what is taken of it.
type endless struct {
	left  int
	taken atomic.Int64
}

func (e *endless) Read(b []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), e.left)
	e.left -= n
	e.taken.Add(int64(n))
	return n, nil
}

// A body of 100 MB is refused when a little of it has come.
func TestLargeBodies(t *testing.T) {
	at := served(t)
	for _, path := range []string{"/api/calls/live/mask", "/api/drain", "/healthz", "/api/calls"} {
		for _, chunked := range []bool{true, false} {
			body := &endless{left: 100 << 20}
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+at+path, io.NopCloser(body))
			must(t, err)
			if !chunked {
				req.ContentLength = 100 << 20
			}
			req.Header.Set("Authorization", "Bearer right")
			res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
			if err == nil {
				_ = res.Body.Close()
				if want := map[string]int{"/api/calls/live/mask": 400, "/api/drain": 400, "/healthz": 405, "/api/calls": 400}[path]; res.StatusCode != want && res.StatusCode != 413 {
					t.Errorf("%s: %d", path, res.StatusCode)
				}
			} // else the connection ended while it was sent
			if n := body.taken.Load(); n > 16<<20 { // what buffers on both sides hold
				t.Errorf("%s: %d bytes were taken", path, n)
			}
		}
	}
}

// Wrong tokens are answered late, and few at a time; the right one is answered at once, from the same address and meanwhile.
func TestGuessedTokens(t *testing.T) {
	at := served(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*guessTime)
	defer cancel()
	var mu sync.Mutex
	guesses := 0
	var all sync.WaitGroup
	for i := range 400 { // more than there may be connections
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for n := 0; ctx.Err() == nil; n++ {
				req, err := http.NewRequestWithContext(ctx, "GET", "http://"+at+"/api/calls", nil)
				if err != nil {
					return
				}
				req.Header.Set("Authorization", fmt.Sprintf("Bearer guess-%d-%d", i, n))
				res, err := client.Do(req)
				if err != nil {
					continue
				}
				_ = res.Body.Close()
				if res.StatusCode != 401 {
					t.Errorf("a guess: %d", res.StatusCode)
				}
				mu.Lock()
				guesses++
				mu.Unlock()
			}
		})
	}
	operator := &http.Client{}
	answered := 0
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+at+"/api/calls", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer right")
		res, err := operator.Do(req)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("the operator: %d", res.StatusCode)
		}
		answered++
	}
	all.Wait()
	if most := 4 * maxConnections; guesses > most {
		t.Errorf("%d guesses in %v; want at most %d", guesses, 3*guessTime, most)
	}
	if answered == 0 {
		t.Error("the operator was locked out")
	}
}

// A client that sends a request byte by byte loses the connection, and delays no other.
func TestSlowHeaders(t *testing.T) {
	at := served(t)
	var slow []net.Conn
	for range maxConnections {
		slow = append(slow, dialled(t, at, "GET /api/calls HTTP/1.1\r\nX: "))
	}
	if got := answers(dialled(t, at, "GET /api/calls HTTP/1.1\r\n"+right+"Connection: close\r\n\r\n")); len(got) != 1 || got[0] != "200" {
		t.Errorf("an operator meanwhile: %v", got)
	}
	for i, c := range slow { // all of them end, within ReadHeaderTimeout
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatalf("connection %d is still open", i)
		}
	}
}

// Ranges of a recording cost no more than the recording; an export has none.
func TestRanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.wav")
	must(t, os.WriteFile(file, make([]byte, 1<<20), 0o600))
	at := served(t, func(o *Options) {
		o.Recordings = fakeFiles{"a.wav", file}
		o.Records = &many{n: 10}
	})
	for ranges, want := range map[string]struct{ status, most int }{
		"bytes=0-9":      {206, 10},
		"bytes=-10":      {206, 10},
		"bytes=9-0":      {416, 1000},
		"bytes=x":        {416, 1000},
		"bytes=9999999-": {416, 1000},
		"bytes=" + strings.TrimSuffix(strings.Repeat("0-,", 1000), ","):         {200, 1 << 20},
		"bytes=" + strings.TrimSuffix(strings.Repeat("0-0,", 1000), ","):        {206, 1 << 20},
		"bytes=0-1048575," + strings.TrimSuffix(strings.Repeat("0-1,", 9), ","): {200, 1 << 20},
	} {
		for path, status := range map[string]int{"/api/recordings/a.wav": want.status, "/api/cdrs?format=csv": 200} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+at+path, nil)
			must(t, err)
			req.Header.Set("Authorization", "Bearer right")
			req.Header.Set("Range", ranges)
			res, err := http.DefaultClient.Do(req)
			must(t, err)
			n, err := io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if err != nil || res.StatusCode != status || n > int64(want.most) && path != "/api/cdrs?format=csv" {
				t.Errorf("%s, %.30s: %d, %d bytes, %v", path, ranges, res.StatusCode, n, err)
			}
		}
	}
}

// Thousands of requests leave nothing behind.
func TestManyRequests(t *testing.T) {
	at := served(t, func(o *Options) {
		o.Records = &many{n: 1}
	})
	before := runtime.NumGoroutine()
	transport := &http.Transport{MaxIdleConnsPerHost: 20}
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for n := range 100 {
				path := []string{"/api/cdrs", "/api/calls", "/nothing", "/api/cdrs?limit=0", "/api/openapi.json"}[n%5]
				req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+at+path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer right")
				res, err := client.Do(req)
				if err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
	all.Wait()
	transport.CloseIdleConnections()
	for runtime.NumGoroutine() > before+2 {
		runtime.Gosched()
	}
}

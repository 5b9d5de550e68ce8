package webhook

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A receiver that answers 101 keeps the connection, and no deadline of the client would end a read from it. The sender
// therefore reads nothing.
func TestReceiverThatUpgrades(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_ = rw.Flush()
		<-release
	}))
	defer srv.Close()
	defer close(release)
	got := make(chan result, 1)
	go func() { got <- sent(t, srv.URL, nil) }()
	select {
	case r := <-got:
		if r.sent || !strings.Contains(r.reason, "101") {
			t.Errorf("got %+v", r)
		}
	case <-time.After(time.Minute):
		t.Fatal("the request never ends")
	}
}

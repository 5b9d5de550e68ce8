package rest

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// An answer with status 101 hands over the connection. No timeout applies to reads from it, but the request's context
// still ends it.
func TestAnswerThatUpgrades(t *testing.T) {
	release := make(chan struct{})
	c := api(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = out.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_ = out.Flush()
		<-release
	}, func(o *Options) { o.Timeout = time.Second })
	defer close(release)
	done := make(chan error, 1)
	go func() {
		_, err := c.Do(t.Context(), Request{Method: http.MethodPost, Path: "/v2/prepare_inbound"})
		done <- err
	}()
	select {
	case err := <-done:
		if e, ok := errors.AsType[*Error](err); !ok || e.Status != http.StatusSwitchingProtocols {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the request never ends")
	}
}

package node

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// The watchdog hears twice in each interval from a process that is well, and
// nothing from another.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := &told{}
		s := &supervisor{log: zerolog.Nop(), notify: heard.notify, every: 30 * time.Second}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var stuck atomic.Bool
		go s.watch(ctx, func(ctx context.Context) error {
			if limit, ok := ctx.Deadline(); !ok || time.Until(limit) > 8*time.Second {
				t.Errorf("asked without a bound: %v %v", limit, ok)
			}
			if stuck.Load() {
				return errors.New("stuck")
			}
			return nil
		})
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if n := len(heard.all()); n != 4 || heard.all()[0] != "WATCHDOG=1" {
			t.Errorf("heard %q", heard.all())
		}
		stuck.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(heard.all()); n != 4 {
			t.Errorf("heard %q", heard.all()[4:])
		}
		stuck.Store(false)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if n := len(heard.all()); n != 5 {
			t.Errorf("heard %d signs of life; want 5", n)
		}
	})
}

// What is said reaches the socket that the environment names.
func TestSupervisorSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	s := newSupervisor(zerolog.Nop())
	b := make([]byte, 1024)
	for want, say := range map[string]func(){
		"READY=1\nSTATUS=Taking calls":                                                func() { s.ready("Taking calls") },
		"STOPPING=1\nSTATUS=Draining: 1 call is left\nEXTEND_TIMEOUT_USEC=1000000":    func() { s.stopping(1, time.Second) },
		"STOPPING=1\nSTATUS=Draining: 3 calls are left\nEXTEND_TIMEOUT_USEC=70000000": func() { s.stopping(3, 70*time.Second) },
	} {
		say()
		n, err := conn.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Errorf("got %q, %v; want %q", b[:n], err, want)
		}
	}
	s.reloading()
	if n, err := conn.Read(b); err != nil || !strings.HasPrefix(string(b[:n]), "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("got %q, %v", b[:n], err)
	}
}

// A node that runs is alive.
func TestNodeAlive(t *testing.T) {
	s := newReloadStage(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, s.node.alive(ctx))
}

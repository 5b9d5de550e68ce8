package registration

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/config"
)

// A client's registration is removed even if its inbox is full.
func TestLeaveOfBusyClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClients(ClientsOptions{Minter: minter, Log: zerolog.Nop()})
		defer c.Close()
		c.Use([]config.Trunk{{Name: "line", Register: &config.Register{Registrars: []string{"one.test"}, User: "acme", Auth: &config.Auth{}}}})
		one := c.all["line"]
		for one.deliver(DeadlineReached{}) {
		}
		one.begun = true
		c.Leave()
		c.group.Go(one.run)
		synctest.Wait()
		if !c.Left() {
			t.Error("it has not left")
		}
	})
}

// A reload during Leave must not start a registration, because nothing would remove it.
func TestReloadWhileLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClients(ClientsOptions{Minter: minter, Log: zerolog.Nop()})
		defer c.Close()
		c.Go()
		c.Leave()
		c.Use([]config.Trunk{{Name: "line", Register: &config.Register{Registrars: []string{"one.test"}, User: "acme", Auth: &config.Auth{}}}})
		if !c.Left() || len(c.Statuses()) != 0 {
			t.Errorf("it has begun %+v", c.Statuses())
		}
	})
}

// Left also waits for registrations that a reload has ended.
func TestLeftAfterReload(t *testing.T) {
	c := NewClients(ClientsOptions{Minter: minter, Log: zerolog.Nop()})
	defer c.Close()
	one := &client{begun: true, leave: make(chan struct{}, 1), done: make(chan struct{})}
	c.all["line"] = one
	c.Use(nil)
	c.Leave()
	if c.Left() {
		t.Error("its removal is not waited for")
	}
	if close(one.done); !c.Left() {
		t.Error("it has left")
	}
}

// A failure is reported with the registrar that failed, not with the one that is tried next.
func TestFailureNamesItsRegistrar(t *testing.T) {
	var log bytes.Buffer
	b := newBench(t, func(*Options) {})
	one := &client{of: NewClients(ClientsOptions{}), machine: b.m, log: zerolog.New(&log)}
	b.reach("one.test", 0)
	b.answer(b.sent(sip.REGISTER), "200 OK")
	b.now = b.m.Status().Next
	b.do(DeadlineReached{})
	before := b.m.Status()
	b.answer(b.sent(sip.REGISTER), "403 Forbidden")
	one.changed(before)
	if got := log.String(); !strings.Contains(got, `"registrar":"one.test","code":403`) {
		t.Errorf("the log has %s", got)
	}
}

// When a registration has been removed, Reached is called, so that calls that cross the removal are refused. At a stop
// it is not called.
func TestLeftIsTold(t *testing.T) {
	for name, stops := range map[string]bool{"by a reload": false, "at a stop": true} {
		t.Run(name, func(t *testing.T) {
			var told []netip.Addr
			c := NewClients(ClientsOptions{Reached: func(_, _ string, at netip.Addr) { told = append(told, at) }})
			b := newBench(t, func(*Options) {})
			one := &client{of: c, machine: b.m, log: zerolog.Nop()}
			before := b.m.Status()
			b.do(Leave{})
			if stops {
				c.Leave()
			}
			one.changed(before)
			if got := slices.Equal(told, []netip.Addr{{}}); got == stops {
				t.Errorf("it is told %v", told)
			}
		})
	}
}

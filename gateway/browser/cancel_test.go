package browser

import (
	"context"
	"errors"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// TestCancelUnanswered: before the process ends, calls whose browsers have no answer yet are cancelled, and others
// continue.
func TestCancelUnanswered(t *testing.T) {
	for _, early := range []bool{false, true} {
		var s *server
		rings := make(chan struct{})
		s = newServer(t, func(req *sip.Request, tx sip.ServerTransaction) {
			if early {
				s.respond(req, tx, 183, "Session Progress", "early")
			} else {
				s.respond(req, tx, 180, "Ringing", "")
			}
			close(rings)
			if !early {
				go func() {
					s.wait(sip.CANCEL)
					s.respond(req, tx, 487, "Request Terminated", "")
				}()
			}
		})
		g := s.gateway(1)
		over := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			_, err := g.Call(ctx, wanted)
			over <- err
		}()
		<-rings
		if early {
			must(t, <-over)
		}
		g.CancelUnanswered()
		g.mu.Lock()
		for _, p := range g.pending {
			if p.unwanted == early {
				t.Errorf("early %t: unwanted %t", early, p.unwanted)
			}
		}
		g.mu.Unlock()
		if !early {
			if not := (*RefusedError)(nil); !errors.As(<-over, &not) || not.Code != 487 {
				t.Errorf("got %v", not)
			}
		}
	}
}

// TestCancelWhenSent: a call whose INVITE has just arrived is cancelled too.
func TestCancelWhenSent(t *testing.T) {
	var s *server
	var g *Gateway
	s = newServer(t, func(req *sip.Request, tx sip.ServerTransaction) {
		g.CancelUnanswered()
		s.respond(req, tx, 180, "Ringing", "")
		go func() {
			s.wait(sip.CANCEL)
			s.respond(req, tx, 487, "Request Terminated", "")
		}()
	})
	g = s.gateway(1)
	for range 20 {
		s.mu.Lock()
		s.got = nil
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := g.Call(ctx, wanted)
		cancel()
		if not := (*RefusedError)(nil); !errors.As(err, &not) || not.Code != 487 {
			t.Fatalf("got %v", err)
		}
	}
}

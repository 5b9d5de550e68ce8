package transport

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/transaction"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// NewWire returns the Wire of a leg.
func (s *Stack) NewWire(local leg.Local, flow *Stream, post func(leg.Input) bool) *Wire {
	w := new(Wire)
	w.Open(s, &local, &config.TargetTLS{}, flow, post)
	return w
}

// The first INVITE's transaction may end after the second INVITE's has begun. The Wire must
// still be able to end the second one.
func TestWireKeepsSecondInvite(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		local, err := p.stack.LocalFor("", siptest.Agent.Addr())
		must(t, err)
		w := p.stack.NewWire(local, nil, func(leg.Input) bool { return true })
		var sent []*request
		for n := range 2 {
			text := strings.ReplaceAll(optionsFrom("198.51.100.1:5060", "UDP", n, 0), "OPTIONS", "INVITE")
			w.Perform([]leg.Effect{leg.SendRequest{Req: siptest.Request(t, text), To: leg.Hop{Addr: siptest.Agent}}})
			sent = append(sent, w.invite)
		}
		sent[0].finished()
		if w.invite != sent[1] {
			t.Fatal("the wire forgot the second INVITE")
		}
		w.Close()
		if !sent[1].tx.IsOver() {
			t.Error("the second INVITE's transaction goes on")
		}
	})
}

// Re-INVITEs that were refused or cancelled leave no state in the Wire, however many come.
func TestWireForgetsReinvites(t *testing.T) {
	inPlace(t, stackConfig, func(p *place) {
		local, err := p.stack.LocalFor("", siptest.Carrier.Addr())
		must(t, err)
		w := p.stack.NewWire(local, nil, func(leg.Input) bool { return true })
		came := 0
		p.takes = func(req *sip.Request, tx *transaction.Server) {
			w.Serve(req, tx)
			came++
			if seq := req.CSeq().SeqNo; seq%2 == 0 {
				w.Perform([]leg.Effect{leg.Forgotten{Seq: seq}})
			} else {
				no := sip.NewResponseFromRequest(req, 488, "Not Acceptable Here", nil)
				w.Perform([]leg.Effect{leg.SendResponse{Res: no, Method: sip.INVITE, Seq: seq}})
			}
		}
		carrier := p.socket(siptest.Carrier)
		for n := range 4 {
			text := strings.NewReplacer("OPTIONS", "INVITE", "To: <sip:h>", "To: <sip:h>;tag=b").Replace(optionsFrom("192.0.2.10:5060", "UDP", n+1, 0))
			_, err := carrier.WriteToUDPAddrPort(siptest.CRLF(text), siptest.Ours)
			must(t, err)
			synctest.Wait()
		}
		if n := len(w.servers); came != 4 || n != 0 {
			t.Errorf("of %d, %d transactions are kept", came, n)
		}
		w.Close()
	})
}

// A message that comes after its leg has finished must not make the Wire hold a connection
// again.
func TestClosedWireHasNoFlow(t *testing.T) {
	c := &Stream{}
	w := new(Stack).NewWire(leg.Local{}, c, func(leg.Input) bool { return false })
	w.Close()
	w.setFlow(c)
	if n := c.users.Load(); n != 0 || w.flow != nil {
		t.Errorf("%d users, flow %v", n, w.flow)
	}
}

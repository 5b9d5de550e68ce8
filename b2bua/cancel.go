package b2bua

import (
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
)

// A CANCEL counts only if it comes from the address of its INVITE. The SIP library looks
// at the branch alone, so CANCELs are matched here.

// parkedMax bounds how many CANCELs wait for their INVITE at a time.
const parkedMax = 1000

// earlyCancel is a CANCEL that came before its INVITE.
type earlyCancel struct {
	req *sip.Request
	met chan struct{} // closed when the INVITE has come and was cancelled
}

// cancelEarly cancels an INVITE whose CANCEL has overtaken it.
func (s *Server) cancelEarly(req *sip.Request, tx *sip.ServerTx) {
	if early := s.registry.unpark(transactionKey(req)); early != nil {
		_ = tx.Receive(early.req)
		close(early.met)
	}
}

// onCancel handles a CANCEL. Its INVITE may be on its way through another goroutine, so
// one without an INVITE waits for T1.
func (s *Server) onCancel(req *sip.Request, tx *sip.ServerTx) {
	early := &earlyCancel{req: req, met: make(chan struct{})}
	key := transactionKey(req)
	invite, parked := s.registry.park(key, early)
	switch {
	case invite != nil:
		s.stack.Reply(req, tx, 200, message.StatusText(200))
		select {
		case <-invite.Done(): // it has its answer, and the CANCEL no effect (RFC 3261 section 9.2)
		default:
			_ = invite.Receive(req)
		}
		return
	case !parked:
		s.stack.Reply(req, tx, 481, message.StatusText(481))
		return
	}
	timer := time.NewTimer(leg.T1)
	defer timer.Stop()
	select {
	case <-early.met:
		s.stack.Reply(req, tx, 200, message.StatusText(200))
	case <-timer.C:
		s.registry.unpark(key)
		s.stack.Reply(req, tx, 481, message.StatusText(481))
	case <-s.ctx.Done():
		tx.Terminate()
	}
}

// cancellable gives the leg a CANCEL of the peer's INVITE.
func (l *legOnWire) cancellable(req *sip.Request, tx *sip.ServerTx) {
	seq := req.CSeq().SeqNo
	if !tx.OnCancel(func(c *sip.Request) {
		l.post(leg.CancelIn{Seq: seq, Why: cause.ReasonsIn(message.RawValues(c, "reason", "reason"))})
	}) {
		l.post(leg.CancelIn{Seq: seq})
	}
}

// addReinvite enters a further INVITE of a leg's peer, in the place of the one before.
func (r *registry) addReinvite(l *legOnWire, req *sip.Request, tx *sip.ServerTx) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.invites, l.reinvite)
	l.reinvite = transactionKey(req)
	if r.legs[l.tag] == l {
		r.invites[l.reinvite] = tx
	}
}

// park keeps a CANCEL for the INVITE with this transaction key, unless the INVITE is
// known already, or too many are kept.
func (r *registry) park(key string, c *earlyCancel) (invite *sip.ServerTx, parked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if tx := r.invites[key]; tx != nil {
		return tx, false
	}
	if len(r.early) >= parkedMax {
		return nil, false
	}
	r.early[key] = c
	return nil, true
}

// unpark takes a parked CANCEL out; nil where there is none.
func (r *registry) unpark(key string) *earlyCancel {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.early[key]
	delete(r.early, key)
	return c
}

// transactionKey is the same for a CANCEL and its INVITE (RFC 3261 section 9.2), which
// come from the same address.
func transactionKey(req *sip.Request) string {
	via := req.Via()
	return message.BranchOf(req) + " " + via.Host + " " + strconv.Itoa(via.Port) + " " + message.ParseSource(req.Source()).Addr().String()
}

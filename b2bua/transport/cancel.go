package transport

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transaction"
)

// This file handles CANCEL. A CANCEL is ignored unless it comes from its INVITE's address, which is
// part of the transaction key.

// maxParked bounds how many CANCELs may wait for their INVITE at a time.
const maxParked = 1000

// onCancel handles a CANCEL (RFC 3261 section 9.2). If its INVITE is not known, the CANCEL waits
// for T1: the INVITE may still arrive through another socket, or the CANCEL may have overtaken it.
func (s *Stack) onCancel(req *sip.Request, tx, invite *transaction.Server) {
	switch {
	case invite != nil:
		s.Reply(req, tx, 200, message.StatusText(200))
		s.cancel(req, invite)
	case s.parked.Add(1) > maxParked:
		s.parked.Add(-1)
		s.Reply(req, tx, 481, message.StatusText(481))
	default:
		s.group.Go(func() {
			defer s.recovered("cancel")
			defer s.parked.Add(-1)
			timer := time.NewTimer(transaction.T1)
			defer timer.Stop()
			select {
			case <-timer.C:
				s.Reply(req, tx, 481, message.StatusText(481)) // does nothing if the CANCEL was answered meanwhile
			case <-s.ctx.Done():
			}
		})
	}
}

// cancelParked cancels an INVITE that came after its CANCEL.
func (s *Stack) cancelParked(parked, invite *transaction.Server) {
	s.answering(parked, func() {
		req := parked.Request()
		if req != nil && s.answer(req, parked, 200, message.StatusText(200)) == nil {
			s.cancel(req, invite)
		}
	})
}

// cancel ends an INVITE because of a CANCEL.
func (s *Stack) cancel(req *sip.Request, invite *transaction.Server) {
	s.answering(invite, func() { invite.Cancel(req) })
}

// answering calls f, which sends an answer over the connection of tx. It uses a goroutine if that
// is a TCP or TLS connection, so that the reader of one connection never waits for the peer of
// another.
func (s *Stack) answering(tx *transaction.Server, f func()) {
	if !tx.IsReliable() {
		f()
		return
	}
	s.group.Go(func() {
		defer s.recovered("cancel")
		f()
	})
}

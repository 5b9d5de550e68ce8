package transport

import (
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
)

// refuseFlood refuses a new request if its address, which belongs to a trunk, sends more new
// requests than the trunk allows for each address. flooded is false if the request may continue.
// Requests within a dialog do not count, nor does the CANCEL of a pending INVITE: if they were
// refused, calls would continue against their users' will. A copy of a pending INVITE is not
// refused either, because the INVITE was accepted.
func (s *screen) refuseFlood(msg message.Scanned, from peers.Sender) (v verdict, flooded bool) {
	method := string(msg.Method)
	if method == "CANCEL" && s.inProgress(msg, from) {
		return v, false
	}
	if s.server.Peers().WithinRate(from, time.Now()) {
		return v, false
	}
	s.rejected(&s.count.Flood, from.Addr, "source_rate")
	if method == "INVITE" && s.inProgress(msg, from) {
		return v, true
	}
	return s.noRoom(msg, from), true
}

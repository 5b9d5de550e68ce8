package transaction

import "time"

// The timers of RFC 3261 (section 17, table 4).
const (
	T1 = 500 * time.Millisecond // estimate of the round trip
	T2 = 4 * time.Second        // longest interval of retransmissions, except a client's INVITE
	T4 = 5 * time.Second        // how long a message stays in the network
	// Patience is 64*T1: the Timers B, F, H, J and L.
	Patience = 64 * T1
)

// unanswered is how long a server transaction, except that of an INVITE, waits for its answer. After 64*T1 its client
// has given up.
const unanswered = 2 * Patience

// instant is a time, as the duration since the Table was made. 0 means never.
type instant time.Duration

// lingerGrain is the granularity of the deadlines at which a transaction is only
// forgotten. So one wake-up serves the deadlines of many transactions.
const lingerGrain = instant(250 * time.Millisecond)

// kind is one of the four machines of RFC 3261 section 17.
type kind uint8

const (
	inviteClient kind = iota // section 17.1.1
	otherClient              // section 17.1.2
	inviteServer             // section 17.2.1, RFC 6026 section 7.1
	otherServer              // section 17.2.2
)

// state is a state of a machine. A client has none after its final response: see doc.go.
type state uint8

const (
	trying     state = iota // for a client's INVITE, the state Calling
	proceeding              // initial state of an INVITE server
	completed               // servers
	confirmed               // INVITE server
	accepted                // INVITE server
	terminated
)

// input is an event for a machine. A client gets the peer's responses, a server gets
// ours.
type input uint8

const (
	provisional  input = iota // response 1xx
	success                   // response 2xx
	refusal                   // response 3xx to 6xx
	repeated                  // server: its request came again
	acknowledged              // INVITE server: its ACK has come
	due                       // a deadline has passed
	unsent                    // a message finally can't be sent
)

// action is a set of things to do for an input. If it is empty, the input is ignored.
type action uint8

const (
	pass        action = 1 << iota // client: pass the response to the user; server: send it, or pass the ACK to the user
	resend                         // send the last message again
	acknowledge                    // client: send an ACK for the refusal
	expired                        // client: no answer came in time
	over                           // nothing is left to do
)

// machine is one transaction as plain data. It sends nothing and waits for nothing.
type machine struct {
	kind     kind
	state    state
	reliable bool          // the transport is reliable
	interval time.Duration // interval of Timers A, E and G
	keep     time.Duration // duration of Timer J
	resendAt instant       // when Timer A, E or G fires
	end      instant       // when B, F, H, I, J or L fires
}

// begin starts a machine.
func (m *machine) begin(now instant) {
	m.state = trying
	if m.kind == inviteServer {
		m.state = proceeding // the 100 is the server's first answer
		return
	}
	if m.kind == otherServer {
		m.end = now + instant(unanswered)
		return
	}
	m.end = now + instant(Patience)
	m.startResending(now)
}

// deadline returns the next deadline, or 0 if there is none.
func (m *machine) deadline() instant {
	if m.resendAt != 0 && (m.end == 0 || m.resendAt < m.end) {
		return m.resendAt
	}
	return m.end
}

// step passes an input to a machine, and returns the action for it.
func (m *machine) step(now instant, in input) action {
	if m.state == terminated {
		return 0
	}
	switch m.kind {
	case inviteClient, otherClient:
		return m.stepClient(now, in)
	case inviteServer:
		return m.stepInviteServer(now, in)
	default:
		return m.stepServer(now, in)
	}
}

// stepClient returns a client's step. Timer B does not run in Proceeding (section 17.1.1.2).
func (m *machine) stepClient(now instant, in input) action {
	switch in {
	case provisional:
		m.state = proceeding
		if m.kind == inviteClient {
			m.resendAt, m.end = 0, 0
		}
		m.interval = T2 // Timer E (section 17.1.2.2)
		return pass
	case success:
		return m.terminate(pass)
	case refusal:
		if m.kind == inviteClient {
			return m.terminate(acknowledge | pass)
		}
		return m.terminate(pass)
	case due:
		switch {
		case reached(m.end, now):
			return m.terminate(expired)
		case reached(m.resendAt, now):
			m.scheduleResend(now)
			return resend
		}
	case unsent:
		return m.terminate(0)
	case repeated, acknowledged: // only for servers
	}
	return 0
}

func (m *machine) stepInviteServer(now instant, in input) action {
	switch {
	case m.state == proceeding && in == provisional:
		return pass
	case m.state == proceeding && in == success:
		m.state = accepted
		m.linger(now, Patience) // Timer L
		return pass
	case m.state == proceeding && in == refusal:
		m.state, m.end = completed, now+instant(Patience) // Timer H
		m.startResending(now)
		return pass
	case in == repeated && (m.state == proceeding || m.state == completed):
		return resend
	case m.state == accepted && in == success:
		return pass
	case in == acknowledged:
		return m.stepAcknowledged(now)
	case in == due:
		return m.stepDue(now)
	case in == unsent && m.state != accepted && m.state != proceeding: // RFC 6026 section 8.8, and doc.go
		return m.terminate(0)
	}
	return 0
}

// stepAcknowledged returns the step of a server for an INVITE at an ACK.
func (m *machine) stepAcknowledged(now instant) action {
	switch {
	case m.state == completed && m.reliable:
		return m.terminate(0)
	case m.state == completed:
		m.state, m.resendAt = confirmed, 0
		m.linger(now, T4) // Timer I
	case m.state == accepted: // only copies on their way can still come, as in Confirmed
		m.linger(now, T4)
		return pass
	}
	return 0
}

// stepDue returns the step of a server for an INVITE at its deadline.
func (m *machine) stepDue(now instant) action {
	switch {
	case reached(m.end, now):
		return m.terminate(0)
	case reached(m.resendAt, now):
		m.scheduleResend(now)
		return resend
	}
	return 0
}

// stepServer returns the step of a server for another request.
func (m *machine) stepServer(now instant, in input) action {
	switch {
	case m.state <= proceeding && in == provisional:
		m.state = proceeding
		return pass
	case m.state <= proceeding && (in == success || in == refusal):
		if m.reliable {
			return m.terminate(pass)
		}
		m.state = completed
		m.linger(now, m.keep)
		return pass
	case in == repeated && m.state != trying:
		return resend
	case in == due && reached(m.end, now), in == unsent:
		return m.terminate(0)
	}
	return 0
}

func (m *machine) terminate(last action) action {
	m.state, m.resendAt, m.end = terminated, 0, 0
	return last | over
}

// linger sets the deadline at which the transaction is forgotten.
func (m *machine) linger(now instant, d time.Duration) {
	at := now + instant(d) + lingerGrain - 1
	m.resendAt, m.end = 0, at-at%lingerGrain
}

// startResending starts retransmissions if the transport is not reliable.
func (m *machine) startResending(now instant) {
	if !m.reliable {
		m.interval = T1
		m.resendAt = now + instant(T1)
	}
}

// scheduleResend sets the next retransmission.
func (m *machine) scheduleResend(now instant) {
	switch {
	case m.kind == inviteClient:
		m.interval *= 2
	case m.state == proceeding && m.kind == otherClient:
		m.interval = T2
	default:
		m.interval = min(2*m.interval, T2)
	}
	if m.resendAt += instant(m.interval); m.resendAt <= now { // counted from the deadline, because delays would add up
		m.resendAt = now + instant(m.interval)
	}
}

func reached(deadline, now instant) bool { return deadline != 0 && now >= deadline }

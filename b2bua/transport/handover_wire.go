package transport

import (
	"net/netip"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transaction"
	"flowbridge/config"
)

// This file saves what the wire of a leg needs to continue in another process, which has the sockets, but not the
// transactions and connections.

// FlowState is the saved form of a leg's connection.
type FlowState struct {
	Transport  string `cbor:"1,keyasint,omitempty"`
	Remote     string `cbor:"2,keyasint,omitempty"`
	Dialled    bool   `cbor:"3,keyasint,omitempty"` // we opened it
	ServerName string `cbor:"4,keyasint,omitempty"` // the name that the peer's certificate must have
}

// Flow returns the saved form of the wire's connection, or the zero value if there is none.
func (w *Wire) Flow() (f FlowState) {
	if !message.IsStream(w.local.Transport) {
		return f
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.flow; c != nil {
		f = FlowState{Transport: c.transport, Remote: c.remote.String(), Dialled: c.peer != nil}
		if f.Dialled {
			f.ServerName = c.peer.serverName
		}
	}
	return f
}

// RestoreFlow returns the connection of a restored leg, or nil if it had none. If the connection was handed over, it
// is that one. If it ended with the old process, the result is a closed Stream, whose messages take a detour.
func (s *Stack) RestoreFlow(f *FlowState, tls config.TargetTLS) *Stream {
	remote, err := netip.ParseAddrPort(f.Remote)
	if err != nil || !message.IsStream(f.Transport) {
		return nil
	}
	if c := s.streams.findAny(f.Transport, remote); c != nil && f.Transport == config.TransportTCP &&
		(c.peer != nil) == f.Dialled {
		return c
	}
	c := &Stream{hub: s.streams, transport: f.Transport, remote: remote, closed: make(chan struct{})}
	c.closeOnce.Do(func() { close(c.closed) })
	if f.Dialled {
		c.peer = &streamPeer{dialled: true, serverName: f.ServerName}
		if f.Transport == config.TransportTLS {
			c.peer.tls = tls
		}
	}
	return c
}

// Bound reports whether we still listen on a leg's address. For TCP and TLS it is always true.
func (s *Stack) Bound(local leg.Local) bool {
	return message.IsStream(local.Transport) || s.socketAt(local.Listen) != nil
}

// socketAt returns the socket at an address, or nil if there is none.
func (s *Stack) socketAt(local netip.AddrPort) *udpEndpoint {
	for _, g := range s.sockets {
		if g.local == local {
			return g
		}
	}
	return nil
}

// Readmit creates the transaction of a request that another process has received, so that the wire's leg can answer
// the request. flow is the request's connection, or nil over UDP.
func (w *Wire) Readmit(req *sip.Request, source netip.AddrPort, flow *Stream) *transaction.Server {
	from := arrival{transport: message.ViaTransport(w.local.Transport), source: source}
	req.SetTransport(from.transport)
	req.SetSource(source.String())
	if g := w.stack.socketAt(w.local.Listen); flow != nil {
		from.over = flow
	} else if g != nil {
		from.over = g
	}
	key, ok := transaction.KeyOf(req, source.Addr(), from.isStream())
	if !ok || from.over == nil {
		return nil
	}
	tx, _ := w.stack.transactions.Receive(req, key, from.back(req))
	if tx != nil {
		w.Serve(req, tx)
	}
	return tx
}

// Answered is Readmit for an INVITE that another process has answered with this 2xx. The leg may then send the 2xx
// again. A CANCEL would come too late (RFC 3261 section 9.2).
func (w *Wire) Answered(res *sip.Response, source netip.AddrPort, flow *Stream) {
	req := sip.NewRequest(sip.INVITE, sip.Uri{Host: "invalid"})
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		sip.CopyHeaders(name, res, req)
	}
	if tx := w.Readmit(req, source, flow); tx != nil {
		tx.Accepted()
	}
}

// Invited stores the Request-URI of the INVITE that another process has sent for this leg.
func (w *Wire) Invited(req *sip.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.invited = message.URIText(&req.Recipient)
}

// Refused returns our refusal of the peer's INVITE while it may have to be repeated: over UDP, until its ACK comes.
// Otherwise it returns nil. onSettled sets a function that is called one time, when the ACK has come or is no longer
// awaited.
func (w *Wire) Refused() (st *State, onSettled func(settled func())) {
	w.mu.Lock()
	tx := w.refused
	w.mu.Unlock()
	if tx == nil || tx.IsReliable() {
		return nil, nil
	}
	a, ok := tx.Answered(nameOf)
	if !ok {
		return nil, nil
	}
	return &State{Answered: []transaction.AnsweredState{a}}, tx.OnSettled
}

// RefuseAgain continues to repeat refusals that Refused has returned in another process. For each of them, it calls
// settled when the ACK has come or is no longer awaited, or at once if the refusal can't be repeated.
func (s *Stack) RefuseAgain(st *State, settled func()) {
	for i := range st.Answered {
		over := s.named(st.Answered[i].Over)
		if over == nil {
			settled()
		} else if tx := s.transactions.Restore(&st.Answered[i], over); tx != nil {
			tx.OnSettled(settled)
		} else {
			settled()
		}
	}
}

// Discard closes a wire whose leg was not restored, and removes the transactions that were readmitted for it.
func (w *Wire) Discard() {
	w.mu.Lock()
	servers := w.servers
	w.servers = nil
	w.mu.Unlock()
	for _, s := range servers {
		s.tx.Terminate()
	}
	w.Close()
}

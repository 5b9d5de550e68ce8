package transport

import (
	"net/netip"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
)

// aim sets a request's destination, and its socket or connection. It gives the
// connection, nil over UDP.
func (w *Wire) aim(req *sip.Request, to leg.Hop) (*Stream, error) {
	addr := to.Addr
	if !addr.IsValid() {
		found, err := w.stack.Resolve(w.stack.ctx, to.Host)
		if err != nil {
			return nil, err
		}
		to = to.At(found)
		addr = to.Addr
	}
	to.Transport = w.speakable(to.Transport, addr.Addr())
	if err := w.nameOurselves(req, to.Transport, addr.Addr()); err != nil {
		return nil, err
	}
	if message.IsStream(to.Transport) {
		return w.aimStream(req, to, addr)
	}
	listen := w.local.Listen
	if message.IsStream(w.local.Transport) {
		local, err := w.stack.LocalFor("", addr.Addr())
		if err != nil {
			return nil, err
		}
		listen = local.Listen
	}
	req.SetTransport("UDP")
	req.SetDestination(addr.String())
	req.Laddr = sip.Addr{IP: listen.Addr().AsSlice(), Port: int(listen.Port()), Hostname: listen.Addr().String()}
	return nil, nil
}

// speakable is the transport of a hop, or the leg's own if the peer asks for UDP and
// we have none.
func (w *Wire) speakable(transport string, peer netip.Addr) string {
	if message.IsStream(transport) || !message.IsStream(w.local.Transport) {
		return transport
	}
	if _, err := w.stack.LocalFor("", peer); err != nil {
		return w.local.Transport
	}
	return transport
}

// nameOurselves corrects the Via of a request whose transport is not the leg's own,
// because of the peer's Contact or route.
func (w *Wire) nameOurselves(req *sip.Request, transport string, peer netip.Addr) error {
	via := req.Via()
	if via.Transport == message.ViaTransport(transport) {
		return nil
	}
	local, err := w.stack.LocalFor(transport, peer)
	if err != nil {
		return err
	}
	via.Transport, via.Host, via.Port = message.ViaTransport(transport), local.Host, int(local.Port)
	return nil
}

func (w *Wire) aimStream(req *sip.Request, to leg.Hop, addr netip.AddrPort) (*Stream, error) {
	c, err := w.streamTo(to, addr)
	if err != nil {
		return nil, err
	}
	w.setFlow(c)
	req.SetTransport(message.ViaTransport(c.transport))
	req.SetDestination(c.remote.String())
	req.Laddr = sip.Addr{}
	if c.peer != nil { // no other connection has its local address
		req.Laddr = sip.Addr{IP: c.local.Addr().AsSlice(), Port: int(c.local.Port()), Hostname: c.local.Addr().String()}
	}
	if via := req.Via(); via.Port == 0 {
		via.Port = int(c.local.Port())
	}
	return c, nil
}

// streamTo gives the connection to an address: the leg's own if it leads to the same
// peer, one that the peer has opened since, or one that we open.
func (w *Wire) streamTo(to leg.Hop, addr netip.AddrPort) (*Stream, error) {
	w.mu.Lock()
	flow, latest := w.flow, w.latest
	w.mu.Unlock()
	same := flow != nil && flow.transport == to.Transport && flow.remote.Addr() == addr.Addr()
	if same && !flow.isClosed() && (flow.peer == nil || flow.remote.Port() == addr.Port()) {
		return flow, nil
	}
	if same && latest != nil && !latest.isClosed() {
		return latest, nil
	}
	if same && flow.peer == nil {
		if c := w.stack.streams.findSentBy(to.Transport, addr.Addr(), sentBy{addr.Addr().String(), addr.Port()}); c != nil {
			return c, nil
		}
	}
	peer := streamPeer{serverName: w.TLS.ServerName, tls: w.TLS}
	switch {
	case same && flow.peer != nil:
		peer = *flow.peer
	case peer.serverName == "" && to.Host != "":
		peer.serverName = to.Host
	case peer.serverName == "":
		peer.serverName = addr.Addr().String()
	}
	return w.stack.streams.connect(w.stack.ctx, to.Transport, addr, peer)
}

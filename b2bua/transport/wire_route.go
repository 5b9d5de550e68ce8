package transport

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transaction"
)

// route returns the socket or connection for a request, and the address to send the request to.
func (w *Wire) route(req *sip.Request, to leg.Hop) (way transaction.Way, err error) {
	addr := to.Addr
	if !addr.IsValid() {
		found, err := w.stack.Resolve(w.stack.ctx, to.Host)
		if err != nil {
			return way, err
		}
		to = to.At(found)
		addr = to.Addr
	}
	to.Transport = w.usableTransport(to.Transport, addr.Addr())
	if err := w.setVia(req, to.Transport, addr.Addr()); err != nil {
		return way, err
	}
	if message.IsStream(to.Transport) {
		return w.routeStream(req, to, addr)
	}
	listen := w.local.Listen
	if message.IsStream(w.local.Transport) {
		local, err := w.stack.LocalFor("", addr.Addr())
		if err != nil {
			return way, err
		}
		listen = local.Listen
	}
	if g := w.stack.socketAt(listen); g != nil {
		return g.wayTo(addr), nil
	}
	return way, fmt.Errorf("%w: %v", errNoSocket, listen)
}

// errNoSocket means that the stack has no UDP socket for a message.
var errNoSocket = errors.New("no udp listener")

// usableTransport returns the transport to use for a hop: the hop's, or the leg's own if the hop's is UDP and we
// have no UDP socket.
func (w *Wire) usableTransport(transport string, peer netip.Addr) string {
	if message.IsStream(transport) || !message.IsStream(w.local.Transport) {
		return transport
	}
	if _, err := w.stack.LocalFor("", peer); err != nil {
		return w.local.Transport
	}
	return transport
}

// setVia corrects the Via of a request that is sent over another transport than the leg's, because of the peer's
// Contact or route.
func (w *Wire) setVia(req *sip.Request, transport string, peer netip.Addr) error {
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

func (w *Wire) routeStream(req *sip.Request, to leg.Hop, addr netip.AddrPort) (way transaction.Way, err error) {
	c, err := w.streamTo(&req.Recipient, to, addr)
	if err != nil {
		return way, err
	}
	w.setFlow(c)
	if via := req.Via(); via.Port == 0 {
		via.Port = int(c.local.Port())
	}
	return c.way(), nil
}

// streamTo returns the connection to an address: the leg's own if it leads to the same peer, or one that the peer
// has opened since, or else a new one. A peer behind NAT is recognised by its name: its Via names the same host as
// its Contact, which is the request's URI.
func (w *Wire) streamTo(uri *sip.Uri, to leg.Hop, addr netip.AddrPort) (*Stream, error) {
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
		contact := sentByOf([]byte(message.TrimBrackets(uri.Host)), uri.Port, to.Transport)
		for _, name := range []sentBy{{addr.Addr().String(), addr.Port()}, contact} {
			if c := w.stack.streams.findSentBy(to.Transport, addr.Addr(), name); c != nil {
				return c, nil
			}
		}
	}
	peer := streamPeer{serverName: w.tls.ServerName, tls: *w.tls}
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

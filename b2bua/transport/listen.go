package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/emiago/sipgo/sip"
	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transaction"
	"flowbridge/config"
)

// Options are the parts of a stack. Every field is needed unless its comment says
// otherwise.
type Options struct {
	Config  config.SIP
	Minter  *message.Minter
	Handler Handler
	Log     zerolog.Logger
	Tap     Tap                                 // sees every message; may be nil
	Network Network                             // nil fields mean the kernel's network
	Take    func(name string) (fd int, ok bool) // returns a descriptor that another process handed over; may be nil
}

// Handler is the server that a stack works for. Its methods are called from many goroutines,
// including the readers, so none may block.
type Handler interface {
	// Peers returns the current trunks and targets.
	Peers() *peers.Snapshot
	// HeldTrunk returns the trunk of an INVITE for which a place is held, or nil.
	HeldTrunk(invite *sip.Request) (*peers.Snapshot, *peers.Trunk)
	// Capacity returns whether there is room for a new call from a sender, and otherwise why not.
	Capacity(from peers.Sender) peers.Capacity
	// InDialog reports whether a To tag belongs to a leg that exists or ended less than 64*T1 ago.
	InDialog(toTag []byte) bool
	// InProgress reports whether the INVITE to which we give this To tag already has a call.
	InProgress(toTag message.Minted) bool
	// Request handles a well-formed request that is neither a retransmission nor a CANCEL. tx is nil
	// for an ACK.
	Request(req *sip.Request, tx *transaction.Server)
	// StrayResponse handles a response that no transaction waits for.
	StrayResponse(res *sip.Response)
	// Panicked is called with the value of a panic that was recovered.
	Panicked(where string, value any)
}

// Network provides a stack's sockets, connections and names.
type Network struct {
	// Listen opens a UDP socket; nil means a socket of the kernel with a receive buffer of 4
	// MB.
	Listen func(netip.AddrPort) (Socket, error)
	// ListenStream opens a TCP listener.
	ListenStream func(netip.AddrPort) (net.Listener, error)
	// Dial opens a TCP connection from one of our addresses, or from any address if from is not valid.
	Dial func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
	// Names configures the name servers; the zero value means those of the system.
	Names locate.Options
}

// orKernel replaces nil fields by functions that use the kernel.
func (n Network) orKernel(log zerolog.Logger) Network {
	if n.Listen == nil {
		n.Listen = func(addr netip.AddrPort) (Socket, error) { return listenUDP(addr, log) }
	}
	if n.ListenStream == nil {
		n.ListenStream = listenTCP
	}
	if n.Dial == nil {
		n.Dial = dialTCP
	}
	return n
}

// Listen opens the sockets in the configuration. The stack reads nothing before Serve. When ctx
// ends, work in progress is cancelled.
func Listen(ctx context.Context, o Options) (*Stack, error) {
	o.Network = o.Network.orKernel(o.Log)
	if o.Take != nil {
		o.Network = o.Network.taking(o.Take)
	}
	s := newStack(ctx, o)
	for _, l := range o.Config.Listen {
		var err error
		if message.IsStream(l.Transport) {
			var listener net.Listener
			if listener, err = o.Network.ListenStream(l.AddrPort); err == nil {
				local := message.ParseSource(listener.Addr().String())
				s.addListener(streamListener{
					Listener: listener, transport: l.Transport, local: local,
					name: streamName(l.AddrPort), conns: &listenerConns{proof: l.Proof},
				})
			}
		} else {
			var socket Socket
			if socket, err = o.Network.Listen(l.AddrPort); err == nil {
				s.sockets = append(s.sockets, newUDPEndpoint(s, socket, o.Tap, datagramName(l.AddrPort)))
			}
		}
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("sip.listen %v: %w%s", l, err, remedyOf(err))
		}
	}
	return s, nil
}

// addListener adds a listener, which accepts connections once the stack serves.
func (s *Stack) addListener(l streamListener) {
	s.listeners = append(s.listeners, l)
	var begin func()
	begin = func() {
		s.readers.Go(func() {
			for errors.Is(s.streams.listen(l, l.transport, l.conns), errFrozen) {
				if s.reads.pause(begin) {
					return
				}
			}
			s.reads.readerStopped()
		})
	}
	s.reads.addPaused(begin)
}

// Unplugged is Listen without a network: the stack has the configured addresses, but receives and
// sends nothing, opens no connection and looks up no name.
func Unplugged(ctx context.Context, o Options) (*Stack, error) {
	o.Network = Network{
		Listen: func(at netip.AddrPort) (Socket, error) {
			return unpluggedSocket{&net.UDPConn{}, net.UDPAddrFromAddrPort(at)}, nil
		},
		ListenStream: func(at netip.AddrPort) (net.Listener, error) {
			return unpluggedListener{net.TCPAddrFromAddrPort(at)}, nil
		},
		Dial:  func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) { return nil, net.ErrClosed },
		Names: locate.Options{Ask: func(context.Context, string, uint16) (*dns.Msg, error) { return nil, net.ErrClosed }},
	}
	return Listen(ctx, o)
}

// unpluggedSocket is a UDP socket that was never opened. Reading from it and writing to it fail.
type unpluggedSocket struct {
	*net.UDPConn
	at net.Addr
}

// LocalAddr returns the configured address.
func (s unpluggedSocket) LocalAddr() net.Addr { return s.at }

// ReadFromUDPAddrPort fails, which ends the reader.
func (unpluggedSocket) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, net.ErrClosed
}

// Close does nothing.
func (unpluggedSocket) Close() error { return nil }

// unpluggedListener is a listener that accepts no connection.
type unpluggedListener struct{ at net.Addr }

// Accept fails.
func (unpluggedListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }

// Addr returns the configured address.
func (l unpluggedListener) Addr() net.Addr { return l.at }

// Close does nothing.
func (unpluggedListener) Close() error { return nil }

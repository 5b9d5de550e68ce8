package sim

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/internal/local"
)

const (
	timerT1 = 500 * time.Millisecond // RFC 3261 §17.1.1.1
	timerT2 = 4 * time.Second
	// byeTimeout bounds the wait for the answer to a BYE or CANCEL.
	byeTimeout = 5 * time.Second
)

// endpoint is a SIP user agent on one UDP socket or connection. It is the common part of both ends of a call.
type endpoint struct {
	sock    *socket     // nil if conn or accept is set
	conn    *connection // the connection to the only peer; nil if sock or accept is set
	accept  *acceptor   // accepts connections; nil if sock or conn is set
	network string      // UDP, TCP or TLS
	lost    chan error  // receives one error if the only peer can't be reached
	local   netip.AddrPort
	user    string // user part of its Contact
	ua      *sipgo.UserAgent
	server  *sipgo.Server
	client  *sipgo.Client
	clock   *clock
	served  chan struct{} // nil before serve

	ctx    context.Context //nolint:containedctx // the endpoint's own life: ends with close
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup // calls and requests in progress
}

// openEndpoint opens the socket, on loopback if listen is empty.
func openEndpoint(ctx context.Context, listen, name, user string, log zerolog.Logger,
	drop func([]byte) bool,
) (*endpoint, error) {
	conn, err := listenUDP(cmp.Or(listen, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	e := &endpoint{
		user: user, network: "UDP", lost: make(chan error, 1),
		sock:  newSocket(conn, drop),
		local: unmapped(conn.LocalAddr().(*net.UDPAddr).AddrPort()),
	}
	if err := e.open(ctx, name, log, conn.LocalAddr().String()); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

// open creates the user agent. Its requests come from the local address from.
func (e *endpoint) open(ctx context.Context, name string, log zerolog.Logger, from string) (err error) {
	quiet := slog.New(zerolog.NewSlogHandler(log.Level(max(log.GetLevel(), zerolog.WarnLevel))))
	e.ua, err = sipgo.NewUA(
		sipgo.WithUserAgent(name),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(quiet)),
		sipgo.WithUserAgentTransactionLayerOptions(
			sip.WithTransactionLayerLogger(quiet),
			sip.WithTransactionLayerUnhandledResponseHandler(func(*sip.Response) {}),
		),
	)
	if err == nil {
		e.server, err = sipgo.NewServer(e.ua, sipgo.WithServerLogger(quiet))
	}
	if err == nil {
		options := []sipgo.ClientOption{sipgo.WithClientLogger(quiet), sipgo.WithClientNAT()}
		if from != "" {
			options = append(options, sipgo.WithClientConnectionAddr(from))
		} else { // use the connection that the peer has opened
			options = append(options, sipgo.WithClientHostname(hostPart(e.local.Addr())),
				sipgo.WithClientPort(int(e.local.Port())))
		}
		e.client, err = sipgo.NewClient(e.ua, options...)
	}
	if err != nil {
		return err
	}
	e.clock = startClock()
	e.ctx, e.cancel = context.WithCancel(ctx)
	return nil
}

// unreachable records that the only peer can't be reached.
func (e *endpoint) unreachable(err error) {
	select {
	case e.lost <- err:
	default: // already known
	}
}

func listenUDP(listen string) (*net.UDPConn, error) {
	at, err := netip.ParseAddrPort(listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", listen, err)
	}
	network := "udp6"
	if at.Addr().Is4() {
		network = "udp4"
	}
	return net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// serve starts reading. It returns when requests can be sent. The handlers must be set before.
func (e *endpoint) serve() {
	e.served = make(chan struct{})
	ready := e.conn.isReady()
	var listener net.Listener = e.conn
	switch {
	case e.sock != nil:
		ready = e.sock.ready
	case e.accept != nil:
		ready, listener = e.accept.ready, e.accept
	}
	go func() {
		defer close(e.served)
		switch e.network { // each goroutine ends with its socket
		case "TCP":
			_ = e.server.ServeTCP(listener)
		case "TLS":
			_ = e.server.ServeTLS(listener)
		default:
			_ = e.server.ServeUDP(e.sock)
		}
	}()
	<-ready
}

// invite returns the bytes of the last INVITE with this Call-ID.
func (e *endpoint) invite(callID string) string {
	if e.accept != nil {
		return e.accept.invite(callID)
	}
	return e.sock.invite(callID)
}

// enter starts work that close waits for. It returns false once the endpoint is closing.
func (e *endpoint) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.wg.Add(1)
	return true
}

func (e *endpoint) leave() { e.wg.Done() }

// close ends all calls through their context, waits for them, and closes the user
// agent with its transactions.
func (e *endpoint) close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.wg.Wait()
	e.clock.close()
	var err error
	switch {
	case e.sock != nil:
		err = e.sock.Close()
	case e.accept != nil:
		err = e.accept.Close()
	default:
		err = e.conn.Close()
	}
	if e.served != nil {
		<-e.served
	}
	if uaErr := e.ua.Close(); err == nil {
		err = uaErr
	}
	return err
}

// ip returns our address as the peer sees it.
func (e *endpoint) ip(peer string) netip.Addr {
	if !e.local.Addr().IsUnspecified() {
		return e.local.Addr()
	}
	ip, err := local.Towards(e.ctx, peer)
	if err != nil {
		return e.local.Addr()
	}
	return ip
}

func (e *endpoint) contact(peer string) *sip.ContactHeader {
	c := &sip.ContactHeader{Address: sip.Uri{
		Scheme: "sip", User: e.user, Host: hostPart(e.ip(peer)), Port: int(e.local.Port()),
	}}
	if e.network != "UDP" {
		c.Address.UriParams.Add("transport", strings.ToLower(e.network))
	}
	return c
}

func hostPart(ip netip.Addr) string {
	if ip.Is6() {
		return "[" + ip.String() + "]"
	}
	return ip.String()
}

// ask sends a request and returns the status of its final response. It returns 0 if none came within byeTimeout or
// before the endpoint closed.
func (e *endpoint) ask(req *sip.Request) int {
	ctx, cancel := context.WithTimeout(e.ctx, byeTimeout)
	defer cancel()
	tx, err := e.client.TransactionRequest(ctx, req)
	if err != nil {
		return 0
	}
	defer tx.Terminate()
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return res.StatusCode
			}
		case <-tx.Done():
			return 0
		case <-ctx.Done():
			return 0
		}
	}
}

// response returns a response within a call. The SDP may be nil.
func (e *endpoint) response(req *sip.Request, code int, reason string, sdp []byte) *sip.Response {
	res := sip.NewResponseFromRequest(req, code, reason, sdp)
	res.AppendHeader(e.contact(req.Source()))
	if code == sip.StatusOK {
		res.AppendHeader(sip.NewHeader("Allow", allowed))
	}
	if sdp != nil {
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	}
	return res
}

// hangUp sends a BYE with further headers and returns the status of its response. While the endpoint is closing, it
// does not wait for the response.
func (e *endpoint) hangUp(d *dialog, more ...Header) int {
	bye := d.request(sip.BYE)
	for _, h := range more {
		bye.AppendHeader(sip.NewHeader(h.Name, h.Value))
	}
	if e.ctx.Err() != nil {
		_ = e.client.WriteRequest(bye)
		return 0
	}
	return e.ask(bye)
}

// ok answers with 200.
func ok(req *sip.Request, tx sip.ServerTransaction) { reply(req, tx, sip.StatusOK, "OK") }

// accept is ok in the form of a handler for requests within a call.
func accept[C any](_ C, req *sip.Request, tx sip.ServerTransaction) { ok(req, tx) }

func noSuchCall(req *sip.Request, tx sip.ServerTransaction) {
	reply(req, tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
}

func reply(req *sip.Request, tx sip.ServerTransaction, code int, reason string) {
	_ = tx.Respond(sip.NewResponseFromRequest(req, code, reason, nil))
}

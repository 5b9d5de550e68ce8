package browser

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"flowbridge/gateway/dialog"
)

// Options are the options of a gateway.
type Options struct {
	Key      [32]byte       // the node's secret, which seals locations
	Listener net.Listener   // where the B2BUA reaches the gateway; Close closes it
	Server   netip.AddrPort // the B2BUA's listener for the gateway
	Proof    string         // what each connection to it begins with
}

// Gateway is the SIP endpoint of all browsers. Open opens it.
type Gateway struct {
	seals  dialog.Seals
	at     netip.AddrPort
	to     netip.AddrPort
	proof  string
	listen net.Listener
	ua     *sipgo.UserAgent
	server *sipgo.Server
	client *sipgo.Client
	ctx    context.Context //nolint:containedctx // the gateway's life
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex        // guards the fields below
	proven  sip.Connection    // the connection that has shown the proof
	pending map[string]*setup // the calls without a final response, by Call-ID
}

// The ports at the node's address. Programs that listen at all addresses seldom take them.
const (
	serverPort  = 5098
	gatewayPort = 5099
)

// Addresses returns where a node's B2BUA listens for its gateway, and where the gateway listens. They are the same in
// each process of a node, and differ between nodes.
func Addresses(key [32]byte) (server, gateway netip.AddrPort) {
	sum := sha256.Sum256(append([]byte("address of the browser gateway"), key[:]...))
	a := netip.AddrFrom4([4]byte{127, 64 + sum[0]%128, sum[1], 1 + sum[2]%254})
	return netip.AddrPortFrom(a, serverPort), netip.AddrPortFrom(a, gatewayPort)
}

// Open opens a gateway.
func Open(o Options) (*Gateway, error) {
	g := &Gateway{to: o.Server, proof: o.Proof, listen: o.Listener, pending: map[string]*setup{}}
	g.ctx, g.stop = context.WithCancel(context.Background())
	at, ok := o.Listener.Addr().(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("%T is no TCP listener", o.Listener)
	}
	g.at = at.AddrPort()
	var err error
	if g.seals, err = dialog.NewSeals("browser gateway", o.Key); err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler) // it logs each malformed message
	g.ua, err = sipgo.NewUA(
		sipgo.WithUserAgent("flowbridge-browser"),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(quiet)),
		sipgo.WithUserAgentTransactionLayerOptions(
			sip.WithTransactionLayerLogger(quiet),
			sip.WithTransactionLayerUnhandledResponseHandler(g.onStray),
		),
	)
	if err != nil {
		return nil, err
	}
	if g.server, err = sipgo.NewServer(g.ua, sipgo.WithServerLogger(quiet)); err != nil {
		return nil, err
	}
	g.client, err = sipgo.NewClient(g.ua, sipgo.WithClientLogger(quiet), sipgo.WithClientAddr(g.at.String()))
	if err != nil {
		return nil, err
	}
	g.handle()
	g.wg.Go(func() { _ = g.server.ServeTCP(fromOthers{g.listen, g.to}) }) // ends with the listener
	return g, nil
}

// fromOthers is a listener without the connections that come from an address. The library sends over any connection
// with the B2BUA's address, so a program that connects from there would be shown the proof, and sent the calls.
type fromOthers struct {
	net.Listener

	not netip.AddrPort
}

// Accept returns the next connection.
func (l fromOthers) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if at, ok := c.RemoteAddr().(*net.TCPAddr); !ok || at.AddrPort() != l.not {
			return c, nil
		}
		_ = c.Close()
	}
}

// Close closes the gateway. Its calls must have ended, or belong to another process.
func (g *Gateway) Close() error {
	g.stop()
	err := errors.Join(g.listen.Close(), g.ua.Close())
	g.wg.Wait()
	return err
}

// allowed are the methods of a peer that starts no exchange by itself.
const allowed = "ACK, BYE, OPTIONS, INVITE, UPDATE"

// handle sets the handlers of requests. None of them needs to know the dialog.
func (g *Gateway) handle() {
	says := func(code int, reason string) sipgo.RequestHandler {
		return func(req *sip.Request, tx sip.ServerTransaction) {
			res := sip.NewResponseFromRequest(req, code, reason, nil)
			res.AppendHeader(sip.NewHeader("Allow", allowed))
			res.AppendHeader(g.contact())
			_ = tx.Respond(res)
		}
	}
	g.server.OnBye(says(200, "OK"))
	g.server.OnOptions(says(200, "OK"))
	g.server.OnInvite(says(488, "Not Acceptable Here"))
	g.server.OnUpdate(func(req *sip.Request, tx sip.ServerTransaction) {
		if len(req.Body()) > 0 {
			says(488, "Not Acceptable Here")(req, tx)
			return
		}
		says(200, "OK")(req, tx)
	})
	g.server.OnAck(func(*sip.Request, sip.ServerTransaction) {})
	g.server.OnNoRoute(says(405, "Method Not Allowed"))
}

// contact returns our Contact.
func (g *Gateway) contact() *sip.ContactHeader {
	uri := sip.Uri{Scheme: "sip", User: "browser", Host: g.at.Addr().String(), Port: int(g.at.Port())}
	uri.UriParams = sip.NewParams()
	uri.UriParams.Add("transport", "tcp")
	return &sip.ContactHeader{Address: uri}
}

// send sends a request that waits for no response.
func (g *Gateway) send(req *sip.Request) error {
	if err := g.prepare(g.ctx, req); err != nil {
		return err
	}
	return g.client.WriteRequest(req, func(*sipgo.Client, *sip.Request) error { return nil })
}

// begin sends a request and returns its transaction.
func (g *Gateway) begin(ctx context.Context, req *sip.Request) (sip.ClientTransaction, error) {
	if err := g.prepare(ctx, req); err != nil {
		return nil, err
	}
	return g.client.TransactionRequest(ctx, req, func(*sipgo.Client, *sip.Request) error { return nil })
}

// proofMessage is written in place of a message, at the start of a connection.
type proofMessage struct {
	sip.Message

	proof string
}

// StringWrite writes the proof.
func (p proofMessage) StringWrite(w io.StringWriter) { _, _ = w.WriteString(p.proof) }

// prepare makes a request ready to be sent, over a connection that has shown the proof.
func (g *Gateway) prepare(ctx context.Context, req *sip.Request) error {
	req.SetTransport("TCP")
	req.SetDestination(g.to.String())
	// After an upgrade the B2BUA answers at the address that we have called from, at the port of our Via.
	req.Laddr = sip.Addr{IP: g.at.Addr().AsSlice()}
	if req.Via() == nil {
		if err := sipgo.ClientRequestAddVia(g.client, req); err != nil {
			return err
		}
	}
	if req.Body() == nil {
		req.SetBody(nil) // for its Content-Length
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	conn, err := g.ua.TransportLayer().ClientRequestConnection(ctx, req)
	if err != nil {
		return err
	}
	defer func() { _, _ = conn.TryClose() }()
	if conn != g.proven {
		if err := conn.WriteMsg(proofMessage{proof: g.proof}); err != nil {
			return err
		}
		g.proven = conn
	}
	return nil
}

// onStray acknowledges an answer to the INVITE of an earlier process, which has handed its calls over.
func (g *Gateway) onStray(res *sip.Response) {
	if s := res.CSeq(); s != nil && s.MethodName == sip.INVITE && res.IsSuccess() {
		_ = g.acknowledge(res) // the answer is repeated if it is lost
	}
}

// acknowledge sends the ACK of a 2xx.
func (g *Gateway) acknowledge(res *sip.Response) error {
	d, err := dialogOf(res)
	if err != nil {
		return err
	}
	return g.send(d.Request(sip.ACK, res.CSeq().SeqNo))
}

// RefusedError is the final response of a call that was not answered.
type RefusedError struct {
	Code       int
	Reason     string
	Warning    string        // what is wrong, in words; empty if that is not said
	RetryAfter time.Duration // when it is worth trying again; 0: not said
}

// Error returns the status line, and what is wrong.
func (e *RefusedError) Error() string {
	text := fmt.Sprintf("%d %s", e.Code, e.Reason)
	if e.Warning != "" {
		text += ": " + e.Warning
	}
	return text
}

func refused(res *sip.Response) error {
	e := &RefusedError{Code: res.StatusCode, Reason: res.Reason}
	if h := res.GetHeader("Warning"); h != nil { // code, agent, and the text in quotes (RFC 3261 section 20.43)
		_, text, _ := strings.Cut(h.Value(), `"`)
		e.Warning, _, _ = strings.Cut(text, `"`)
	}
	if h := res.GetHeader("Retry-After"); h != nil {
		value, _, _ := strings.Cut(h.Value(), "(") // a comment may follow, or parameters (RFC 3261 section 20.33)
		value, _, _ = strings.Cut(value, ";")
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31); err == nil {
			e.RetryAfter = time.Duration(n) * time.Second
		}
	}
	return e
}

var errNoAnswer = errors.New("the call did not answer")

// byeTimeout bounds the wait for the answer to a BYE.
const byeTimeout = 5 * time.Second

// bye hangs up.
func (g *Gateway) bye(ctx context.Context, d sealed) error {
	ctx, cancel := context.WithTimeout(ctx, byeTimeout)
	defer cancel()
	tx, err := g.begin(ctx, d.Request(sip.BYE, dialog.NextCSeq(1)))
	if err != nil {
		return err
	}
	defer tx.Terminate()
	for {
		select {
		case res := <-tx.Responses():
			switch {
			case res.IsProvisional():
			case res.IsSuccess(), res.StatusCode == 481, res.StatusCode == 408: // or it is over (RFC 3261 section 12.2.1.2)
				return nil
			default:
				return refused(res)
			}
		case <-tx.Done():
			return cmp.Or(tx.Err(), errNoAnswer)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

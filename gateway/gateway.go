package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/gateway/dialog"
)

const (
	orderLife     = time.Minute // how long an order waits for its INVITE
	maxOrders     = 10_000
	maxParameters = 2048 // bytes; they are in each Contact
)

// Options are the options of a gateway.
type Options struct {
	Key [32]byte // the node's secret, which seals dialogs
	// From reports whether SIP from an address is the B2BUA's. What others send is dropped. nil takes all.
	From func(netip.AddrPort) bool
	Log  zerolog.Logger
}

// Gateway is the SIP endpoint of all bots. Open opens it.
type Gateway struct {
	log     zerolog.Logger
	seals   dialog.Seals
	local   netip.AddrPort
	conn    net.PacketConn
	ua      *sipgo.UserAgent
	server  *sipgo.Server
	client  *sipgo.Client
	clock   *clock[*call]
	ports   *ports
	packet  packet // of the clock
	figures figures
	muted   atomic.Bool

	ctx    context.Context //nolint:containedctx // the gateway's life
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	orders map[string]order
	calls  map[string]*call // by Call-ID and our tag
}

// order is what a call wants, until its INVITE comes.
type order struct {
	Request
	until time.Time
}

// Request is a call to a bot.
type Request struct {
	Access     *Access
	Within     time.Duration   // how long the bot's upgrade may take
	CallSID    string          // CA and 32 hexadecimal digits
	URL        string          // of the socket, ws or wss
	Parameters json.RawMessage // customParameters, an object with strings; empty means none
	// Tell gets lines for the call's ladder, without secrets. It may be nil, and must not block.
	Tell func(text string)
}

// ErrParameters means that an order has parameters of more than 2 KB.
var ErrParameters = errors.New("parameters of more than 2048 bytes")

var errFull = errors.New("too many orders wait for their INVITE")

// figures count what bots do.
type figures struct {
	closed, lost, stalled, refused, resumed, ignored atomic.Uint64
}

func (f *figures) ended(why string) {
	switch why {
	case botLost:
		f.lost.Add(1)
	case agentStalled:
		f.stalled.Add(1)
	default:
		f.closed.Add(1)
	}
}

// newSID returns a random id in Twilio's form.
func newSID(kind string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return kind + hex.EncodeToString(b[:])
}

// Order keeps what a call wants for a minute. It returns user, host and port of the Request-URI for the INVITE, which
// must be sent over UDP. An order is good for one INVITE.
func (g *Gateway) Order(r Request) (user string, at netip.AddrPort, err error) {
	if len(r.Parameters) > maxParameters {
		return "", at, ErrParameters
	}
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for token, o := range g.orders { // few: they are taken within milliseconds
		if now.After(o.until) {
			delete(g.orders, token)
		}
	}
	if len(g.orders) >= maxOrders {
		return "", at, errFull
	}
	user = newSID("")
	g.orders[user] = order{r, now.Add(orderLife)}
	return user, g.local, nil
}

// take returns the order for a token.
func (g *Gateway) take(token string) (Request, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	o, ok := g.orders[token]
	delete(g.orders, token)
	return o.Request, ok && time.Now().Before(o.until)
}

// keep makes requests find a call. An earlier one of the same dialog ends without a BYE.
func (g *Gateway) keep(c *call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if earlier := g.calls[c.dialog.key()]; earlier != nil {
		g.wg.Go(earlier.end)
	}
	g.calls[c.dialog.key()] = c
}

func (g *Gateway) forget(c *call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if key := c.dialog.key(); g.calls[key] == c {
		delete(g.calls, key)
	}
}

// find returns the call that a request belongs to, or nil.
func (g *Gateway) find(req *sip.Request) *call {
	if req.CallID() == nil || req.To() == nil || req.From() == nil {
		return nil
	}
	ours, _ := req.To().Params.Get("tag")
	theirs, _ := req.From().Params.Get("tag")
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.calls[keyOf(req.CallID().Value(), ours)]; c != nil && c.dialog.RemoteTag == theirs {
		return c
	}
	return nil
}

// Calls returns the number of calls.
func (g *Gateway) Calls() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.calls)
}

// Hangup ends a call of an account at Twilio, as its bot would. It reports false if there is none.
func (g *Gateway) Hangup(account, callSID string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	found := false
	for _, c := range g.calls {
		if c.dialog.CallSID == callSID && c.access.account == account {
			g.wg.Go(func() { c.leave(botClosed, errOrdered) })
			found = true
		}
	}
	return found
}

// Figures count what bots have done since the gateway was opened.
type Figures struct {
	Calls   int    // now
	Closed  uint64 // calls that their bots have ended
	Lost    uint64 // calls whose socket broke
	Stalled uint64 // calls whose bots did not read or answer
	Refused uint64 // calls that no bot took
	Resumed uint64 // calls of an earlier process that continue
	Ignored uint64 // messages and audio of bots that were not used
}

// Figures returns the figures.
func (g *Gateway) Figures() Figures {
	f := &g.figures
	return Figures{
		Calls: g.Calls(), Closed: f.closed.Load(), Lost: f.lost.Load(), Stalled: f.stalled.Load(), Refused: f.refused.Load(),
		Resumed: f.resumed.Load(), Ignored: f.ignored.Load(),
	}
}

// panicked logs a panic that was recovered: only its call ends.
func (g *Gateway) panicked(v any) {
	g.log.Error().Str("panic", fmt.Sprint(v)).Str("stack", string(debug.Stack())).Msg("panic recovered in a bot's call")
}

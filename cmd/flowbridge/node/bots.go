package node

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/cmd/flowbridge/check"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/gateway"
	"flowbridge/telemetry"
)

// bots is the gateway of targets of kind websocket. It is opened for the first call.
type bots struct {
	log zerolog.Logger

	mu      sync.Mutex // guards the fields below
	key     *[32]byte  // nil until the node's key is known
	gateway *gateway.Gateway
	closed  bool

	server atomic.Pointer[sipServer] // nil until the server is open
}

// sipServer is what the gateway needs of the server.
type sipServer struct {
	listens []config.Listener
	ladder  func(id string) *ladder.Call
}

var errNoGateway = errors.New("the gateway of bots is closed")

// open returns the gateway.
func (b *bots) open() (*gateway.Gateway, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gateway != nil {
		return b.gateway, nil
	}
	if b.closed || b.key == nil {
		return nil, errNoGateway
	}
	g, err := gateway.Open(gateway.Options{Key: *b.key, From: b.isOurs, Log: b.log})
	b.gateway = g
	return g, err
}

// isOurs reports whether a datagram that came to a loopback address is from one of the server's sockets, and not from
// another program on this machine. Until the server is open everything passes: restored calls are answered before.
func (b *bots) isOurs(from netip.AddrPort) bool {
	s := b.server.Load()
	return s == nil || slices.ContainsFunc(s.listens, func(l config.Listener) bool {
		at := l.AddrPort
		return l.Transport == config.TransportUDP && at.Port() == from.Port() &&
			(at.Addr() == from.Addr() || at.Addr().IsUnspecified())
	})
}

// calledBy sets the server whose calls go to bots.
func (b *bots) calledBy(s *b2bua.Server) {
	b.server.Store(&sipServer{s.Stack().Listeners(), s.Ladder})
}

// teller returns a function that adds lines to the ladder of a call.
func (b *bots) teller(id string) func(text string) {
	return func(text string) {
		if s := b.server.Load(); s != nil {
			s.ladder(id).Decide("%s", text)
		}
	}
}

// use sets the key by which calls of an earlier process are recognised.
func (b *bots) use(key [32]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.key = &key
}

// opened returns the gateway if there is one, or nil.
func (b *bots) opened() *gateway.Gateway {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gateway
}

// mute keeps the gateway from ending calls while they go over to another process, until undo.
func (b *bots) mute() (undo func()) {
	g := b.opened()
	if g == nil {
		return func() {}
	}
	g.Mute(true)
	return func() { g.Mute(false) }
}

// close closes the gateway. Its calls must have ended, or belong to another process.
func (b *bots) close() error {
	b.mu.Lock()
	g := b.gateway
	b.gateway, b.closed = nil, true
	b.mu.Unlock()
	if g == nil {
		return nil
	}
	return g.Close()
}

// gauges reports the gateway's figures.
func (b *bots) gauges(add telemetry.Add) {
	var f gateway.Figures
	if g := b.opened(); g != nil {
		f = g.Figures()
	}
	add("bot_calls", "Calls with bots of kind websocket.", float64(f.Calls))
	const ended = "Calls that bots of kind websocket have ended or not taken."
	for why, n := range map[string]uint64{"closed": f.Closed, "lost": f.Lost, "stalled": f.Stalled, "refused": f.Refused} {
		add("bot_ends_total", ended, float64(n), "why", why)
	}
	add("bot_resumed_total", "Calls of an earlier process that continue with their bots.", float64(f.Resumed))
	add("bot_ignored_total", "Messages of bots that were not used.", float64(f.Ignored))
}

// authTokens returns the auth tokens that targets name for an account at Twilio.
func authTokens(cfg *config.Config, account string) (all []string) {
	for i := range cfg.Targets {
		if t := cfg.Targets[i].Twilio; t != nil && t.AccountSID == account && t.AuthToken != "" {
			all = append(all, t.AuthToken.Reveal())
		}
	}
	return all
}

// botHook ends calls by orders of bots over HTTP. Several targets may have one account, before and after its token is
// changed, so each of their tokens is good.
func (h *callHooks) botHook() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		token := func(account string) string { return oneOf(authTokens(h.config(), account), given) }
		(&gateway.Rest{Token: token, End: h.endBot}).ServeHTTP(w, r)
	})
}

// oneOf returns the token that is given if it is among these, or else another one, which is then refused, or "" if
// there is none. Its time does not tell how much of a token is right.
func oneOf(tokens []string, given string) (token string) {
	for _, t := range tokens {
		if token == "" || subtle.ConstantTimeCompare([]byte(t), []byte(given)) == 1 {
			token = t
		}
	}
	return token
}

// endBot ends a call by its bot's order.
func (h *callHooks) endBot(account, call string) bool {
	g := h.inForce.Load().bots.opened()
	return g != nil && g.Hangup(account, call)
}

// bot prepares the calls of a target of kind websocket.
type bot struct {
	bots   *bots
	access *gateway.Access
	within time.Duration
	asks   peers.Preparer // before the bot's socket is ordered; nil if there is no request
}

// The bot gets a little less than ring_timeout, so that the gateway's refusal comes first and the ladder names the bot.
const (
	answerShare = 20 // one part of so many
	answerTime  = time.Second
)

// newBot returns the preparer of a target. asks is the preparer of the request before it, or nil.
func newBot(t *config.Target, all *bots, asks peers.Preparer) (*bot, error) {
	access, err := check.BotAccess(t)
	return &bot{all, access, t.RingTimeout - min(answerTime, t.RingTimeout/answerShare), asks}, err
}

// callSID returns the id of a call in Twilio's form. It is the call's own id, as hex, if that has the right length.
func callSID(id string) string {
	plain := strings.ToLower(strings.ReplaceAll(id, "-", ""))
	if b, err := hex.DecodeString(plain); err == nil && len(b) == 16 {
		return "CA" + plain
	}
	sum := sha256.Sum256([]byte(id))
	return "CA" + hex.EncodeToString(sum[:16])
}

// Prepare leaves an order at the gateway, after the request before it. Without one it does not block.
func (b *bot) Prepare(ctx context.Context, r peers.PrepareRequest) (got peers.Prepared, err error) {
	if b.asks != nil {
		if got, err = b.asks.Prepare(ctx, r); err != nil {
			return got, err
		}
		r.Ask, err = r.Order(&template.PrepareVars{CallID: got.CallID, Body: got.Body})
		if err != nil {
			return peers.Prepared{}, &outbound.PrepareError{Cause: cause.TemplateFailed, Status: got.Status, Err: err}
		}
	}
	id := callSID(r.CallID)
	g, err := b.bots.open()
	if err != nil {
		return peers.Prepared{}, &outbound.PrepareError{Cause: cause.PrepareFailed, Err: err}
	}
	user, at, err := g.Order(gateway.Request{
		Access: b.access, Within: b.within, CallSID: id, URL: r.URL.String(), Parameters: r.Body,
		Tell: b.bots.teller(r.CallID),
	})
	if err != nil {
		return peers.Prepared{}, &outbound.PrepareError{Cause: cause.PrepareFailed, Err: err}
	}
	body, err := json.Marshal(struct {
		User string `json:"user"`
		At   string `json:"at"`
		ID   string `json:"callSid"`
	}{user, at.String(), id})
	if err != nil {
		return peers.Prepared{}, err
	}
	got.CallID, got.Body = id, body
	return got, nil
}

// Resume continues a call of an earlier process: our id, and the Call-ID and Contact of its agent's leg.
func (b *bot) Resume(id, callID, contact string) {
	g, err := b.bots.open()
	if err == nil {
		err = g.Resume(b.access, callID, contact, b.bots.teller(id))
	}
	if err != nil {
		b.bots.log.Warn().Err(err).Msg("a bot's call does not continue")
	}
}

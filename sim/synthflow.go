package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
)

const (
	defaultToken     = "sim-token"
	defaultEchoDelay = 600 * time.Millisecond
	defaultRingFor   = 200 * time.Millisecond
)

// SynthflowOptions say where the stand-in listens and how it behaves.
type SynthflowOptions struct {
	HTTPListen string        // "127.0.0.1:0" if empty
	SIPListen  string        // UDP; "127.0.0.1:0" if empty
	MediaAddr  netip.Addr    // address of RTP; the SIP listener's if zero
	Token      string        // bearer token that is required; "sim-token" if empty
	EchoDelay  time.Duration // 600ms if zero
	RingFor    time.Duration // between 180 and 200; 200ms if zero, none if negative
	IDLifetime time.Duration // of a prepared id; 60s if zero
	Auth       SIPAuth       // what an INVITE has to show; zero: nothing

	Account     SynthflowAccount
	ShortAnswer bool   // prepare_inbound answers with six keys, not with all
	DirectDial  string // DirectDialAuto if empty
	Webhook     SynthflowWebhook
	PreAction   SynthflowPreAction

	Fault Fault
	Log   zerolog.Logger
}

// Synthflow is the stand-in platform: its HTTP API and its SIP agent.
type Synthflow struct {
	*agent
	opts    SynthflowOptions
	api     *web
	ids     *idTable
	given   givenIDs
	account *account
	asker   *http.Client // for webhooks and pre-actions
	asks    *challenger  // nil: what the number asks for
	closed  atomic.Bool
}

// StartSynthflow listens on both addresses and serves until Close. Cancelling
// ctx ends the calls, but not the listeners.
func StartSynthflow(ctx context.Context, o SynthflowOptions) (*Synthflow, error) {
	o = o.withDefaults()
	err := o.Validate()
	if err != nil {
		return nil, err
	}
	s := &Synthflow{
		opts:    o,
		ids:     newIDTable(o.IDLifetime),
		account: newAccount(o.Account),
		asker:   newAsker(),
	}
	s.agent = newAgent(s, manner{o.MediaAddr, o.EchoDelay, o.RingFor}, o.Log)
	s.SetFault(o.Fault)
	s.asks = newChallenger(o.Auth)
	if s.sip, err = openEndpoint(ctx, o.SIPListen, "synthflow-sim", o.Log, s.drops); err != nil {
		return nil, err
	}
	if s.api, err = openWeb(ctx, o.HTTPListen); err != nil {
		_ = s.sip.sock.Close()
		s.sip.cancel()
		return nil, fmt.Errorf("synthflow-sim: %w", err)
	}
	s.clock = startClock()
	s.route()
	s.sip.serve()
	s.api.serve(s.handler())
	return s, nil
}

// Validate says what is wrong with options, but for addresses.
func (o SynthflowOptions) Validate() error {
	switch o.DirectDial {
	case "", DirectDialAuto, DirectDialOn, DirectDialOff:
	default:
		return fmt.Errorf("direct dial %q: want %s, %s or %s", o.DirectDial, DirectDialAuto, DirectDialOn, DirectDialOff)
	}
	return errors.Join(o.Auth.Validate(), o.Account.Validate(), o.Webhook.validate(), o.PreAction.validate())
}

func (o SynthflowOptions) withDefaults() SynthflowOptions {
	if o.HTTPListen == "" {
		o.HTTPListen = "127.0.0.1:0"
	}
	if o.SIPListen == "" {
		o.SIPListen = "127.0.0.1:0"
	}
	if o.Token == "" {
		o.Token = defaultToken
	}
	if o.EchoDelay == 0 {
		o.EchoDelay = defaultEchoDelay
	}
	if o.RingFor == 0 {
		o.RingFor = defaultRingFor
	}
	if o.IDLifetime == 0 {
		o.IDLifetime = time.Minute
	}
	o.Webhook = o.Webhook.withDefaults()
	return o
}

// APIURL is the base URL of the HTTP API.
func (s *Synthflow) APIURL() string { return s.api.url() }

// SIPAddr is where INVITEs go.
func (s *Synthflow) SIPAddr() netip.AddrPort { return s.sip.local }

// Token is the bearer token that the API requires.
func (s *Synthflow) Token() string { return s.opts.Token }

// Close hangs up, stops listening and waits until nothing of it runs.
func (s *Synthflow) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	sipErr := s.sip.close() // ends API requests that hang, too
	httpErr := s.api.close()
	s.clock.close()
	return errors.Join(sipErr, httpErr)
}

// Calls returns every INVITE so far that was not dropped or challenged, refused
// ones included, oldest first; of very many only the latest.
func (s *Synthflow) Calls() []AgentCall {
	list := s.calls()
	out := make([]AgentCall, 0, len(list))
	for _, c := range list {
		out = append(out, c.snapshot())
	}
	return out
}

// Call returns the call with this id: the one that used it, not one that was
// refused for using it again.
func (s *Synthflow) Call(synthflowID string) (AgentCall, bool) {
	c := s.byID(synthflowID)
	if c == nil {
		return AgentCall{}, false
	}
	return c.snapshot(), true
}

// challenger asks for the agent's credentials, or else for those of the number
// that is called.
func (s *Synthflow) challenger(req *sip.Request) *challenger {
	if s.asks != nil {
		return s.asks
	}
	return s.account.dialled(req.Recipient.User).asks
}

// settle asks whom the agent has to ask before it answers: the inbound webhook
// which agent it is, then the pre-action for variables.
func (s *Synthflow) settle(ctx context.Context, c *agentCall) (code int, reason string) {
	if err := s.reroute(ctx, c); err != nil {
		return sip.StatusTemporarilyUnavailable, printable(err.Error())
	}
	s.fetch(ctx, c)
	return 0, ""
}

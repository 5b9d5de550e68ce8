package sim

import (
	"context"
	"errors"
	"fmt"
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
	Fault      Fault
	Log        zerolog.Logger
}

// Synthflow is the stand-in platform: its HTTP API and its SIP agent.
type Synthflow struct {
	*agent
	opts   SynthflowOptions
	api    *web
	ids    *idTable
	asks   *challenger // nil: nobody is challenged
	closed atomic.Bool
}

// StartSynthflow listens on both addresses and serves until Close. Cancelling
// ctx ends the calls, but not the listeners.
func StartSynthflow(ctx context.Context, o SynthflowOptions) (*Synthflow, error) {
	o = o.withDefaults()
	s := &Synthflow{
		opts: o,
		ids:  newIDTable(o.IDLifetime),
	}
	s.agent = newAgent(s, manner{o.MediaAddr, o.EchoDelay, o.RingFor}, o.Log)
	s.SetFault(o.Fault)
	err := o.Auth.Validate()
	if err != nil {
		return nil, err
	}
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

func (s *Synthflow) challenger(*sip.Request) *challenger { return s.asks }

// settle has nothing to decide: the id of the call did.
func (s *Synthflow) settle(context.Context, *agentCall) (int, string) { return 0, "" }

func (s *Synthflow) over(*agentCall) {}

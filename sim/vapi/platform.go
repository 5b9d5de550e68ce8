package vapi

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

const (
	defaultKey = "sim-key"
	// requestLimit is the time limit for the complete answer to an assistant-request. It is fixed (Vapi's page
	// "Server events").
	requestLimit = 7500 * time.Millisecond
)

// Options configure the stand-in.
type Options struct {
	HTTPListen  string        // "127.0.0.1:0" if empty
	SIPListen   string        // UDP; "127.0.0.1:0" if empty
	Key         string        // private key required by the API; "sim-key" if empty
	AnswerAfter time.Duration // 600ms if zero
	EchoDelay   time.Duration // echo instead of answers; as in sim.AgentOptions
	RingFor     time.Duration // time between 180 and 200; 200ms if zero, none if negative
	Limit       time.Duration // time limit for the answer to an assistant-request; 7.5s if zero, as on the platform
	Fault       sim.Fault
	Log         zerolog.Logger
}

// Platform is the stand-in for Vapi.
type Platform struct {
	standin.History[*call, Call]
	*standin.Server
	opts    Options
	account *account
	given   standin.GivenIDs
}

// These are the SIP hosts of Vapi's regions (its page "SIP introduction"): the stand-in's region, us, and the
// other region.
const (
	sipHost   = "sip.vapi.ai"
	otherHost = "sip.eu.vapi.ai"
)

// Start listens on both addresses and serves until Close. If ctx is cancelled, the calls end, but the listeners
// stay.
func Start(ctx context.Context, o Options) (*Platform, error) {
	o.Key = cmp.Or(o.Key, defaultKey)
	o.Limit = cmp.Or(o.Limit, requestLimit)
	if err := o.Validate(); err != nil {
		return nil, err
	}
	server, err := standin.Open(ctx, o.HTTPListen, sim.AgentOptions{
		Name: "vapi-sim", Listen: o.SIPListen, AnswerAfter: o.AnswerAfter, EchoDelay: o.EchoDelay,
		RingFor: o.RingFor, Fault: o.Fault, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	p := &Platform{Server: server, opts: o, account: newAccount()}
	server.Serve(p, p.api())
	return p, nil
}

// Validate returns what is wrong with the fault.
func (o Options) Validate() error {
	if o.Fault.Kind == sim.FaultFailed {
		return errors.New("fault failed is only for Synthflow: Vapi prepares no calls")
	}
	return nil
}

// Key returns the private key that the API requires.
func (p *Platform) Key() string { return p.opts.Key }

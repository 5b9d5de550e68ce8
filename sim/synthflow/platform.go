package synthflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

const (
	defaultToken = "sim-token"
	realm        = "synthflow-sim"
)

// Options configure the stand-in.
type Options struct {
	HTTPListen  string        // "127.0.0.1:0" if empty
	SIPListen   string        // UDP; "127.0.0.1:0" if empty
	Token       string        // required bearer token; "sim-token" if empty
	AnswerAfter time.Duration // like sim.AgentOptions.AnswerAfter
	EchoDelay   time.Duration // echo instead of answers; as in sim.AgentOptions
	RingFor     time.Duration // time between 180 and 200; 200ms if zero, none if negative
	IDLifetime  time.Duration // how long a prepared id is valid; 60s if zero
	Auth        sim.SIPAuth   // credentials that an INVITE must have; zero for none; the realm is "synthflow-sim" if empty

	Account    Account
	DirectDial string // DirectDialAuto if empty
	Webhook    Webhook

	Fault sim.Fault
	Log   zerolog.Logger
}

// Platform is the stand-in for Synthflow.
type Platform struct {
	standin.History[*call, Call]
	*standin.Server
	opts    Options
	ids     standin.IDs[standin.Object]
	given   standin.GivenIDs
	account *account
	asks    *sim.Challenger // nil if an INVITE needs no credentials
}

// Start listens on both addresses and serves until Close. If ctx is cancelled, the calls end, but the listeners
// stay.
func Start(ctx context.Context, o Options) (*Platform, error) {
	o.Token = cmp.Or(o.Token, defaultToken)
	o.IDLifetime = cmp.Or(o.IDLifetime, time.Minute)
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Auth != (sim.SIPAuth{}) {
		o.Auth.Realm = cmp.Or(o.Auth.Realm, realm)
	}
	server, err := standin.Open(ctx, o.HTTPListen, sim.AgentOptions{
		Name: "synthflow-sim", Listen: o.SIPListen, AnswerAfter: o.AnswerAfter, EchoDelay: o.EchoDelay,
		RingFor: o.RingFor, Fault: o.Fault, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	p := &Platform{Server: server, opts: o, account: newAccount(o.Account), asks: sim.NewChallenger(o.Auth)}
	server.Serve(p, p.api())
	return p, nil
}

// Validate returns an error that says what is wrong with the options, except for addresses.
func (o Options) Validate() error {
	switch o.DirectDial {
	case "", DirectDialAuto, DirectDialOn, DirectDialOff:
	default:
		return fmt.Errorf("direct dial %q: want %s, %s or %s", o.DirectDial, DirectDialAuto, DirectDialOn, DirectDialOff)
	}
	return errors.Join(o.Auth.Validate(), o.Account.Validate(), o.Webhook.validate())
}

// Token returns the bearer token that the API requires.
func (p *Platform) Token() string { return p.opts.Token }

// Call returns the call that used this id.
func (p *Platform) Call(id string) (Call, bool) {
	if c := p.byID(id); c != nil {
		return c.Snapshot(), true
	}
	return Call{}, false
}

func (p *Platform) byID(id string) *call {
	for _, c := range p.All() {
		if c.id() == id {
			return c
		}
	}
	return nil
}

// told returns an id for an answer.
func (p *Platform) told(sort, id string) any { return p.given.Told(p.Fault(), sort, id) }

// Challenger checks the credentials of the options.
func (p *Platform) Challenger(sim.Invite) *sim.Challenger { return p.asks }

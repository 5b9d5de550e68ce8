package platform

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// The default credentials.
const (
	DefaultToken    = "sim-token"
	DefaultUser     = "sim-user"
	DefaultPassword = "sim-password"
	DefaultSecret   = "sim-secret"
)

// Options configure a stand-in.
type Options struct {
	HTTPListen  string // address of the API; "127.0.0.1:0" if empty
	SIPListen   string // "127.0.0.1:0" if empty
	Transport   string // UDP, TCP or TLS; if empty, the first one of the description
	Token       string // required by the API; DefaultToken if empty
	Auth        sim.SIPAuth
	Secret      string // required in the header; DefaultSecret if empty
	Webhook     Webhook
	Number      string        // the only user part that is accepted; if empty, all that have the right form
	AnswerAfter time.Duration // 600ms if zero
	EchoDelay   time.Duration // echo instead of answers; as in sim.AgentOptions
	RingFor     time.Duration
	Fault       sim.Fault
	Log         zerolog.Logger
}

// Platform is a stand-in.
type Platform struct {
	standin.History[*call, Call]
	agent *sim.Agent
	api   *standin.Server // may be nil
	of    Description
	opts  Options
	asks  *sim.Challenger // nil if no credentials are required
	ca    []byte
	given standin.GivenIDs
	ids   standin.IDs[standin.Object]
	count atomic.Int64 // counter for ids that are digits

	mu        sync.Mutex                // guards undecided
	undecided map[string]chan<- verdict // calls whose owner was asked, by id
}

// Start listens and serves until Close. If ctx is cancelled, the calls end, but the listeners stay.
func Start(ctx context.Context, of Description, o Options) (*Platform, error) {
	o.Transport, o.Token, o.Secret = cmp.Or(strings.ToUpper(o.Transport), of.Agent.Transports[0]),
		cmp.Or(o.Token, DefaultToken), cmp.Or(o.Secret, DefaultSecret)
	if !slices.Contains(of.Agent.Transports, o.Transport) {
		return nil, fmt.Errorf("%s is not called over %s: want %s", of.Title, o.Transport,
			strings.Join(of.Agent.Transports, ", "))
	}
	o.Webhook.Secret = cmp.Or(o.Webhook.Secret, DefaultWebhookSecret)
	if o.Webhook.URL != "" && (of.Asks == nil ||
		standin.IsURL(o.Webhook.URL) != "") {
		return nil, fmt.Errorf("webhook %q: want an http(s) URL, for a platform that asks by one", o.Webhook.URL)
	}
	p := &Platform{of: of, opts: o, undecided: map[string]chan<- verdict{}}
	if of.Agent.Digest {
		o.Auth.User, o.Auth.Password = cmp.Or(o.Auth.User, DefaultUser), cmp.Or(o.Auth.Password, DefaultPassword)
		o.Auth.Realm = cmp.Or(o.Auth.Realm, of.Name+"-sim")
		p.asks = sim.NewChallenger(o.Auth)
	}
	agent := sim.AgentOptions{
		Name: of.Name + "-sim", Listen: o.SIPListen, Network: o.Transport, SRTP: of.Agent.SRTP,
		AnswerAfter: o.AnswerAfter, EchoDelay: o.EchoDelay, RingFor: o.RingFor,
		Fault: o.Fault, Log: o.Log,
	}
	if o.Transport == "TLS" {
		pair, ca, err := standin.Certificate(o.SIPListen)
		if err != nil {
			return nil, err
		}
		agent.TLS, p.ca = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, ca
	}
	var err error
	if of.API == nil && o.Webhook.URL == "" {
		if p.agent, err = sim.OpenAgent(ctx, agent); err == nil {
			p.agent.Serve(p)
		}
		return p, err
	}
	if p.api, err = standin.Open(ctx, o.HTTPListen, agent); err == nil {
		p.agent = p.api.Agent
		p.api.Serve(p, p.describeAPI())
	}
	return p, err
}

// Close hangs up, stops listening and waits for all goroutines.
func (p *Platform) Close() error {
	var c io.Closer = p.agent
	if p.api != nil {
		c = p.api
	}
	return c.Close()
}

// SIPAddr returns the agent's address and transport.
func (p *Platform) SIPAddr() (at, transport string) {
	return p.agent.SIPAddr().String(), p.opts.Transport
}

// APIURL returns the base URL of the API, or "" if there is none.
func (p *Platform) APIURL() string {
	if p.api == nil {
		return ""
	}
	return p.api.APIURL()
}

// CA returns the agent's certificate as PEM, or nil if it does not use TLS.
func (p *Platform) CA() []byte { return p.ca }

// SetFault changes how requests are handled from now on.
func (p *Platform) SetFault(f sim.Fault) { p.agent.SetFault(f) }

// Challenger checks the credentials of an INVITE.
func (p *Platform) Challenger(sim.Invite) *sim.Challenger { return p.asks }

package platform

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// Call is one INVITE as the platform saw it.
type Call struct {
	sim.AgentCall

	To        string            // the user part of the Request-URI
	Asked     standin.Object    // the request before the call; may be nil
	ID        string            // id of a call whose owner was asked; empty if the owner was not
	Session   standin.Object    // session in the acceptance; nil if there was none
	Variables map[string]string // the call's X- headers, by the names of their variables
}

// call is a call at the platform.
type call struct {
	standin.Call[Call]
	platform *Platform
}

// NewCall records a call.
func (p *Platform) NewCall(in *sim.Incoming) sim.Handler {
	c := &call{platform: p}
	c.In = in
	variables := map[string]string{}
	for _, line := range in.Seen().Headers {
		name, value, _ := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if p.of.Agent.Prefix != "" {
			name = name[len(p.of.Agent.Prefix):]
		}
		if name != p.of.Agent.SecretIn {
			variables[name] = strings.TrimSpace(value)
		}
	}
	c.Update(func(seen *Call) { seen.To, seen.Variables = in.To.User, variables })
	p.Add(c)
	return c
}

// Snapshot returns the data about the call.
func (c *call) Snapshot() Call {
	agent, out := c.In.Seen(), c.Seen()
	out.AgentCall = agent
	return out
}

// Admit checks the INVITE against the description.
func (c *call) Admit() (code int, reason string) {
	p, of := c.platform, c.platform.of.Agent
	user := c.In.To.User
	if of.SecretIn != "" {
		if why := c.secret(of.SecretIn, p.opts.Secret); why != "" {
			return 403, why
		}
	}
	switch {
	case of.User == nil:
		body, why := p.ids.Use(user, time.Now())
		if why != "" {
			return 404, "Request-URI user " + why
		}
		c.Update(func(seen *Call) { seen.Asked = body })
	case !of.User.MatchString(user):
		return 404, "Request-URI user is not " + of.UserIs
	case p.opts.Number != "" && user != p.opts.Number:
		return 404, "Request-URI user is not " + p.opts.Number
	}
	c.In.Greets = c.In.Seen().CallID
	return 0, ""
}

// secret says what is wrong with the secret in a header, or returns "". The name of the header must be spelled as
// documented.
func (c *call) secret(name, want string) string {
	for _, line := range c.In.Seen().Headers {
		got, value, _ := strings.Cut(line, ":")
		switch {
		case got != name:
		case subtle.ConstantTimeCompare([]byte(strings.TrimSpace(value)), []byte(want)) == 1:
			return ""
		default:
			return name + " has another value"
		}
	}
	return "no header " + name
}

// Settle answers every admitted call, unless its owner must decide about it.
func (c *call) Settle(ctx context.Context) (code int, reason string) {
	if c.platform.opts.Webhook.URL == "" {
		return 0, ""
	}
	return c.ask(ctx)
}

// Over does nothing.
func (c *call) Over() {}

// Describe adds the platform's fields about the call to a log line.
func (c *call) Describe(e *zerolog.Event) {
	seen := c.Seen()
	e.Str("to", seen.To)
	if len(seen.Variables) > 0 {
		e.Interface("variables", seen.Variables)
	}
}

package synthflow

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"flowbridge/sim"
	"flowbridge/synthflow"
)

// Call is what the platform saw of one INVITE.
type Call struct {
	sim.AgentCall

	SynthflowID    string            // of an accepted call
	XEI            string            // the X-EI header line as it was on the wire, without its line end
	ModelID        string            // of the agent, where it is known
	ExternalID     string            // E token of X-EI, or a bare X-EI
	Diversion      string            // O token of X-EI, or the number in Diversion or X-Diversion
	Variables      map[string]string // X- headers but X-EI, by name as it was on the wire
	IgnoredHeaders int               // X- headers whose name no variable can have, or that came twice
	Fetched        map[string]string // what the pre-action gave, by dotted path
	FetchError     string            // why it gave nothing; empty where it did, or there is none
	WebhookTries   int               // deliveries of the webhook after the call
	WebhookStatus  int               // HTTP status of the last one; 0: none, or no answer
}

// call is a call at the platform.
type call struct {
	platform *Platform
	in       *sim.Incoming
	from, to string // numbers

	mu    sync.Mutex // guards what follows
	seen  Call
	agent agentOfCall    // that takes it
	asked prepareRequest // zero for a direct dial
}

// NewCall notes what an INVITE says of its call.
func (p *Platform) NewCall(in *sim.Incoming) sim.Handler {
	c := &call{platform: p, in: in, from: in.From.User, to: in.To.User}
	headers := in.Seen().Headers
	for _, line := range headers {
		if isXEI(line) {
			c.seen.XEI = line
		}
	}
	c.seen.Variables, c.seen.IgnoredHeaders = variablesOf(headers)
	c.seen.Diversion = numberIn(in.Header("Diversion"))
	if c.seen.Diversion == "" {
		c.seen.Diversion = numberIn(carriedDiversion(headers))
	}
	p.calls.Add(c)
	return c
}

// update changes what is seen of the call.
func (c *call) update(f func(*Call)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.seen)
}

func (c *call) snapshot() Call {
	agent := c.in.Seen()
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.seen
	out.AgentCall = agent
	return out
}

// id is empty for a call that was refused.
func (c *call) id() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.SynthflowID
}

// takenBy is the agent that has the call.
func (c *call) takenBy() agentOfCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.agent
}

// Admit checks what the platform checks of an INVITE.
func (c *call) Admit() (code int, reason string) {
	p := c.platform
	number := p.account.dialled(c.to)
	if number.strict && !number.imported {
		return 404, "Request-URI user is no imported number"
	}
	x, why := c.readXEI(p.direct(number))
	if why != "" {
		return 403, why
	}
	return c.accept(x, number)
}

// accept finds the call that was prepared, or the agent of the number.
func (c *call) accept(x synthflow.XEI, number dialled) (code int, reason string) {
	p, id, agent := c.platform, x.S, number.agent
	var asked prepareRequest
	switch {
	case id != "":
		if asked, reason = p.ids.use(id, c.to, time.Now()); reason != "" {
			return 403, reason
		}
		var known bool
		if agent, known = p.account.agent(asked.Model); !known {
			agent.id = asked.Model // nobody keeps agents
		}
	case number.strict && agent.id == "":
		return 404, "no inbound agent is linked to the number"
	default:
		id = uuid.NewString()
	}
	c.in.Greets = id
	c.mu.Lock()
	defer c.mu.Unlock()
	c.agent, c.asked = agent, asked
	c.seen.SynthflowID, c.seen.ModelID, c.seen.ExternalID = id, agent.id, x.E
	if x.O != "" {
		c.seen.Diversion = x.O
	}
	return 0, ""
}

// Settle asks whom the agent has to ask before it answers: the inbound webhook
// which agent it is, then the pre-action for variables.
func (c *call) Settle(ctx context.Context) (code int, reason string) {
	if err := c.reroute(ctx); err != nil {
		return 480, err.Error()
	}
	c.fetch(ctx)
	return 0, ""
}

// Describe adds what a call is about to a log line.
func (c *call) Describe(e *zerolog.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.Str("id", c.seen.SynthflowID)
	for _, f := range []struct{ name, value string }{
		{"model_id", c.seen.ModelID},
		{"external_id", c.seen.ExternalID},
		{"diversion", c.seen.Diversion},
		{"fetch_error", c.seen.FetchError},
	} {
		if f.value != "" {
			e.Str(f.name, f.value)
		}
	}
	for name, values := range map[string]map[string]string{"variables": c.seen.Variables, "fetched": c.seen.Fetched} {
		if len(values) == 0 {
			continue
		}
		inner := zerolog.Dict()
		for _, key := range slices.Sorted(maps.Keys(values)) {
			inner.Str(key, values[key])
		}
		e.Dict(name, inner)
	}
}

package synthflow

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
	"flowbridge/synthflow"
)

// Call is one INVITE as the platform saw it.
type Call struct {
	sim.AgentCall

	SynthflowID   string            // empty for a refused call
	XEI           string            // the X-EI header line as received, without its line end
	ModelID       string            // id of the agent, if known
	ExternalID    string            // E token of X-EI, or a bare X-EI
	Diversion     string            // O token of X-EI, or the number in Diversion or X-Diversion
	Variables     map[string]string // X- headers except X-EI, by their names as received
	WebhookTries  int               // deliveries of the webhook after the call
	WebhookStatus int               // HTTP status of the last delivery; 0 if there was no answer
}

// call is a call at the platform.
type call struct {
	standin.Call[state]
	platform *Platform
	from, to string // numbers
}

// state is the platform's data about a call.
type state struct {
	Call
	agent standin.Object // the agent that takes the call
	asked standin.Object // the prepare request; nil for a direct dial
}

// NewCall reads the headers of an INVITE.
func (p *Platform) NewCall(in *sim.Incoming) sim.Handler {
	c := &call{platform: p, from: in.From.User, to: in.To.User}
	c.In = in
	headers := in.Seen().Headers
	c.Update(func(s *state) {
		for _, line := range headers {
			if isXEI(line) {
				s.XEI = line
			}
		}
		s.Variables = variablesOf(headers)
		s.Diversion = cmp.Or(numberIn(in.Header("Diversion")), numberIn(in.Header("X-Diversion")))
	})
	p.Add(c)
	return c
}

// Snapshot returns the data about the call.
func (c *call) Snapshot() Call {
	agent, out := c.In.Seen(), c.Seen().Call
	out.AgentCall = agent
	return out
}

// id returns the call's id, which is empty for a refused call.
func (c *call) id() string { return c.Seen().SynthflowID }

// Admit checks the number and X-EI.
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

// accept finds the prepared call, or the agent of the number.
func (c *call) accept(x synthflow.XEI, number dialled) (code int, reason string) {
	p, id, agent := c.platform, x.S, number.agent
	var asked standin.Object
	switch {
	case id != "":
		if asked, _, known := p.ids.Find(id); known && slugOf(asked.Text("to_number")) != slugOf(c.to) {
			return 403, "Request-URI user is not the prepared to_number"
		}
		asked, reason = p.ids.Use(id, time.Now())
		if reason != "" {
			return 403, "X-EI S token " + reason
		}
		agent = p.account.agent(asked.Text("model_id"))
	case number.strict && agent == nil:
		return 404, "no inbound agent is linked to the number"
	default:
		id = uuid.NewString()
	}
	c.In.Greets = id
	c.Update(func(s *state) {
		s.agent, s.asked = agent, asked
		s.SynthflowID, s.ModelID, s.ExternalID = id, agent.Text("model_id"), x.E
		s.Diversion = cmp.Or(x.O, s.Diversion)
	})
	return 0, ""
}

// Settle accepts every admitted call.
func (c *call) Settle(context.Context) (code int, reason string) { return 0, "" }

// Describe adds the ids and variables of the call to a log line.
func (c *call) Describe(e *zerolog.Event) {
	s := c.Seen()
	e.Str("id", s.SynthflowID)
	for name, value := range map[string]string{
		"model_id": s.ModelID, "external_id": s.ExternalID, "diversion": s.Diversion,
	} {
		if value != "" {
			e.Str(name, value)
		}
	}
	if len(s.Variables) > 0 {
		e.Interface("variables", s.Variables)
	}
}

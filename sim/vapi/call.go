package vapi

import (
	"time"

	"github.com/rs/zerolog"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// Call is one INVITE as the platform saw it.
type Call struct {
	sim.AgentCall

	ID             string
	PhoneNumberID  string
	AssistantID    string            // empty if there is no assistant, or one for this call only
	CustomerNumber string            // number of the caller, if it is a number
	CustomerURI    string            // URI of the caller
	Variables      map[string]string // template variables by lower-case name
	Says           string            // the first words, with variables filled in; if empty, the agent waits
	Asked          string            // the assistant-request
	Answer         string            // the answer to the request, or the error
	EndedReason    string            // the platform's word for the end of the call; empty before it

	callback server // receives the report at the end
	why      string // EndedReason of a call without CANCEL
}

// The platform's words for the end of a call that occur here (API reference, Call.endedReason).
const (
	endedByCaller     = "customer-ended-call"
	endedByAgent      = "assistant-ended-call"
	endedRinging      = "call.ringing.sip-inbound-caller-hungup-before-call-connect"
	endedUnconnected  = "call.ringing.error-sip-inbound-call-failed-to-connect"
	endedNoServer     = "call-start-error-neither-assistant-nor-server-set"
	endedNotFound     = "assistant-not-found"
	endedFailed       = "assistant-request-failed"
	endedError        = "assistant-request-returned-error"
	endedUnspeakable  = "assistant-request-returned-unspeakable-error"
	endedInvalid      = "assistant-request-returned-invalid-assistant"
	endedNone         = "assistant-request-returned-no-assistant"
	endedForwarded    = "assistant-request-returned-forwarding-phone-number"
	endedNotForwarded = "call.in-progress.error-transfer-failed"
)

// call is a call at the platform.
type call struct {
	standin.Call[Call]
	platform *Platform
	number   standin.Object // the called number, or nil
}

// NewCall records the call.
func (p *Platform) NewCall(in *sim.Incoming) sim.Handler {
	c := &call{platform: p}
	c.In = in
	p.Add(c)
	return c
}

// Snapshot returns the data about the call.
func (c *call) Snapshot() Call {
	agent, out := c.In.Seen(), c.Seen()
	out.AgentCall = agent
	out.EndedReason = endedReason(out)
	return out
}

// Describe adds the id of the call to a log line.
func (c *call) Describe(e *zerolog.Event) { e.Str("id", c.Seen().ID) }

func endedReason(c Call) string {
	switch {
	case c.EndedAt.IsZero():
		return ""
	case c.GotCancel:
		return endedRinging
	case c.why == endedForwarded && c.AnsweredAt.IsZero():
		return endedUnconnected
	case c.why == endedForwarded && c.ReferTo != "" && (c.ReferStatus < 200 || c.ReferStatus > 299 || c.ReferResult > 299):
		return endedNotForwarded
	case c.why != "":
		return c.why
	case c.AnsweredAt.IsZero():
		return endedUnconnected
	case c.EndedBy == sim.SideCaller:
		return endedByCaller
	}
	return endedByAgent
}

// callObjects returns all calls for the API, latest first.
func (p *Platform) callObjects() []standin.Object {
	calls := p.Calls()
	out := make([]standin.Object, 0, len(calls))
	for i := range calls {
		if c := calls[len(calls)-1-i]; c.ID != "" {
			out = append(out, withoutSecrets(p.callObject(c)))
		}
	}
	return out
}

// callObject returns a call in the form of the platform's messages. SIP headers are template variables there,
// without X-; the API reference does not mention them.
func (p *Platform) callObject(c Call) standin.Object {
	variables := map[string]any{}
	for name, value := range c.Variables {
		variables[name] = value
	}
	customer := map[string]any{"sipUri": c.CustomerURI}
	if c.CustomerNumber != "" {
		customer["number"] = c.CustomerNumber
	}
	o := standin.Object{
		"id": c.ID, "orgId": p.account.org, "type": "inboundPhoneCall", "status": "ringing", "createdAt": stamp(c.InvitedAt),
		"phoneCallProvider": "vapi", "phoneCallTransport": "sip", "phoneNumberId": c.PhoneNumberID, "customer": customer,
		"assistantId": nil, "assistantOverrides": map[string]any{"variableValues": variables},
		"phoneCallProviderDetails": map[string]any{"sbcCallId": c.CallID},
		"transport":                map[string]any{"provider": "vapi.sip", "sbcCallSid": c.CallID},
	}
	if c.AssistantID != "" {
		o["assistantId"] = c.AssistantID
	}
	if !c.AnsweredAt.IsZero() {
		o["status"], o["startedAt"] = "in-progress", stamp(c.AnsweredAt)
	}
	if !c.EndedAt.IsZero() {
		o["status"], o["endedAt"], o["endedReason"] = "ended", stamp(c.EndedAt), c.EndedReason
	}
	return o
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

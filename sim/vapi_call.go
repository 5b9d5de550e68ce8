package sim

import (
	"time"

	"github.com/google/uuid"
)

// VapiCall is what the agent saw of one INVITE, and what became of it.
type VapiCall struct {
	AgentCall

	ID             string
	PhoneNumberID  string
	AssistantID    string            // empty for an assistant of this call alone, and without any
	CustomerNumber string            // of the caller, where it is a number
	CustomerURI    string            // of the caller
	Variables      map[string]string // template variables by name in lower case
	Says           string            // the first words, with the variables filled in; empty: the agent waits
	Asked          string            // the assistant-request as it was sent
	Answer         string            // its answer as it came, or what went wrong
	EndedReason    string            // the platform's word for how the call ended; empty while it lasts

	callback vapiServer // who is told of the end
	why      string     // decides the EndedReason of a call that was not cancelled
}

// The platform's words for how a call ended that mean something here (its API
// reference, Call.endedReason).
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

// updateVapi changes what is known of the call.
func (c *agentCall) updateVapi(f func(*VapiCall)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.vapi)
}

func vapiSnapshot(c *agentCall) VapiCall {
	seen := c.snapshot()
	c.mu.Lock()
	out := c.vapi
	c.mu.Unlock()
	out.AgentCall = seen
	out.EndedReason = endedReason(out)
	return out
}

func endedReason(c VapiCall) string {
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
	case c.EndedBy == SideCaller:
		return endedByCaller
	}
	return endedByAgent
}

// callObjects are all calls as the API tells of them, latest first.
func (v *Vapi) callObjects() []map[string]any {
	calls := v.Calls()
	out := make([]map[string]any, 0, len(calls))
	for i := range calls {
		if c := calls[len(calls)-1-i]; c.ID != "" {
			out = append(out, v.callObject(c))
		}
	}
	return out
}

// callObject has the members that the platform's own messages have for a call
// over SIP. Its API reference does not say where the SIP headers are; its
// messages have them as template variables, without x-.
func (v *Vapi) callObject(c VapiCall) map[string]any {
	status, variables := "ringing", map[string]any{}
	for name, value := range c.Variables {
		variables[name] = value
	}
	if !c.AnsweredAt.IsZero() {
		status = "in-progress"
	}
	customer := map[string]any{"sipUri": c.CustomerURI}
	if c.CustomerNumber != "" {
		customer["number"] = c.CustomerNumber
	}
	o := map[string]any{
		"id": c.ID, "orgId": v.account.org, "type": "inboundPhoneCall",
		"createdAt": stamp(c.InvitedAt), "updatedAt": stamp(c.InvitedAt),
		"phoneCallProvider": "vapi", "phoneCallTransport": "sip", "phoneNumberId": c.PhoneNumberID,
		"assistantId": nil, "squadId": nil, "workflowId": nil,
		"assistantOverrides":       map[string]any{"variableValues": variables},
		"customer":                 customer,
		"phoneCallProviderDetails": map[string]any{"sbcCallId": c.CallID},
		"transport": map[string]any{
			"provider": "vapi.sip", "sbcCallSid": c.CallID,
			"callSid": uuid.NewSHA1(uuid.NameSpaceOID, []byte(c.ID)).String(),
		},
	}
	if c.AssistantID != "" {
		o["assistantId"] = c.AssistantID
	}
	if !c.AnsweredAt.IsZero() {
		o["startedAt"] = stamp(c.AnsweredAt)
	}
	if !c.EndedAt.IsZero() {
		status = "ended"
		o["endedAt"], o["updatedAt"], o["endedReason"] = stamp(c.EndedAt), stamp(c.EndedAt), c.EndedReason
	}
	o["status"] = status
	return o
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

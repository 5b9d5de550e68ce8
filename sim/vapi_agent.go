package sim

import (
	"context"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"
	"github.com/google/uuid"
)

// transferWords are said before a transfer unless the destination has others
// (the API reference, TransferDestinationSip.message).
const transferWords = "Transferring the call now"

// challenger asks for credentials where the number has an authentication.
func (v *Vapi) challenger(req *sip.Request) *challenger {
	line, _ := v.account.called(req.Recipient.User, req.Recipient.Host, req.Recipient.Port)
	if line == nil {
		return nil
	}
	return line.asks
}

// admit finds the number that is called.
func (v *Vapi) admit(c *agentCall, req *sip.Request) (remoteMedia, int, string) {
	switch f := v.Fault(); f.Kind {
	case FaultBusy:
		return remoteMedia{}, sip.StatusBusyHere, "Busy Here"
	case FaultStatus:
		return remoteMedia{}, f.Status, "As Asked"
	default:
	}
	line, words := v.account.called(req.Recipient.User, req.Recipient.Host, req.Recipient.Port)
	if line == nil {
		return remoteMedia{}, sip.StatusNotFound, printable(words)
	}
	media, err := parseSDP(req.Body())
	if err != nil {
		return remoteMedia{}, sip.StatusNotAcceptableHere, printable(err.Error())
	}
	from := req.From().Address
	caller := sip.Uri{Scheme: "sip", User: from.User, Host: from.Host, Port: from.Port}
	c.id, c.line = uuid.NewString(), line
	c.vapi = VapiCall{
		ID: c.id, PhoneNumberID: line.id, CustomerURI: caller.String(), Variables: headerVariables(c.seen.Headers),
		callback: serverOf(line.members),
	}
	if strings.Trim(from.User, "+0123456789") == "" {
		c.vapi.CustomerNumber = from.User
	}
	return media, 0, ""
}

// headerVariables are the template variables of a call: its headers without
// x-. A name counts in any case (page "SIP introduction").
func headerVariables(lines []string) map[string]string {
	out := map[string]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		name = strings.ToLower(strings.TrimSpace(name))[len("x-"):]
		if _, there := out[name]; !there && name != "" {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

// settle decides what the call becomes while it rings: an assistant's, the
// number's or one that a server names; somebody else's; or nobody's.
func (v *Vapi) settle(ctx context.Context, c *agentCall) (int, string) {
	a := v.choose(ctx, c)
	if ctx.Err() != nil { // nobody is there any more
		return sip.StatusRequestTerminated, "Request Terminated"
	}
	if fallback, given := c.line.members["fallbackDestination"].(map[string]any); given && a.why != "" {
		a.destination = fallback
	}
	c.updateVapi(func(d *VapiCall) { d.why = a.why })
	switch {
	case a.destination != nil:
		v.forward(c, a)
	case a.words != "":
		c.greets, c.leaves = a.words, true
		c.updateVapi(func(d *VapiCall) { d.Says, d.why = a.words, endedError })
	case a.why != "":
		// Which status the platform sends is not documented. It has "hung up
		// with an error message"; this one is the next target's turn.
		v.log.Warn().Str("id", c.id).Str("reason", a.why).Msg("no assistant for the call")
		return sip.StatusServiceUnavailable, a.why
	default:
		v.greet(c, a)
	}
	d := vapiSnapshot(c)
	v.log.Info().Str("id", c.id).Str("assistant", d.AssistantID).Interface("variables", d.Variables).Str("says", d.Says).Msg("call settled")
	return 0, ""
}

// choose finds the assistant of a call, which is in the answer then.
func (v *Vapi) choose(ctx context.Context, c *agentCall) vapiAnswer {
	var a vapiAnswer
	if a.assistantID, _ = c.line.members["assistantId"].(string); a.assistantID == "" {
		to := serverOf(c.line.members)
		if to.url == "" {
			return vapiAnswer{why: endedNoServer}
		}
		var err error
		if a, err = v.assistantRequest(ctx, c, to); err != nil {
			v.log.Warn().Err(err).Str("id", c.id).Msg("assistant-request failed")
			return vapiAnswer{why: endedFailed}
		}
		if a.assistantID == "" {
			return a
		}
	}
	object, err := v.account.assistant(a.assistantID)
	if err != nil {
		return vapiAnswer{why: endedNotFound}
	}
	a.assistant = object
	return a
}

// greet has the assistant take the call.
func (v *Vapi) greet(c *agentCall, a vapiAnswer) {
	pick := func(name string) string {
		for _, from := range []map[string]any{a.overrides, a.assistant} {
			if s, ok := from[name].(string); ok {
				return s
			}
		}
		return ""
	}
	c.updateVapi(func(d *VapiCall) {
		d.AssistantID = a.assistantID
		d.Variables = maps.Clone(d.Variables) // others may be reading it
		more, _ := a.overrides["variableValues"].(map[string]any)
		for name, value := range more {
			if s, ok := value.(string); ok {
				d.Variables[strings.ToLower(name)] = s
			}
		}
		if pick("firstMessageMode") != "assistant-waits-for-user" {
			d.Says = fill(pick("firstMessage"), *d)
		}
		if server := serverOf(a.assistant); server.url != "" {
			d.callback = server
		}
		c.greets = d.Says
	})
}

var liquid = regexp.MustCompile(`\{\{\s*([^{}]*?)\s*\}\}`)

// fill puts variables in their places; what there is no value for leaves
// nothing behind, as in the platform's template language.
func fill(text string, c VapiCall) string {
	return liquid.ReplaceAllStringFunc(text, func(in string) string {
		name := strings.ToLower(liquid.FindStringSubmatch(in)[1])
		if value, given := c.Variables[name]; given {
			return value
		}
		if name == "customer.number" {
			return c.CustomerNumber
		}
		return ""
	})
}

// forward has the call answered and transferred, without an assistant. That an
// unanswered call is answered for it, and that a number becomes a SIP URI at
// the caller's host, is our reading; that a transfer is by REFER unless the
// plan says otherwise, and that its headers go into the REFER, is documented.
func (v *Vapi) forward(c *agentCall, a vapiAnswer) {
	plan, _ := a.destination["transferPlan"].(map[string]any)
	words := transferWords
	if s, ok := a.destination["message"].(string); ok {
		words = s
	}
	c.leaves = true
	if verb, _ := plan["sipVerb"].(string); verb == "" || verb == "refer" {
		c.refers = referralTo(a.destination, plan, c.vapi.CustomerURI)
	} // bye is a hang-up and no more; dial, which calls by itself, ends here too
	c.updateVapi(func(d *VapiCall) {
		d.Says = fill(words, *d)
		c.greets = d.Says
		if d.why == "" {
			d.why = endedForwarded
		}
		if verb, _ := plan["sipVerb"].(string); verb == "dial" {
			d.why = endedNotForwarded
		}
	})
}

func referralTo(destination, plan map[string]any, caller string) *referral {
	r := &referral{}
	if r.to, _ = destination["sipUri"].(string); r.to == "" {
		_, host, _ := strings.Cut(caller, "@")
		r.to = "sip:" + numberOf(destination) + "@" + host
	}
	headers, _ := destination["sipHeaders"].(map[string]any)
	for name, value := range headers {
		text, _ := value.(string)
		if !strings.ContainsAny(name+text, "\r\n\x00") && name != "" {
			r.headers = append(r.headers, Header{name, text})
		}
	}
	slices.SortFunc(r.headers, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
	if inside, _ := plan["sipHeadersInReferToEnabled"].(bool); inside {
		mark := "?"
		for _, h := range r.headers {
			r.to += mark + hvalue(h.Name) + "=" + hvalue(h.Value)
			mark = "&"
		}
		r.headers = nil
	}
	return r
}

// hvalue escapes what stands in the header part of a SIP URI.
func hvalue(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

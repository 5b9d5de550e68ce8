package vapi

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// transferWords are the default words before a transfer (API reference, TransferDestinationSip.message).
const transferWords = "Transferring the call now"

// Challenger returns the challenger of the number, if it has an authentication.
func (p *Platform) Challenger(in sim.Invite) *sim.Challenger {
	_, asks, _ := p.account.called(in.To)
	return asks
}

// Admit finds the called number.
func (c *call) Admit() (code int, reason string) {
	number, _, words := c.platform.account.called(c.In.To)
	if number == nil {
		return 404, words
	}
	c.number = number
	from := c.In.From
	c.Update(func(seen *Call) {
		seen.ID, seen.PhoneNumberID, seen.CustomerURI = uuid.NewString(), number.Text("id"), from.String()
		seen.Variables, seen.callback = headerVariables(c.In.Seen().Headers), serverOf(number)
		if strings.Trim(from.User, "+0123456789") == "" {
			seen.CustomerNumber = from.User
		}
	})
	return 0, ""
}

// headerVariables returns the template variables of a call: its X- headers without the X-. Case does not matter (page
// "SIP introduction").
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

// Settle decides on a ringing call: an assistant answers it, it is transferred, or it ends. It returns the status for
// the INVITE.
func (c *call) Settle(ctx context.Context) (code int, reason string) {
	a, log := c.choose(ctx), c.platform.opts.Log
	if ctx.Err() != nil { // the caller is gone
		return 487, "Request Terminated"
	}
	if fallback := c.number.Object("fallbackDestination"); fallback != nil && a.why != "" {
		a.destination = fallback
	}
	c.Update(func(seen *Call) { seen.why = a.why })
	switch {
	case a.destination != nil:
		c.forward(a)
	case a.words != "":
		c.In.Leaves = true
		c.Update(func(seen *Call) { seen.Says, seen.why = a.words, endedError })
	case a.why != "":
		// The documents name no status, only "hung up with an error message". With 503, a caller tries its next target.
		log.Warn().Str("id", c.Seen().ID).Str("reason", a.why).Msg("no assistant for the call")
		return 503, a.why
	default:
		c.greet(a)
	}
	seen := c.Snapshot()
	c.In.Greets = seen.Says
	log.Info().Str("id", seen.ID).Str("assistant", seen.AssistantID).Interface("variables", seen.Variables).
		Str("says", seen.Says).Msg("call settled")
	return 0, ""
}

// choose finds the assistant of a call.
func (c *call) choose(ctx context.Context) answer {
	a := answer{assistantID: c.number.Text("assistantId")}
	if a.assistantID == "" {
		to := serverOf(c.number)
		if to.url == "" {
			return answer{why: endedNoServer}
		}
		var err error
		if a, err = c.assistantRequest(ctx, to); err != nil {
			c.platform.opts.Log.Warn().Err(err).Str("id", c.Seen().ID).Msg("assistant-request failed")
			return answer{why: endedFailed}
		}
		if a.assistantID == "" {
			return a
		}
	}
	var none *standin.Refusal
	a.assistant, none = c.platform.account.get(&c.platform.account.assistants, a.assistantID)
	if none != nil {
		return answer{why: endedNotFound}
	}
	return a
}

// greet makes the assistant take the call.
func (c *call) greet(a answer) {
	pick := func(name string) string {
		if s, ok := a.overrides[name].(string); ok {
			return s
		}
		return a.assistant.Text(name)
	}
	c.Update(func(seen *Call) {
		seen.AssistantID = a.assistantID
		seen.Variables = maps.Clone(seen.Variables) // readers may hold the old map
		for name, value := range a.overrides.Object("variableValues") {
			if s, ok := value.(string); ok {
				seen.Variables[strings.ToLower(name)] = s
			}
		}
		if pick("firstMessageMode") != "assistant-waits-for-user" {
			seen.Says = fill(pick("firstMessage"), *seen)
		}
		if server := serverOf(a.assistant); server.url != "" {
			seen.callback = server
		}
	})
}

var liquid = regexp.MustCompile(`\{\{\s*([^{}]*?)\s*\}\}`)

// fill replaces variables by their values. An unknown variable is replaced by nothing, as in the platform's template
// language.
func fill(text string, c Call) string {
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

// forward answers the call and transfers it by REFER, without an assistant. According to the documents, the headers go
// into the REFER. The documents do not say that the call is answered first, or that a number becomes a SIP URI at the
// caller's host.
func (c *call) forward(a answer) {
	words, given := a.destination["message"].(string)
	if !given {
		words = transferWords
	}
	c.In.Leaves, c.In.Refers = true, referralTo(a.destination, c.Seen().CustomerURI)
	c.Update(func(seen *Call) { seen.Says, seen.why = fill(words, *seen), cmp.Or(seen.why, endedForwarded) })
}

func referralTo(destination standin.Object, caller string) *sim.Referral {
	r := &sim.Referral{To: destination.Text("sipUri")}
	if r.To == "" {
		_, host, _ := strings.Cut(caller, "@")
		r.To = "sip:" + numberOf(destination) + "@" + host
	}
	headers := destination.Object("sipHeaders")
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if text := headers.Text(name); !strings.ContainsAny(name+text, "\r\n\x00") && name != "" {
			r.Headers = append(r.Headers, sim.Header{Name: name, Value: text})
		}
	}
	return r
}

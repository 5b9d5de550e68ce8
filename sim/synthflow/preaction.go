package synthflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"flowbridge/sim/internal/standin"
)

const (
	preActionTimeout = 5 * time.Second
	maxFetched       = 256 // variables
)

// PreAction is a request for variables that the agent sends before its first turn
// (setup guide to direct dialling, "Pre-Actions").
type PreAction struct {
	URL   string // with the placeholders <external_id>, <twilio_call_sid>, <call_id> and <diversion>; none if empty
	Token string // bearer token; none if empty
}

func (o PreAction) validate() error {
	switch {
	case o.URL == "" && o.Token != "":
		return errors.New("pre-action: a token without a URL")
	case o.URL != "" && standin.IsURL(placed(o.URL, func(string) string { return "x" })) != "":
		return errors.New("pre-action: want an http(s) URL")
	case strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("pre-action: the token must be ASCII without white space")
	}
	return nil
}

var placeholder = regexp.MustCompile(`<(external_id|twilio_call_sid|call_id|diversion)>`)

// placed replaces the placeholders by escaped values.
func placed(template string, value func(name string) string) string {
	return placeholder.ReplaceAllStringFunc(template, func(name string) string {
		return url.QueryEscape(value(name[1 : len(name)-1]))
	})
}

var callSID = regexp.MustCompile(`^CA[0-9a-fA-F]{32}$`)

// twilioSID is Twilio's id of the caller's leg: from the header of Twilio's own
// INVITEs, or from X-EI, where the setup guides put it.
func (a Call) twilioSID() string {
	for name, value := range a.Variables {
		if strings.EqualFold(name, "X-Twilio-CallSid") {
			return value
		}
	}
	return callSID.FindString(a.ExternalID)
}

// fetch asks for the variables of a call. Without an answer the agent speaks without
// them.
func (c *call) fetch(ctx context.Context) {
	if c.platform.opts.PreAction.URL == "" {
		return
	}
	got, err := c.preAction(ctx)
	c.Update(func(seen *state) {
		seen.Fetched = got
		if err != nil {
			seen.FetchError = err.Error()
		}
	})
}

func (c *call) preAction(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, preActionTimeout)
	defer cancel()
	a, o := c.Snapshot(), c.platform.opts.PreAction
	to := placed(o.URL, func(name string) string {
		return map[string]string{
			"external_id": a.ExternalID, "twilio_call_sid": a.twilioSID(), "call_id": a.SynthflowID, "diversion": a.Diversion,
		}[name]
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return nil, errors.New("the URL can't be used")
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", userAgent)
	if o.Token != "" {
		r.Header.Set("Authorization", "Bearer "+o.Token)
	}
	answer, err := standin.Ask(r, maxHookAnswer)
	switch {
	case err != nil:
		return nil, err
	case !answer.OK():
		return nil, fmt.Errorf("status %d", answer.Status)
	}
	return parseFetched(answer.Body)
}

// parseFetched reads the answer of a pre-action: strings, numbers and booleans by
// dotted path, as an agent's prompt names them.
func parseFetched(body []byte) (map[string]string, error) {
	tree, err := standin.ParseObject(body)
	if err != nil {
		return nil, errors.New("the answer is not a JSON object")
	}
	out := map[string]string{}
	flatten(out, "", tree)
	if len(out) > maxFetched {
		return nil, fmt.Errorf("the answer has more than %d variables", maxFetched)
	}
	return out, nil
}

// flatten leaves out null and lists, which are not variables.
func flatten(out map[string]string, prefix string, tree map[string]any) {
	for name, value := range tree {
		switch v := value.(type) {
		case string, json.Number, bool:
			out[prefix+name] = fmt.Sprint(v)
		case map[string]any:
			flatten(out, prefix+name+".", v)
		}
	}
}

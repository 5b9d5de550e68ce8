package synthflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"flowbridge/sim/internal/standin"
)

const preActionTimeout = 5 * time.Second

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
	case o.URL != "" && standin.IsURL(o.URL) != "":
		return errors.New("pre-action: want an http(s) URL")
	}
	return nil
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
	to := strings.NewReplacer("<external_id>", url.QueryEscape(a.ExternalID), "<call_id>", url.QueryEscape(a.SynthflowID),
		"<twilio_call_sid>", url.QueryEscape(valueOf(a.Headers, "X-Twilio-CallSid")),
		"<diversion>", url.QueryEscape(a.Diversion)).Replace(o.URL)
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

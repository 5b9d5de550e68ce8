package vapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"flowbridge/internal/rest"
)

// Object is a JSON object as the API takes and gives it.
type Object = rest.Object

// The collections of an account.
const (
	assistantsPath = "/assistant"
	numbersPath    = "/phone-number"
)

// AccountOptions say how to reach an account.
type AccountOptions struct {
	BaseURL   string            // https://api.vapi.ai
	Token     string            // the private key
	Timeout   time.Duration     // of one request; 30s if zero
	UserAgent string            // "flowbridge" if empty
	Secrets   []string          // what beside the token must be in no error, a number's password for one
	Transport http.RoundTripper // nil: one of the account's own
}

// Account is an organisation at Vapi: its assistants and phone numbers. It may be used by many goroutines. Every error of
// its methods that comes from the API or on the way to it is a *rest.Error.
type Account struct{ api *rest.Client }

// NewAccount checks the options. It sends nothing.
func NewAccount(o AccountOptions) (*Account, error) {
	api, err := rest.New(rest.Options{
		BaseURL: o.BaseURL, Token: o.Token, Timeout: o.Timeout, UserAgent: o.UserAgent, Secrets: o.Secrets, Transport: o.Transport,
	})
	if err != nil {
		return nil, err
	}
	return &Account{api}, nil
}

// CloseIdle closes the connections that no request is using.
func (a *Account) CloseIdle() { a.api.CloseIdle() }

// Hide takes the token and the other secrets out of a text.
func (a *Account) Hide(s string) string { return a.api.Hide(s) }

// one sends a request whose answer is one object, and checks that it is an object of the collection: the one with this
// id, or for a new one (id is empty) one with an id that is not among known.
func (a *Account) one(ctx context.Context, r rest.Request, id string, known map[string]bool) (Object, error) {
	answer, err := a.api.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	if len(answer.Body) == 0 {
		return nil, a.api.Unusable(r, answer, "the answer is empty")
	}
	o, err := rest.ParseObject(answer.Body)
	if err != nil {
		return nil, a.api.Unusable(r, answer, "the answer "+err.Error())
	}
	got, ok := o.Text("id")
	switch why := rest.BadID(got); {
	case saysFailure(o):
		return nil, a.api.Unusable(r, answer, "the answer is an error, although HTTP says success")
	case !ok:
		return nil, a.api.Unusable(r, answer, "the answer has no id")
	case why != "":
		return nil, a.api.Unusable(r, answer, "the answer's id is none: "+why)
	case id != "" && got != id:
		return nil, a.api.Unusable(r, answer, "the answer is about something else, with another id")
	case id == "" && known[got]:
		return nil, a.api.Unusable(r, answer, fmt.Sprintf("the answer's id %s is that of something that was there before", got))
	}
	return o, nil
}

// saysFailure knows the platform's errors by their status code, which nothing else of it has.
func saysFailure(o Object) bool {
	code, ok := o["statusCode"].(json.Number)
	if !ok {
		return false
	}
	n, err := code.Int64()
	return err != nil || n >= 400
}

const (
	pageSize   = 100 // the API's default, of at most 1000
	maxEntries = 10_000
)

// list gets all of a collection, the newest first: page by page, each beginning with what was created when the last one
// of the page before was.
func (a *Account) list(ctx context.Context, path string) ([]Object, error) {
	var all []Object
	seen := map[string]bool{}
	limit, before := pageSize, ""
	for {
		r := rest.Request{Method: http.MethodGet, Path: path, Query: url.Values{"limit": {fmt.Sprint(limit)}}}
		if before != "" {
			r.Query.Set("createdAtLe", before)
		}
		answer, err := a.api.Do(ctx, r)
		if errors.Is(err, rest.ErrTooLarge) && limit > 1 {
			limit = max(1, limit/5) // long prompts
			continue
		}
		if err != nil {
			return nil, err
		}
		page, err := readList(answer.Body)
		if err != nil {
			return nil, a.api.Unusable(r, answer, err.Error())
		}
		count := len(all)
		for _, o := range page {
			id, _ := o.Text("id")
			if !seen[id] {
				all = append(all, o)
			}
			seen[id] = true
		}
		switch {
		case len(page) < limit:
			return all, nil
		case len(all) == count, len(all) > maxEntries:
			return nil, a.api.Unusable(r, answer, fmt.Sprintf("the list can't be read beyond %d entries: its pages repeat, or never end", len(all)))
		}
		if before, _ = page[len(page)-1].Text("createdAt"); before == "" {
			return nil, a.api.Unusable(r, answer, "an entry of the list has no createdAt, so its next page can't be asked for")
		}
	}
}

// readList reads a list of objects with ids.
func readList(body []byte) ([]Object, error) {
	whole, err := rest.ParseObject([]byte(`{"list":` + string(body) + `}`))
	if err != nil || len(whole) != 1 {
		return nil, errors.New("the answer is no list")
	}
	list, ok := whole["list"].([]any)
	if !ok {
		return nil, errors.New("the answer is no list")
	}
	all := make([]Object, len(list))
	for i, v := range list {
		o, ok := v.(map[string]any)
		if !ok {
			return nil, errors.New("an entry of the list is no object")
		}
		if id, ok := Object(o).Text("id"); !ok || rest.BadID(id) != "" {
			return nil, errors.New("an entry of the list has no usable id")
		}
		all[i] = o
	}
	return all, nil
}

// IDs are the ids of objects, as the methods that create want to know them.
func IDs(all []Object) map[string]bool {
	known := map[string]bool{}
	for _, o := range all {
		if id, ok := o.Text("id"); ok {
			known[id] = true
		}
	}
	return known
}

package vapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"flowbridge/internal/rest"
)

// Account is an organisation at Vapi. It may be used by many goroutines. If the API, or the connection to it, causes an
// error of a method, the error is a *rest.Error.
type Account struct{ api *rest.Client }

// NewAccount checks the options and returns the account. It sends no request. The token is the private key.
func NewAccount(o rest.Options) (*Account, error) {
	api, err := rest.New(o)
	return &Account{api}, err
}

// CloseIdle closes the connections that no request is using.
func (a *Account) CloseIdle() { a.api.CloseIdle() }

// Hide removes the token and the other secrets from a text.
func (a *Account) Hide(s string) string { return a.api.Hide(s) }

// Assistants returns the assistants of the account.
func (a *Account) Assistants() Collection { return Collection{a, "/assistant"} }

// Numbers returns the phone numbers of the account.
func (a *Account) Numbers() Collection { return Collection{a, "/phone-number"} }

// Collection is either the assistants or the phone numbers of an account.
type Collection struct {
	*Account
	path string
}

// Create creates an object (POST). known has the ids of the existing objects.
func (c Collection) Create(ctx context.Context, body rest.Object, known map[string]bool) (rest.Object, error) {
	r := rest.Request{Method: http.MethodPost, Path: c.path, Body: body}
	o, err := c.one(ctx, r, "", known)
	if err != nil {
		return nil, err
	}
	if want, ok := body.Text("sipUri"); ok {
		if got, _ := o.Text("sipUri"); !SameSIPURI(got, want) {
			id, _ := o.Text("id")
			return nil, &rest.Error{
				Method: r.Method, Path: r.Path, Problem: fmt.Sprintf("the answer is about another sipUri than %s", want),
				Remedy: "don't rely on it: look at phone number " + id,
			}
		}
	}
	return o, nil
}

// Get returns one object (GET).
func (c Collection) Get(ctx context.Context, id string) (rest.Object, error) {
	return c.one(ctx, rest.Request{Method: http.MethodGet, Path: c.at(id)}, id, nil)
}

// Update changes the members in body (PATCH), and returns the whole object.
func (c Collection) Update(ctx context.Context, id string, body rest.Object) (rest.Object, error) {
	return c.one(ctx, rest.Request{Method: http.MethodPatch, Path: c.at(id), Body: body}, id, nil)
}

// Delete removes an object (DELETE).
func (c Collection) Delete(ctx context.Context, id string) error {
	_, err := c.one(ctx, rest.Request{Method: http.MethodDelete, Path: c.at(id)}, id, nil)
	return err
}

func (c Collection) at(id string) string { return c.path + "/" + rest.Segment(id) }

// one sends a request whose answer is one object, and checks the object's id. The id must be the given one. For a new
// object (id is empty), it must not be a known one.
func (c Collection) one(ctx context.Context, r rest.Request, id string, known map[string]bool) (rest.Object, error) {
	answer, err := c.api.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	if len(answer.Body) == 0 {
		return nil, c.api.Unusable(r, answer, "the answer is empty")
	}
	o, err := rest.ParseObject(answer.Body)
	if err != nil {
		return nil, c.api.Unusable(r, answer, "the answer "+err.Error())
	}
	got, ok := o.Text("id")
	switch why := rest.BadID(got); {
	case saysFailure(o):
		return nil, c.api.Unusable(r, answer, "the answer is an error, although HTTP says success")
	case !ok:
		return nil, c.api.Unusable(r, answer, "the answer has no id")
	case why != "":
		return nil, c.api.Unusable(r, answer, "the answer's id is none: "+why)
	case id != "" && got != id:
		return nil, c.api.Unusable(r, answer, "the answer is about something else, with another id")
	case id == "" && known[got]:
		return nil, c.api.Unusable(r, answer,
			fmt.Sprintf("the answer's id %s is that of something that was there before", got))
	}
	return o, nil
}

// saysFailure reports whether an answer is an error of the platform. Errors have a status code, which objects do not
// have.
func saysFailure(o rest.Object) bool {
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

// List returns all objects, the newest first (GET). Each page starts with the objects created at the same time as the
// last one of the previous page.
func (c Collection) List(ctx context.Context) ([]rest.Object, error) {
	var all []rest.Object
	seen := map[string]bool{}
	limit, before := pageSize, ""
	for {
		r := rest.Request{Method: http.MethodGet, Path: c.path, Query: url.Values{"limit": {fmt.Sprint(limit)}}}
		if before != "" {
			r.Query.Set("createdAtLe", before)
		}
		answer, err := c.api.Do(ctx, r)
		if errors.Is(err, rest.ErrTooLarge) && limit > 1 {
			limit = max(1, limit/5) // long prompts make a page too large
			continue
		}
		if err != nil {
			return nil, err
		}
		page, err := readList(answer.Body)
		if err != nil {
			return nil, c.api.Unusable(r, answer, err.Error())
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
			return nil, c.api.Unusable(r, answer,
				fmt.Sprintf("the list can't be read beyond %d entries: its pages repeat, or never end", len(all)))
		}
		before, _ = page[len(page)-1].Text("createdAt")
		if before == "" {
			return nil, c.api.Unusable(r, answer, "an entry of the list has no createdAt, so its next page can't be asked for")
		}
	}
}

// readList parses a list of objects with ids.
func readList(body []byte) ([]rest.Object, error) {
	whole, _ := rest.ParseObject([]byte(`{"list":` + string(body) + `}`))
	list, ok := whole["list"].([]any)
	if !ok || len(whole) != 1 {
		return nil, errors.New("the answer is no list")
	}
	all := make([]rest.Object, len(list))
	for i, v := range list {
		o, ok := v.(map[string]any)
		if !ok {
			return nil, errors.New("an entry of the list is no object")
		}
		if id, ok := rest.Object(o).Text("id"); !ok || rest.BadID(id) != "" {
			return nil, errors.New("an entry of the list has no usable id")
		}
		all[i] = o
	}
	return all, nil
}

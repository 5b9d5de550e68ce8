package synthflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"flowbridge/internal/rest"
)

// AccountOptions are the options of an account. A trailing /v2 of the base URL is accepted.
type AccountOptions struct {
	rest.Options
	WorkspaceID string // the workspace whose numbers are used
}

// Account is a workspace at Synthflow, with its numbers and agents. It may be used by many goroutines. If the API, or
// the connection to it, causes an error of a method, the error is a *rest.Error.
type Account struct {
	api       *rest.Client
	workspace string
}

// NewAccount checks the options and returns the account. It sends no request.
func NewAccount(o AccountOptions) (*Account, error) {
	o.BaseURL = apiURL(o.BaseURL)
	api, err := rest.New(o.Options)
	if err != nil {
		return nil, err
	}
	return &Account{api: api, workspace: o.WorkspaceID}, nil
}

// CloseIdle closes the connections that no request is using.
func (a *Account) CloseIdle() { a.api.CloseIdle() }

// Hide removes the token and the other secrets from a text.
func (a *Account) Hide(s string) string { return a.api.Hide(s) }

// Assistants returns the agents of the account.
func (a *Account) Assistants() Assistants { return Assistants{a} }

// Numbers returns the numbers of the account's workspace.
func (a *Account) Numbers() Numbers { return Numbers{a} }

// envelope wraps most answers. If an answer has none, its fields are the answer itself.
type envelope struct {
	status   string
	response rest.Object // may be nil
	whole    rest.Object

	unusable func(problem string) error // returns an error about an unusable answer
}

// call sends a request and opens the envelope of its answer. If the status in the envelope says that nothing was
// done, call returns an error, even if the HTTP status is a 2xx.
func (a *Account) call(ctx context.Context, r rest.Request) (e envelope, err error) {
	answer, err := a.api.Do(ctx, r)
	if err != nil {
		return e, err
	}
	e.unusable = func(problem string) error { return a.api.Unusable(r, answer, problem) }
	if len(answer.Body) == 0 {
		return e, e.unusable("the answer is empty")
	}
	if e.whole, err = rest.ParseObject(answer.Body); err != nil {
		return e, e.unusable("the answer " + err.Error())
	}
	switch status := e.whole["status"].(type) {
	case nil:
	case string:
		e.status = status
		if meansFailure(status) {
			return e, e.unusable(fmt.Sprintf("the answer has status %q, although HTTP says success", status))
		}
	default:
		return e, e.unusable("the answer's status is no text")
	}
	switch response := e.whole["response"].(type) {
	case nil:
	case map[string]any:
		e.response = response
	default:
		return e, e.unusable("the answer's response is no object")
	}
	return e, nil
}

// meansFailure reports whether a status means that nothing was done. The documents list no values, and their examples
// have several words for success.
func meansFailure(status string) bool {
	status = strings.ToLower(status)
	for _, word := range []string{"fail", "err", "denied", "refus", "reject", "invalid", "unauth", "forbid"} {
		if strings.Contains(status, word) {
			return true
		}
	}
	return false
}

// done sends a request whose answer is only a status.
func (a *Account) done(ctx context.Context, r rest.Request) error {
	e, err := a.call(ctx, r)
	if err == nil && e.status == "" && e.response == nil {
		err = e.unusable("the answer does not say whether it was done")
	}
	return err
}

// pageSize is the default number of entries per page in the documents, which name no limit.
const pageSize = 20

// maxEntries bounds a list.
const maxEntries = 10_000

// list reads all pages of a list. key is the member with the entries. id is the member that identifies an entry.
func (a *Account) list(ctx context.Context, path string, query url.Values, key, id string) ([]rest.Object, error) {
	var all []rest.Object
	seen := map[string]bool{}
	for {
		page := url.Values{"limit": {fmt.Sprint(pageSize)}, "offset": {fmt.Sprint(len(all))}}
		maps.Copy(page, query)
		e, err := a.call(ctx, rest.Request{Method: http.MethodGet, Path: path, Query: page})
		if err != nil {
			return nil, err
		}
		entries, total, err := readPage(e, key)
		if err != nil {
			return nil, e.unusable(err.Error())
		}
		for _, entry := range entries {
			name, ok := entry.Text(id)
			switch {
			case !ok || rest.BadID(name) != "":
				return nil, e.unusable(fmt.Sprintf("an entry of %s has no usable %s", key, id))
			case seen[name]:
				return nil, e.unusable(fmt.Sprintf("the list has %s %s twice: its pages repeat, or changed meanwhile", id, name))
			}
			seen[name] = true
			all = append(all, entry)
		}
		switch {
		case len(all) > maxEntries:
			return nil, e.unusable(fmt.Sprintf("the list has more than %d entries", maxEntries))
		case len(entries) == 0 && len(all) < total:
			return nil, e.unusable(fmt.Sprintf("the list ends after %d of %d entries", len(all), total))
		case len(entries) == 0, total >= 0 && len(all) >= total, total < 0 && len(entries) < pageSize:
			return all, nil
		}
	}
}

// readPage parses one page. total is -1 if the answer lacks it.
func readPage(e envelope, key string) (entries []rest.Object, total int, err error) {
	if e.response == nil {
		return nil, 0, errors.New("the answer has no response")
	}
	total = -1
	if p, ok := e.response.Object("pagination"); ok {
		if n, ok := p["total_records"].(json.Number); ok {
			count, err := n.Int64()
			if err != nil || count < 0 {
				return nil, 0, errors.New("the answer's total_records is not a count")
			}
			total = int(min(count, maxEntries+1))
		}
	}
	switch list := e.response[key].(type) {
	case []any:
		for _, v := range list {
			entry, ok := v.(map[string]any)
			if !ok {
				return nil, 0, fmt.Errorf("an entry of the answer's %s is no object", key)
			}
			entries = append(entries, entry)
		}
	case map[string]any: // a single object, as in the API description
		entries = append(entries, list)
	default:
		return nil, 0, fmt.Errorf("the answer's response has no list of %s", key)
	}
	return entries, total, nil
}

// apiURL returns a base URL without the API's version, because paths include the version.
func apiURL(base string) string { return strings.TrimSuffix(strings.TrimRight(base, "/"), "/v2") }

package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
)

// errNotSent is the error of a request that was printed instead of sent.
var errNotSent = errors.New("not sent: --dry-run")

// requestPrinter is a transport that prints a request, with secrets masked, instead of sending it. Without an answer a
// command ends there, so it prints one request.
type requestPrinter struct {
	out    io.Writer
	asJSON bool // as an object with method, url, headers and body
}

// RoundTrip prints a request.
func (p *requestPrinter) RoundTrip(r *http.Request) (*http.Response, error) {
	headers := map[string]string{}
	for name := range r.Header {
		headers[name] = r.Header.Get(name)
		if name == "Authorization" {
			headers[name] = "Bearer " + rest.Redacted
		}
	}
	body, err := maskedBody(r)
	if err != nil {
		return nil, err
	}
	if p.asJSON {
		err = cli.PrintJSON(p.out, map[string]any{
			"method": r.Method, "url": r.URL.String(), "headers": headers,
			"body": body,
		})
	} else {
		err = p.print(r, headers, body)
	}
	if err != nil {
		return nil, err
	}
	return nil, errNotSent
}

// maskedBody returns the body of a request without secrets, or nil if there is none.
func maskedBody(r *http.Request) (any, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	body, err := rest.ParseObject(data)
	if err != nil {
		return nil, err
	}
	return rest.Masked(map[string]any(body)), nil
}

func (p *requestPrinter) print(r *http.Request, headers map[string]string, body any) error {
	fmt.Fprintf(p.out, "%s %s\n", r.Method, r.URL)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		fmt.Fprintf(p.out, "%s: %s\n", name, headers[name])
	}
	fmt.Fprintln(p.out)
	if body == nil {
		return nil
	}
	if err := cli.PrintJSON(p.out, body); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.out)
	return err
}

// sent drops errNotSent.
func sent(err error) error {
	if errors.Is(err, errNotSent) {
		return nil
	}
	return err
}

// shower prints objects.
type shower struct {
	out    io.Writer
	hide   func(string) string // removes known secrets from a text
	asJSON bool
}

// clean returns an object without secrets, even if the API returned some.
func (s shower) clean(o rest.Object) map[string]any {
	without, _ := rest.HideIn(rest.Masked(map[string]any(o)), s.hide).(map[string]any)
	return without
}

// one prints an object, with one line per member or as JSON.
func (s shower) one(o rest.Object) error {
	c := s.clean(o)
	if s.asJSON {
		return cli.PrintJSON(s.out, c)
	}
	t := cli.Table(s.out)
	for _, k := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(t, "%s\t%s\n", cli.Shown(k), plainValue(c[k], 400))
	}
	return t.Flush()
}

// plainValue formats a JSON value in one line of at most n characters.
func plainValue(v any, n int) string {
	text, isText := v.(string)
	switch {
	case v == nil:
		return "-"
	case !isText:
		b, err := json.Marshal(v)
		if err != nil {
			return "?"
		}
		text = string(b)
	case text == "":
		return `""`
	}
	if r := []rune(text); len(r) > n {
		text = string(r[:n]) + "…"
	}
	return cli.Shown(text)
}

// difference is a member whose value is not the wanted one.
type difference struct {
	Key  string `json:"key"`
	Have any    `json:"have"`
	Want any    `json:"want"`
}

// outcome is the result of a command as JSON.
type outcome struct {
	Outcome     string       `json:"outcome"` // created, found, different, updated, deleted
	ID          string       `json:"id"`
	Differences []difference `json:"differences"`
	NotCompared []string     `json:"not_compared"`
	Object      any          `json:"object,omitempty"`
}

// The values of outcome.Outcome.
const (
	wasCreated   = "created"
	wasFound     = "found"
	wasDifferent = "different"
	wasUpdated   = "updated"
	wasDeleted   = "deleted"
)

// compared prints the result of a comparison.
func (s shower) compared(o outcome) {
	for _, d := range o.Differences {
		fmt.Fprintf(s.out, "  %s: is %s, wanted %s\n", cli.Shown(d.Key), plainValue(d.Have, 200), plainValue(d.Want, 200))
	}
	if len(o.NotCompared) > 0 {
		fmt.Fprintf(s.out, "  not compared, because the API does not give it back: %s\n", strings.Join(o.NotCompared, ", "))
	}
}

func (s shower) value(key string, v any) any {
	return s.clean(rest.Object{key: v})[key]
}

// did prints the result of a command.
func (s shower) did(result, what, id string, o rest.Object) error {
	if !s.asJSON {
		_, err := fmt.Fprintf(s.out, "%s %s\n", result, cli.Shown(what))
		return err
	}
	out := outcome{Outcome: result, ID: id, Differences: []difference{}, NotCompared: []string{}}
	if o != nil {
		out.Object = s.clean(o)
	}
	return cli.PrintJSON(s.out, out)
}

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
	"text/tabwriter"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
)

// errNotSent is the error of a request that was printed instead of sent.
var errNotSent = errors.New("not sent: --dry-run")

// requestPrinter is a transport that prints a request, secrets masked, instead of sending it. Without an answer a
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
		err = cli.PrintJSON(p.out, map[string]any{"method": r.Method, "url": r.URL.String(), "headers": headers, "body": body})
	} else {
		err = p.print(r, headers, body)
	}
	if err != nil {
		return nil, err
	}
	return nil, errNotSent
}

// maskedBody is the body of a request without secrets, or nil.
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
	hide   func(string) string // takes known secrets out of a text
	asJSON bool
}

// clean is an object without secrets, whatever the API gave.
func (s shower) clean(o rest.Object) map[string]any {
	without, _ := s.without(rest.Masked(map[string]any(o))).(map[string]any)
	return without
}

// without hides known secrets anywhere in a JSON value. A number that holds one becomes a text.
func (s shower) without(v any) any {
	switch v := v.(type) {
	case string:
		return s.hide(v)
	case json.Number:
		if text := s.hide(v.String()); text != v.String() {
			return text
		}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = s.without(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[s.hide(k)] = s.without(e)
		}
		return out
	}
	return v
}

// list prints a table with these members, or whole objects as JSON.
func (s shower) list(all []rest.Object, columns ...string) error {
	if s.asJSON {
		items := make([]map[string]any, len(all))
		for i, o := range all {
			items[i] = s.clean(o)
		}
		return cli.PrintJSON(s.out, map[string]any{"items": items, "next": ""})
	}
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ToUpper(strings.Join(columns, "\t")))
	for _, o := range all {
		c := s.clean(o)
		cells := make([]string, len(columns))
		for i, name := range columns {
			cells[i] = plainValue(c[name], 60)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

// one prints an object, one line a member, or as JSON.
func (s shower) one(o rest.Object) error {
	c := s.clean(o)
	if s.asJSON {
		return cli.PrintJSON(s.out, c)
	}
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, k := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(t, "%s\t%s\n", cli.Shown(k), plainValue(c[k], 400))
	}
	return t.Flush()
}

// plainValue is a JSON value in one line of at most n characters.
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

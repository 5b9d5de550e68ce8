package template

import (
	"errors"
	"strings"
	"testing"
	"unicode"
)

// FuzzTemplate: whatever is configured as a template is refused with a reason
// of one line, or renders within its bounds; one that is said not to use
// .Prepare does without.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		"S.{{.Prepare.CallID}};", "{{.To.Number}}@{{.From.Host}}", `{{.Header "X-Foo"}}`, `{{with .Diversion}}{{.}}{{else}}{{$.Trunk}}{{end}}`,
		`{{if and .Trunk (eq .Prepare.CallID .Trunk)}}a{{end}}`, `{{.Prepare.JSON "a.b"}}`, "{{$x := .}}{{$x.Prepare.CallID}}", "{{(.Prepare).CallID}}",
		`{{printf "%s" .Prepare.CallID}}`, "{{slice .CallID 0 4}}", `{{define "a"}}{{end}}`, "{{range .}}{{end}}", "{{.To.X.Y}}", "{{/* a */ -}}",
		"{{call .HeaderFunc \"X\"}}", "{{index .Prepare.Body 0}}", "{{.}}", "{{break}}", "{{len .Trunk | printf \"%09d\"}}", "\r\n{{.Trunk}}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "printf") && strings.ContainsAny(text, "123456789*") {
			return // a width of a million fills the machine, not the header
		}
		tmpl, err := Parse(text)
		if err != nil {
			if err.Error() == "" || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is refused with %q", text, err)
			}
			return
		}
		if tmpl.String() != text {
			t.Errorf("source %q; want %q", tmpl.String(), text)
		}
		with, withErr := tmpl.Render(SampleVars(true))
		inBounds(t, text, with, withErr)
		if tmpl.UsesPrepare() || errors.Is(withErr, ErrTooLong) {
			return
		}
		without, err := tmpl.Render(SampleVars(false))
		inBounds(t, text, without, err)
		if (err == nil) != (withErr == nil) {
			t.Errorf("%q without .Prepare: %v; with it: %v", text, err, withErr)
		}
	})
}

// FuzzRender: whatever a carrier and the platform's API write, no result of a
// template ends a header.
func FuzzRender(f *testing.F) {
	f.Add("+15075785607", "Ann", "value", `{"a":{"b":"text"},"l":[1,2.50,null]}`, "a.b")
	f.Add("a\rb", "a\nX-Evil: 1", "\x00", `{"":"\u000d\u000a"}`, "")
	f.Add("\x7f", "\u0085", "\xff", `[[1e400]]`, "0.0")
	f.Add("1", "2", "3", `{"a":`, "a")
	var templates []*Template
	for _, text := range []string{
		"{{.To.Number}}", "sip:{{.To.User}}@h", `"{{.From.Name}}" <{{.From.URI}}>`, `{{.Header "X"}}`, "{{.Diversion}}", "S.{{.Prepare.CallID}};",
		`{{.Prepare.JSON .To.Host}}`, `{{with .Prepare.JSON .To.Host}}{{.}}{{end}}`, `{{printf "%q" (.Header "X")}}`,
		`{{urlquery .From.Name}}{{html .To.User}}{{js .Diversion}}`,
	} {
		tmpl, err := Parse(text)
		if err != nil {
			f.Fatal(err)
		}
		templates = append(templates, tmpl)
	}
	f.Fuzz(func(t *testing.T, number, name, header, body, path string) {
		vars := Vars{
			To: Party{Number: number, User: number, Host: path}, From: Party{Number: name, Name: name, URI: number},
			Diversion: header, Prepare: &PrepareVars{CallID: name, Body: []byte(body)}, HeaderFunc: func(string) string { return header },
		}
		for _, tmpl := range templates {
			got, err := tmpl.Render(vars)
			inBounds(t, tmpl.String(), got, err)
		}
	})
}

// FuzzURL: whatever a caller says, the request goes to the host of the file, and to the path that the file has but for one
// segment.
func FuzzURL(f *testing.F) {
	for _, v := range []string{"+1507", "..", "a/b", "?x=1", "#", "%2e%2e", "@evil.test/", "//evil.test", "a b", "é\\", ";x", ""} {
		f.Add(v, v)
	}
	u, err := ParseURL("https://api.example.com:8443/v2/{{.To.Number}}/calls?from={{.From.User}}&x=1")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, segment, value string) {
		at, err := u.Render(Vars{To: Party{Number: segment}, From: Party{User: value}})
		if err != nil {
			return
		}
		parts := strings.Split(at.EscapedPath(), "/")
		if at.Scheme != "https" || at.Host != "api.example.com:8443" || at.User != nil || at.Fragment != "" || len(parts) != 4 || at.Path != "/v2/"+segment+"/calls" {
			t.Fatalf("%q becomes %s", segment, at)
		}
		q := at.Query()
		if len(q) != 2 || q.Get("from") != value || q.Get("x") != "1" {
			t.Fatalf("%q becomes %s", value, at)
		}
	})
}

// inBounds checks a result, and that there is none beside an error.
func inBounds(t *testing.T, text, got string, err error) {
	t.Helper()
	switch {
	case err != nil && (got != "" || strings.Contains(err.Error(), "\n")):
		t.Errorf("%q: %q beside the error %q", text, got, err)
	case len(got) > maxRendered:
		t.Errorf("%q: %d bytes", text, len(got))
	case strings.ContainsFunc(got, func(r rune) bool { return r <= unicode.MaxASCII && unicode.IsControl(r) && r != '\t' }):
		t.Errorf("%q: control character in %q", text, got)
	}
}

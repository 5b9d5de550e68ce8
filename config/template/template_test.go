package template

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

func mustTemplate(t *testing.T, text string) *Template {
	t.Helper()
	tmpl, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestRender(t *testing.T) {
	vars := SampleVars(true)
	vars.Prepare.Body = []byte(`{"a":{"b":"text","n":12345678901234567890,"f":1.50,"t":true,"z":null,"l":["x",{"y":1}]},"s":"<&>"}`)
	vars.HeaderFunc = func(name string) string { return map[string]string{"X-Foo": "foo"}[name] }
	for in, want := range map[string]string{
		"":                                "",
		"plain":                           "plain",
		"{{.To.Number}}/{{.From.Host}}":   "+15550100002/203.0.113.1",
		"{{.Trunk}} {{.Attempt}}":         "trunk 1",
		`{{.Header "X-Foo"}}`:             "foo",
		`{{.Header "X-Bar"}}`:             "",
		"S.{{.Prepare.CallID}};":          "S.5f1c2f9e-6b7a-4c1d-9e8f-0a1b2c3d4e5f;",
		`{{.Prepare.JSON "a.b"}}`:         "text",
		`{{.Prepare.JSON "a.n"}}`:         "12345678901234567890",
		`{{.Prepare.JSON "a.f"}}`:         "1.50",
		`{{.Prepare.JSON "a.t"}}`:         "true",
		`{{.Prepare.JSON "a.z"}}`:         "",
		`{{.Prepare.JSON "a.l.1.y"}}`:     "1",
		`{{.Prepare.JSON "a.l.7"}}`:       "",
		`{{.Prepare.JSON "a.l"}}`:         `["x",{"y":1}]`,
		`{{.Prepare.JSON "a.b.c"}}`:       "",
		`{{.Prepare.JSON "none.at.all"}}`: "",
		`{{.Prepare.JSON ""}}`:            "",
		`{{.Prepare.JSON "s"}}`:           "<&>",
		`{{slice .CallID 0 4}}`:           "0190",
		`{{with .Diversion}}{{.}}{{end}}`: "+15550100003",
	} {
		got, err := mustTemplate(t, in).Render(vars)
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestRenderFails(t *testing.T) {
	with := func(change func(*Vars)) Vars {
		v := SampleVars(true)
		change(&v)
		return v
	}
	for _, tc := range []struct {
		name, text string
		vars       Vars
		want       error
	}{
		{"CR", "{{.To.User}}", with(func(v *Vars) { v.To.User = "a\rb" }), ErrControlByte},
		{"LF", "{{.To.User}}", with(func(v *Vars) { v.To.User = "a\nVia: x" }), ErrControlByte},
		{"NUL", "{{.From.Name}}", with(func(v *Vars) { v.From.Name = "a\x00" }), ErrControlByte},
		{"LF in JSON", `{{.Prepare.JSON "x"}}`, with(func(v *Vars) { v.Prepare.Body = []byte(`{"x":"a\nb"}`) }), ErrControlByte},
		{"long", "{{.To.User}}", with(func(v *Vars) { v.To.User = strings.Repeat("x", maxRendered+1) }), ErrTooLong},
		{"not JSON", `{{.Prepare.JSON "x"}}`, with(func(v *Vars) { v.Prepare.Body = []byte("<html>") }), nil},
		{"no prepare", "{{.Prepare.CallID}}", with(func(v *Vars) { v.Prepare = nil }), nil},
		{"no prepare for JSON", `{{.Prepare.JSON "x"}}`, with(func(v *Vars) { v.Prepare = nil }), nil},
	} {
		got, err := mustTemplate(t, tc.text).Render(tc.vars)
		if err == nil || got != "" || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: got %q, %v; want %v", tc.name, got, err, tc.want)
		}
	}
	long := with(func(v *Vars) { v.To.User = strings.Repeat("x", maxRendered) })
	if got, err := mustTemplate(t, "{{.To.User}}").Render(long); len(got) != maxRendered || err != nil {
		t.Errorf("at the bound: got %d bytes, %v", len(got), err)
	}
	if got, err := mustTemplate(t, `{{.Header "X"}}`).Render(Vars{}); got != "" || err != nil {
		t.Errorf("without headers: got %q, %v", got, err)
	}
}

func TestUsesPrepare(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, ".Prepare": false, "{{.To.Number}}": false, `{{.Header ".Prepare"}}`: false,
		"{{.Prepare.CallID}}": true, `{{.Prepare.JSON "x"}}`: true, "{{with .Prepare}}{{.CallID}}{{end}}": true,
		"{{if .Diversion}}{{else}}{{$.Prepare.CallID}}{{end}}": true, "{{with $}}{{.Prepare.CallID}}{{end}}": true,
		"{{$x := .}}{{$x.Prepare.CallID}}": true, `{{printf "%s" .Prepare.CallID}}`: true, "{{(.Prepare).CallID}}": true,
		"{{if and .Trunk (eq .Prepare.CallID .Trunk)}}{{end}}": true,
	} {
		if got := mustTemplate(t, text).UsesPrepare(); got != want {
			t.Errorf("%s: got %v; want %v", text, got, want)
		}
		if got := mustTemplate(t, text).String(); got != text {
			t.Errorf("source: got %q; want %q", got, text)
		}
	}
}

func TestRenderTogether(t *testing.T) {
	tmpl := mustTemplate(t, `{{.To.Number}} {{.Prepare.JSON "call_status"}}`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := tmpl.Render(SampleVars(true)); err != nil || got != "+15550100002 registered" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wg.Wait()
}

func BenchmarkRender(b *testing.B) {
	vars := SampleVars(true)
	for name, text := range map[string]string{"plain": "S.{{.Prepare.CallID}};", "piped": `{{xei "S" .Prepare.CallID}}`} {
		tmpl, err := Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tmpl.Render(vars); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a URI has before its @ is dialled. Conditions, and what stands behind the @, are not.
func TestDialled(t *testing.T) {
	v := SampleVars(true)
	v.Diversion = ""
	for text, want := range map[string]string{
		"sip:agent@host":                                        "",
		"sip:{{.To.Number}}@host":                               "+15550100002",
		"sip:{{.To.User}}@host":                                 "5550100002",
		"sip:{{.Agent.Number}}@host":                            "+15550100002",
		"sip:{{.Lead.Number}}@host":                             "+15550100001",
		"sip:a{{.From.Number}}@{{.To.Host}}":                    "+15550100001",
		"sip:agent@host;x={{.To.Number}}":                       "",
		"{{.To.URI}}":                                           "5550100002",
		"sip:{{$.To.Number}}@host":                              "+15550100002",
		"sip:{{with .To}}{{.Number}}{{end}}@host":               "+15550100002 5550100002",
		"sip:{{$n := .To.Number}}{{$n}}@host":                   "+15550100002",
		"sip:{{or .Diversion .To.Number}}@host":                 "+15550100002",
		`sip:{{printf "%s" .To.Number}}@host`:                   "+15550100002",
		`{{if eq .To.Number "1"}}sip:a@h{{else}}sip:b@h{{end}}`: "",
		`{{if .Diversion}}sip:a@h{{else}}sip:{{.To.Number}}@h{{end}};x={{.From.Number}}`: "+15550100002",
		`sip:{{if .Diversion}}a@h{{else}}b{{end}}{{.To.Number}}@h`:                       "+15550100002",
		`sip:{{.Header "X-Agent"}}@{{.To.Host}}`:                                         "",
	} {
		if got := strings.Join(slices.Collect(mustTemplate(t, text).Dialled(&v)), " "); got != want {
			t.Errorf("%s: %q; want %q", text, got, want)
		}
	}
}

func TestDialsNobody(t *testing.T) {
	for text, want := range map[string]bool{
		"sip:{{.To.Number}}@host":                                         true,
		"sip:{{or .Diversion .To.User}}@host":                             true,
		"sip:{{if .Diversion}}{{.From.Number}}{{end}}{{.To.Number}}@host": true,
		`sip:{{.To.Number}}@{{.Prepare.JSON "a.b"}}`:                      true,
		"sip:{{with .To.Number}}{{.}}{{else}}agent{{end}}@host":           false,
		"sip:{{.Diversion}}{{.Prepare.CallID}}@host":                      false,
		"sip:{{.From.Number}}@host":                                       false,
		"sip:agent@host":                                                  false,
		"sip:host":                                                        false,
	} {
		v := SampleVars(true)
		v.To, v.Diversion, v.Prepare = Party{}, "", nil
		if got := mustTemplate(t, text).DialsNobody(v); got != want {
			t.Errorf("%s: %v; want %v", text, got, want)
		}
	}
}

func TestEscapeParams(t *testing.T) {
	for text, want := range map[string]string{
		"sip:{{.To.User}}@h":                                                     "sip:a;b@h",
		"sip:x@h;p={{.To.User}};q={{.To.User}}":                                  "sip:x@h;p=a%3Bb;q=a%3Bb",
		"sip:x;p={{.To.User}}@{{.To.User}}":                                      "sip:x;p=a%3Bb@a;b",
		"sip:x@h{{with .To.User}};p={{.}}{{end}}":                                "sip:x@h;p=a%3Bb",
		"sip:{{if .Trunk}}x;p=1{{else}}{{.To.User}}{{end}}@h;p={{.To.User}}":     "sip:x;p=1@h;p=a%3Bb",
		"sip:{{if .Diversion}}x;p=1{{else}}{{.To.User}}{{end}}@h":                "sip:a;b@h",
		"sip:x@h{{if .Diversion}}{{else}};p=1{{end}}{{$x := .To.User}};q={{$x}}": "sip:x@h;p=1;q=a%3Bb",
		`sip:x@h;p={{printf "%s;" .To.User}}`:                                    "sip:x@h;p=a%3Bb%3B",
	} {
		v := SampleVars(true)
		v.To.User, v.Diversion = "a;b", ""
		tmpl := mustTemplate(t, text)
		tmpl.EscapeParams()
		if got, err := tmpl.Render(v); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestXEIToken(t *testing.T) {
	v := SampleVars(true)
	v.Diversion = ""
	v.From.Name = "a;S.b"
	for text, want := range map[string]string{
		`{{xei "E" .SIPCallID}}{{xei "O" .Diversion}}`: "E.a84b4c76e66710@203.0.113.1;",
		`{{xei "S" .Prepare.CallID}}`:                  "S.5f1c2f9e-6b7a-4c1d-9e8f-0a1b2c3d4e5f;",
		`{{xei "O" (or .Diversion .From.Number)}}`:     "O.+15550100001;",
	} {
		if got, err := mustTemplate(t, text).Render(v); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	if got, err := mustTemplate(t, `{{xei "O" .From.Name}}`).Render(v); err == nil || !strings.Contains(err.Error(), "';'") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestConstant(t *testing.T) {
	for text, want := range map[string]bool{"": true, "m1": true, "m{{/* 1 */}}1": true, "{{.Trunk}}": false, "a{{if .Trunk}}b{{end}}": false} {
		if _, ok := mustTemplate(t, text).Constant(); ok != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
	if text, ok := (*Template)(nil).Constant(); text != "" || !ok {
		t.Errorf("nil: %q, %v", text, ok)
	}
}

// A character that some readers take for the end of a line fails the template.
func TestRenderRefusesLineEnds(t *testing.T) {
	for _, r := range "\r\n\x00\v\f\x1c\x1d\x1e\x7f\u0080\u0085\u009f\u2028\u2029" {
		v := SampleVars(true)
		v.From.Name = "Ann" + string(r) + "X-Injected: 1"
		if got, err := mustTemplate(t, "{{.From.Name}}").Render(v); !errors.Is(err, ErrControlByte) {
			t.Errorf("%U: %q, %v", r, got, err)
		}
	}
	v := SampleVars(true)
	v.From.Name = "Zoë 李\t\u00a0\u202f"
	if got, err := mustTemplate(t, "{{.From.Name}}").Render(v); err != nil || got != v.From.Name {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRedact(t *testing.T) {
	tmpl := mustTemplate(t, "secret longer-secret-{{.Trunk}}secret")
	tmpl.TakeEnvironment([]string{"secret", "longer-secret"})
	text, err := tmpl.Render(SampleVars(false))
	if got := tmpl.Redact(text); got != "[redacted] [redacted]-trunk[redacted]" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// OPTIONS go where every call goes: to the host that the text of a URI ends with.
func TestConstantHost(t *testing.T) {
	for text, want := range map[string]string{
		"sip:{{.To.Number}}@sip.test:5070;user=phone": "sip.test:5070;user=phone", "sip:a@192.0.2.1": "192.0.2.1", "sip:[2001:db8::1]:5070": "[2001:db8::1]:5070",
		"sip:{{if .To.User}}{{.To.User}}{{else}}x{{end}}@sip.test": "sip.test", "sip:{{.Prepare.CallID}}@sip.test": "sip.test", "sip:a{{/* b */}}@sip.{{/* c */}}test": "sip.test",
		"sip:a@{{.To.Host}}": "", "sip:{{.To.Host}}": "", "sip:{{.To.Host}}:5060": "", "sip:a@{{.To.User}}.sip.test": "", "{{.To.URI}}": "", "": "",
		`sip:{{.Prepare.JSON "uri"}}`: "", "sip:a@sip.test{{if .To.User}}:5070{{end}}": "", "sip:a@{{.To.Host}};transport=tcp": "",
	} {
		parsed, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parsed.ConstantHost(); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, ok, want)
		}
	}
	if _, ok := (*Template)(nil).ConstantHost(); ok {
		t.Error("no template has a host")
	}
}

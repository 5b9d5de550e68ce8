package template

import (
	"strings"
	"testing"
)

// plainTexts are templates of text and plain fields, and others that look like them.
var plainTexts = []string{
	"", "text", "{{.To.Number}}", "{{.To.User}}", "{{.To.Name}}", "{{.To.Host}}", "{{.To.URI}}", "{{.From.Number}}", "{{.From.Name}}",
	"{{.Lead.Number}}", "{{.Agent.URI}}", "{{.CallID}}", "{{.SIPCallID}}", "{{.Trunk}}", "{{.Target}}", "{{.Direction}}", "{{.Route}}",
	"{{.Attempt}}", "{{.Diversion}}", "{{.Prepare.CallID}}", "S.{{.Prepare.CallID}};", "sip:{{.To.Number}}@{{.From.Host}}:5060",
	"{{.To.Number}}{{.To.Number}}{{.To.Number}}{{.To.Number}}{{.To.Number}}{{.To.Number}}{{.To.Number}}{{.To.Number}}{{.To.Number}}",
	" a {{- .Trunk -}} b ", "{{/* nothing */}}{{.Trunk}}", "{{ .Trunk }}\t", "{{$.Trunk}}", "{{(.To).Number}}", "{{.To}}", "{{.Lead}}", "{{.Prepare}}",
	`{{.Header "X-Foo"}}`, `{{xei "S" .Prepare.CallID}}`, "{{$x := .Trunk}}{{$x}}", "{{.Trunk | len}}", "{{if .Trunk}}{{.Trunk}}{{end}}", "{{.Prepare.Body}}", `{{"x"}}`,
	strings.Repeat("x", maxRendered), strings.Repeat("x", maxRendered+1), strings.Repeat("x", maxRendered-1) + "{{.Trunk}}",
}

// sameByTextTemplate checks that a template without its compiled form gives the same.
func sameByTextTemplate(t *testing.T, tmpl *Template, v Vars) {
	t.Helper()
	slow := *tmpl
	slow.plain = nil
	got, err := tmpl.Render(v)
	want, wantErr := slow.Render(v)
	if got != want || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
		t.Errorf("%.80q: %.80q, %v; by text/template %.80q, %v", tmpl, got, err, want, wantErr)
	}
}

func TestPlainTemplatesGiveTheSame(t *testing.T) {
	outbound, hostile := SampleVars(true), SampleVars(true)
	outbound.Direction = DirectionOutbound
	hostile.To = Party{Number: "\xff", User: "a\nb", Name: "\u2028", Host: strings.Repeat("h", maxRendered), URI: "{{.Trunk}}"}
	hostile.Trunk, hostile.Attempt, hostile.Prepare = "\x00", -1, &PrepareVars{CallID: "<&>\""}
	for _, text := range plainTexts {
		tmpl := mustTemplate(t, text)
		for _, v := range []Vars{SampleVars(true), SampleVars(false), outbound, hostile, {}} {
			sameByTextTemplate(t, tmpl, v)
		}
	}
}

func TestPlainTemplatesAreCompiled(t *testing.T) {
	for text, want := range map[string]bool{
		"sip:{{.To.Number}}@h": true, "S.{{.Prepare.CallID}};": true, "{{.Lead.Number}}{{.Attempt}}": true, "text": true,
		"{{.To}}": false, `{{.Header "X"}}`: false, "{{.Trunk | len}}": false, "{{.Prepare.Body}}": false, "{{with .Trunk}}{{.}}{{end}}": false,
	} {
		if got := mustTemplate(t, text).plain != nil; got != want {
			t.Errorf("%s: compiled %v; want %v", text, got, want)
		}
	}
}

// FuzzPlainTemplate: a template's compiled form gives what text/template gives, whatever the template and the call's values are.
func FuzzPlainTemplate(f *testing.F) {
	for _, text := range plainTexts {
		f.Add(text, "+15550100001", "id", true)
		f.Add(text, "\r\n", strings.Repeat("x", maxRendered), false)
	}
	f.Fuzz(func(t *testing.T, text, number, id string, prepared bool) {
		tmpl, err := Parse(text)
		if err != nil || tmpl.plain == nil {
			return
		}
		v := SampleVars(prepared)
		v.To.Number, v.From.User, v.Diversion, v.CallID = number, number, number, id
		if prepared {
			v.Prepare.CallID = id
		}
		sameByTextTemplate(t, tmpl, v)
	})
}

func TestPlainTemplatesAllocate(t *testing.T) {
	v := SampleVars(true)
	for text, want := range map[string]float64{"{{.To.Number}}": 0, "text": 0, "S.{{.Prepare.CallID}};": 1, "sip:{{.To.Number}}@h;a={{.Lead.User}}": 1} {
		tmpl := mustTemplate(t, text)
		if n := testing.AllocsPerRun(100, func() { _, _ = tmpl.Render(v) }); n > want {
			t.Errorf("%s: %v allocations; want %v", text, n, want)
		}
	}
}

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"flowbridge/config/template"
)

// requestOf reads the prepare step of a target of kind http.
func requestOf(t testing.TB, section string) *Prepare {
	t.Helper()
	cfg, err := Parse("t.yaml", []byte("targets:\n  - name: t\n    kind: http\n    uri: \"sip:x@192.0.2.1\"\n    prepare:\n"+indented(section)), func(name string) (string, bool) {
		return "secret-of-" + name, true
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Targets[0].Prepare
}

func indented(text string) string {
	return "      " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      ") + "\n"
}

// A body is JSON of the shape that the file has, in its order, whatever its values are.
func TestBody(t *testing.T) {
	p := requestOf(t, `
url: "https://api.example.com/calls"
body:
  to: "{{.To.Number}}"
  version: 3
  ratio: 0.5
  flag: true
  nothing: null
  quoted: "3"
  list: ["{{.From.Name}}", 1, {deep: "{{.Trunk}}"}]
  empty: {}
  none: []
  "a \"name\"": "x"`)
	ask, err := p.Ask(template.Vars{To: template.Party{Number: "+1"}, From: template.Party{Name: `Ann "A" <b>, {"x":1}`}, Trunk: `\`})
	want := `{"to":"+1","version":3,"ratio":0.5,"flag":true,"nothing":null,"quoted":"3",` +
		`"list":["Ann \"A\" <b>, {\"x\":1}",1,{"deep":"\\"}],"empty":{},"none":[],"a \"name\"":"x"}`
	if err != nil || string(ask.Body) != want {
		t.Errorf("got  %s, %v\nwant %s", ask.Body, err, want)
	}
	if _, err := p.Ask(template.Vars{From: template.Party{Name: "a\r\nb"}}); !errors.Is(err, template.ErrControlByte) || !strings.Contains(err.Error(), "prepare.body.list[0]") {
		t.Errorf("a line break: %v", err)
	}
}

// FuzzBody: whatever a caller says stays within its text: the body is what encoding/json writes.
func FuzzBody(f *testing.F) {
	f.Add("+15075785607", "Ann <a&b>", `","admin":true,"x":"`)
	f.Add("", "\x7f\u0085\"\\/", "\xff\xed\xa0\x80😀")
	body := requestOf(f, `
url: "https://api.example.com/calls"
body: {to: "{{.To.Number}}", deep: {names: ["{{.From.Name}}", '{{.Header "X-A"}}-{{.From.Name}}']}}`).Body
	f.Fuzz(func(t *testing.T, number, name, header string) {
		got, err := body.JSON(template.Vars{To: template.Party{Number: number}, From: template.Party{Name: name}, HeaderFunc: func(string) string { return header }})
		if err != nil {
			if got != nil || !errors.Is(err, template.ErrControlByte) && !errors.Is(err, template.ErrTooLong) {
				t.Fatalf("%s, %v", got, err)
			}
			return
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		type deep struct {
			Names []string `json:"names"`
		}
		if err := enc.Encode(struct {
			To   string `json:"to"`
			Deep deep   `json:"deep"`
		}{number, deep{[]string{name, header + "-" + name}}}); err != nil {
			t.Fatal(err)
		}
		if string(got)+"\n" != want.String() {
			t.Errorf("got  %s\nwant %s", got, want.String())
		}
	})
}

// FuzzPath: a path leads to a value of the answer or to nothing.
func FuzzPath(f *testing.F) {
	f.Add([]byte(`{"a":{"b":["x",{"c":7}]},"":1}`), "a.b.1.c")
	f.Add([]byte(`[[["deep"]]]`), "0.0.0")
	f.Add([]byte(`{"a":1} {"a":2}`), "a")
	f.Add([]byte(`{"a":1e400,"b":-0}`), "a.-1")
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		text, err := (&template.PrepareVars{Body: body}).JSON(path)
		v, decoded := template.DecodeJSON(body)
		if (err == nil) != (decoded == nil) {
			t.Fatalf("%v beside %v", err, decoded)
		}
		if err == nil && template.AtPath(v, path) == nil && text != "" {
			t.Fatalf("%q where there is nothing", text)
		}
	})
}

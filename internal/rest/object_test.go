package rest

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseObject(t *testing.T) {
	o, err := ParseObject([]byte(` {"n": 1744274157255646200691892837600, "s": "<a>", "l": [1, {"x": null}], "o": {"b": true}} `))
	must(t, err)
	text, err := o.Marshal()
	if want := `{"l":[1,{"x":null}],"n":1744274157255646200691892837600,"o":{"b":true},"s":"<a>"}`; err != nil || string(text) != want {
		t.Errorf("got %s, %v", text, err)
	}
	if s, ok := o.Text("s"); s != "<a>" || !ok {
		t.Errorf("got %q, %v", s, ok)
	}
	if _, ok := o.Text("n"); ok {
		t.Error("a number is a text")
	}
	if in, ok := o.Object("o"); !ok || in["b"] != true {
		t.Errorf("got %v, %v", in, ok)
	}
	for text, says := range map[string]string{
		``:                                      "ends too early",
		`{"a": 1`:                               "ends too early",
		`{"a" 1}`:                               "is not JSON",
		`{"a": 1,}`:                             "is not JSON",
		`{"a": [1,]}`:                           "is not JSON",
		`{"a": 01}`:                             "is not JSON",
		`[1]`:                                   "not a JSON object",
		`"x"`:                                   "not a JSON object",
		`{} {}`:                                 "follows the JSON object",
		`{} x`:                                  "follows the JSON object",
		`{"a": 1, "a": 2}`:                      `"a" is there twice`,
		`{"a": {"b": [{"c": 1, "\u0063": 2}]}}`: `"a.b[].c" is there twice`,
		strings.Repeat(`{"a":`, 100):            "more than 64 deep",
		`{"a":` + strings.Repeat("[", 1000) + `}`: "more than 64 deep",
	} {
		if _, err := ParseObject([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40s: got %v, want %q", text, err, says)
		}
	}
}

// FuzzParseObject checks that whatever is accepted is JSON, and is sent exactly as it was
// read.
func FuzzParseObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[true,null,"x\u00e9"],"c":{"d":1e9}}`, `{"a":1,"a":2}`, `{"":{"":[]}}`, `[`, `{"a":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ParseObject(data)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("taken although it is no JSON: %q", data)
		}
		text, err := o.Marshal()
		must(t, err)
		again, err := ParseObject(text)
		if err != nil {
			t.Fatalf("%q became %q: %v", data, text, err)
		}
		if second, err := again.Marshal(); err != nil || string(second) != string(text) {
			t.Fatalf("%q became %q, %v", text, second, err)
		}
	})
}

// FuzzWords checks that any message of an API becomes one printable line of limited length,
// without the token.
func FuzzWords(f *testing.F) {
	c, err := New(Options{BaseURL: "http://127.0.0.1:1", Token: "tok-secret", Secrets: []string{"pw"}})
	must(f, err)
	for _, s := range []string{
		`{"detail":"tok-secret"}`, `{"detail":{"description":"d","category":"c","request_id":"r"}}`, `{"error":"e","message":["a",1,{"b":"pw"}]}`,
		`{"detail":[{"loc":["body",0],"msg":"m"}]}`, `"x\r\ny"`, `[[[[[[[[[[[[1]]]]]]]]]]]]`, `{"tok-secret":"\u0074ok-secret"}`, `null`, `{`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := c.words(data)
		if strings.Contains(s, "tok-secret") || strings.Contains(s, "pw") || strings.ContainsAny(s, "\r\n\x00\x1b") || len(s) > 4*maxWords+8 {
			t.Fatalf("%q gave %q", data, s)
		}
	})
}

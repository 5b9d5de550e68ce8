package docs

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/internal/logmessage"
)

// A question yields either an answer or a list of sections, with the best one first.
func TestFind(t *testing.T) {
	for question, want := range map[string]string{
		"nat":                          "answer guides/nat: NAT and addresses",
		"docs/guides/nat.md":           "answer guides/nat: NAT and addresses",
		"../runbook.md#flowbridgedown": "answer runbook: FlowbridgeDown",
		"FlowbridgeDown":               "answer runbook: FlowbridgeDown",
		"what does no_route mean?":     "answer causes: no_route",
		"can't write records":          "answer runbook: can't write records: keeping them in memory",
		"what does the cause no_route": "answer causes: no_route",
		"sip.drain_timeout":            "answer configuration: sip.drain_timeout",
		"drain_timeout":                "answer configuration: sip.drain_timeout",
		"targets[].media.address":      "answer configuration: targets.media.address",
		"one-way audio after a hold":   "answer runbook: one-way audio",
		"privacy":                      "answer privacy: Privacy: what is kept where",
		"GDPR":                         "privacy: Privacy: what is kept where",
		"leg":                          "answer glossary: leg",
		"flowbridge_calls_total":       "answer metrics: flowbridge_calls_total",
		"peers behind nat media":       "guides/nat: Peers behind NAT: media",
		"xyzzy":                        "",
		"":                             "",
		"the":                          "",
		strings.Repeat("\x00<a> ", 99): "",

		`{"level":"error","message":"can't write records: keeping them in memory"}`: "answer runbook: can't write records: keeping them in memory",
	} {
		got := ""
		if found := Find(question); len(found) > 0 {
			got = map[bool]string{true: "answer "}[found[0].Answer] + found[0].Word() + ": " + found[0].Title
		}
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q; want %q", question, got, want)
		}
	}
	if found := Find("can't write records"); !found[1].Answer || found[1].Title != "FlowbridgeRecordsNotWritten" {
		t.Error("a message is not followed by the section that its row names")
	}
}

// The documents explain each cause and each log message.
func TestCausesAndMessagesAreFound(t *testing.T) {
	var words []string
	for _, c := range cause.All() {
		words = append(words, string(c.Name))
	}
	for _, m := range logmessage.All() {
		words = append(words, m.Message)
	}
	if len(words) < 100 {
		t.Fatalf("%d words", len(words))
	}
	for _, w := range words {
		if found := Find(w); len(found) == 0 || !found[0].Answer || found[0].Title != w {
			t.Errorf("%q is not found", w)
		}
	}
}

// Each link in each document leads to a document in the program and to a heading in it. The documents' text yields no
// other markup than Markdown's, and needs no script, style or image.
func TestEveryLinkLeads(t *testing.T) {
	pages, links := map[string]string{}, 0
	for _, p := range All() {
		pages[p.Name] = string(p.Page())
	}
	for name, text := range pages {
		if m := regexp.MustCompile(`<(?:script|style|img|iframe|form)|(?: on\w+| style| src)="`).FindString(text); m != "" {
			t.Errorf("%s has %q", name, m)
		}
		for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(text, -1) {
			if links++; strings.Contains(m[1], "://") {
				continue
			}
			file, heading, _ := strings.Cut(m[1], "#")
			target, ok := pages[path.Join(path.Dir(name), file)]
			if !ok || heading != "" && !strings.Contains(target, ` id="`+heading+`"`) {
				t.Errorf("%s: the link %s leads nowhere", name, m[1])
			}
		}
	}
	if links < 100 {
		t.Errorf("%d links", links)
	}
}

func TestRender(t *testing.T) {
	p := Part{Name: "docs/x.md", Text: "# A `b`\n\nSee [NAT](guides/nat.md#x), [more](https://a.example/) and\n![a picture](p.png) <b>here</b>.\n\n" +
		"- one two three four\n  five\n1. six [js](javascript:alert) <script>\n\n```yaml\na: [b](c)\n```\n    code  line\n\n| k | v |\n|---|--:|\n| `a\\|b` | 1 |\n\n| k | value |\n|---|---|\n| a | one two three four five |\n"}
	const plain = "# A `b`\n\nSee NAT\n(guides/nat.md#x),\nmore\n(https://a.example/)\nand a picture (p.png)\n<b>here</b>.\n\n- one two three four\n  five\n1. six js\n   (javascript:alert)\n   <script>\n\n" +
		"```yaml\na: [b](c)\n```\n    code  line\n\nk    v\na|b  1\n\na\n    value: one two\n    three four five\n"
	if got := p.Plain(22); got != plain {
		t.Errorf("plain:\n%s\nwant:\n%s", got, plain)
	}
	html := string(p.HTML())
	for _, want := range []string{`<h1 id="a-b">`, `<a href="guides/nat.md#x">NAT</a>`, `href="https://a.example/"`, "a picture", `align="right"`} {
		if !strings.Contains(html, want) {
			t.Errorf("no %s in\n%s", want, html)
		}
	}
	if regexp.MustCompile(`<script|<b>|<img|javascript:`).MatchString(html) {
		t.Errorf("raw HTML in\n%s", html)
	}
}

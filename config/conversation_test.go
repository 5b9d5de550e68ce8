package config

import (
	"strings"
	"testing"
)

const wholeConversation = `target: agent
from: "+15075550100"
headers: ["X-Customer: 42"]
sounds: {hello: testdata/sounds/hello.wav}
limit: 2m
steps:
  - wait: words
  - {wait: pause, within: 20s, pause: 1s}
  - {say: 3s, expect: {answer: 1s}}
  - {wait: words}
  - {interrupt: 500ms, after: 2s, expect: {stops_within: 1s}}
  - press: "123#"
  - silence: 2s
  - hang_up: true
expect: {answered_within: 5s, answer p50: 1s, answer p95: 2s, answer: 3s, talk_over: 5%, loss: 0%, mos: 3.8, duration min: 20s, hangup_by: agent, transfer_to: "+1507", received X-A: "1"}
`

func TestConversation(t *testing.T) {
	c, err := ParseConversation("test.yaml", []byte(strings.Replace(wholeConversation, "sounds:", "#", 1)))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Expectation{
		"answer p95":             {Name: "answer p95", Figure: "answer", Share: 0.95, Limit: 2000},
		"loss":                   {Name: "loss", Figure: "loss", Share: 1},
		"mos":                    {Name: "mos", Figure: "mos", Share: 1, Limit: 3.8, Least: true},
		"duration min":           {Name: "duration min", Figure: "duration", Share: 1, Limit: 20000, Least: true},
		"hangup_by":              {Name: "hangup_by", Figure: "hangup_by", Share: 1, Text: "agent"},
		"received X-A":           {Name: "received X-A", Figure: "received x-a", Text: "1"},
		"answer of step 3":       {Name: "answer of step 3", Figure: "answer", Share: 1, Limit: 1000, Step: 3},
		"stops_within of step 5": {Name: "stops_within of step 5", Figure: "stops_within", Share: 1, Limit: 1000, Step: 5},
	}
	for _, x := range c.Expect {
		if w, ok := want[x.Name]; ok && x != w {
			t.Errorf("%+v; want %+v", x, w)
		}
		delete(want, x.Name)
	}
	if len(want) > 0 || len(c.Steps) != 8 || c.Steps[1].Within.Seconds() != 20 || c.Steps[0].Pause.Milliseconds() != 700 {
		t.Errorf("without %v: %+v", want, c)
	}
}

// Each mistake is told with its line, its path and a remedy, all at once.
func TestConversationErrors(t *testing.T) {
	for _, tt := range []struct{ text, wants string }{
		{"", "is empty"},
		{"steps: [{say: 3s]", "test.yaml: is not YAML"},
		{"tarket: a\nsteps: [{say: 3s}]", `test.yaml:1: tarket: unknown key; did you mean "target"?`},
		{"steps: []", "steps: is an empty list"},
		{"steps: [say]", "test.yaml:1: steps[0]: must be a mapping"},
		{"steps:\n- {say: 3s, wait: words}", "test.yaml:2: steps[0]: a step does one thing"},
		{"steps:\n- {within: 3s}", "test.yaml:2: steps[0]: a step does one thing"},
		{"steps: [{say: 3s, within: 2s}]", `steps[0].within: "2s" does not count in this step`},
		{"steps: [{wait: words, pause: 2s}]", `steps[0].pause: "2s" does not count in this step`},
		{"steps: [{wait: pause, after: 2s}]", `steps[0].after: "2s" does not count in this step`},
		{"steps: [{wait: word}]", `steps[0].wait: "word" is not known here`},
		{"steps: [{say: hello}]", `steps[0].say: "hello" is no duration, and no name below sounds`},
		{"steps: [{say: 10m}]", `steps[0].say: "10m" is not for the built-in voice`},
		{"steps: [{interrupt: 10ms}]", `steps[0].interrupt: "10ms" is not for the built-in voice`},
		{"sounds: {hello: none.wav}\nsteps: [{say: hello}]", `test.yaml:1: sounds.hello: "none.wav"`},
		{"steps: [{press: 1x}]", `steps[0].press: "1x" are not keys of a phone`},
		{"steps: [{silence: 1h}]", `steps[0].silence: "1h" is out of range`},
		{"steps: [{say: 3s, expect: {answer: soon}}]", `steps[0].expect.answer: "soon" is no limit for answer; write one like 1500ms`},
		{"steps: [{say: 3s}]\nexpect: {anser: 1s}", "test.yaml:2: expect.anser: unknown figure"},
		{"steps: [{say: 3s}]\nexpect: {answer p99: 1s}", "expect.answer p99: unknown figure"},
		{"steps: [{say: 3s}]\nexpect: {loss: 1}", `expect.loss: "1" is no limit`},
		{"steps: [{say: 3s}]\nexpect: {loss: NaN%}", `expect.loss: "NaN%" is no limit`},
		{"steps: [{say: 3s}]\nexpect: {mos: 1s}", `expect.mos: "1s" is no limit`},
		{"steps: [{say: 3s}]\nexpect: {hangup_by: me}", "write one like a text, or for hangup_by caller or agent"},
		{"steps: [{say: 3s}]\nexpect: {received: me}", "expect.received: unknown figure"},
		{"steps: [{say: 3s}]\nexpect: {hangup_by p50: caller}", "unknown figure"},
		{"target: a\nto: sip:a@b\nsteps: [{say: 3s}]", "test.yaml:2: to: is a SIP URI beside a target"},
		{"to: sip:{{@b\nsteps: [{say: 3s}]", "test.yaml:1: to: \"sip:{{@b\" holds a template"},
		{"steps: [{say: 3s}]\nexpect: {mos p50: 4}", "expect.mos p50: unknown figure"},
		{"steps: [{say: 3s}]\nexpect: {loss p95: 1%}", "expect.loss p95: unknown figure"},
		{"steps: [{say: 3s}]\nexpect: {transfer_to: ''}", "expect.transfer_to: \"\" is no limit for transfer_to"},
		{"steps: [{say: 3s}]\nexpect: {received X-A: ''}", "expect.received X-A: \"\" is no limit"},
		{"from: 'sip:me@127.0.0.1'\nsteps: [{say: 3s}]", "test.yaml:1: from: \"sip:me@127.0.0.1\" is not a number"},
		{"steps: [{hang_up: false}]", "steps[0]: a step does one thing"},
		{"steps: [{press: ''}]", "steps[0]: a step does one thing"},
		{"to: 'sip:a b@c'\nsteps: [{say: 3s}]", `test.yaml:1: to: "sip:a b@c" is no SIP URI for a call over UDP`},
		{"to: sip:a@b;transport=tcp\nsteps: [{say: 3s}]", `test.yaml:1: to: "sip:a@b;transport=tcp" is no SIP URI for a call over UDP`},
		{"steps: [{say: 3s}]\nto: a b", `test.yaml:2: to: "a b" is no number, and no SIP URI`},
		{"steps: [{say: 3s}]\nheaders:\n- 'X-A: 1'\n- 'Via: 1'", `test.yaml:4: headers[1]: "Via: 1" is a header of one side of the call`},
		{"steps: [{say: 3s}]\nexpect: {anser: 1s}", `"received NAME" for a header or field that the agent gets`},
		{"steps: [{say: 3s}, {silence: 1s}, {wait: words}]\nexpect: {answer p50: 1s}", "test.yaml:2: expect.answer p50: can never be measured: no wait is next"},
		{"steps:\n- {say: 3s}\n- {wait: words}\n- {say: 1s, expect: {answer: 1s}}", "test.yaml:4: steps[2].expect.answer: can never be measured"},
		{"steps: [{say: 3s}, {wait: hangup}]\nexpect: {answer: 1s}", "can never be measured"},
		{"steps: [{wait: words, expect: {answer: 1s}}, {say: 1s}, {wait: words}]", "steps[0].expect.answer: can never be measured"},
		{"steps: [{say: 3s}]\nexpect: {stops_within: 1s}", "expect.stops_within: can never be measured: the caller does not interrupt; write it for a step with interrupt"},
		{"steps: [{say: 3s, expect: {mos: 4}}]", "steps[0].expect.mos: is a figure of the whole call"},
		{"steps:\n- {wait: words, says: hello}", "test.yaml:2: steps: has says, and nothing tells the agent's words"},
		{"transcribe: 'cat | sh'\nsteps: [{say: 3s}]", "test.yaml:1: transcribe: \"cat | sh\" is run without a shell"},
		{"transcribe: http://api.example.com/x\nsteps: [{say: 3s}]", "would send the agent's words unencrypted"},
		{"transcribe: https://a:b@api.example.com/x\nsteps: [{say: 3s}]", "transcribe: holds a password"},
		{"transcribe: https:///x\nsteps: [{say: 3s}]", "is not a URL"},
		{"noise: street 15\nsteps: [{say: 3s}]", `noise: "street 15" is no noise; write one of car, crowd, street, and 0dB to 60dB below`},
		{"noise: rain 15dB\nsteps: [{say: 3s}]", `"rain 15dB" is no noise`},
		{"noise: street -1dB\nsteps: [{say: 3s}]", `is no noise`},
		{"headers: [X]\nsteps: [{say: 3s}]", `headers[0]: "X" is not a header with a value`},
		{"steps: [" + strings.Repeat("{say: 1s},", 201) + "]", "has more than 200 steps"},
	} {
		if _, err := ParseConversation("test.yaml", []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.wants) {
			t.Errorf("%q: %v; want %s", tt.text, err, tt.wants)
		}
	}
}

// Keys that are not read hinder nothing.
func TestConversationWithout(t *testing.T) {
	file := "to: sip:a@b\nsounds: {hello: none.wav}\nsteps: [{say: hi, expect: {answer: 1s}}]\nexpect: {mos: 4}\n"
	c, err := ParseConversation("test.yaml", []byte(file), "steps", "sounds")
	if err != nil || len(c.Expect) != 1 || len(c.Steps) != 0 || c.To != "sip:a@b" {
		t.Errorf("%+v, %v", c, err)
	}
}

func FuzzConversation(f *testing.F) {
	f.Add([]byte(wholeConversation))
	f.Add([]byte("steps: [{say: 3s, expect: {answer p95: 1e9%}}, {wait: &a [*a]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "sounds") {
			return // it would read files
		}
		c, err := ParseConversation("test.yaml", data)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err != nil {
			return
		}
		for _, x := range c.Expect {
			if !(x.Limit >= 0) || x.Share <= 0 && x.Text == "" && !strings.HasPrefix(x.Figure, "received") || x.Step > len(c.Steps) {
				t.Errorf("%+v", x)
			}
		}
	})
}

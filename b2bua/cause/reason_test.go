package cause

import (
	"slices"
	"strings"
	"testing"

	"flowbridge/b2bua/message"
	"flowbridge/config/template"
)

func TestParseReasons(t *testing.T) {
	for _, tt := range []struct {
		values []string
		want   []reason
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{"Q.850;cause=16"}, []reason{{"Q.850", 16, ""}}},
		{[]string{` q.850 ; Cause = 017 ; TEXT = "User busy" `}, []reason{{"q.850", 17, "User busy"}}},
		{[]string{`SIP;cause=200;text="Call completed elsewhere"`}, []reason{{"SIP", 200, "Call completed elsewhere"}}},
		{
			[]string{`SIP ;cause=600 ;text="a, \"b\"; \\c;cause=1", Q.850;text="x,y"`, "Preemption;cause=1"},
			[]reason{{"SIP", 600, `a, "b"; \c;cause=1`}, {"Q.850", 0, "x,y"}, {"Preemption", 1, ""}},
		},
		{[]string{"SIP;text=busy;cause=486"}, []reason{{"SIP", 486, "busy"}}},
		{[]string{"SIP"}, []reason{{"SIP", 0, ""}}},
		{[]string{"SIP;;cause;x=\"y;cause=2\";z"}, []reason{{"SIP", 0, ""}}},
		{[]string{"SIP;cause=1;cause=2;text=a;text=b"}, []reason{{"SIP", 1, "a"}}},
		{[]string{"SIP;cause=-1", "SIP;cause=+1", "SIP;cause=x", "SIP;cause=99999", "SIP;cause=\"1\""}, slices.Repeat([]reason{{"SIP", 0, ""}}, 5)},
		{[]string{";cause=16", "S P;cause=1", "S\x00P", ",,Q.850;cause=16,"}, []reason{{"Q.850", 16, ""}}},
		{[]string{"SIP;text=\"a\r\n b\x00c\u0085d\""}, []reason{{"SIP", 0, "a bcd"}}},
		{[]string{`SIP;text="open, Q.850;cause=1`}, []reason{{"SIP", 0, ""}}},
		{[]string{`SIP;text="` + strings.Repeat("ü", 100) + `"`}, []reason{{"SIP", 0, strings.Repeat("ü", 64)}}},
		{[]string{strings.Repeat("x", 129)}, nil},
		{[]string{strings.Repeat("SIP,", 20)}, slices.Repeat([]reason{{"SIP", 0, ""}}, 16)},
	} {
		if got := parseReasons(tt.values); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %+v; want %+v", tt.values, got, tt.want)
		}
	}
}

func TestReasonString(t *testing.T) {
	for want, r := range map[string]reason{
		"SIP":                            {"SIP", 0, ""},
		"Q.850;cause=16":                 {"Q.850", 16, ""},
		`SIP;cause=200;text="a, \"b\""`:  {"SIP", 200, `a, "b"`},
		`SIP;text="one line"`:            {"SIP", 0, "one\r\n line"},
		`Q.850;cause=1;text="back\\ up"`: {"Q.850", 1, `back\ up`},
	} {
		if got := r.String(); got != want {
			t.Errorf("%+v: %s; want %s", r, got, want)
		}
	}
}

// The Reason headers that cause.go writes are parsed to the same values, both here and by
// cause.go itself.
func TestReasonsOfOurs(t *testing.T) {
	for _, why := range append(causes(), AnotherAnswered) {
		value := ReasonValue(why, 0)
		if value == "" {
			continue
		}
		all := parseReasons([]string{value})
		if len(all) != 1 || all[0].String() != value {
			t.Fatalf("%s: %+v", value, all)
		}
		if q := Q850In([]string{value}); q != 0 && q != all[0].cause || q == 0 && strings.HasPrefix(value, "Q.850") {
			t.Errorf("%s: cause %d and %d", value, q, all[0].cause)
		}
	}
}

// FuzzReasons checks that parsed values are bounded and harmless, and stay the same when
// they are written and parsed again.
func FuzzReasons(f *testing.F) {
	f.Add(`SIP ;cause=600 ;text="a, \"b\"; c", Q.850;cause=16`)
	f.Add("SIP;text=\"\xff\u0085\\")
	f.Add("Q.850;cause=99999999999999999999;;=,")
	f.Fuzz(func(t *testing.T, value string) {
		all := parseReasons([]string{value, value})
		if len(all) > maxReasons {
			t.Errorf("%d reasons", len(all))
		}
		for _, r := range all {
			text := r.String()
			if len(text) > 3*message.MaxPhrase+40 || strings.ContainsFunc(text, template.IsControl) || r.cause < 0 || r.cause > maxReasonCause {
				t.Errorf("%q gives %q", value, text)
			}
			if again := parseReasons([]string{text}); len(again) != 1 || again[0] != r {
				t.Errorf("%q: %+v, then %+v", value, r, again)
			}
		}
	})
}

// TestOfGateway: only the two causes of the gateway are taken from a Reason header.
func TestOfGateway(t *testing.T) {
	for value, want := range map[string]Cause{
		"":                                     AgentHangup,
		`Q.850;cause=16`:                       AgentHangup,
		`Q.850;cause=41;text="bot_lost"`:       BotLost,
		`Q.850;cause=41;text="agent_stalled"`:  AgentStalled,
		`Q.850;cause=41;text="caller_hangup"`:  AgentHangup,
		`SIP;cause=500, Q.850;text="bot_lost"`: BotLost,
	} {
		if got := OfGateway([]string{value}); got != want {
			t.Errorf("%s: got %s; want %s", value, got, want)
		}
	}
}

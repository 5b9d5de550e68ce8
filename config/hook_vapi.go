package config

import (
	"encoding/json"
	"slices"

	"flowbridge/config/template"
)

// vapiHook is the section `hooks.vapi`.
type vapiHook struct {
	// What Vapi sends as X-Vapi-Secret or bearer token. Required unless listen is a loopback address.
	Secret Secret `key:"secret_file"`
	// Which assistant takes a call. The first rule that matches is used.
	Rules []VapiRule `key:"rules" required:"which assistant takes which call, like [{assistant_id: \"…\"}]" filled:""`

	open bool // requests are accepted without a secret
}

func (h *vapiHook) check(s section) { h.open = !s.has("secret_file") }

// VapiRule is one entry of hooks.vapi.rules. Exactly one of AssistantID, Assistant, Destination and Error is set.
type VapiRule struct {
	// A regular expression over the called number of the carrier's call, as in routes.
	To *Numbers `key:"to"`
	// The same for the calling number of the carrier's call.
	From *Numbers `key:"from"`
	// A template that gives "true" for the calls that the rule applies to, like {{eq .Trunk "carrier"}}.
	When *template.Template `key:"when" use:"hook"`
	// An assistant's id. A rule has one of assistant_id, assistant, destination and error.
	AssistantID *template.Template `key:"assistant_id" use:"hook"`
	// A transient assistant, as Vapi's JSON. Vapi's own {{placeholders}} stay in it.
	Assistant json.RawMessage `key:"assistant"`
	// Where the call goes if no assistant takes it: a destination object of Vapi.
	Destination json.RawMessage `key:"destination"`
	// What the caller hears before the call ends.
	Error *template.Template `key:"error" use:"hook"`
	// Vapi's assistantOverrides, beside assistant_id or assistant.
	Overrides json.RawMessage `key:"overrides"`
	// Templates of values for the assistant's {{placeholders}}, beside assistant_id or assistant.
	Variables []variable `key:"variables" use:"hook"`
}

func (r *VapiRule) check(s section) {
	answers := slices.DeleteFunc([]string{"assistant_id", "assistant", "destination", "error"},
		func(k string) bool { return !s.filled(k) })
	switch {
	case len(answers) == 0:
		s.fail("has no answer", "write one of assistant_id, assistant, destination and error")
	case len(answers) > 1:
		s.fields[answers[1]].fail("stands beside "+answers[0], "keep one of them")
	case answers[0] != "assistant_id" && answers[0] != "assistant":
		for _, k := range []string{"overrides", "variables"} {
			if s.has(k) {
				s.fields[k].fail("stands beside "+answers[0]+", which is no assistant", "remove it")
			}
		}
	}
}

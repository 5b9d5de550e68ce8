package config

import (
	"slices"
	"time"
)

// maxVapiAnswer leaves two seconds of the time that Vapi waits to the network
// and to the headers of its request, which hooks waits for so long.
const maxVapiAnswer = 5500 * time.Millisecond

func (s section) vapiHook() *VapiHook {
	listen, on := s.on()
	if !on {
		return nil
	}
	h := &VapiHook{
		Listen:  listen,
		Path:    s.hookPath("/assistant-request"),
		Secret:  s.shared("secret", listen, "ask which assistants there are"),
		Timeout: one(s, "timeout", 5*time.Second, parseAnswerTime),
	}
	s.require("rules", `which assistant takes which call, like [{assistant_id: "…"}]`)
	s.notEmpty("rules")
	for _, v := range s.list("rules") {
		h.Rules = append(h.Rules, v.vapiRule())
	}
	return h
}

func parseAnswerTime(t string) (time.Duration, complaint) {
	d, c := parseDuration(t)
	if c.none() && d > maxVapiAnswer {
		return 0, refuse("is longer than 5.5s, and Vapi gives a call up after 7.5s, of which its request may take 2s", "write 5500ms or less")
	}
	return d, c
}

func (v value) vapiRule() VapiRule {
	s := v.section("trunk", "to", "from", "when", "assistant_id", "assistant", "destination", "error", "overrides", "variables")
	r := VapiRule{
		Trunk: one(s, "trunk", "", func(t string) (string, complaint) {
			if t != "" && !s.l.trunks[t] {
				return "", refuse("is not the name of a trunk", "add it to trunks, or correct the name")
			}
			return t, complaint{}
		}),
		To:          one(s, "to", nil, parseRegexp),
		From:        one(s, "from", nil, parseRegexp),
		When:        s.hookTemplate("when"),
		AssistantID: s.hookTemplate("assistant_id"),
		Assistant:   s.json("assistant"),
		Destination: s.json("destination"),
		Error:       s.hookTemplate("error"),
		Overrides:   s.json("overrides"),
		Variables:   s.variables("variables"),
	}
	answers := slices.DeleteFunc([]string{"assistant_id", "assistant", "destination", "error"}, func(k string) bool { return !s.filled(k) })
	switch {
	case s.broken:
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
	return r
}

// hookTemplate reads a template of a hook, which sees no prepare step; nil where it is absent.
func (s section) hookTemplate(key string) *Template {
	v, ok := s.fields[key]
	if !ok {
		return nil
	}
	t, _, _ := v.template(templateUse{hook: true})
	return t
}

// variables reads a mapping of names to templates, in file order.
func (s section) variables(key string) (all []Variable) {
	v, ok := s.fields[key]
	if !ok {
		return nil
	}
	entries, _ := v.entries(join)
	for _, e := range entries {
		if t, _, ok := e.template(templateUse{hook: true}); ok {
			all = append(all, Variable{Name: e.key, Value: t})
		}
	}
	return all
}

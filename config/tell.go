package config

import (
	"reflect"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"flowbridge/config/template"
)

// Tell is the section `routes[].tell`: the caller hears a statement, whole, before an agent is connected. Flowbridge
// answers the call to say it. Not for routes of a target, whose caller is the agent.
type Tell struct {
	// The sound to say, one of sounds: a name, or a template like {{or .Row.language "en"}}.
	Sound *template.Template `key:"sound" required:"the name of a sound, or a template like {{or .Row.language \"en\"}}"`
	// Asks the caller for a key after the statement. Without it the agent follows the statement.
	Accept *TellAccept `key:"accept"`
	// Whether the statement is said in early media, after 183. Then the call is answered with the agent's
	// answer, and a refusal passes as without tell. Some carriers pass on no early media.
	Early bool `key:"early" default:"false"`
	// Whether a call without the statement fails with the cause not_told. If false, the call continues
	// without it.
	Required bool `key:"required" default:"true"`
	// What the caller hears if no target takes the call after the statement. Empty: nothing.
	NotTaken string `key:"not_taken" is:"sound"`
}

// TellAccept is the section `accept` of tell.
type TellAccept struct {
	// The key that accepts, for example 1.
	Key string `key:"key" is:"dtmf-key" required:"the key that the caller presses to accept"`
	// How long the caller may take after the statement's end.
	Within time.Duration `key:"within" is:"accept-within" default:"8s"`
	// What follows another key, or none: hangup, continue (with the agent, and without record: told), or
	// {route: NAME}, whose targets take the call.
	Otherwise Unaccepted `key:"otherwise" is:"unaccepted" default:"hangup"`
}

// Unaccepted is what happens to a caller that does not accept.
type Unaccepted struct {
	// The name of the route whose targets take the call.
	Route string `key:"route" required:"the name of a route"`

	Continues bool // the call continues with the agent

	at value // of Route
}

// The words of otherwise.
const (
	unacceptedHangup   = "hangup"
	unacceptedContinue = "continue"
)

// unaccepted reads the key otherwise: a word, or a mapping with a route.
func (s section) unaccepted(k key) (u Unaccepted) {
	v, ok := s.fields[k.name]
	if !ok {
		return u
	}
	if v, ok = v.resolve(); !ok {
		return u
	}
	if v.node.Kind == yaml.MappingNode {
		sub := v.section(reflect.TypeFor[Unaccepted]())
		sub.read(reflect.ValueOf(&u).Elem())
		u.at = sub.fields["route"]
		return u
	}
	u.Continues = one(s, k.name, k.kind().parse(s)) == unacceptedContinue
	return u
}

// check reports a statement that is no sound. A template is tried with every call.
func (t *Tell) check(s section) {
	if text, constant := t.Sound.Constant(); t.Sound != nil && constant {
		if _, c := s.l.sound(text); !c.none() {
			s.fields["sound"].fail(c.problem, c.remedy)
		}
	}
}

// checkTell checks a route's tell against the rest of the route.
func (r *Route) checkTell(s section) {
	switch t := r.Tell; {
	case t == nil && r.Record == WantedTold:
		s.fields["record"].fail("is told, and the route has no tell", "add tell, or write always")
	case t == nil:
	case s.filled("target"):
		s.fields["tell"].fail("stands beside target: the agent has placed these calls itself", "remove it")
	case t.Accept != nil && r.MaskDTMF == WantedAlways:
		s.fields["tell"].fail("asks for a key, and mask_dtmf hides every key", "write mask_dtmf: on_demand, or remove accept")
	case t.Early && t.Accept != nil:
		s.fields["tell"].fail("asks for a key in early media, in which many carriers pass on no keys",
			"remove early, or accept")
	}
}

// checkTold looks up the routes that tell leads to, after all of them have been read.
func (c *Config) checkTold(l *loader) {
	for i := range c.Routes {
		if t := c.Routes[i].Tell; t != nil && t.Accept != nil && t.Accept.Otherwise.Route != "" {
			if u := &t.Accept.Otherwise; c.RouteNamed(u.Route) < 0 {
				u.at.fail("is not the name of a route",
					meant(u.Route, namesOf(l.routes), "write name: "+u.Route+" below the route, or correct it"))
			}
		}
	}
}

// RouteNamed returns the index of the route with this name, or -1.
func (c *Config) RouteNamed(name string) int {
	return slices.IndexFunc(c.Routes, func(r Route) bool { return r.Name == name })
}

// Tells reports whether a route tells its callers something.
func (c *Config) Tells() bool {
	return slices.ContainsFunc(c.Routes, func(r Route) bool { return r.Tell != nil })
}

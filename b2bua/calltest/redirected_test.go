package calltest

import (
	"errors"
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/redirected"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// If no rule matches a redirected call, the call's record says so.
func TestRedirectWithoutRule(t *testing.T) {
	inWorld(t, func(w *world) {
		rules := []config.TwilioRule{{To: testConfigured(t, testConfig).Routes[2].To, Targets: []string{"spare"}}}
		r := w.server.Redirected(redirected.Options{Rules: rules, Route: "hooks.twilio", Follow: true})
		defer r.Close()
		if to, err := r.Begin(w.t.Context(), template.Vars{CallID: record.NewID(), To: redirected.PartyOf("+15095550100")}); err != nil || to.Target != "spare" {
			t.Errorf("%+v, %v", to, err)
		}
		if _, err := r.Begin(w.t.Context(), template.Vars{CallID: record.NewID(), To: redirected.PartyOf("+15085550100")}); !errors.Is(err, redirected.ErrNoTarget) {
			t.Errorf("%v", err)
		}
		if got := w.wantRecord("failed", cause.NoRoute, record.EndedBySystem); got.SIPStatus != 404 || got.Route != "hooks.twilio" {
			t.Errorf("%+v", got)
		}
	})
}

// A call that Twilio dials reaches no target with text that is not a number.
func TestRedirectDialString(t *testing.T) {
	inWorldWith(t, strings.NewReplacer("@TO@", "", "@TARGETS@", "agent").Replace(dialConfig), func(w *world) {
		for user, want := range map[string]string{
			"+15075550100":              "agent",
			"sip:+15075550100@x.test":   "agent",
			"sip:+1507w1900@x.test":     "fixed",
			"sip:alice@x.test":          "fixed",
			"+1507&SIP/evil/+190055501": "fixed",
		} {
			r := w.server.Redirected(redirected.Options{Targets: []string{"agent", "fixed"}})
			to, err := r.Begin(w.t.Context(), template.Vars{CallID: record.NewID(), To: redirected.PartyOf(user), From: redirected.PartyOf("+15075550101")})
			if err != nil || to.Target != want {
				t.Errorf("%s: %+v, %v; want %s", user, to, err, want)
			}
			r.Close()
		}
		r := w.server.Redirected(redirected.Options{Targets: []string{"agent"}})
		defer r.Close()
		if to, err := r.Begin(w.t.Context(), template.Vars{CallID: record.NewID(), To: redirected.PartyOf("sip:+1507w1@x.test")}); !errors.Is(err, redirected.ErrNoTarget) {
			t.Errorf("%+v, %v", to, err)
		}
	})
}

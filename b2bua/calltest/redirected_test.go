package calltest

import (
	"errors"
	"strings"
	"testing"
	"time"

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
		if to, err := r.Begin(w.t.Context(), template.Vars{CallID: record.NewID(), To: redirected.PartyOf("+15095550100")}, ""); err != nil || to.Target != "spare" {
			t.Errorf("%+v, %v", to, err)
		}
		if _, err := r.Begin(w.t.Context(), template.Vars{CallID: record.NewID(), To: redirected.PartyOf("+15085550100")}, ""); !errors.Is(err, redirected.ErrNoTarget) {
			t.Errorf("%v", err)
		}
		if got := w.wantRecord("failed", cause.NoRoute, record.EndedBySystem); got.SIPStatus != 404 || got.Route != "hooks.twilio" {
			t.Errorf("%+v", got)
		}
	})
}

// A request that Twilio repeats is answered like the first one, whether or not the call is followed.
func TestRedirectRepeated(t *testing.T) {
	for _, follow := range []bool{false, true} {
		inWorld(t, func(w *world) {
			r := w.server.Redirected(redirected.Options{
				Targets: []string{"agent"}, Route: "hooks.twilio", Follow: follow,
				Variables: func(template.Vars) map[string]string { return nil },
			})
			begin := func(sid, status string) redirected.Destination {
				to, err := r.Begin(w.t.Context(),
					template.Vars{CallID: record.NewID(), SIPCallID: sid, To: redirected.PartyOf("+15095550100")}, status)
				must(t, err)
				return to
			}
			first := begin("CA1", "ringing")
			if again := begin("CA1", "ringing"); again.Call != first.Call || again.CallID != first.CallID || len(w.prepare.asked) != 1 {
				t.Errorf("follow %v: %+v and then %+v, prepared %d times", follow, first, again, len(w.prepare.asked))
			}
			if c, err := r.Find("CA1"); err != nil || c.ID != first.Call {
				t.Errorf("follow %v: %+v, %v", follow, c, err)
			}
			if other := begin("CA2", "ringing"); other.Call == first.Call {
				t.Error("another call is the same one")
			}
			time.Sleep(4 * time.Minute)
			if again := begin("CA1", "ringing"); again.Call != first.Call || again.CallID != first.CallID {
				t.Errorf("follow %v: %+v and, while what was prepared can be used, %+v", follow, first, again)
			}
			if later := begin("CA1", "in-progress"); later.Call == first.Call {
				t.Error("a call that comes again after its answer is the same one")
			}
			if _, err := r.Find("CA1"); err != nil {
				t.Errorf("follow %v: a call that comes again later: %v", follow, err)
			}
			r.Close()
		})
	}
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
			to, err := r.Begin(w.t.Context(), template.Vars{CallID: record.NewID(), To: redirected.PartyOf(user), From: redirected.PartyOf("+15075550101")}, "")
			if err != nil || to.Target != want {
				t.Errorf("%s: %+v, %v; want %s", user, to, err, want)
			}
			r.Close()
		}
		r := w.server.Redirected(redirected.Options{Targets: []string{"agent"}})
		defer r.Close()
		if to, err := r.Begin(w.t.Context(), template.Vars{CallID: record.NewID(), To: redirected.PartyOf("sip:+1507w1@x.test")}, ""); !errors.Is(err, redirected.ErrNoTarget) {
			t.Errorf("%+v, %v", to, err)
		}
	})
}

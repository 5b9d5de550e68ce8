package calltest

import (
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/report"
	"flowbridge/store/record"
)

// splitYAML is testConfig with a route that splits its calls between the targets, and with a route that sends calls
// outside office hours to the second target.
var splitYAML = testConfig[:strings.Index(testConfig, "routes:")] + `routes:
  - {name: trial, targets: [agent, spare], split: {agent: 50, spare: 50}, hours: {zone: America/New_York, open: ["mon-fri 08:00-17:00"]}}
  - {name: night, targets: [spare]}
`

// TestSplit: a caller always gets the same target first, and the other one if that fails. The record and the ladder say
// which share the caller belongs to. A restart changes nothing.
func TestSplit(t *testing.T) {
	inWorldWith(t, splitYAML, func(w *world) {
		w.untilOffice()
		first := map[string]string{}
		for i := range 3 {
			for _, from := range []string{"+15075550100", "+15075550111", "+15075550122", "+15075550133"} {
				d := w.carrier.newCall("+15075785607")
				d.from = strings.Replace(d.from, "+15075550100", from, 1)
				w.carrier.invitesTillRung(d)
				target, other := w.agent, w.agent2
				if len(w.agent2.in) > 0 {
					target, other = w.agent2, w.agent
				}
				target.concludes(target.expect("INVITE"), 503, "Service Unavailable", "x", "")
				r := w.shortCall(other, other.expect("INVITE"), "y", d)
				if a := r.Attempts; len(a) != 2 || a[0].Reason != record.ReasonSplit || a[1].Reason != "" || i > 0 && a[0].Target != first[from] {
					t.Errorf("%s: got %+v", from, a)
				}
				first[from] = r.Attempts[0].Target
				time.Sleep(time.Minute) // the ladder is stored once the transactions are over
				if said := "split: target " + first[from] + " has this caller, by 50 of 100"; !strings.Contains(strings.Join(lines(w.ladder(r.ID)), "\n"), said) {
					t.Errorf("the ladder has no %q:\n%s", said, strings.Join(lines(w.ladder(r.ID)), "\n"))
				}
				x, err := b2bua.Explain(testConfigured(t, splitYAML), nil, report.Question{From: from, To: "+15075785607", At: time.Now()})
				if err != nil || x.Split == nil || *x.Split != (report.Share{Target: first[from], Weight: 50, Of: 100}) || x.Targets[0].Target != first[from] {
					t.Errorf("%s: explain has %+v, %v", from, x.Split, err)
				}
			}
			w.restart()
		}
		if first["+15075550100"] == first["+15075550111"] && first["+15075550100"] == first["+15075550122"] && first["+15075550100"] == first["+15075550133"] {
			t.Errorf("nobody is split: %v", first)
		}
	})
}

// untilOffice sleeps until the first route of splitYAML takes calls.
func (w *world) untilOffice() {
	zone := w.admission.Peers.Load().Routes[0].Hours.Zone
	at := time.Now().In(zone)
	monday := time.Date(at.Year(), at.Month(), at.Day()+(8-int(at.Weekday()))%7, 8, 0, 0, 0, zone)
	time.Sleep(time.Until(monday))
}

// TestHoursOfRoute: a call takes the route whose hours apply, to the minute. explain reports what would happen at a
// given time.
func TestHoursOfRoute(t *testing.T) {
	inWorldWith(t, splitYAML, func(w *world) {
		w.untilOffice()
		opens := time.Now()
		time.Sleep(-time.Second + 24*time.Hour)
		for _, tt := range []struct {
			after time.Duration
			route string
		}{{0, "night"}, {time.Second, "trial"}, {9*time.Hour - 2*time.Second, "trial"}, {2 * time.Second, "night"}} {
			time.Sleep(tt.after)
			d := w.carrier.dialsTillRung("+15075785607")
			at := w.agent
			if len(w.agent2.in) > 0 {
				at = w.agent2
			}
			w.carrier.isBusyAt(at, at.expect("INVITE"), "x", d)
			if r := w.record(); r.Route != tt.route {
				t.Errorf("at %v: got %s", time.Now(), r.Route)
			}
			x, err := b2bua.Explain(testConfigured(t, splitYAML), nil, report.Question{From: "+15075550100", To: "+15075785607", At: time.Now()})
			if err != nil || x.Route != tt.route {
				t.Errorf("at %v: explain has %s, %v", time.Now(), x.Route, err)
			}
		}
		x, _ := b2bua.Explain(testConfigured(t, splitYAML), nil, report.Question{From: "+15075550100", To: "+15075785607", At: opens.Add(-time.Minute)})
		if want := "it is open mon,tue,wed,thu,fri 08:00-17:00 America/New_York, and the time there is mon 07:59"; x.Routes[0].Why != want {
			t.Errorf("got %s", x.Routes[0].Why)
		}
	})
}

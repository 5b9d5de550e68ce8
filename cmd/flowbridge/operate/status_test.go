package operate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"flowbridge/admin"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// full is a node with every line of a status.
func full(troubles int) *admin.Status {
	s := &admin.Status{
		Node: "n1", Version: "1.2.3", StartedAt: began, Calls: live.Capacity{Calls: 3}, Phases: live.Phases{Bridged: 3}, Answered: 3, Decided: 4,
		Targets: []admin.StatusPeer{{Name: "vapi", Health: live.HealthRefusing}, {Name: "a", Health: live.HealthOK}, {Name: "b", Health: live.HealthOK}},
		Trunks:  []admin.StatusPeer{{Name: "pbx"}, {Name: "carrier\x1b", Calls: 3, MaxCalls: 30}}, DiskFree: 12e9, DiskSize: 40e9,
		Certificate: &admin.StatusCertificate{File: "cert.pem"}, Registrations: &admin.StatusRegistrations{Up: 1, All: 2},
		Fleet: &admin.StatusFleet{Nodes: 2, Reached: true, Seat: "east"},
	}
	for i := range troubles {
		s.Troubles = append(s.Troubles, live.Trouble{Code: live.TroubleRefusing, Severity: live.SeverityBad, Since: began, Text: fmt.Sprintf("trouble %d", i)})
	}
	return s
}

// A status has at most 12 lines, whatever is not well, the most urgent first.
func TestStatusIsShort(t *testing.T) {
	now := began.Add(90 * time.Minute)
	for troubles, want := range map[int]string{
		0: "well\nflowbridge    1.2.3 at n1, up since 08:00 (1h30m0s)\ncalls         3 live: 3 in call, ",
		1: "not well: 1 thing\n  bad  trouble 0 (since 08:00)\nflowbridge ",
		3: "not well: 3 things\n  bad  trouble 0 (since 08:00)\n  bad  trouble 1 (since 08:00)\n  bad  trouble 2 (since 08:00)\nflowbridge ",
		9: "not well: 9 things\n  bad  trouble 0 (since 08:00)\n  bad  trouble 1 (since 08:00)\n  and 7 more: flowbridge status --json\nflowbridge ",
	} {
		var out strings.Builder
		if err := printStatus(&out, full(troubles), now); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.HasPrefix(got, want) || strings.Count(got, "\n") > statusLines {
			t.Errorf("%d troubles:\n%s", troubles, got)
		}
	}
	var out strings.Builder
	_ = printStatus(&out, full(0), now)
	for _, want := range []string{
		"targets       1 refusing (vapi), 2 ok\n", "trunks        carrier? 3/30, pbx 0\n", "disk          12.0 of 40.0 GB free\n",
		"certificate   cert.pem: none yet\n", "registrations 1 of 2 up\n", "fleet         2 nodes, 0 vanished, database reached, seat east\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// The exit code says whether all is well, and the first line why not.
func TestStatusExitCodes(t *testing.T) {
	s := full(0)
	h := httptest.NewServer(admin.New(admin.Options{
		Calls: &fakeServer{}, Records: &fakeServer{}, Access: func() admin.Access { return admin.Access{Local: admin.RightsRead} },
		Status: func() admin.Status { return *s },
	}))
	t.Cleanup(h.Close)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	s.Troubles = []live.Trouble{}
	want := func(args string, code int, first string) {
		t.Helper()
		out, got := run(t, append([]string{"status"}, strings.Fields(args)...)...)
		if line, _, _ := strings.Cut(out, "\n"); got != code || !strings.HasPrefix(line, first) {
			t.Errorf("%s: exit code %d:\n%s", args, got, out)
		}
	}
	want("--url "+h.URL, 0, "well")
	want("--url "+h.URL+" --json", 0, "{")
	s.Standby, s.Targets, s.Trunks = "standing by for the seat east, which is node n2's", nil, nil
	want("--url "+h.URL, 0, "well: standing by for the seat east")
	s.Troubles = []live.Trouble{{Code: live.TroubleReload, Severity: live.SeverityWarn, Since: record.TimeOf(time.Now()), Text: "the file"}}
	want("--url "+h.URL, 1, "not well: 1 thing")
	want("--url "+h.URL+" --json", 1, "{")
	want("--url http://127.0.0.1:1", 1, "not reachable: http://127.0.0.1:1: ")
	want("--url "+other.URL, 1, "not reachable: "+other.URL+" answers 404")
	want("--nothing", 2, "flowbridge: wrong usage")
	want("--url ftp://a", 2, "flowbridge: wrong usage")
}

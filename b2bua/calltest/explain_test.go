package calltest

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/report"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

func testConfigured(t testing.TB, yaml string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(yaml), func(string) (string, bool) { return "secret", true })
	must(t, err)
	return cfg
}

// random matches the parts of a message that differ from call to call.
var random = regexp.MustCompile(`;branch=[^;]+|;tag=[^;]+|^Call-ID: .*|^Content-Length: .*`)

func sameEachTime(lines []string) []string {
	out := slices.Clone(lines)
	for i, l := range out {
		out[i] = random.ReplaceAllString(l, "*")
	}
	return out
}

// explain shows exactly the INVITE that a call sends, line for line, for every kind of target, whatever headers are
// left out or passed on.
func TestExplainIsWhatIsSent(t *testing.T) {
	ca := siptest.NewAuthority(t, "ca")
	pair := ca.Pair("agent", "agent.test")
	six := netip.MustParseAddrPort("[2001:db8::20]:32681")
	long := "X-Long: " + strings.Repeat("x", 500) + "\n"
	privacy := "Privacy: id\nP-Asserted-Identity: <sip:+15075550199@x>\nDiversion: <sip:+15075550111@x>\nX-Customer: 7\n"
	for name, tt := range map[string]struct {
		yaml, extra string
		says        string // a line that the INVITE must have
	}{
		"plain":         {testConfig, "", "Via: SIP/2.0/UDP 198.51.100.1:5060"},
		"digest":        {strings.Replace(overflowConfig, "overflow: tcp", "auth: {username: bob, password_env: P}\n    budget: {size: 1400}", 1), "", "X-EI: E.1;"},
		"budget":        {strings.Replace(overflowConfig, "overflow: tcp", "budget: {size: 1000}\n    overflow: trim", 1), long, "X-EI: E.1;"},
		"overflow":      {strings.Replace(overflowConfig, `5060"]`, `5060", "tcp://198.51.100.1:5060"]`, 1), long, "Contact: <sip:198.51.100.1:5060;transport=tcp>"},
		"tcp":           {streamConfig, "", "Via: SIP/2.0/TCP 198.51.100.1:5060"},
		"tls":           {tlsConfig(ca), "", "Via: SIP/2.0/TLS 198.51.100.1:5060"},
		"privacy":       {strings.Replace(overflowConfig, "overflow: tcp", "pass_headers: [X-Customer, Diversion, P-Asserted-Identity]", 1), privacy, "Privacy: id"},
		"pass_headers":  {strings.Replace(overflowConfig, "overflow: tcp", "pass_headers: [X-Order, X-Customer]", 1), "x-customer: a, b\nX-Customer: c\nX-Order: 2\n", "X-Customer: a, b"},
		"trusted, hops": {strings.Replace(overflowConfig, `"192.0.2.10"]`, `"192.0.2.10"], trusted: true, country: "1"`, 1), "P-Asserted-Identity: <tel:5075550199>\n", "P-Asserted-Identity: <sip:+15075550199@198.51.100.1>"},
		"IPv6":          {strings.NewReplacer(`5060"]`, `5060", "udp://[2001:db8::1]:5060"]`, `["198.51.100.1"]`, `["198.51.100.1", "2001:db8::1"]`, "192.0.2.20", "[2001:db8::20]").Replace(overflowConfig), "", "Contact: <sip:[2001:db8::1]:5060>"},
		"match":         {strings.Replace(overflowConfig, `"192.0.2.10"]`, `"192.0.2.10"], match: {header: "X-Customer: 7"}`, 1), "X-Customer: 7\n", "X-EI: E.1;"},
	} {
		runIn(t, name, tt.yaml, func(w *world) {
			agents := w.streamAgent(agentAddr)
			sixth := w.peer(six)
			w.others = append(w.others, sixth)
			cfg := testConfigured(w.t, tt.yaml)
			d := w.carrier.newCall("+15075785607")
			d.extra, d.sdp = tt.extra, report.SampleOffer(cfg, carrierAddr.Addr())
			w.carrier.invite(d)
			agent := w.agent
			switch name {
			case "overflow", "tcp":
				agent = agents.accept()
			case "tls":
				var err error
				if agent, err = agents.acceptTLS(&tls.Config{Certificates: []tls.Certificate{pair}}); err != nil {
					w.t.Fatal(err)
				}
			case "IPv6":
				agent = sixth
			}
			invite := agent.expect("INVITE")
			agent.concludes(invite, 486, "Busy Here", "a", "")
			w.carrier.expect("SIP/2.0 180")
			w.carrier.isRefused(d, "486")
			attempt := w.record().Attempts[0]

			x, err := b2bua.Explain(cfg, map[string]peers.Preparer{"agent": &fakePreparer{}}, report.Question{
				From: `"Ann Smith" <sip:+15075550100@192.0.2.10>`, To: "+15075785607",
				Headers: strings.FieldsFunc(tt.extra, func(r rune) bool { return r == '\n' }),
			})
			if err != nil || len(x.Targets) != 1 || x.Targets[0].Cause != cause.None {
				w.t.Fatalf("got %+v, %v", x, err)
			}
			head, _, _ := strings.Cut(invite.raw, "\r\n\r\n")
			if diff := gocmp.Diff(sameEachTime(strings.Split(head, "\r\n")), sameEachTime(x.Targets[0].Invite)); diff != "" {
				w.t.Errorf("sent (-) and explained (+):\n%s", diff)
			}
			if !strings.Contains(head, "\r\n"+tt.says) {
				w.t.Errorf("%q is not in\n%s", tt.says, head)
			}
			if got := x.Targets[0]; got.Transport != attempt.Transport || !slices.Equal(got.Dropped, attempt.DroppedHeaders) {
				w.t.Errorf("explained over %s without %v, sent over %s without %v", got.Transport, got.Dropped, attempt.Transport, attempt.DroppedHeaders)
			}
			if got := x.Targets[0].LeftOut; tt.yaml == testConfig && !slices.Equal(got, []string{"X-Empty"}) || tt.extra == long && len(got) != 0 {
				w.t.Errorf("said to have no value: %v", got)
			}
		})
	}
}

func TestExplainRoutes(t *testing.T) {
	cfg := testConfigured(t, testConfig)
	x, err := b2bua.Explain(cfg, nil, report.Question{From: "5075550100", To: "5095550199"})
	must(t, err)
	var why []string
	for _, r := range x.Routes {
		why = append(why, r.Route+" "+r.Why)
	}
	want := []string{
		`routes[0] the called number +15095550199 does not match to: ^\+1507`,
		`routes[1] the called number +15095550199 does not match to: ^\+1508`,
		`routes[2] it matches trunk carrier, to: ^\+1509`,
	}
	if diff := gocmp.Diff(want, why); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
	if x.Route != "routes[2]" || x.From.Number != "+15075550100" || x.Trunk != "carrier" || x.Otherwise != 503 || x.SetupTimeoutMS != 120_000 {
		t.Errorf("got %+v", x)
	}
	if t0 := x.Targets[0]; t0.URI != "sip:+15095550199@192.0.2.21:32681" || t0.RingTimeoutMS != 60_000 || !strings.HasPrefix(t0.Body, "v=0\r\n") {
		t.Errorf("got %+v", t0)
	}
}

func TestExplainRefusals(t *testing.T) {
	cfg := testConfigured(t, testConfig)
	for name, tt := range map[string]struct {
		q      report.Question
		status int
		says   string
	}{
		"no trunk":   {report.Question{From: "1", To: "2", Source: netip.MustParseAddr("203.0.113.9")}, 0, "no trunk"},
		"no route":   {report.Question{From: "1", To: "+4930123456"}, 404, "no route"},
		"extension":  {report.Question{From: "1", To: "+15075785607", Headers: []string{"Require: x-nothing"}}, 420, "Bad Extension"},
		"last hop":   {report.Question{From: "1", To: "+15075785607", Headers: []string{"max-forwards: 0"}}, 483, "Too Many Hops"},
		"other sort": {report.Question{From: "1", To: "sips:+15075785607@x"}, 416, "Scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := b2bua.Explain(cfg, nil, tt.q)
			if err != nil || !x.Refused || x.Status != tt.status || !strings.Contains(x.Reason+x.Why, tt.says) || len(x.Targets) != 0 {
				t.Errorf("got %+v, %v; want %d %q", x, err, tt.status, tt.says)
			}
		})
	}
}

// A target whose uri would dial text that is not a phone number is left out, and the explanation names it.
func TestExplainNamesTargetsLeftOut(t *testing.T) {
	cfg := testConfigured(t, strings.Replace(testConfig, "routes:\n", "  - {name: numbered, kind: sip, uri: \"sip:{{.To.Number}}@192.0.2.30\"}\n"+
		"  - {name: fixed, kind: sip, uri: \"sip:x@192.0.2.31\"}\nroutes:\n  - {targets: [numbered]}\n  - {targets: [numbered, fixed]}\n", 1))
	x, err := b2bua.Explain(cfg, nil, report.Question{From: "1", To: "sip:+1507&SIP/x@h"})
	const words = `the target's uri dials the called number, and "+1507&SIP/x" is not a phone number; only a route whose to is exactly that may dial it`
	if err != nil || x.Route != "routes[1]" || x.Routes[0].Why != "it matches, but no target is left: "+words || !slices.Contains(x.Notes, "target numbered is left out: "+words) {
		t.Errorf("got %+v, %v", x, err)
	}
}

// A call that does not meet its trunk's match is refused like a real one, whether the
// trunk is named, the only one, or found by the address.
func TestExplainTakesMatchesAsCallsDo(t *testing.T) {
	only := testConfigured(t, strings.Replace(testConfig, `country: "1"}`, `country: "1", match: {to_domain: pbx.example.com, header: "X-Trunk: acme"}}`, 1))
	open := testConfigured(t, strings.Replace(testConfig, `sources: ["192.0.2.10"], max_duration: 1h, country: "1"}`,
		`auth: {username: u, password_env: P}, match: {to_domain: pbx.example.com}}`, 1))
	two := testConfigured(t, strings.Replace(testConfig, "targets:\n",
		"  - {name: special, sources: [192.0.2.10], match: {to_domain: pbx.example.com}}\ntargets:\n", 1))
	called := "sip:+15075785607@pbx.example.com"
	for name, tt := range map[string]struct {
		cfg    *config.Config
		q      report.Question
		trunk  string
		status int
	}{
		"only trunk":               {only, report.Question{To: "+15075785607"}, "", 403},
		"named trunk":              {only, report.Question{To: called, Trunk: "carrier"}, "", 403},
		"its address":              {only, report.Question{To: called, Source: netip.MustParseAddr("192.0.2.10")}, "", 403},
		"all that it asks for":     {only, report.Question{To: called, Headers: []string{"X-Trunk: acme"}}, "carrier", 0},
		"anywhere, no match":       {open, report.Question{To: "+15075785607"}, "", 0},
		"anywhere, match":          {open, report.Question{To: called}, "carrier", 0},
		"the more special trunk":   {two, report.Question{To: called, Source: netip.MustParseAddr("192.0.2.10")}, "special", 404},
		"the less special trunk":   {two, report.Question{To: "+15075785607", Source: netip.MustParseAddr("192.0.2.10")}, "carrier", 0},
		"the special one by name":  {two, report.Question{To: called, Trunk: "special"}, "special", 404},
		"named, and nothing of it": {two, report.Question{To: "+15075785607", Trunk: "carrier"}, "carrier", 0},
	} {
		t.Run(name, func(t *testing.T) {
			tt.q.From = "1"
			reason := map[int]string{403: "Forbidden", 404: "Not Found"}[tt.status]
			x, err := b2bua.Explain(tt.cfg, map[string]peers.Preparer{"agent": &fakePreparer{}}, tt.q)
			if err != nil || x.Trunk != tt.trunk || x.Refused != (tt.trunk == "" || tt.status != 0) || x.Status != tt.status ||
				x.Reason != reason || (x.Refused && x.Why == "") {
				t.Errorf("got %+v, %v; want trunk %q, %d", x, err, tt.trunk, tt.status)
			}
		})
	}
	for name, q := range map[string]report.Question{
		"a more special one takes it": {From: "1", To: called, Trunk: "carrier"},
		"it asks for another domain":  {From: "1", To: "+15075785607", Trunk: "special"},
	} {
		if x, err := b2bua.Explain(two, nil, q); !errors.Is(err, report.ErrQuestion) || !strings.Contains(err.Error(), "belongs to trunk") {
			t.Errorf("%s: got %+v, %v", name, x, err)
		}
	}
}

// A trunk that is identified by its certificate calls over TLS, and may use a sips URI.
func TestExplainTrunkWithCertificate(t *testing.T) {
	cfg := testConfigured(t, strings.Replace(tlsConfig(siptest.NewAuthority(t, "ca")), `sources: ["192.0.2.10"]`, "certificates: [pbx.example.com]", 1))
	x, err := b2bua.Explain(cfg, nil, report.Question{From: "1", To: "sips:+15075785607@bridge.test"})
	if err != nil || x.Trunk != "carrier" || x.Refused || len(x.Targets) != 1 || x.Targets[0].Cause != cause.None {
		t.Errorf("got %+v, %v", x, err)
	}
	x, err = b2bua.Explain(cfg, nil, report.Question{From: "1", To: "+15075785607", Source: netip.MustParseAddr("192.0.2.10")})
	if err != nil || x.Trunk != "" || !x.Refused || x.Status != 0 {
		t.Errorf("without it: got %+v, %v", x, err)
	}
}

// If the server would refuse a call before parsing it, explain shows that refusal.
func TestExplainHasTheGuardsWord(t *testing.T) {
	cfg := testConfigured(t, testConfig)
	for _, tt := range []struct {
		q      report.Question
		status int
		says   string
	}{
		{report.Question{Headers: []string{"Max-Forwards: 700"}}, 400, "Max-Forwards Is Not 0 to 255"},
		{report.Question{Headers: []string{"X#A|b: c"}}, 400, "Header Name Is No Token"},
		{report.Question{Headers: []string{"X-Long: " + strings.Repeat("x", 5000)}}, 400, "Header Longer Than 4096 Bytes"},
		{report.Question{Headers: slices.Repeat([]string{"X-More: y"}, 130)}, 400, "More Than 128 Headers"},
		{report.Question{From: `"Ann <sip:1@x>`}, 400, "From Has an Unclosed Quote"},
		{report.Question{To: "sip:1@a@b"}, 400, "To Has a URI With Two Hosts"},
		{report.Question{Headers: []string{"Record-Route: <sip:a"}}, 400, "Record-Route Has an Unclosed Bracket"},
	} {
		t.Run(tt.says, func(t *testing.T) {
			q := report.Question{From: cmp.Or(tt.q.From, "1"), To: cmp.Or(tt.q.To, "+15075785607"), Headers: tt.q.Headers}
			x, err := b2bua.Explain(cfg, nil, q)
			if err != nil || !x.Refused || x.Status != tt.status || x.Reason != tt.says || len(x.Targets) != 0 {
				t.Errorf("got %+v, %v; want %d %q", x, err, tt.status, tt.says)
			}
		})
	}
}

func TestExplainBadQuestions(t *testing.T) {
	cfg := testConfigured(t, testConfig)
	two := testConfigured(t, strings.Replace(testConfig, "targets:\n", "  - {name: pbx, sources: [192.0.2.99]}\ntargets:\n", 1))
	for name, tt := range map[string]struct {
		cfg  *config.Config
		q    report.Question
		says string
	}{
		"line break in a header": {cfg, report.Question{From: "1", To: "2", Headers: []string{"X: a\r\nX-EI: b"}}, "X-Name: value"},
		"no header":              {cfg, report.Question{From: "1", To: "2", Headers: []string{"X"}}, "X-Name: value"},
		"our header":             {cfg, report.Question{From: "1", To: "2", Headers: []string{"i: 5"}}, "can't be given"},
		"line break in a number": {cfg, report.Question{From: "1", To: "2\r\n"}, "can't be called"},
		"space in a number":      {cfg, report.Question{From: "1", To: "2 3"}, "can't be called"},
		"line break in a caller": {cfg, report.Question{From: "1\nVia: x", To: "2"}, "can't call"},
		"no caller":              {cfg, report.Question{To: "2"}, "can't call"},
		"unknown trunk":          {cfg, report.Question{From: "1", To: "2", Trunk: "none"}, "there are: carrier"},
		"several trunks":         {two, report.Question{From: "1", To: "2"}, "carrier, pbx"},
		"another trunk's source": {two, report.Question{From: "1", To: "2", Trunk: "carrier", Source: netip.MustParseAddr("192.0.2.99")}, "belongs to trunk pbx"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := b2bua.Explain(tt.cfg, nil, tt.q); !errors.Is(err, report.ErrQuestion) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v; want a bad question that says %q", err, tt.says)
			}
		})
	}
}

// Failures before the INVITE are reported, and the next target is still explained.
func TestExplainFailures(t *testing.T) {
	yaml := strings.Replace(testConfig, `X-Empty: "{{.Header \"X-None\"}}"`, `X-Cut: "{{slice .From.User 5}}"`, 1)
	if yaml == testConfig {
		t.Fatal("nothing was replaced")
	}
	x, err := b2bua.Explain(testConfigured(t, yaml), map[string]peers.Preparer{"agent": &fakePreparer{}}, report.Question{From: "123", To: "+15085550199"})
	if err != nil || len(x.Targets) != 2 {
		t.Fatalf("got %+v, %v", x, err)
	}
	if x.Targets[0].Cause != cause.TemplateFailed || !strings.Contains(x.Targets[0].Error, "X-Cut") {
		t.Errorf("got %+v; want template_failed", x.Targets[0])
	}
	if x.Targets[1].Cause != cause.None || x.Targets[1].URI == "" {
		t.Errorf("got %+v", x.Targets[1])
	}
}

// No name is looked up: a host that does not exist is explained like any other.
func TestExplainLooksNothingUp(t *testing.T) {
	yaml := strings.ReplaceAll(testConfig, "@192.0.2.21:32681", "@sip.example.invalid")
	x, err := b2bua.Explain(testConfigured(t, yaml), nil, report.Question{From: "123", To: "+15095550199"})
	if err != nil || len(x.Targets) != 1 || x.Targets[0].Cause != cause.None {
		t.Fatalf("got %+v, %v", x, err)
	}
	if got := x.Targets[0].Invite[0]; got != "INVITE sip:+15095550199@sip.example.invalid SIP/2.0" {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(strings.Join(x.Notes, "\n"), "sip.example.invalid is not looked up") {
		t.Errorf("notes: %q", x.Notes)
	}
}

// FuzzExplain checks that any question gets either an answer or an error, and that no header value injects a line break
// into an INVITE.
func FuzzExplain(f *testing.F) {
	f.Add("+15075550100", "+15075785607", "X-Name: value")
	f.Add(`"Ann" <sip:a@b>`, "sip:+15085550199@x;user=phone", "P-Asserted-Identity: <sip:+1@x>")
	f.Add("tel:+15075550100", "tel:+15095550199", "Diversion: <sip:1@x>")
	cfg, err := config.Parse("test.yaml", []byte(testConfig), func(string) (string, bool) { return "secret", true })
	must(f, err)
	f.Fuzz(func(t *testing.T, from, to, header string) {
		x, err := b2bua.Explain(cfg, map[string]peers.Preparer{"agent": &fakePreparer{}}, report.Question{From: from, To: to, Headers: []string{header}})
		if err != nil {
			return
		}
		for _, target := range x.Targets {
			for _, line := range target.Invite {
				if strings.ContainsAny(line, "\r\n\x00") {
					t.Errorf("line %q", line)
				}
			}
		}
	})
}

// A call that a target places is explained with its route, up to the INVITE to the trunk.
func TestExplainCallOfTarget(t *testing.T) {
	cfg := testConfigured(t, placedConfig)
	for name, q := range map[string]report.Question{
		"by name":    {Target: "pbx"},
		"by address": {Source: netip.MustParseAddr("192.0.2.20")},
	} {
		q.From, q.To, q.Headers = "+15075550100", "+15075785607", []string{"X-Reason: billing"}
		x, err := b2bua.Explain(cfg, nil, q)
		if err != nil || x.Refused || x.Target != "pbx" || x.Trunk != "" || x.Route != "routes[1]" || len(x.Targets) != 1 {
			t.Fatalf("%s: got %+v, %v", name, x, err)
		}
		if want := "it is for calls of trunks"; x.Routes[0].Matches || x.Routes[0].Why != want {
			t.Errorf("%s: got %+v; want %s", name, x.Routes[0], want)
		}
		if want := `it matches target pbx, to: ^\+1507`; x.Routes[1].Why != want {
			t.Errorf("%s: got %+v; want %s", name, x.Routes[1], want)
		}
		to := x.Targets[0]
		if to.Target != "pbx" || to.Kind != "trunk" || to.Username != "flowbridge" || to.MaxCalls != 1 ||
			to.Invite[0] != "INVITE sip:+15075785607@192.0.2.30;user=phone SIP/2.0" || !slices.Contains(to.Invite, "X-Reason: billing") {
			t.Errorf("%s: got %+v", name, to)
		}
	}
	if x, err := b2bua.Explain(cfg, nil, report.Question{From: "1", To: "+15085785607", Target: "roaming"}); err != nil || x.Target != "roaming" || x.Route != "routes[2]" {
		t.Errorf("by credentials: got %+v, %v", x, err)
	}
	x, err := b2bua.Explain(cfg, nil, report.Question{From: "1", To: "2", Trunk: "carrier"})
	if err != nil || x.Trunk != "carrier" || x.Target != "" || x.Route != "routes[0]" {
		t.Errorf("of a trunk: got %+v, %v", x, err)
	}
	for _, q := range []report.Question{{Target: "carrier"}, {Target: "pbx", Trunk: "pbx"}} {
		q.From, q.To = "1", "2"
		if x, err := b2bua.Explain(cfg, nil, q); !errors.Is(err, report.ErrQuestion) {
			t.Errorf("%+v: got %+v, %v", q, x, err)
		}
	}
}

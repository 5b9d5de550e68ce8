package peers

import (
	"context"
	"slices"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/config"
	"flowbridge/config/template"
)

// noAPI stands for a platform's API that is never asked.
type noAPI struct{}

func (noAPI) Prepare(context.Context, PrepareRequest) (Prepared, error) { return Prepared{}, nil }

// mustAdmit returns an Admission for this configuration. Targets with an API get a client.
func mustAdmit(t *testing.T, text string) *Admission {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "secret", true })
	if err != nil {
		t.Fatal(err)
	}
	clients := map[string]Preparer{}
	for i := range cfg.Targets {
		if cfg.Targets[i].Prepare != nil {
			clients[cfg.Targets[i].Name] = noAPI{}
		}
	}
	return NewAdmission(cfg, clients)
}

// Targets whose APIs have the same host share one circuit, even if their requests differ.
func TestCircuitsOfAPIs(t *testing.T) {
	a := mustAdmit(t, `
trunks:
  - {name: carrier, sources: [192.0.2.1]}
targets:
  - {name: one, kind: http, uri: "sip:{{.Prepare.CallID}}@192.0.2.2", prepare: {url: "https://one.test/calls", id: id}}
  - {name: again, kind: http, uri: "sip:{{.Prepare.CallID}}@192.0.2.2", prepare: {url: "https://one.test/others", id: id}}
  - {name: two, kind: http, uri: "sip:{{.Prepare.CallID}}@192.0.2.2", prepare: {url: "https://two.test/calls", id: id}}
routes:
  - {targets: [one, again, two]}
`)
	var heard []circuit.Change
	told := func(c circuit.Change) { heard = append(heard, c) }
	a.CircuitChanged.Store(&told)
	targets := a.Peers.Load().Targets
	if targets["one"].API != targets["again"].API || targets["one"].API == targets["two"].API {
		t.Errorf("%p, %p, %p", targets["one"].API, targets["again"].API, targets["two"].API)
	}
	now := time.Now()
	for range 3 {
		try, _ := targets["one"].API.Begin(now)
		now = now.Add(time.Second)
		targets["one"].API.End(now, &try, circuit.Silent)
	}
	if len(heard) != 1 || heard[0].Name != "API https://one.test" {
		t.Errorf("told %+v", heard)
	}
	var got []string
	for _, s := range a.Circuits() {
		of := "sip"
		if s.API {
			of = "api"
		}
		got = append(got, s.Name+" "+of+" "+s.State.String())
	}
	if want := []string{"again sip closed", "again api open", "one sip closed", "one api open", "two sip closed", "two api closed"}; !slices.Equal(got, want) {
		t.Errorf("circuits %q; want %q", got, want)
	}
}

// Even with the ping setting, calls try a target to which no OPTIONS can be sent. Otherwise its circuit would stay open
// for ever.
func TestPingAt(t *testing.T) {
	for _, tt := range []struct {
		uri        string
		registered bool
		want       string
	}{
		{"sip:{{.To.Number}}@sip.test:5070", false, "sip:sip.test:5070"},
		{"sip:{{.Prepare.CallID}}@sip.test", false, "sip:sip.test"},
		{`sip:{{.Prepare.JSON "uri"}}`, false, ""},
		{"sip:{{.To.Number}}@{{.To.Host}}", false, ""},
		{"sip:registered", true, ""},
	} {
		uri, err := template.Parse(tt.uri)
		if err != nil {
			t.Fatal(err)
		}
		d := &Dial{URI: uri, Registered: tt.registered, Ping: config.Ping{Interval: time.Second}}
		at, ok := d.PingAt()
		if ok != (tt.want != "") || ok && at.String() != tt.want {
			t.Errorf("%s: %s, %v; want %q", tt.uri, at.String(), ok, tt.want)
		}
		d.Ping.Interval = 0
		if _, ok := d.PingAt(); ok {
			t.Errorf("%s gets OPTIONS without an interval", tt.uri)
		}
	}
}

// Some answers of a carrier concern only the called number, so they do not count as failures. The same answer from a
// target does.
func TestOutcomeOf(t *testing.T) {
	target, callee := &Target{}, &Target{Trunk: &Caller{}}
	for _, code := range []int{408, 500, 502, 503, 504} {
		if got := target.outcomeOf(cause.TargetError, code); got != circuit.Failed {
			t.Errorf("%d of a target: %v", code, got)
		}
		if got := callee.outcomeOf(cause.TargetError, code); got != circuit.Succeeded {
			t.Errorf("%d of a trunk: %v", code, got)
		}
	}
	for why, want := range map[cause.Cause]circuit.Outcome{
		cause.TargetSilent: circuit.Silent, cause.TargetUnreachable: circuit.Failed, cause.TLSFailed: circuit.Failed, cause.DNSFailed: circuit.Failed,
		cause.TargetBusy: circuit.Succeeded, cause.None: circuit.Succeeded, cause.Shutdown: circuit.Neutral,
	} {
		if a, b := target.outcomeOf(why, 0), callee.outcomeOf(why, 0); a != want || b != want {
			t.Errorf("%s: %v of a target, %v of a trunk; want %v", why, a, b, want)
		}
	}
}

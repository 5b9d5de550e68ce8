package redirected

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
)

// preparer is a prepare step that returns an id, an answer without an id, or an error.
type preparer struct {
	asked []peers.PrepareRequest
	body  string // the answer without an id
	err   error
}

func (p *preparer) Prepare(_ context.Context, r peers.PrepareRequest) (peers.Prepared, error) {
	if p.asked = append(p.asked, r); p.err != nil {
		return peers.Prepared{}, p.err
	}
	if p.body != "" {
		return peers.Prepared{Body: []byte(p.body), Status: 200}, nil
	}
	return peers.Prepared{CallID: fmt.Sprintf("id-%d", len(p.asked)), Status: 200}, nil
}

// If another party dials a call itself, it gets the URI and the headers that our own INVITE
// would have.
func TestRedirect(t *testing.T) {
	cfg, err := config.Parse("x.yaml", []byte(`
targets:
  - name: agent
    kind: synthflow
    uri: "sip:{{.Agent.Number}}@192.0.2.20:32681"
    prepare: {token_env: TOKEN}
    headers: {X-EI: "S.{{.Prepare.CallID}};", X-None: '{{.Header "X-None"}}', x-caller: "{{.Lead.Number}}"}
  - {name: direct, kind: synthflow, uri: "sip:{{.Agent.Number}}@192.0.2.20:32681", headers: {X-EI: "{{.SIPCallID}}"}}
  - {name: lax, kind: synthflow, uri: "sip:{{.Agent.Number}}@192.0.2.20:32681", prepare: {token_env: TOKEN, on_failure: dial}, headers: {X-EI: "S.{{.Prepare.CallID}};", X-A: "a"}}
  - {name: web, kind: http, uri: "sip:x@192.0.2.20:32681", prepare: {url: "http://127.0.0.1/"}, headers: {X-Session: '{{.Prepare.JSON "session"}}'}}
`), func(string) (string, bool) { return "secret", true })
	if err != nil {
		t.Fatal(err)
	}
	vars := template.Vars{
		To: template.Party{Number: "+15085785607"}, From: template.Party{Number: "+15075550100"}, SIPCallID: "CA123", CallID: "ours",
		Direction: template.DirectionInbound,
	}
	p := &preparer{}
	got, err := destinationOf(t.Context(), &attempt{target: &peers.Target{Dial: peers.DialOf(&cfg.Targets[0]), Preparer: p}}, vars)
	if err != nil || got.URI != "sip:+15085785607@192.0.2.20:32681" || got.CallID != "id-1" ||
		!slices.Equal(got.Headers, []peers.Variable{{Name: "X-EI", Value: "S.id-1;"}, {Name: "x-caller", Value: "+15075550100"}}) {
		t.Errorf("prepared: got %+v, %v", got, err)
	}
	if p.asked[0].CallID != "ours" || !strings.Contains(string(p.asked[0].Body), `"to_number":"+15085785607"`) {
		t.Errorf("asked %+v", p.asked[0])
	}
	got, err = destinationOf(t.Context(), &attempt{target: &peers.Target{Dial: peers.DialOf(&cfg.Targets[1]), Preparer: nil}}, vars)
	if err != nil || !slices.Equal(got.Headers, []peers.Variable{{Name: "X-EI", Value: "CA123"}}) {
		t.Errorf("direct: got %+v, %v", got, err)
	}
	broken := &preparer{err: &outbound.PrepareError{Cause: cause.PrepareRefused, Status: 200, Err: errors.New("no")}}
	if _, err = destinationOf(t.Context(), &attempt{target: &peers.Target{Dial: peers.DialOf(&cfg.Targets[0]), Preparer: broken}}, vars); outbound.PrepareCause(err) != cause.PrepareRefused {
		t.Errorf("refused: got %v", err)
	}
	got, err = destinationOf(t.Context(), &attempt{target: &peers.Target{Dial: peers.DialOf(&cfg.Targets[2]), Preparer: broken}}, vars)
	if err != nil || !slices.Equal(got.Headers, []peers.Variable{{Name: "X-A", Value: "a"}}) {
		t.Errorf("dialled without an id: got %+v, %v", got, err)
	}
	web := &preparer{body: `{"session":"s-1"}`}
	got, err = destinationOf(t.Context(), &attempt{target: &peers.Target{Dial: peers.DialOf(&cfg.Targets[3]), Preparer: web}}, vars)
	if err != nil || !slices.Equal(got.Headers, []peers.Variable{{Name: "X-Session", Value: "s-1"}}) {
		t.Errorf("an answer without an id: got %+v, %v", got, err)
	}
	vars.To.Number = "+1508@evil"
	if _, err = destinationOf(t.Context(), &attempt{target: &peers.Target{Dial: peers.DialOf(&cfg.Targets[1]), Preparer: nil}}, vars); err == nil || !strings.Contains(err.Error(), "did not give a well-formed sip: URI") {
		t.Errorf("another host by a number: got %v", err)
	}
}

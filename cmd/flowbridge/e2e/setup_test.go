//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// TestRefused makes the target, or the way to it, fail. The carrier gets one final answer, and the
// record says why. Other answers of an API are tested in TestPrepareAgainstEachFault of
// sim/synthflow and in TestFailover of calltest.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault  string
		setup  setup
		status int
		want   want
		after  time.Duration // minimum
	}{
		{"busy", setup{}, 486, want{"busy", "target_busy", "agent", 486, []try{{"target_busy", 200, 486}}}, 0},
		{
			"hang",
			setup{prepare: ", timeout: 700ms"},
			503,
			want{"failed", "prepare_timeout", "system", 503, []try{{"prepare_timeout", 0, 0}}},
			700 * time.Millisecond,
		},
		{
			"silent",
			setup{target: ", first_response_timeout: 700ms"},
			503,
			want{"failed", "target_silent", "system", 503, []try{{"target_silent", 200, 0}}},
			700 * time.Millisecond,
		},
	} {
		t.Run(c.fault, func(t *testing.T) {
			s := newStage(t)
			s.simulate("--fault", c.fault)
			b := s.serve(c.setup)
			carrier := s.refusedCarrier(c.status, called)
			carrier.finish()
			r := b.records(c.want)[0]
			b.nothingLeft()
			b.stop()
			if took := r.EndedAt.Sub(r.StartedAt.Time); took < c.after {
				t.Errorf("refused after %v; want %v at least", took, c.after)
			}
			carrier.ringsOnce()
		})
	}
}

// TestFailover makes the first target fail in two ways. The second one takes the call, and the
// carrier does not notice.
func TestFailover(t *testing.T) {
	s := newStage(t)
	s.simulate("--fault", "500")
	brokenAPI := s.api
	s.simulate("--fault", "silent")
	silentAPI, silentAgent := s.api, s.agent
	s.simulate("--fault", "hangup:500ms")
	another := func(name, api string, agent any) string {
		return fmt.Sprintf(`  - {name: %s, kind: synthflow, uri: "sip:{{.To.Number}}@%v", first_response_timeout: 500ms,
     prepare: {api: "%s", token_env: E2E_TOKEN}, headers: {X-EI: "S.{{.Prepare.CallID}};"}}
`, name, agent, api)
	}
	config := s.config(setup{route: "@"})
	config = replaceOnce(t, config, "routes:\n", another("broken", brokenAPI, silentAgent)+another("silent", silentAPI, silentAgent)+"routes:\n")
	config = replaceOnce(t, config, "targets: [synthflow]@", "targets: [broken, silent, synthflow]")
	b := startServer(t, t.TempDir(), config)
	s.server = b
	carrier := s.sippCarrier("agent_hangup")
	carrier.finish()
	expected := hungUpByAgent
	expected.attempts = []try{{"prepare_failed", 500, 0}, {"target_silent", 200, 0}, {"", 200, 200}}
	r := b.records(expected)[0]
	b.nothingLeft()
	b.stop()
	for i, name := range []string{"broken", "silent", "synthflow"} {
		if r.Attempts[i].Target != name {
			t.Errorf("attempt %d was at %s; want %s", i+1, r.Attempts[i].Target, name)
		}
	}
	carrier.ringsOnce()
}

// TestNoMedia places a call in which neither side sends RTP.
func TestNoMedia(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{media: ", timeout: 1s"})
	agent := s.sippAgent("caller_hangup")
	carrier := s.sippCarrier("agent_hangup")
	carrier.finish()
	agent.finish()
	r := b.finish(want{"answered", "no_media", "system", 200, []try{{"", 200, 200}}})[0]
	if m := r.Media; m.A.Rx+m.A.Tx+m.A.Dropped+m.B.Rx+m.B.Tx+m.B.Dropped != 0 {
		t.Errorf("packets in a call without media: %+v", r.Media)
	}
}

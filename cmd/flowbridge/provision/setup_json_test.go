package provision

import (
	"encoding/json"
	"strings"
	"testing"

	"flowbridge/sim/synthflow"
)

// asJSON runs a setup with --json and gives its steps and outcomes.
func (s *setupStage) asJSON(code int, args ...string) (got setupOutcome, outcomes string) {
	s.Helper()
	out, exit := s.run(append(args, "--json")...)
	object, _, _ := strings.Cut(out, "\nflowbridge: ")
	if err := json.Unmarshal([]byte(object), &got); err != nil || exit != code || got.OK != (code == 0) {
		s.Fatalf("exit code %d, %v\n%s", exit, err, out)
	}
	for _, step := range got.Steps {
		outcomes += step.Step + ":"
		for _, r := range step.Results {
			var o struct{ Outcome, Method string }
			if err := json.Unmarshal(r, &o); err != nil {
				s.Error(err)
			}
			outcomes += " " + o.Outcome + o.Method
		}
		outcomes += "\n"
	}
	return got, outcomes
}

// The steps of a setup and their outcomes are one object, in success, without a change, in a rehearsal and in failure.
func TestSetupJSON(t *testing.T) {
	s := newSetupStage(t, synthflow.Account{})
	s.step(2, []string{"add --yes"}, append(newAgent(), "--json")...)
	_, outcomes := s.asJSON(0, append(newAgent(), "--trunk-source", "203.0.113.0/24", "--dry-run")...)
	if !strings.HasPrefix(outcomes, "number: POST\nagent: POST\nconfiguration:") {
		t.Errorf("a rehearsal: %s", outcomes)
	}
	got, outcomes := s.asJSON(0, append(newAgent(), "--trunk-source", "203.0.113.0/24", "--yes", "--test-call", "--seconds", "1")...)
	if !strings.HasPrefix(outcomes, "number: created\nagent: created") || len(got.Steps) != 4 || !strings.Contains(got.Steps[2].Text, "+  - name: synthflow") ||
		!strings.Contains(got.Steps[3].Text, "we hear the other side") {
		t.Errorf("%s%+v", outcomes, got)
	}
	_, outcomes = s.asJSON(0, append(newAgent(), "--trunk-source", "203.0.113.0/24", "--yes")...)
	if !strings.HasPrefix(outcomes, "number: found\nagent: found") {
		t.Errorf("once more: %s", outcomes)
	}
	if got, _ := s.asJSON(1, append(newAgent(), "--trunk-source", "203.0.113.9", "--yes")...); !strings.Contains(got.Error, "203.0.113.9") {
		t.Errorf("another source: %+v", got)
	}
}

//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/media/audio"
)

// hearsStatement waits until a side has heard the whole statement, in one piece, and returns what it has heard.
func (d *side) hearsStatement() (all []byte) {
	d.Helper()
	sound, _ := audio.Tone("eu")
	eventually(d.T, "the statement is heard whole", func() bool {
		all = payloads(d.hears())
		return bytes.Contains(all, sound.In(audio.ULaw))
	})
	return all
}

// told runs flowbridge told in the server's directory.
func (s *server) told(args ...string) string {
	s.t.Helper()
	db := filepath.Join(s.dir, "calls.db")
	out, err := exec.Command(program, append([]string{"told", "--db", db}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("told %q: %v: %s", args, err, out)
	}
	return string(out)
}

// TestCallersAreTold: a caller hears the whole statement without a word of the agent, who has answered, and then all
// that the agent says. A kill restarts the statement, an upgrade continues it. Each statement has its receipt.
func TestCallersAreTold(t *testing.T) {
	for name, happens := range map[string]func(s *stage, o setup){
		"nothing happens": func(*stage, setup) {},
		"a kill":          func(s *stage, o setup) { s.restart(o) },
		"an upgrade":      func(s *stage, _ setup) { s.server.upgrade() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newQuietStage(t)
			s.prepareCalls()
			o := setup{
				trunk: fromLoopback, route: ", tell: {sound: eu}", listen: []string{"udp://" + s.freePort(s.b2bua).String()},
			}
			s.serve(o)
			one, two := s.newSide(s.carrier, audio.ULaw, ""), s.newSide(s.platform, audio.ULaw, "")
			c := &conversation{stage: s, one: one, two: two}
			c.agent = s.agentPlays("described", []string{"-aa"}, "@SDP@", two.sdp())
			c.carrier = s.carrierPlays("described", []string{"-aa"}, "@SDP@", one.sdp())
			c.id = c.carrier.answered(1)[0]
			one.meets(c.carrier.received("SIP/2.0 200", 1)[0])
			one.says(reference(1, 2500*time.Millisecond)) // which must not reach the agent
			eventually(t, "the statement has begun", func() bool { return len(one.hears()) > 50 })
			happens(s, o)
			one.hearsStatement()
			c.agent.confirmed(1)
			two.meets(c.agent.received("INVITE ", 1)[0])
			said, answered := reference(11, 1500*time.Millisecond), reference(12, 1500*time.Millisecond)
			c.both(said, answered)
			eventually(t, "both are heard", func() bool {
				return endsWith(payloads(one.hears()), codes(audio.ULaw, answered)) &&
					endsWith(payloads(two.hears()), codes(audio.ULaw, said))
			})
			early := codes(audio.ULaw, reference(1, 2500*time.Millisecond))
			if bytes.Contains(payloads(two.hears()), early[len(early)-frame:]) {
				t.Error("the agent hears what the caller said during the statement")
			}
			c.hangUp()
			r := s.server.finish(hungUpByCaller)[0]
			if r.Told == nil || !r.Told.Whole || r.Told.Sound != "eu" || r.Told.Packets != 250 ||
				!r.Told.TalkedOver && name != "a kill" {
				t.Errorf("told %+v", r.Told)
			}
			if line := s.server.told(r.ID); !strings.Contains(line, "eu, whole: 250 packets sent") {
				t.Errorf("the receipt says %q", line)
			}
		})
	}
}

//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestHold has a side hold the call and resume it, in each way that there is:
// it hears nothing meanwhile, and what it plays is heard. The other side is
// asked only where changes are relayed.
func TestHold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		by       string // carrier or agent
		method   string
		hold     string // arguments of sdp: direction and address
		answer   string // direction
		reinvite string
	}{
		{"carrier_sendonly", "carrier", "INVITE", `"sendonly"`, "recvonly", "auto"},
		{"carrier_inactive", "carrier", "INVITE", `"inactive"`, "inactive", "auto"},
		{"carrier_zeros", "carrier", "INVITE", `"sendrecv" "0.0.0.0"`, "", "auto"},
		{"carrier_update", "carrier", "UPDATE", `"sendonly"`, "recvonly", "auto"},
		{"agent_sendonly", "agent", "INVITE", `"sendonly"`, "recvonly", "auto"},
		{"agent_update", "agent", "UPDATE", `"sendonly"`, "recvonly", "auto"},
		{"carrier_relayed", "carrier", "INVITE", `"sendonly"`, "recvonly", "relay"},
		{"carrier_zeros_relayed", "carrier", "INVITE", `"sendrecv" "0.0.0.0"`, "recvonly", "relay"},
		{"agent_relayed", "agent", "INVITE", `"sendonly"`, "recvonly", "relay"},
		{"agent_update_absorbed", "agent", "UPDATE", `"sendonly"`, "recvonly", "absorb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			s.prepareCalls()
			b := s.serve(setup{target: ", reinvite: " + c.reinvite})
			one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
			words := []string{"@METHOD@", c.method, "@HOLD@", c.hold, "@ANSWER@", `"` + c.answer + `"`}
			relayed := c.reinvite == "relay"
			var carrier, agent, holder, other *sipp
			expected := hungUpByCaller
			if c.by == "carrier" {
				agent = s.agentPlays(passive("caller_hangup", "held", relayed), two.key(), words...)
				carrier = s.carrierPlays("hold", one.key(), words...)
				holder, other = carrier, agent
			} else {
				agent = s.agentPlays("hold", two.key(), words...)
				carrier = s.carrierPlays(passive("agent_hangup", "held", relayed), one.key(), words...)
				holder, other = agent, carrier
				expected = hungUpByAgent
			}
			talk := s.talking(one, two, carrier, agent)
			talk.both()
			first := 2 // CSeq of the holder's change
			if holder == agent {
				first = 1
			}
			holder.proceed(talk.id(holder))
			answer := holder.final(first, c.method)
			if got := directionOf(answer.body()); got != c.answer && (c.answer != "" || got != "sendrecv") {
				t.Errorf("hold is answered with %q; want %q:\n%s", got, c.answer, answer.raw)
			}
			if holder == carrier {
				talk.silent(two, one)
			} else {
				talk.silent(one, two)
			}
			holder.proceed(talk.id(holder))
			answer = holder.final(first+1, c.method)
			if got := directionOf(answer.body()); got != "" && got != "sendrecv" {
				t.Errorf("resuming is answered with %q:\n%s", got, answer.raw)
			}
			talk.both()
			holder.proceed(talk.id(holder))
			carrier.finish()
			agent.finish()
			changes := 0
			for _, m := range other.count(true, "INVITE ") {
				if tag(m.header("To")) != "" {
					changes++
				}
			}
			if relayed && changes != 2 || !relayed && changes != 0 {
				t.Errorf("the other side was sent %d changes", changes)
			}
			s.hides(carrier, agent)
			b.finish(expected)
		})
	}
}

// passive is the scenario of a side that nothing is asked of, or of one that is
// told of changes.
func passive(alone, told string, relayed bool) string {
	if relayed {
		return told
	}
	return alone
}

// directionOf is the direction that a session description names, "" without one.
func directionOf(sdp string) string {
	for _, d := range []string{"sendrecv", "sendonly", "recvonly", "inactive"} {
		if strings.Contains(sdp, "\r\na="+d+"\r\n") {
			return d
		}
	}
	return ""
}

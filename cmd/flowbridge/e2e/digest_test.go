//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// withAuth are the credentials of the target: the password is the API's token,
// which the server's environment has.
const withAuth = ", auth: {username: trunk, password_env: E2E_TOKEN}"

// TestDigest has an agent, whose arithmetic is not ours, ask for credentials
// with each of the forms that it knows.
func TestDigest(t *testing.T) {
	t.Parallel()
	for name, challenge := range map[string]string{
		"qop":    `qop="auth",algorithm=MD5`,
		"no_qop": `algorithm=MD5`,
		"both":   `qop="auth-int, auth"`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newPreparedStage(t)
			b := s.serve(setup{target: withAuth})
			agent := s.challenger(challenge)
			carrier := s.sippCarrier("caller_hangup")
			carrier.leaves(agent, carrier.answered(1)...)
			if got := agent.sent("SIP/2.0 200", 2); len(got) != 2 {
				t.Errorf("the agent sent %d times 200; want it for INVITE and BYE", len(got))
			}
			invites, byes := agent.received("INVITE ", 2), agent.received("BYE ", 2)
			if invites[0].header("Authorization") != "" || invites[1].header("CSeq") != "2 INVITE" || byes[1].header("CSeq") != "4 BYE" {
				t.Errorf("CSeq %s and %s, first Authorization %s", invites[1].header("CSeq"), byes[1].header("CSeq"), invites[0].header("Authorization"))
			}
			if ack := agent.received("ACK ", 2)[1]; ack.header("Authorization") != invites[1].header("Authorization") {
				t.Errorf("ACK without the INVITE's credentials:\n%s", ack.raw)
			}
			b.finish(hungUpByCaller)
			s.hidesPassword()
		})
	}
}

// challenger is the agent that asks for credentials.
func (s *stage) challenger(challenge string) *sipp {
	s.Helper()
	a := s.sipp("agent", "digest/uas.xml", s.agent, nil, "@CHALLENGE@", challenge, "@PASSWORD@", apiToken)
	eventually(s.T, "the agent listens", func() bool { return a.ended() || bound(s.T, "udp", a.addr) })
	return a
}

// hidesPassword checks what the server has logged.
func (s *stage) hidesPassword() {
	s.Helper()
	for _, line := range s.server.output() {
		if strings.Contains(line, apiToken) {
			s.Errorf("the password is in the log: %s", line)
		}
	}
}

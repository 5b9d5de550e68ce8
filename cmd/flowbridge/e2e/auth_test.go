//go:build e2e

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// TestAuth has SIPp show credentials: the right ones, wrong ones, and those of
// a second trunk at the same address, which a header tells apart. This SIPp
// knows MD5 alone, and reads the first challenge alone.
func TestAuth(t *testing.T) {
	s := newStage(t)
	s.simulate("--fault", "busy")
	b := s.serve(setup{sip: ", auth_algorithms: [MD5]", trunk: fmt.Sprintf(`, auth: {username: acme, password_env: E2E_TOKEN}}
  - {name: second, sources: ["%v"], match: {header: "X-Trunk: second"}, auth: {username: other, password_env: E2E_TOKEN}`, s.carrier)})
	const toSecond = "X-Trunk: second"
	for _, c := range []struct {
		user, password, extra string
		status                int
		trunk                 string // of the record; empty: there is none
	}{
		{"acme", apiToken, "X-Trunk: none", 486, "carrier"},
		{"acme", "wrong", "X-Trunk: none", 401, ""},
		{"nobody", apiToken, "X-Trunk: none", 401, ""},
		{"other", apiToken, "X-Trunk: none", 401, ""},
		{"other", apiToken, toSecond, 404, "second"}, // the route is the other trunk's
		{"other", "wrong", toSecond, 401, ""},
	} {
		before := len(b.cdrs())
		carrier := s.sipp("carrier", "auth/uac.xml", s.freePort(s.carrier), []string{"-s", called, b.sip.String()},
			"@STATUS@", strconv.Itoa(c.status), "@USER@", c.user, "@PASSWORD@", c.password, "@EXTRA@", c.extra)
		carrier.finish()
		second := carrier.sent("INVITE ", 2)[1]
		t.Logf("%s: %s", c.user, second.header("Authorization"))
		if strings.Contains(carrier.received("SIP/2.0 401", 1)[0].raw, apiToken) {
			t.Error("the challenge shows the password")
		}
		want := before
		if c.trunk != "" {
			want++
		}
		eventually(t, "the record is there", func() bool { return len(b.cdrs()) == want })
		if r := b.cdrs(); c.trunk != "" && r[0].Trunk != c.trunk {
			t.Errorf("%s: the record is of trunk %s; want %s", c.user, r[0].Trunk, c.trunk)
		}
	}
	b.nothingLeft()
	b.stop()
	s.hidesPassword()
}

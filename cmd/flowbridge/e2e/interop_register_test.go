//go:build e2e && interop

package e2e

import (
	"strings"
	"time"
)

// registers: Asterisk registers at Flowbridge, and is called where it is.
func (a *asterisk) registers(s *stage) {
	s.simulate("--direct-dial", "on")
	b := s.registeredBridge("Asterisk registers")
	a.cli("pjsip send register flowbridge") // it has tried before Flowbridge began
	eventually(s.T, "Asterisk is registered", func() bool { return strings.Contains(a.cli("pjsip show registrations"), "Registered") })
	s.callsBothWays(b)
}

// registered: Flowbridge registers at Asterisk, is called there, and removes its Contact at the end.
func (a *asterisk) registered(s *stage) {
	s.simulate("--direct-dial", "on")
	b := s.registeredBridge("Flowbridge registers")
	a.logged(s, "@192.168.10.5:5060' to AOR 'flowbridge'")
	s.callsBothWays(b)
	a.logged(s, "@192.168.10.5:5060' from AOR 'flowbridge'")
}

// registeredBridge is Flowbridge with a section's configuration, where the agent may call phones.
func (s *stage) registeredBridge(section string) *server {
	s.Helper()
	return s.bridge(readPage(s.T, "asterisk.md").yaml(s.T, section), "password_file: /run/secrets/pbx", "password_env: E2E_TOKEN",
		`uri: "sip:+15075785607@sip.agents.example"}`, `uri: "sip:+15075785607@sip.agents.example", sources: [192.168.10.30]}`,
		"routes:\n", "routes:\n  - {target: agent, to: \"^60[0-9]{2}$\", trunks: [pbx]}\n")
}

// callsBothWays has a phone call the agent, and then the agent a phone.
func (s *stage) callsBothWays(b *server) {
	s.Helper()
	phone := s.extension(labPhone1, "6001", 130)
	phone.command("dial", dialled)
	phone.await("CALL_ESTABLISHED")
	phone.hears(6 * time.Second) // two of them are the agent's greeting
	phone.hangUp()
	s.understands("echo", phone, phone)
	eventually(s.T, "the first call has a record", func() bool { return len(b.cdrs()) == 1 })
	s.agentCalls(b, want{"answered", "caller_hangup", "caller", 200, []try{{"", 0, 200}}})
}

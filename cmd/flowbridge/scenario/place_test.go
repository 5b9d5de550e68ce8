package scenario

import (
	"strings"
	"testing"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
)

// A test that does not say whom to call, or asks for what can't be seen, places no call.
func TestWhomToCall(t *testing.T) {
	for _, tt := range []struct{ file, server, wants string }{
		{"to: sip:a@127.0.0.1\n", "", ""},
		{"to: '+15075550199'\n", "127.0.0.1:5060", ""},
		{"", "", "whom to call?"},
		{"", "127.0.0.1:5060", "whom to call?"},
		{"target: a\n", "127.0.0.1:5060", "whom to call?"},
		{"to: '+15075550199'\n", "", "whom to call?"},
		{"to: sip:a@127.0.0.1\n", "127.0.0.1:5060", "whom to call?"},
		{"to: '1'\nexpect: {received X-A: b}\n", "127.0.0.1:5060", "only the server sees the agent's INVITE"},
	} {
		c, err := config.ParseConversation("test.yaml", []byte(tt.file+"steps: [{hang_up: true}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&Calls{Server: tt.server}).configure(c)
		if (tt.wants == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), tt.wants) || cli.ExitCode(err) != 2) {
			t.Errorf("%q, server %q: %v; want %q", tt.file, tt.server, err, tt.wants)
		}
	}
}

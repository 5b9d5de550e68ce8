package node

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// The called number, or the caller's, chooses the targets.
func TestTwilioRules(t *testing.T) {
	const rules = `second], rules: [{to: "^\\+1507[0-9]{7}$", from: "^\\+1555", targets: [first]}, {to: "^support$", targets: [first]}, {to: "^\\+49", targets: [unready]}`
	s := newFollowStage(t, rules)
	called := func(sid, to string) asked {
		t.Helper()
		return s.ask("/redirect_call", url.Values{"CallSid": {sid}, "Called": {to}, "From": {"+15550100001"}})
	}
	for i, tt := range []struct{ to, want string }{
		{"+15075785607", "dial sip:+15075785607@127.0.0.1:5071?"},
		{"sip:support@x.sip.twilio.com", "dial sip:support@127.0.0.1:5071?"},
		{"+15085785607", "dial sip:+15085785607@127.0.0.1:5073?"},
		{"sip:+1507w1900@x.sip.twilio.com", "say"},
		{"+4930123456", "say"},
	} {
		if got := called(fmt.Sprint("CA", i), tt.to).String(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s; want %s", tt.to, got, tt.want)
		}
	}
	s.records(2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.Node = nil
}

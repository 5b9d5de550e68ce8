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

// A target that may transfer has a referUrl, which leads where its REFER may lead, and nowhere else. The call's end is then that of the call
// to there.
func TestTwilioTransfers(t *testing.T) {
	s := newFollowStage(t, "first, second")
	begun := s.ask("/redirect_call", url.Values{"CallSid": {"CA1"}, "Called": {"+15075785607"}, "From": {"+15550100001"}})
	refer, base := begun.Dial.Refer, "http://127.0.0.1:9"
	if !strings.HasPrefix(refer, base+"/redirect_call/transfer?call=") || !strings.HasSuffix(refer, "&attempt=1&target=first") {
		t.Fatalf("the referUrl is %q", refer)
	}
	path := strings.TrimPrefix(refer, base)
	for i, tt := range []struct{ to, want string }{
		{"sip:+15075785600@sip.example.com", "dial +15075785600"},
		{"<sip:+15075785600@127.0.0.1;user=phone>", "dial +15075785600"},
		{"tel:+15075785601", "dial +15075785601"},
		{"+15075785602", "dial +15075785602"},
		{"sip:reception@pbx.example.com;transport=tcp;maddr=192.0.2.1", "dial sip:reception@pbx.example.com;transport=tcp"},
		{"<sip:4711@pbx.example.com?User-to-User=74%3Bencoding%3Dhex&X-Why=a%20b&Subject=hello>", "dial sip:4711@pbx.example.com?User-to-User=74;encoding%3Dhex&X-Why=a%20b"},
		{"sip:4711@pbx.example.com?X-Why=a", "dial sip:4711@pbx.example.com?X-Why=a"},
		{"sip:+15085785600@sip.example.com", "say"}, // none of transfer_numbers
		{"sip:reception@another.example.com", "say"},
		{"sips:reception@pbx.example.com", "say"},
		{"sip:rec;x=y@pbx.example.com", "say"},
		{"<sip:4711@pbx.example.com?Replaces=1%3Bto-tag%3D2%3Bfrom-tag%3D3>", "say"},
		{"+1507578560x", "say"},
		{"", "say"},
	} {
		got := s.ask(path, url.Values{"CallSid": {"CA1"}, "ReferTransferTarget": {tt.to}})
		if got.String() != tt.want {
			t.Errorf("%d: %s: %s, want %s", i, tt.to, got, tt.want)
		}
		if got.Dial != nil && (got.Dial.Action != begun.Dial.Action || got.Dial.Refer != "") {
			t.Errorf("%d: the action is %q, the referUrl %q", i, got.Dial.Action, got.Dial.Refer)
		}
	}
	if got := s.ask(strings.Replace(path, "target=first", "target=second", 1), url.Values{"ReferTransferTarget": {"tel:+15075785601"}}); got.String() != "say" {
		t.Errorf("a target without transfer: %s", got)
	}
	if got := s.ask("/redirect_call/transfer", url.Values{"ReferTransferTarget": {"tel:+15075785601"}}); got.String() != "say" {
		t.Errorf("no target: %s", got)
	}
	s.ask(strings.TrimPrefix(begun.Dial.Action, base), url.Values{"CallSid": {"CA1"}, "DialCallStatus": {"completed"}, "DialCallDuration": {"3"}})
	if r := s.records(1)[0]; r.Disposition != "answered" || len(r.Attempts) != 1 {
		t.Errorf("the record is %+v", r)
	}
	other := newFollowStage(t, "second")
	if got := other.ask("/redirect_call", url.Values{"CallSid": {"CA2"}, "Called": {"+15075785607"}, "From": {"+15550100001"}}); got.Dial == nil || got.Dial.Refer != "" {
		t.Errorf("a target without transfer: %+v", got)
	}
}

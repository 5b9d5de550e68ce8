package message

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

func TestEscapeUser(t *testing.T) {
	for number, want := range map[string]string{
		"+15075550100": "+15075550100", "": "anonymous", "alice": "alice", "a b": "a%20b", "a@b": "a%40b", "a:b": "a%3Ab",
		"#31#": "%2331%23", "*98": "*98", "a\r\nb": "a%0D%0Ab", "a>b": "a%3Eb", "a%b": "a%25b", "ü": "%C3%BC", `"`: "%22", "a;b=c": "a%3Bb=c",
	} {
		got := UserOf(config.Party{Number: number})
		if got != want {
			t.Errorf("%q: %q; want %q", number, got, want)
		}
		var uri sip.Uri
		if err := sip.ParseUri("sip:"+got+"@h", &uri); err != nil || uri.User != got || uri.Host != "h" {
			t.Errorf("%q gives a URI with user %q and host %q: %v", number, uri.User, uri.Host, err)
		}
		if number != "" && Unescape(got) != number && !strings.ContainsAny(number, "\r\n") {
			t.Errorf("%q comes back as %q", number, Unescape(got))
		}
	}
}

package message

import (
	"testing"

	"github.com/emiago/sipgo/sip"
)

// FuzzURIText checks that we write a URI in the same way as the library.
func FuzzURIText(f *testing.F) {
	for _, s := range []string{
		"sip:+15075785607@192.0.2.20:32681", "sips:a@b", "tel:+1;phone-context=x", "sip:h", "sip:a:b@h", "sip:a@[2001:db8::1]:5060", "sip:a@h;lr;x=y?z=1",
		"sip://h", "urn:service:sos", "*", "", "SIP:a@H:0", "sip:a@h:99999",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var u sip.Uri
		if sip.ParseUri(s, &u) != nil {
			return
		}
		if got, want := URIText(&u), u.String(); got != want {
			t.Errorf("%q: %q; the library writes %q", s, got, want)
		}
	})
}

// FuzzHidesCaller checks that HidesCaller treats the same URIs as anonymous as the function
// that checks a From header.
func FuzzHidesCaller(f *testing.F) {
	for _, s := range []string{"sip:anonymous@anonymous.invalid", "sip:Restricted@h", "tel:private", "sip:%61nonymous@h", "sip:a@Anonymous.Invalid", "sip:a@h", "sip:anonymous;x@h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u := ParseURI(s)
		if got, want := HidesCaller(&u), isHidden(PartyOf("", &u, "")); got != want {
			t.Errorf("%q: %v; want %v", s, got, want)
		}
	})
}

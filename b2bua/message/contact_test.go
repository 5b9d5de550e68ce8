package message

import (
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// registerWith returns a REGISTER with these header lines.
func registerWith(lines string) []byte {
	text := "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\nFrom: <sip:a@example.com>;tag=1\nTo: <sip:a@example.com>\n" +
		"Call-ID: c\nCSeq: 1 REGISTER\nMax-Forwards: 70\n" + lines + "Content-Length: 0\n\n"
	return []byte(strings.ReplaceAll(text, "\n", "\r\n"))
}

func TestContactsIn(t *testing.T) {
	const day = 24 * time.Hour
	for lines, want := range map[string]struct {
		list  []Contact
		all   bool
		wrong string
	}{
		"": {},
		"Contact: <sip:a@192.0.2.1:5062;transport=tcp>;Expires=60;Q=0.5\n": {list: []Contact{{Expires: time.Minute, Q: 500}}},
		"m: sip:a@192.0.2.1;expires=60\n":                                  {list: []Contact{{Expires: time.Minute, Q: 1000}}},
		"Contact: \"A, B\" <sip:a@192.0.2.1>, <sip:b@192.0.2.1>;q=0\n":     {list: []Contact{{Expires: -1, Q: 1000}, {Expires: -1}}},
		"Contact: <sip:a@h>;expires=\n":                                    {list: []Contact{{Expires: time.Hour, Q: 1000}}},
		"Contact: <sip:a@h>;expires=-1\n":                                  {list: []Contact{{Expires: time.Hour, Q: 1000}}},
		"Contact: <sip:a@h>;expires=99999999999\n":                         {list: []Contact{{Expires: (1<<32 - 1) * time.Second, Q: 1000}}},
		"Contact: <sip:a@h>;q=1.0001\n":                                    {wrong: "Contact Has a Malformed q"},
		"Contact: <sip:a@h>;q=1.001\n":                                     {wrong: "Contact Has a Malformed q"},
		"Contact: <sip:a@h>;q=-1\n":                                        {wrong: "Contact Has a Malformed q"},
		"Contact: <sip:a@h>;q=\n":                                          {wrong: "Contact Has a Malformed q"},
		"Contact: *\n":                                                     {all: true},
		"Contact: *, <sip:a@h>\n":                                          {all: true, list: []Contact{{Expires: -1, Q: 1000}}},
		"Contact: <sip:a@h\n":                                              {wrong: "Contact Is Malformed"},
		"Contact: <sip:a@h>;+sip.instance=\"<urn:uuid:1>\";reg-id=2\n":     {list: []Contact{{Expires: -1, Q: 1000, Instance: "<urn:uuid:1>;2"}}},
	} {
		msg, err := Parse(registerWith(lines))
		if err != nil {
			t.Fatalf("%q: %v", lines, err)
		}
		list, all, wrong := ContactsIn(msg)
		same := len(list) == len(want.list) && all == want.all && wrong == want.wrong
		for i := range min(len(list), len(want.list)) {
			got := list[i]
			got.URI = sip.Uri{}
			got.Instance = strings.Trim(strings.ReplaceAll(got.Instance, `"`, ""), " ")
			same = same && got.Expires == want.list[i].Expires && got.Q == want.list[i].Q && got.Instance == want.list[i].Instance
		}
		if !same {
			t.Errorf("%q: %+v, all %v, %q; want %+v", lines, list, all, wrong, want)
		}
	}
	if d := ExpiresOf(" 86400 "); d != day {
		t.Errorf("a day is %v", d)
	}
}

// Two URIs are the same or not as in the examples of RFC 3261 section 19.1.4.
func TestSameURI(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5", true},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
		{"sip:bob@[2001:db8::1]", "sips:bob@[2001:db8::1]", false},
	} {
		a, b := ParseURI(tt.a), ParseURI(tt.b)
		if SameURI(&a, &b) != tt.same || SameURI(&b, &a) != tt.same {
			t.Errorf("%s and %s: same should be %v", tt.a, tt.b, tt.same)
		}
	}
}

// FuzzContacts checks that the values read from any REGISTER are within their limits, and that a URI equals itself.
func FuzzContacts(f *testing.F) {
	for _, s := range []string{
		"Contact: *\nExpires: 0\n", "Contact: <sip:a@h>;expires=1;q=0.1,<sips:b@[::1]:5061>\n", "m: sip:a@h;q=.\nExpires: x\n",
		"Contact: <sip:a@h>;expires=\"60\"\n", "Contact:\nContact: ,\n", "Contact: \"\\\"<sip:x>\" <sip:a:b@h;lr?X=1>;+sip.instance=\"<u>\";reg-id=1\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		msg, err := Parse(registerWith(lines))
		if err != nil {
			return
		}
		list, _, wrong := ContactsIn(msg)
		if wrong != "" && list != nil {
			t.Errorf("%d Contacts, and %q", len(list), wrong)
		}
		for i := range list {
			c := &list[i]
			if c.Q < 0 || c.Q > 1000 || c.Expires > (1<<32-1)*time.Second || c.Expires < -1 {
				t.Errorf("q is %d, and expires %v", c.Q, c.Expires)
			}
			if !SameURI(&c.URI, &c.URI) {
				t.Errorf("%s is another than itself", URIText(&c.URI))
			}
		}
	})
}

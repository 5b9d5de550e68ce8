package twilio

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestDialSIP(t *testing.T) {
	for name, tt := range map[string]struct {
		uri  string
		opts DialOptions
		want string
	}{
		"plain":    {"sip:+1507@a:32681", DialOptions{}, `<Dial><Sip>sip:+1507@a:32681</Sip></Dial>`},
		"call sid": {"sip:+1507@a?X-EI=CA1", DialOptions{}, `<Dial><Sip>sip:+1507@a?X-EI=CA1</Sip></Dial>`},
		"token":    {"sip:+1507@a?X-EI=S.x;", DialOptions{}, `<Dial><Sip>sip:+1507@a?X-EI=S.x;</Sip></Dial>`},
		"two":      {"sip:+1507@a?X-A=1&X-B='", DialOptions{}, `<Dial><Sip>sip:+1507@a?X-A=1&amp;X-B=&#39;</Sip></Dial>`},
		"attributes": {
			"sip:a@b",
			DialOptions{AnswerOnBridge: true, Timeout: 20 * time.Second, CallerID: "+15550100001", Action: "https://a.example/x?a=1&b=2"},
			`<Dial answerOnBridge="true" timeout="20" callerId="+15550100001" action="https://a.example/x?a=1&amp;b=2"><Sip>sip:a@b</Sip></Dial>`,
		},
		"transfers": {"sip:a@b", DialOptions{ReferURL: "https://a.example/x?a=1&b=2"}, `<Dial referUrl="https://a.example/x?a=1&amp;b=2"><Sip>sip:a@b</Sip></Dial>`},
		"action": {
			"sip:a@b",
			DialOptions{Action: "https://a.example/x", Method: "POST"},
			`<Dial action="https://a.example/x" method="POST"><Sip>sip:a@b</Sip></Dial>`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := dialSIP(tt.uri, tt.opts)
			if want := xml.Header + "<Response>" + tt.want + "</Response>"; err != nil || string(got) != want {
				t.Errorf("got  %s (%v)\nwant %s", got, err, want)
			}
		})
	}
	for name, o := range map[string]DialOptions{
		"short": {Timeout: time.Second}, "long": {Timeout: time.Hour}, "broken": {Timeout: 5500 * time.Millisecond},
		"action": {Action: "/x"}, "method": {Action: "https://a.example/x", Method: "PUT"}, "caller id": {CallerID: "a b"},
	} {
		if _, err := dialSIP("sip:a@b", o); !errors.Is(err, errTwiML) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDialNumber(t *testing.T) {
	const want = xml.Header + `<Response><Dial timeout="30">+15550100009</Dial></Response>`
	if got, err := dialNumber("+15550100009", DialOptions{Timeout: 30 * time.Second}); err != nil || string(got) != want {
		t.Errorf("got  %s (%v)\nwant %s", got, err, want)
	}
	for _, number := range []string{"", "555-0100009", "+1"} {
		if _, err := dialNumber(number, DialOptions{}); !errors.Is(err, errTwiML) || !strings.Contains(err.Error(), "number") {
			t.Errorf("%q: got %v; want an error about the number", number, err)
		}
	}
}

// FuzzTwiML checks that an XML parser reads back the values that were written.
func FuzzTwiML(f *testing.F) {
	f.Add("sip:+15075785607@a:32681", "X-EI", "S.a29407fb;", "+15550100001", "https://a.example/?a=1&b=2")
	f.Add("sip:a@b;transport=tcp", "X-A", "<&>\"'\t]]>", "", "")
	f.Fuzz(func(t *testing.T, base, name, value, callerID, action string) {
		type seen struct {
			XMLName xml.Name `xml:"Response"`
			Dial    struct {
				SIP    string `xml:"Sip"`
				Caller string `xml:"callerId,attr"`
				Action string `xml:"action,attr"`
			}
		}
		read := func(body []byte) (s seen) {
			t.Helper()
			if err := xml.Unmarshal(body, &s); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			return s
		}
		if uri, err := SIPURI(base, []Header{{name, value}}); err == nil {
			if body, err := dialSIP(uri, DialOptions{CallerID: callerID, Action: action}); err == nil {
				if s := read(body); s.Dial.SIP != uri || s.Dial.Caller != callerID || s.Dial.Action != action {
					t.Errorf("got %+v; want %q %q %q", s, uri, callerID, action)
				}
			}
		}
	})
}

package twilio

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"flowbridge/config/twiml"
)

func TestSIPURI(t *testing.T) {
	const base = "sip:+15075785607@sipin.synthflow.ai:32681"
	for name, tt := range map[string]struct {
		headers []Header
		want    string
	}{
		"none":       {nil, base},
		"call sid":   {[]Header{{"X-EI", "CA0123"}}, base + "?X-EI=CA0123"},
		"token":      {[]Header{{"X-EI", "S.a29407fb-1bf2;"}}, base + "?X-EI=S.a29407fb-1bf2;"},
		"two":        {[]Header{{"X-EI", "S.a;E.b;"}, {"x-first_name", "Zoë & Co = 100%?"}}, base + "?X-EI=S.a;E.b;&x-first_name=Zo%C3%AB%20%26%20Co%20%3D%20100%25?"},
		"empty":      {[]Header{{"X-A", ""}}, base + "?X-A="},
		"plus":       {[]Header{{"X-Caller", "+15550100001"}}, base + "?X-Caller=%2B15550100001"},
		"delimiters": {[]Header{{"X-A", `<a@b>,"c"#`}}, base + "?X-A=%3Ca%40b%3E%2C%22c%22%23"},
		"allowed":    {[]Header{{"X-A", "-_.!~*'()[]/?:$"}}, base + "?X-A=-_.!~*'()[]/?:$"},
		"once":       {[]Header{{"X-A", "%20"}}, base + "?X-A=%2520"},
		"standard":   {[]Header{{"User-to-User", "00;encoding=hex"}}, base + "?User-to-User=00;encoding%3Dhex"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SIPURI(base, tt.headers)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v\nwant %q", got, err, tt.want)
			}
		})
	}
}

func TestSIPURIRefuses(t *testing.T) {
	long := strings.Repeat("a", 1024)
	for name, tt := range map[string]struct {
		uri     string
		headers []Header
		want    error
		says    string
	}{
		"no uri":        {"", nil, errURI, "sip:"},
		"tel":           {"tel:+1", nil, errURI, "tel:+1"},
		"no user":       {"sip:a.example", nil, errURI, "sip:<user>"},
		"empty user":    {"sip:@a.example", nil, errURI, "sip:<user>"},
		"no host":       {"sip:a@", nil, errURI, "sip:<user>"},
		"port alone":    {"sip:a@:5060", nil, errURI, "sip:<user>"},
		"two hosts":     {"sip:a@b@c", nil, errURI, "sip:<user>"},
		"own headers":   {"sip:a@b?X-A=1", nil, errURI, "headers"},
		"space":         {"sip:a b@c", nil, errURI, "character"},
		"line break":    {"sip:a@c\r\n", nil, errURI, "character"},
		"markup":        {"sip:a@c>", nil, errURI, "character"},
		"long uri":      {"sip:" + strings.Repeat("a", 250) + "@b", nil, errURI, "254"},
		"no x":          {"sip:a@b", []Header{{"Subject", "x"}}, twiml.ErrHeaderName, `"Subject"`},
		"twilio's own":  {"sip:a@b", []Header{{"x-Twilio-CallSid", "x"}}, twiml.ErrHeaderName, "x-Twilio-CallSid"},
		"x alone":       {"sip:a@b", []Header{{"X-", "x"}}, twiml.ErrHeaderName, "X-"},
		"other case":    {"sip:a@b", []Header{{"user-to-user", "x"}}, twiml.ErrHeaderName, "user-to-user"},
		"name":          {"sip:a@b", []Header{{"X-A=b&c", "x"}}, twiml.ErrHeaderName, "letters"},
		"name, utf-8":   {"sip:a@b", []Header{{"X-Ä", "x"}}, twiml.ErrHeaderName, "letters"},
		"break":         {"sip:a@b", []Header{{"X-A", "x\r\nVia: y"}}, errHeaderValue, "X-A"},
		"not utf-8":     {"sip:a@b", []Header{{"X-A", "\xff"}}, errHeaderValue, "X-A"},
		"long headers":  {"sip:a@b", []Header{{"X-A", long}}, errHeadersLong, "X-A"},
		"long by bytes": {"sip:a@b", []Header{{"X-A", strings.Repeat("ä", 170)}, {"X-B", "1"}}, errHeadersLong, "X-A"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SIPURI(tt.uri, tt.headers)
			if !errors.Is(err, tt.want) || got != "" || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %q, %v; want %v saying %q", got, err, tt.want, tt.says)
			}
		})
	}
	exactly := []Header{{"X-A", long[:1019]}}
	if _, err := SIPURI("sip:a@b", exactly); err != nil {
		t.Errorf("1023 characters: %v", err)
	}
	if _, err := SIPURI("sip:"+strings.Repeat("a", 248)+"@b", nil); err != nil {
		t.Errorf("254 characters: %v", err)
	}
}

// FuzzSIPURI checks that a URI from SIPURI is read with the same values, both as a SIP URI
// and, if no value has a semicolon, as a query.
func FuzzSIPURI(f *testing.F) {
	f.Add("sip:+15075785607@sipin.synthflow.ai:32681", "X-EI", "S.a29407fb;", "x-first_name", "Zoë & Co")
	f.Add("sips:a@[::1]:5061;transport=tls", "User-to-User", "00;encoding=hex", "X-B", "%+%2B")
	f.Add("sip:a@b", "X-A", "", "X-Twilio-A", "\r\n")
	f.Fuzz(func(t *testing.T, uri, name1, value1, name2, value2 string) {
		headers := []Header{{name1, value1}, {name2, value2}}
		got, err := SIPURI(uri, headers)
		if err != nil {
			return
		}
		before, query, _ := strings.Cut(got, "?")
		if before != uri || len(query) >= 1024 || len(before) >= 255 {
			t.Fatalf("got %q; want the URI %q with headers, both within Twilio's limits", got, uri)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '"' }) {
			t.Errorf("not fit for a message: %q", got)
		}
		for i, pair := range strings.Split(query, "&") {
			name, value, _ := strings.Cut(pair, "=")
			plain, err := url.PathUnescape(value)
			if err != nil || name != headers[i].Name || plain != headers[i].Value {
				t.Errorf("%d: %q %q %v; want %q", i, name, plain, err, headers[i])
			}
			if as, err := url.QueryUnescape(value); err != nil || as != plain {
				t.Errorf("as a query: %q, %v; want %q", as, err, plain)
			}
		}
	})
}

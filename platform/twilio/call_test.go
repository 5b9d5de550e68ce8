package twilio

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestParseCall(t *testing.T) {
	params, err := parseParameters("CallSid=CA1&AccountSid=AC1&Called=%2B15075785607&To=%2B15075785607&From=%2B15550100001&Caller=%2B15550100001" +
		"&Direction=inbound&CallStatus=ringing&ForwardedFrom=%2B15550100009&CallerName=ADA+L&ApiVersion=2010-04-01&SipHeader_X-Customer=a%3Bb&SipHeader_X-Empty=")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseCall(params)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.SID, c.AccountSID, c.Called, c.Caller, c.Direction, c.Status, c.ForwardedFrom, c.CallerName, c.Header("x-CUSTOMER"), c.Header("X-Empty"), c.Header("X-None")}
	want := []string{"CA1", "AC1", "+15075785607", "+15550100001", "inbound", "ringing", "+15550100009", "ADA L", "a;b", "", ""}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: got %q; want %q", i, got[i], want[i])
		}
	}
}

func TestNumber(t *testing.T) {
	for given, want := range map[string]string{
		"":                    "",
		"+15075785607":        "+15075785607",
		" 15075785607":        "+15075785607", // an unescaped plus in a query
		"15075785607":         "+15075785607",
		" 15075785607 ":       "+15075785607",
		"100":                 "100", // an extension
		" 100":                "+100",
		"0015075785607":       "0015075785607",
		"1234567890123456":    "1234567890123456",
		"anonymous":           "anonymous",
		"sip:ada@pbx.example": "sip:ada@pbx.example",
		" sip:ada@x ":         "sip:ada@x",
		"client:ada":          "client:ada",
		" ":                   "",
		"１２３４５６７８":            "１２３４５６７８",
	} {
		if got := number(given); got != want {
			t.Errorf("%q: got %q; want %q", given, got, want)
		}
	}
}

func TestParseCallWithoutCalled(t *testing.T) {
	for _, query := range []string{"", "To=%2B15075785607", "Called=", "Called=+", "called=%2B1"} {
		params, err := parseParameters(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseCall(params); !errors.Is(err, errNoCalled) || err.Error() != `Missing "Called" query parameter` {
			t.Errorf("%q: %v", query, err)
		}
	}
	c, err := parseCall(url.Values{"Called": {"+1"}, "Caller": {"15550100001"}})
	if err != nil || c.Caller != "+15550100001" {
		t.Errorf("without From: %+v, %v", c, err)
	}
}

func TestParseParameters(t *testing.T) {
	got, err := parseParameters("a=1;2&&b&a=+%2B&=x&c==")
	if err != nil || len(got) != 4 || got["a"][0] != "1;2" || got["a"][1] != " +" || got["b"][0] != "" || got[""][0] != "x" || got["c"][0] != "=" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{"a=%", "%zz=1", "a=%4"} {
		if _, err := parseParameters(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func FuzzParseCall(f *testing.F) {
	f.Add("CallSid=CA1&Called=+15075785607&From=%2B15550100001&SipHeader_X-A=b")
	f.Add("Called=sip%3Aada%40x.sip.twilio.com&CallerName=%C3%9C")
	f.Add("Called=%00&&=;%")
	f.Fuzz(func(t *testing.T, query string) {
		params, err := parseParameters(query)
		if err != nil {
			return
		}
		// If net/url can read the query as well, both give the same result.
		if std, err := url.ParseQuery(query); err == nil && std.Encode() != params.Encode() {
			t.Errorf("got %q; want %q", params, std)
		}
		c, err := parseCall(params)
		if err != nil {
			if !errors.Is(err, errNoCalled) {
				t.Error(err)
			}
			return
		}
		if c.Called == "" || c.Called != strings.TrimSpace(c.Called) || number(c.Called) != c.Called {
			t.Errorf("called: %q", c.Called)
		}
	})
}

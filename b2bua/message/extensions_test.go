package message

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/sim/siptest"
)

func TestSessionExpires(t *testing.T) {
	for value, want := range map[string]string{
		"1800":                               "1800",
		"1800;refresher=uac":                 "1800;refresher=uac",
		" 90 ; Refresher = UAS ":             "90;refresher=uas",
		"4000;refresher=uas;x=y;z":           "4000;refresher=uas",
		"4000;x=\";refresher=uac\"":          "4000",
		"90;;":                               "90",
		"0":                                  "0",
		"0001800":                            "1800",
		"2147483647":                         "2147483647",
		"2147483648":                         "", // 2**31
		"99999999999999999999999":            "",
		"":                                   "",
		";refresher=uac":                     "",
		"-1":                                 "",
		"+90":                                "",
		"90.5":                               "",
		"90 s":                               "",
		"90, 91":                             "",
		"90;refresher":                       "",
		"90;refresher=proxy":                 "",
		"90;refresher=uac;refresher=uas":     "",
		"90;refresher=uac\r\nX-Evil: 1":      "",
		"9\x000":                             "",
		"90;x=1\r\n ;refresher=\r\n uac\r\n": "90;refresher=uac",
	} {
		s, err := parseSessionExpires(value)
		got := ""
		if err == nil {
			got = s.String()
		}
		if got != want || (err != nil) != errors.Is(err, errSessionExpires) {
			t.Errorf("%q: %q, %v; want %q", value, got, err, want)
		}
	}
}

func TestSessionExpiresOf(t *testing.T) {
	for headers, want := range map[string]string{
		"":                                    "",
		"Session-Expires: 90":                 "90",
		"x: 90;refresher=uac":                 "90;refresher=uac",
		"X: 90":                               "90",
		"Session-Expires: x":                  "error",
		"Session-Expires: 90\nx: 90":          "error",
		"x: 1\nx: 2":                          "error",
		"Session-Expires: 90;refresher=\"uac": "error",
	} {
		s, err := SessionExpiresOf(requestWith(t, headers))
		got := ""
		switch {
		case err != nil:
			got = "error"
		case s != nil:
			got = s.String()
		}
		if got != want {
			t.Errorf("%q: %s, %v; want %s", headers, got, err, want)
		}
	}
}

func TestMinSE(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"90": 90 * time.Second, " 120 ;x=y": 2 * time.Minute, "0": 0, "2147483647": maxDelta * time.Second,
		"": -1, "x": -1, "2147483648": -1, "90 90": -1,
	} {
		d, err := ParseMinSE(value)
		if err != nil {
			d = -1
		}
		if d != want || (err != nil) != errors.Is(err, errMinSE) {
			t.Errorf("%q: %v, %v; want %v", value, d, err, want)
		}
	}
	for d, want := range map[time.Duration]string{
		90 * time.Second: "90", 1: "1", 0: "0", -1: "0", 1500 * time.Millisecond: "2", 2*maxDelta*time.Second + 1: "2147483647",
	} {
		if got := FormatMinSE(d); got != want {
			t.Errorf("%v: %s; want %s", d, got, want)
		}
	}
}

func TestRSeq(t *testing.T) {
	for value, want := range map[string]uint32{
		"1": 1, " 988789 ": 988789, "4294967295": math.MaxUint32, "007": 7,
		"": 0, "0": 0, "4294967296": 0, "-1": 0, "+1": 0, "0x1": 0, "1_0": 0, "1 2": 0, "99999999999999999999": 0,
	} {
		n, err := ParseRSeq(value)
		if n != want || (err != nil) != (want == 0) || (err != nil) != errors.Is(err, errRSeq) {
			t.Errorf("%q: %d, %v; want %d", value, n, err, want)
		}
	}
	if got := FormatRSeq(math.MaxUint32); got != "4294967295" {
		t.Error(got)
	}
}

func TestRAck(t *testing.T) {
	for value, want := range map[string]string{
		"776656 1 INVITE":           "776656 1 INVITE",
		"\t1  0\r\n INVITE ":        "1 0 INVITE",
		"4294967295 2147483647 X-y": "4294967295 2147483647 X-y",
		"":                          "",
		"1 1":                       "",
		"1 1 INVITE x":              "",
		"0 1 INVITE":                "",
		"4294967296 1 INVITE":       "",
		"1 2147483648 INVITE":       "",
		"1 -1 INVITE":               "",
		"1 1 IN\x00VITE":            "",
		"1 1 IN/VITE":               "",
		"1\u00a01\u00a0INVITE":      "",
	} {
		r, err := ParseRAck(value)
		got := ""
		if err == nil {
			got = r.String()
		}
		if got != want || (err != nil) != errors.Is(err, errRAck) {
			t.Errorf("%q: %q, %v; want %q", value, got, err, want)
		}
	}
}

func TestHasOption(t *testing.T) {
	for _, tt := range []struct {
		headers, header, tag string
		want                 bool
	}{
		{"Supported: 100rel", "Supported", "100rel", true},
		{"Supported: timer, 100REL", "supported", "100rel", true},
		{"Supported: timer\nSupported: replaces ,\r\n 100rel", "Supported", "100rel", true},
		{"k: timer,100rel", "Supported", "100rel", true},
		{"K: timer\nSupported: 100rel", "Supported", "timer", true},
		{"Supported: timer,,100rel,", "Supported", "100rel", true},
		{"Supported:", "Supported", "100rel", false},
		{"Supported:", "Supported", "", false},
		{"Supported: x100rel, 100relx, 100rel x", "Supported", "100rel", false},
		{"Supported: \"a\", <b, 100rel", "Supported", "100rel", true},
		{"Require: 100rel", "Supported", "100rel", false},
		{"Require: 100rel", "Require", "100rel", true},
		{"k: 100rel", "Require", "100rel", false},
		{"Proxy-Require: privacy", "proxy-require", "Privacy", true},
		{"Unsupported: 100rel", "Unsupported", "100rel", true},
		{"", "Supported", "100rel", false},
	} {
		if got := HasOption(requestWith(t, tt.headers), tt.header, tt.tag); got != tt.want {
			t.Errorf("%s has %s in %q: %v; want %v", tt.header, tt.tag, tt.headers, got, tt.want)
		}
	}
}

func TestAllows(t *testing.T) {
	for _, tt := range []struct {
		headers, method string
		want            bool
	}{
		{"Allow: INVITE, ACK,UPDATE", "UPDATE", true},
		{"Allow: INVITE\nallow: PRACK", "PRACK", true},
		{"Allow: INVITE\r\n\t, PRACK", "PRACK", true},
		{"Allow: invite", "INVITE", false},
		{"Allow: INVITES", "INVITE", false},
		{"Allow:", "INVITE", false},
		{"Allow:", "", false},
		{"Allow-Events: refer", "refer", false},
		{"", "INVITE", false},
	} {
		if got := Allows(requestWith(t, tt.headers), tt.method); got != tt.want {
			t.Errorf("%s by %q: %v; want %v", tt.method, tt.headers, got, tt.want)
		}
	}
	res := sip.NewResponse(200, "OK")
	res.AppendHeader(sip.NewHeader("Allow", "UPDATE"))
	if !Allows(res, "UPDATE") || HasOption(res, "Supported", "timer") {
		t.Error("responses are read as well")
	}
}

// requestWith returns a parsed request with these header lines.
func requestWith(t *testing.T, headers string) *sip.Request {
	t.Helper()
	if headers != "" {
		headers += "\n"
	}
	msg, err := Parse(siptest.CRLF(strings.ReplaceAll("INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=x\nTo: <sip:c@d>\n"+
		"Call-ID: one\nCSeq: 1 INVITE\n"+headers+"Content-Length: 0\n\n", "\r\n", "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return msg.(*sip.Request)
}

// FuzzExtensions checks that parsed values are within their limits, and that written
// values are read back unchanged.
func FuzzExtensions(f *testing.F) {
	for _, v := range []string{"90;refresher=uac", "1 1 INVITE", "2147483648", "4294967295", "100rel, timer", " 1 ;x=\"y;", ""} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		if s, err := parseSessionExpires(v); err == nil {
			again, err := parseSessionExpires(s.String())
			if err != nil || again != s || s.Interval < 0 || s.Interval > maxDelta*time.Second {
				t.Errorf("%q: %v, then %v, %v", v, s, again, err)
			}
		} else if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		if d, err := ParseMinSE(v); err == nil {
			if again, err := ParseMinSE(FormatMinSE(d)); err != nil || again != d {
				t.Errorf("%q: %v, then %v, %v", v, d, again, err)
			}
		}
		if n, err := ParseRSeq(v); err == nil {
			if again, err := ParseRSeq(FormatRSeq(n)); err != nil || again != n || n == 0 {
				t.Errorf("%q: %d, then %d, %v", v, n, again, err)
			}
		}
		if r, err := ParseRAck(v); err == nil {
			if again, err := ParseRAck(r.String()); err != nil || again != r {
				t.Errorf("%q: %v, then %v, %v", v, r, again, err)
			}
		} else if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		req := sip.NewRequest("INVITE", sip.Uri{Scheme: "sip", Host: "h"})
		req.AppendHeader(sip.NewHeader("Supported", v))
		req.AppendHeader(sip.NewHeader("Allow", v))
		for _, one := range tokens(req, "supported", "k") {
			if !HasOption(req, "Supported", one) || !Allows(req, one) {
				t.Errorf("%q has %q, but not that", v, one)
			}
		}
		_ = fmt.Sprint(SessionExpiresOf(req))
	})
}

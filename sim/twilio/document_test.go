package twilio

import (
	"strings"
	"testing"

	"flowbridge/sim"
)

func TestParseDocumentRefuses(t *testing.T) {
	const sip = `<Response><Dial><Sip>sip:a@b</Sip></Dial></Response>`
	for name, tt := range map[string]struct {
		contentType, body string
		code              int
	}{
		"html":             {"text/html", sip, codeContentType},
		"no type":          {"", sip, codeContentType},
		"too long":         {"text/xml", "<Response>" + strings.Repeat(" ", maxTwiML) + "</Response>", codeTooLarge},
		"not UTF-8":        {"text/xml", "<Response><Say>\xff</Say></Response>", codeParse},
		"empty":            {"text/xml", "", codeParse},
		"other root":       {"text/xml", "<response/>", codeParse},
		"root's attribute": {"text/xml", `<Response version="1"/>`, codeParse},
		"ampersand":        {"text/xml", "<Response><Dial><Sip>sip:a@b?x-a=1&x-b=2</Sip></Dial></Response>", codeParse},
		"entity":           {"text/xml", `<Response><Say>&b;</Say></Response>`, codeParse},
		"unknown verb":     {"text/xml", `<Response><Fly/></Response>`, codeSchema},
		"two parties":      {"text/xml", `<Response><Dial><Sip>sip:a@b</Sip><Sip>sip:c@d</Sip></Dial></Response>`, codeSchema},
		"unknown noun":     {"text/xml", `<Response><Dial><SIP>sip:a@b</SIP></Dial></Response>`, codeSchema},
		"number":           {"text/xml", `<Response><Dial>nobody</Dial></Response>`, codeNumber},
		"nobody":           {"text/xml", `<Response><Dial/></Response>`, codeNumber},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseTwiML(tt.contentType, []byte(tt.body)); err == nil || err.Code != tt.code {
				t.Errorf("got %v; want %d", err, tt.code)
			}
		})
	}
}

func TestParseDialledURI(t *testing.T) {
	u, err := parseDialledURI("sip:+15075785607@sipin.synthflow.ai:32681;edge=dublin;transport=udp;region=ie1?X-EI=S.a29407fb;&x-first_name=Zo%C3%AB%20%26&User-to-User=00%3Bencoding%3Dhex")
	if err != nil {
		t.Fatal(err)
	}
	if want := "sip:+15075785607@sipin.synthflow.ai:32681;transport=udp"; u.address != want {
		t.Errorf("got %q; want %q", u.address, want)
	}
	want := []sim.Header{{Name: "X-EI", Value: "S.a29407fb;"}, {Name: "x-first_name", Value: "Zoë &"}, {Name: "User-to-User", Value: "00;encoding=hex"}}
	for i := range want {
		if u.headers[i] != want[i] {
			t.Errorf("got %q; want %q", u.headers[i], want[i])
		}
	}
	if len(u.warnings) != 1 || !strings.Contains(u.warnings[0], "32110") || !strings.Contains(u.warnings[0], "X-EI") {
		t.Errorf("warnings: %q", u.warnings)
	}
	for _, good := range []string{"sip:a@b", "sips:a@b.example;transport=tls", "sip:a@[::1]:5061", "sip:a@b?x-a="} {
		if _, err := parseDialledURI(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func TestParseDialledURIRefuses(t *testing.T) {
	for uri, code := range map[string]int{
		"":                                       codeURI,
		"sip:a@b:port":                           codeURI,
		"sip:" + strings.Repeat("a", 249) + "@b": codeURI,
		"sip:a@b?x-a=" + strings.Repeat("1", 1020): codeHeadersLong,
		"sip:a@b?Subject=x":                        codeHeaderName,
		"sip:a@b?X-Twilio-A=1":                     codeHeaderName,
		"sip:a@b?x-a=1&&x-b=2":                     codeHeaderName,
		"sip:a@b?x-a=1;x-b=2":                      codeHeaderValue,
		"sip:a@b?x-a=%0d%0aVia:%20":                codeHeaderValue,
		"sip:a@b?x-a=%ff":                          codeHeaderValue,
	} {
		if _, err := parseDialledURI(uri); err == nil || err.Code != code {
			t.Errorf("%q: got %v; want %d", uri, err, code)
		}
	}
}

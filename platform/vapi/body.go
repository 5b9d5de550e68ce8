package vapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"flowbridge/internal/rest"
)

// CheckAssistant says what is wrong with the body of a new assistant. The API requires no member, but assistants are
// looked up by name.
func CheckAssistant(body rest.Object) error {
	if name, _ := body.Text("name"); strings.TrimSpace(name) == "" {
		return errors.New("name is missing: assistants are found by it")
	}
	return nil
}

// ProviderVapi is the provider of numbers that are SIP URIs of the platform itself.
const ProviderVapi = "vapi"

// sipURI is the format on the page "SIP introduction": a chosen user name and the region's SIP host. The port is for
// stand-ins.
var sipURI = regexp.MustCompile(`^sip:([A-Za-z0-9_.!~*'()&=+$,-]+)@([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// CheckNumber says what is wrong with the body of a new phone number. host is the SIP host of the account's region; an
// empty one allows any.
func CheckNumber(body rest.Object, host string) error {
	uri, _ := body.Text("sipUri")
	switch provider, _ := body.Text("provider"); {
	case provider != ProviderVapi:
		return fmt.Errorf("provider %q: only %q is a SIP URI that can be called", provider, ProviderVapi)
	case body["sipUri"] == nil:
		return errors.New("sipUri is missing: write it like sip:my-agent@sip.vapi.ai")
	}
	if err := checkSIPURI(uri, host); err != nil {
		return err
	}
	return CheckChange(body)
}

// CheckChange says what is wrong with a change of a phone number.
func CheckChange(body rest.Object) error {
	if v, given := body["serverUrl"]; given && v != nil {
		if err := checkServerURL("serverUrl", v); err != nil {
			return err
		}
	}
	if server, ok := body.Object("server"); ok {
		if err := checkServerURL("server.url", server["url"]); err != nil {
			return err
		}
	}
	if login, ok := body.Object("authentication"); ok {
		user, _ := login.Text("username")
		password, _ := login.Text("password")
		if user == "" || password == "" {
			return errors.New("authentication needs username and password")
		}
	}
	return nil
}

func checkSIPURI(text, host string) error {
	parts := sipURI.FindStringSubmatch(text)
	switch {
	case parts == nil:
		return fmt.Errorf("sipUri %.100q is not one: write it like sip:my-agent@%s", text, cmp.Or(host, "sip.vapi.ai"))
	case host != "" && !strings.EqualFold(parts[2], host):
		return fmt.Errorf("sipUri %s is not of this region, whose SIP host is %s: API and SIP host go together", text, host)
	}
	return nil
}

func checkServerURL(key string, v any) error {
	text, _ := v.(string)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return fmt.Errorf("%s is not a URL: write it like https://voice.example.com/assistant-request", key)
	}
	return nil
}

// SameSIPURI reports whether two SIP URIs name the same number. The platform ignores case.
func SameSIPURI(a, b string) bool { return strings.EqualFold(a, b) }

package vapi

import (
	"regexp"
	"strings"

	"flowbridge/sim/internal/standin"
)

// The shapes of the API reference, as far as they matter to a call. Other members are kept as they are.
var (
	assistantShape = standin.Shape{Open: true, Fields: standin.Fields{
		"firstMessageMode": standin.IsOneOf("assistant-speaks-first", "assistant-waits-for-user",
			"assistant-speaks-first-with-model-generated-message"),
	}.With(standin.IsString, "name", "firstMessage")}
	overrideShape = standin.Shape{Open: true, Fields: standin.Fields{
		"variableValues": standin.IsObject, "firstMessage": standin.IsString,
	}}
	numberShape = standin.Shape{
		Open: true, Required: []string{"provider", "sipUri"}, Fields: standin.Fields{
			"authentication": nullable(standin.Shape{
				Open: true, Required: []string{"username", "password"},
				Fields: standin.Fields{}.With(standin.TextWithin(20, 40), "username", "password"),
			}.Check),
			"fallbackDestination": nullable(isDestination), "provider": standin.IsOneOf("vapi"), "sipUri": standin.IsString,
			"assistantId": nullable(standin.IsString),
		},
	}
)

// nullable also accepts null, which removes a value.
func nullable(c standin.Check) standin.Check {
	return func(v any) string {
		if v == nil {
			return ""
		}
		return c(v)
	}
}

// isDestination accepts a number or a SIP URI.
func isDestination(v any) string {
	object, _ := v.(map[string]any)
	uri, headers := standin.Object(object).Text("sipUri"), object["sipHeaders"]
	switch {
	case object["type"] == "number" && numberOf(object) != "":
	case object["type"] == "sip" && (strings.HasPrefix(uri, "sip:") || strings.HasPrefix(uri, "sips:")) &&
		(headers == nil || standin.IsStringMap(headers) == ""):
	default:
		return "must have the type number with a number in E.164, or the type sip with a sipUri"
	}
	return ""
}

var e164 = regexp.MustCompile(`^\+[0-9]{1,15}$`)

// numberOf returns the E.164 number of a destination, or "". Its name is "number" in the API reference and
// "phoneNumber" on the page "Server events".
func numberOf(destination map[string]any) string {
	for _, name := range []string{"number", "phoneNumber"} {
		if n, _ := destination[name].(string); e164.MatchString(n) {
			return n
		}
	}
	return ""
}

package vapi

import (
	"strings"

	"flowbridge/sim/internal/standin"
)

// The shapes of the API reference. Of members that make no difference to a call, only
// the JSON type is checked.
var (
	assistantShape = shape(assistantFields())
	overrideShape  = shape(assistantFields().With(standin.IsObject, "variableValues").With(standin.IsList, "tools:append"))
	numberShape    = shape(numberFields())
	newNumberShape = shape(newNumberFields(), "provider", "sipUri")
)

// shape is a shape with the platform's words.
func shape(fields standin.Fields, required ...string) standin.Shape {
	return standin.Shape{Fields: fields, Required: required, Words: standin.Words{
		Unknown: "property %s should not exist", Wrong: "%s %s", Missing: "%s is required",
	}}
}

// assistantFields are the members of CreateAssistantDTO.
func assistantFields() standin.Fields {
	return withServer(standin.Fields{
		"name": standin.TextWithin(0, 40),
		"firstMessageMode": standin.IsOneOf("assistant-speaks-first", "assistant-waits-for-user",
			"assistant-speaks-first-with-model-generated-message"),
		"model":                 isPart("provider", "model"),
		"voicemailDetection":    isStringOrObject,
		"maxDurationSeconds":    standin.NumberWithin(10, 43200),
		"silenceTimeoutSeconds": standin.NumberWithin(10, 3600),
	}.
		With(isPart("provider"), "voice", "transcriber").
		With(standin.IsString, "firstMessage", "voicemailMessage", "endCallMessage", "backgroundSound").
		With(standin.IsBool, "firstMessageInterruptionsEnabled", "backgroundDenoisingEnabled", "modelOutputInMessagesEnabled").
		With(standin.IsList, "endCallPhrases", "clientMessages", "serverMessages", "transportConfigurations", "credentials").
		With(standin.IsObject, "backgroundSpeechDenoisingPlan", "observabilityPlan", "compliancePlan", "metadata", "analysisPlan",
			"artifactPlan", "startSpeakingPlan", "stopSpeakingPlan", "monitorPlan", "keypadInputPlan"))
}

// withServer adds the members that assistants and numbers have in common. The server
// has the members of Server and the secret that preceded credentials (page "Server
// authentication"); older pages have serverUrl instead.
func withServer(f standin.Fields) standin.Fields {
	server := standin.Fields{
		"timeoutSeconds": standin.NumberWithin(1, 300),
		"headers":        standin.IsStringMap,
		"credentialId": func(any) string {
			return "names a credential that does not exist: this stand-in has none, use headers"
		},
	}.With(standin.IsURL, "url").With(standin.IsString, "secret").With(standin.IsObject, "backoffPlan").
		With(standin.IsBool, "staticIpAddressesEnabled").With(standin.IsList, "encryptedPaths")
	f["server"] = nullable(shape(server, "url").Check)
	f["serverUrl"], f["serverUrlSecret"] = nullable(standin.IsURL), nullable(standin.IsString)
	return f.With(standin.IsList, "hooks", "credentialIds")
}

// numberFields are the members of UpdateVapiPhoneNumberDTO. account.line checks sipUri.
func numberFields() standin.Fields {
	authentication := standin.Fields{"realm": standin.TextWithin(1, 255)}.With(standin.TextWithin(20, 40), "username", "password")
	return withServer(standin.Fields{
		"name":                standin.TextWithin(0, 40),
		"sipUri":              standin.IsString,
		"assistantId":         nullable(standin.IsString),
		"authentication":      nullable(shape(authentication, "username", "password").Check),
		"fallbackDestination": nullable(isDestination),
	}.With(nullable(notHere), "squadId", "workflowId"))
}

// newNumberFields are the members of CreateVapiPhoneNumberDTO.
func newNumberFields() standin.Fields {
	f := numberFields()
	f["provider"] = func(v any) string {
		if v != "vapi" {
			return `must be "vapi": this stand-in has no other carriers`
		}
		return ""
	}
	f["numberDesiredAreaCode"] = func(any) string { return "is for numbers of the telephone network, which this stand-in does not have" }
	return f
}

// nullable also accepts null, which removes a value.
func nullable(c standin.Check) standin.Check {
	return func(v any) string {
		if v == nil {
			return ""
		}
		return c(v)
	}
}

// isStringOrObject accepts a string or an object.
func isStringOrObject(v any) string {
	if standin.IsString(v) != "" && standin.IsObject(v) != "" {
		return "must be a string or an object"
	}
	return ""
}

func notHere(any) string {
	return "names something that does not exist: this stand-in has only assistants"
}

// isPart accepts an object that has at least these strings.
func isPart(members ...string) standin.Check {
	return func(v any) string {
		object, ok := v.(map[string]any)
		if !ok {
			return "must be an object"
		}
		for _, name := range members {
			if standin.Object(object).Text(name) == "" {
				return "." + name + " must be a string"
			}
		}
		return ""
	}
}

// isDestination accepts a number or a SIP URI.
func isDestination(v any) string {
	object, ok := v.(map[string]any)
	if !ok {
		return "must be an object"
	}
	switch object["type"] {
	case "number":
		if numberOf(object) == "" {
			return ".number must be a phone number in E.164, such as +15550100001"
		}
	case "sip":
		if uri := standin.Object(object).Text("sipUri"); !strings.HasPrefix(uri, "sip:") && !strings.HasPrefix(uri, "sips:") {
			return ".sipUri must be a SIP URI"
		}
		if h, there := object["sipHeaders"]; there && standin.IsStringMap(h) != "" {
			return ".sipHeaders " + standin.IsStringMap(h)
		}
	default:
		return `.type must be "number" or "sip"`
	}
	return ""
}

// numberOf is the E.164 number of a destination, or empty. Its name is "number" in the
// API reference and "phoneNumber" on the page "Server events".
func numberOf(destination map[string]any) string {
	for _, name := range []string{"number", "phoneNumber"} {
		if n, _ := destination[name].(string); isE164(n) {
			return n
		}
	}
	return ""
}

func isE164(s string) bool {
	digits, plus := strings.CutPrefix(s, "+")
	return plus && len(digits) > 0 && len(digits) <= 15 && strings.Trim(digits, "0123456789") == ""
}

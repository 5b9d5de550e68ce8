package vapi

import (
	"regexp"
	"strings"

	"flowbridge/sim/internal/standin"
)

// The shapes of the API reference. Of members that make no difference to a call, only
// the JSON type is checked.
var (
	assistantShape = standin.Shape{Fields: assistantFields()}
	overrideShape  = standin.Shape{Fields: assistantFields().With(standin.IsObject, "variableValues").
			With(standin.IsList, "tools:append")}
	numberShape = standin.Shape{Fields: numberFields(), Required: []string{"provider", "sipUri"}}
)

// assistantFields are the members of CreateAssistantDTO.
func assistantFields() standin.Fields {
	return withServer(standin.Fields{
		"firstMessageMode": standin.IsOneOf("assistant-speaks-first", "assistant-waits-for-user",
			"assistant-speaks-first-with-model-generated-message"),
	}.
		With(standin.IsString, "name", "firstMessage", "voicemailMessage", "endCallMessage", "backgroundSound").
		With(standin.IsNumber, "maxDurationSeconds", "silenceTimeoutSeconds").
		With(standin.IsBool, "firstMessageInterruptionsEnabled", "backgroundDenoisingEnabled",
			"modelOutputInMessagesEnabled").
		With(standin.IsList, "endCallPhrases", "clientMessages", "serverMessages", "transportConfigurations", "credentials").
		With(standin.IsObject, "model", "voice", "transcriber", "backgroundSpeechDenoisingPlan", "observabilityPlan",
			"compliancePlan",
			"metadata", "analysisPlan", "artifactPlan", "startSpeakingPlan", "stopSpeakingPlan", "monitorPlan",
			"keypadInputPlan").
		With(func(any) string { return "" }, "voicemailDetection"))
}

// withServer adds the members that assistants and numbers have in common. The server
// has the members of Server and the secret that preceded credentials (page "Server
// authentication"); older pages have serverUrl instead.
func withServer(f standin.Fields) standin.Fields {
	server := standin.Fields{}.With(standin.IsURL, "url").With(standin.IsString, "secret").
		With(standin.IsStringMap, "headers").
		With(standin.IsNumber, "timeoutSeconds").With(standin.IsObject, "backoffPlan").
		With(standin.IsBool, "staticIpAddressesEnabled").With(standin.IsList, "encryptedPaths")
	return f.With(nullable(standin.Shape{Fields: server, Required: []string{"url"}}.Check), "server").
		With(nullable(standin.IsURL), "serverUrl").
		With(nullable(standin.IsString), "serverUrlSecret").With(standin.IsList, "hooks", "credentialIds")
}

// numberFields are the members of CreateVapiPhoneNumberDTO. account.line checks sipUri.
func numberFields() standin.Fields {
	authentication := standin.Fields{"realm": standin.TextWithin(1, 255)}.With(standin.TextWithin(20, 40),
		"username", "password")
	return withServer(standin.Fields{
		"authentication":      nullable(standin.Shape{Fields: authentication, Required: []string{"username", "password"}}.Check),
		"fallbackDestination": nullable(isDestination), "provider": standin.IsOneOf("vapi"),
	}.With(standin.IsString, "name", "sipUri").With(nullable(standin.IsString), "assistantId"))
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

// numberOf is the E.164 number of a destination, or empty. Its name is "number" in the
// API reference and "phoneNumber" on the page "Server events".
func numberOf(destination map[string]any) string {
	for _, name := range []string{"number", "phoneNumber"} {
		if n, _ := destination[name].(string); e164.MatchString(n) {
			return n
		}
	}
	return ""
}

package sim

import (
	"maps"
	"strings"
)

// What the platform's API reference says of the objects that are kept here.
// Of what makes no difference to a call only the kind is looked at.

// assistantFields are the members of CreateAssistantDTO.
var assistantFields = fields{
	"name":                             textWithin(0, 40),
	"firstMessage":                     isString,
	"firstMessageInterruptionsEnabled": isBool,
	"firstMessageMode": isOneOf("assistant-speaks-first", "assistant-waits-for-user",
		"assistant-speaks-first-with-model-generated-message"),
	"model":                         isPart("provider", "model"),
	"voice":                         isPart("provider"),
	"transcriber":                   isPart("provider"),
	"voicemailDetection":            isStringOr(isObject),
	"voicemailMessage":              isString,
	"endCallMessage":                isString,
	"endCallPhrases":                isArray,
	"clientMessages":                isArray,
	"serverMessages":                isArray,
	"maxDurationSeconds":            numberWithin(10, 43200),
	"silenceTimeoutSeconds":         numberWithin(10, 3600),
	"backgroundSound":               isString,
	"backgroundDenoisingEnabled":    isBool,
	"backgroundSpeechDenoisingPlan": isObject,
	"modelOutputInMessagesEnabled":  isBool,
	"transportConfigurations":       isArray,
	"observabilityPlan":             isObject,
	"credentials":                   isArray,
	"credentialIds":                 isArray,
	"hooks":                         isArray,
	"compliancePlan":                isObject,
	"metadata":                      isObject,
	"analysisPlan":                  isObject,
	"artifactPlan":                  isObject,
	"startSpeakingPlan":             isObject,
	"stopSpeakingPlan":              isObject,
	"monitorPlan":                   isObject,
	"keypadInputPlan":               isObject,
	"server":                        nullable(serverFields.with("url")),
	"serverUrl":                     nullable(isURL), // how older pages name server.url
	"serverUrlSecret":               nullable(isString),
}

// overrideFields are those of an assistant, and the template variables.
var overrideFields = func() fields {
	out := fields{"variableValues": isObject, "tools:append": isArray}
	maps.Copy(out, assistantFields)
	return out
}()

// serverFields are the members of Server, and the secret that it had before
// there were credentials (page "Server authentication").
var serverFields = fields{
	"url":                      isURL,
	"secret":                   isString,
	"timeoutSeconds":           numberWithin(1, 300),
	"headers":                  isStrings,
	"backoffPlan":              isObject,
	"staticIpAddressesEnabled": isBool,
	"encryptedPaths":           isArray,
	"credentialId": func(any) string {
		return "names a credential that does not exist: this stand-in has none, use headers"
	},
}

// authenticationFields are those of SipAuthentication.
var authenticationFields = fields{
	"realm":    textWithin(1, 255),
	"username": textWithin(20, 40),
	"password": textWithin(20, 40),
}

// numberFields are the members of UpdateVapiPhoneNumberDTO; sipUri is looked
// at where it is stored.
var numberFields = fields{
	"name":                textWithin(0, 40),
	"sipUri":              isString,
	"assistantId":         nullable(isString),
	"squadId":             nullable(notHere),
	"workflowId":          nullable(notHere),
	"server":              nullable(serverFields.with("url")),
	"serverUrl":           nullable(isURL),
	"serverUrlSecret":     nullable(isString),
	"authentication":      nullable(authenticationFields.with("username", "password")),
	"fallbackDestination": nullable(isDestination),
	"hooks":               isArray,
	"credentialIds":       isArray,
}

// newNumberFields are the members of CreateVapiPhoneNumberDTO.
var newNumberFields = func() fields {
	out := fields{
		"provider": func(v any) string {
			if v != "vapi" {
				return `must be "vapi": this stand-in has no other carriers`
			}
			return ""
		},
		"numberDesiredAreaCode": func(any) string { return "is for numbers of the telephone network, which this stand-in has none of" },
	}
	maps.Copy(out, numberFields)
	return out
}()

func notHere(any) string { return "names what does not exist: this stand-in knows assistants only" }

// isPart is an object with these members, which are strings, and any others.
func isPart(members ...string) check {
	return func(v any) string {
		object, ok := v.(map[string]any)
		if !ok {
			return "must be an object"
		}
		for _, name := range members {
			if s, ok := object[name].(string); !ok || s == "" {
				return "." + name + " must be a string"
			}
		}
		return ""
	}
}

// isDestination is one of a number or a SIP URI. The number's member is
// "number" in the API reference, "phoneNumber" on the page "Server events".
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
		uri, _ := object["sipUri"].(string)
		if !strings.HasPrefix(uri, "sip:") && !strings.HasPrefix(uri, "sips:") {
			return ".sipUri must be a SIP URI"
		}
		if h, there := object["sipHeaders"]; there && isStrings(h) != "" {
			return ".sipHeaders " + isStrings(h)
		}
	default:
		return `.type must be "number" or "sip"`
	}
	return ""
}

// numberOf is the E.164 number of a destination, or nothing.
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

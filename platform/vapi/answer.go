package vapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Answer says how a call is handled. Exactly one of AssistantID, Assistant, Destination and Error must be set (Vapi's
// page "Server events", "Retrieving assistants").
type Answer struct {
	// AssistantID is the id of an assistant of the account.
	AssistantID string `json:"assistantId,omitempty"`
	// Assistant is an assistant only for this call, as a JSON object with the members of POST /assistant.
	Assistant json.RawMessage `json:"assistant,omitempty"`
	// Overrides change the assistant of AssistantID or Assistant for this call. It is a JSON object (assistantOverrides);
	// its variableValues fill template variables.
	Overrides json.RawMessage `json:"assistantOverrides,omitempty"`
	// Destination forwards the call without an assistant: a JSON object of type "number" or "sip".
	Destination json.RawMessage `json:"destination,omitempty"`
	// Error is spoken to the caller before the platform hangs up.
	Error string `json:"error,omitempty"`
}

var errAnswer = errors.New("want exactly one of an assistant id, an assistant, a destination and an error")

// validate returns an error if the platform would not accept the answer.
func (a Answer) validate() error {
	n := 0
	for _, given := range []bool{a.AssistantID != "", len(a.Assistant) > 0, len(a.Destination) > 0, a.Error != ""} {
		if given {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%w: there are %d", errAnswer, n)
	}
	if err := cmp.Or(isObject("assistant", a.Assistant), isObject("overrides", a.Overrides)); err != nil {
		return err
	}
	if len(a.Overrides) > 0 && a.AssistantID == "" && len(a.Assistant) == 0 {
		return errors.New("overrides without an assistant")
	}
	return checkDestination(a.Destination)
}

func isObject(name string, raw json.RawMessage) error {
	if len(raw) == 0 {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return fmt.Errorf("the %s is no JSON object", name)
	}
	return nil
}

// checkDestination requires the members on which both descriptions of a destination agree. The number's member is
// "number" in the platform's API reference, and "phoneNumber" on its page "Server events".
func checkDestination(raw json.RawMessage) error {
	if len(raw) == 0 {
		return nil
	}
	if err := isObject("destination", raw); err != nil {
		return err
	}
	var d struct {
		Type        string `json:"type"`
		Number      string `json:"number"`
		PhoneNumber string `json:"phoneNumber"`
		SIPURI      string `json:"sipUri"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return fmt.Errorf("the destination: %w", err)
	}
	switch d.Type {
	case "number":
		if d.Number == "" && d.PhoneNumber == "" {
			return errors.New(`a destination of type "number" needs a "number"`)
		}
	case "sip":
		scheme, rest, _ := strings.Cut(d.SIPURI, ":")
		scheme = strings.ToLower(scheme)
		if scheme != "sip" && scheme != "sips" || rest == "" {
			return errors.New(`a destination of type "sip" needs a "sipUri" such as sip:desk@pbx.example`)
		}
	default:
		return fmt.Errorf(`the destination's type is %q; want "number" or "sip"`, d.Type)
	}
	return nil
}

// MarshalJSON encodes the answer in the documented form. An invalid answer is an error.
func (a Answer) MarshalJSON() ([]byte, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // spoken words are not HTML

	type plain Answer // has the same fields, but no MarshalJSON
	err := enc.Encode(plain(a))
	return bytes.TrimSpace(b.Bytes()), err
}

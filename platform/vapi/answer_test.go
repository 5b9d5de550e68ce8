package vapi

import (
	"encoding/json"
	"strings"
	"testing"
)

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func TestAnswer(t *testing.T) {
	for _, tt := range []struct {
		name  string
		a     Answer
		want  string
		words string // part of the error, if the platform would refuse the answer
	}{
		{"assistant id", Answer{AssistantID: "a-1"}, `{"assistantId":"a-1"}`, ""},
		{
			"overrides",
			Answer{AssistantID: "a-1", Overrides: raw(`{"variableValues":{"n":"Ada"}}`)},
			`{"assistantId":"a-1","assistantOverrides":{"variableValues":{"n":"Ada"}}}`, "",
		},
		{
			"assistant",
			Answer{Assistant: raw(`{"firstMessage":"Hi"}`), Overrides: raw(`{}`)},
			`{"assistant":{"firstMessage":"Hi"},"assistantOverrides":{}}`, "",
		},
		{
			"number",
			Answer{Destination: raw(`{"type":"number","number":"+15550100001"}`)},
			`{"destination":{"type":"number","number":"+15550100001"}}`, "",
		},
		{
			"number as on the events page",
			Answer{Destination: raw(`{"type":"number","phoneNumber":"+15550100001"}`)},
			`{"destination":{"type":"number","phoneNumber":"+15550100001"}}`, "",
		},
		{
			"sip",
			Answer{Destination: raw(`{"type":"sip","sipUri":"sip:a@b"}`)},
			`{"destination":{"type":"sip","sipUri":"sip:a@b"}}`, "",
		},
		{"error", Answer{Error: "Sorry, we're <closed>."}, `{"error":"Sorry, we're <closed>."}`, ""},
		{"none", Answer{}, "", "there are 0"},
		{"two", Answer{AssistantID: "a", Error: "b"}, "", "there are 2"},
		{"overrides alone", Answer{Error: "b", Overrides: raw(`{}`)}, "", "overrides without"},
		{"assistant is a string", Answer{Assistant: raw(`"a"`)}, "", "assistant is no JSON object"},
		{"assistant is null", Answer{Assistant: raw(`null`)}, "", "assistant is no JSON object"},
		{"overrides are broken", Answer{AssistantID: "a", Overrides: raw(`{`)}, "", "overrides is no JSON object"},
		{"destination is a list", Answer{Destination: raw(`[]`)}, "", "destination is no JSON object"},
		{"destination of no type", Answer{Destination: raw(`{}`)}, "", `want "number" or "sip"`},
		{"destination of another type", Answer{Destination: raw(`{"type":"assistant"}`)}, "", `want "number" or "sip"`},
		{"destination of wrong types", Answer{Destination: raw(`{"type":7}`)}, "", "destination"},
		{"no number", Answer{Destination: raw(`{"type":"number"}`)}, "", `needs a "number"`},
		{"no uri", Answer{Destination: raw(`{"type":"sip","sipUri":"sip:"}`)}, "", `needs a "sipUri"`},
		{"tel", Answer{Destination: raw(`{"type":"sip","sipUri":"tel:+1"}`)}, "", `needs a "sipUri"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.a.MarshalJSON()
			if tt.words == "" && (err != nil || string(got) != tt.want) {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
			if tt.words != "" && (err == nil || !strings.Contains(err.Error(), tt.words)) {
				t.Errorf("got %s, %v; want an error with %q", got, err, tt.words)
			}
		})
	}
}

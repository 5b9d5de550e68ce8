package config

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// OpenAIHook is the section `hooks.openai`.
type OpenAIHook struct {
	// The signing secret of the webhook for realtime.call.incoming or live.transport.incoming, whsec_….
	Secret Secret `key:"secret_file" required:"the file with the secret"`
	// The API key for accepting and rejecting calls.
	Token Secret `key:"token_file" required:"the file with the token"`
	// The base URL of OpenAI's HTTP API, up to /v1. Azure's is https://RESOURCE.openai.azure.com/openai; with the path
	// /openai the token is sent as api-key, else as Authorization: Bearer.
	API string `key:"api" is:"api" default:"https://api.openai.com"`
	// The session with which a call is accepted, as OpenAI's JSON, written as YAML. Each text is a template.
	Session *jsonBody `key:"session" use:"hook" required:"with what calls are accepted, like {type: realtime, model: gpt-realtime}"`
}

// TokenHeader returns the header that carries the token instead of Authorization. It is "" for Authorization.
func (h *OpenAIHook) TokenHeader() string {
	if u, err := url.Parse(h.API); err == nil && u.Path == "/openai" {
		return "api-key"
	}
	return ""
}

func (h *OpenAIHook) check(s section) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.Secret.Reveal(), "whsec_"))
	if h.Secret != "" && (err != nil || len(key) == 0) {
		s.fail("has a secret that is not whsec_ and base64",
			"copy the signing secret that OpenAI shows when a webhook is made")
	}
}

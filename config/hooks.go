package config

import (
	"encoding/json"
	"net/netip"
	"path"
	"regexp"
	"strings"
	"time"

	"flowbridge/twilio"
)

// Hooks is the section `hooks`: what platforms and carriers ask us by HTTP. Each hook that has a listen is on; those with
// the same listen share a socket. Default: none is.
type Hooks struct {
	// TLS is shown by all hooks. Default: none, plain HTTP, for a proxy in front.
	TLS HookTLS
	// Twilio answers the Voice URL of Twilio numbers (/redirect_call). Default: nil, off.
	Twilio *TwilioHook
	// Vapi answers Vapi's assistant-request. Default: nil, off.
	Vapi *VapiHook
	// Synthflow takes Synthflow's post-call webhook. Default: nil, off.
	Synthflow *SynthflowHook
	// Variables gives agents the variables of a live call (pre-actions). Default: nil, off.
	Variables *VariablesHook
}

// HookTLS is the section `hooks.tls`.
type HookTLS struct {
	// Cert and Key are PEM files of the certificate and its private key. Default: none.
	Cert, Key string
}

// TwilioHook is the section `hooks.twilio`.
type TwilioHook struct {
	// Listen is the address and port.
	Listen netip.AddrPort
	// Path is that of the Voice URL. Default: /redirect_call.
	Path string
	// URL is the base of the public URL that Twilio was given, up to the path: the signature is over it. Required with
	// AuthToken.
	URL string
	// AuthToken is that of the Twilio account, read from auth_token_file or auth_token_env; X-Twilio-Signature is checked with it. Default:
	// empty, not checked (loopback only).
	AuthToken Secret
	// Targets are tried in this order until one can be dialled: its API gave an id. Required.
	Targets []string
	// Fallback is what Twilio is told when no target can be dialled. Default: reject as busy.
	Fallback twilio.Fallback
	// EncodeSemicolon writes %3B for a ; in a header's value; Synthflow's documents show it raw. Default: false.
	EncodeSemicolon bool
	// AnswerOnBridge keeps the caller's leg unanswered until the target answers. Default: false, as the documents have it.
	AnswerOnBridge bool
	// Follow has Twilio tell how a call ended, below Path at FollowPath: the call gets a record, and the next target where one
	// does not take it. Default: false, as the documents have it. It needs URL.
	Follow bool
}

// FollowPath is where Twilio tells how a call ended.
func (h *TwilioHook) FollowPath() string { return h.Path + "/ended" }

// FollowURL is what Twilio knows FollowPath by. A URL that has the path of the Voice URL in it already is taken as it is.
func (h *TwilioHook) FollowURL() string { return strings.TrimSuffix(h.URL, h.Path) + h.FollowPath() }

// VapiHook is the section `hooks.vapi`.
type VapiHook struct {
	// Listen is the address and port.
	Listen netip.AddrPort
	// Path is that of the number's serverUrl. Default: /assistant-request.
	Path string
	// Secret is what Vapi shows as X-Vapi-Secret or bearer token, read from secret_file or secret_env. Default: empty, nothing (loopback
	// only).
	Secret Secret
	// Timeout bounds an answer. Default: 5s. At most 7s: Vapi waits for 7.5s.
	Timeout time.Duration
	// Rules say which assistant takes a call; the first one that matches wins.
	Rules []VapiRule
}

// VapiRule is one entry of hooks.vapi.rules. Exactly one of AssistantID, Assistant, Destination and Error is set.
type VapiRule struct {
	// Trunk limits the rule to calls of one trunk. Default: empty, any call.
	Trunk string
	// To and From are regular expressions over the numbers of the carrier's call. Default: none, any number.
	To, From *regexp.Regexp
	// When is a template that gives "true" for the calls that the rule is for. Default: none, any call.
	When *Template
	// AssistantID is the template of an assistant's id.
	AssistantID *Template
	// Assistant is a transient assistant as JSON. Vapi's own {{placeholders}} stay in it.
	Assistant json.RawMessage
	// Destination is where the call goes instead, as JSON.
	Destination json.RawMessage
	// Error is the template of words that the caller hears before the call ends.
	Error *Template
	// Overrides are assistantOverrides as JSON, beside AssistantID or Assistant. Default: none.
	Overrides json.RawMessage
	// Variables are templates of values for the assistant's {{placeholders}}. Default: none.
	Variables []Variable
}

// SynthflowHook is the section `hooks.synthflow`.
type SynthflowHook struct {
	// Listen is the address and port.
	Listen netip.AddrPort
	// Path is that of external_webhook_url. Default: /synthflow/webhook.
	Path string
	// Secret is what the signature is made with, read from secret_file or secret_env. Required.
	Secret Secret
}

// VariablesHook is the section `hooks.variables`.
type VariablesHook struct {
	// Listen is the address and port.
	Listen netip.AddrPort
	// Path is followed by ?id= or /id. Default: /variables.
	Path string
	// Token is the bearer token that has to be shown, read from token_file or token_env. Required.
	Token Secret
	// IDs are templates of further ids that a call has. Default: its header X-Twilio-CallSid.
	IDs []*Template
	// Headers are the headers of the carrier's INVITE that are given, as for Trunk.PassHeaders. Default: X-*.
	Headers []string
	// Values are variables by template. Default: none.
	Values []Variable
}

// hooks reads the section.
func (s section) hooks(admin netip.AddrPort) Hooks {
	s = s.sub("hooks", "tls", "twilio", "vapi", "synthflow", "variables")
	tls := s.sub("tls", "cert", "key")
	tls.keyPair("cert", "key")
	h := Hooks{
		TLS:       HookTLS{Cert: tls.text("cert"), Key: tls.text("key")},
		Twilio:    s.sub("twilio", "listen", "path", "url", "auth_token_file", "auth_token_env", "targets", "fallback", "encode_semicolon", "answer_on_bridge", "follow").twilioHook(),
		Vapi:      s.sub("vapi", "listen", "path", "secret_file", "secret_env", "timeout", "rules").vapiHook(),
		Synthflow: s.sub("synthflow", "listen", "path", "secret_file", "secret_env").synthflowHook(),
		Variables: s.sub("variables", "listen", "path", "token_file", "token_env", "ids", "headers", "values").variablesHook(),
	}
	s.apart(h, admin)
	return h
}

// on says whether a hook is on. One that has other keys but no listen is reported.
func (s section) on() (netip.AddrPort, bool) {
	if s.filled("listen") {
		return one(s, "listen", netip.AddrPort{}, parseAddrPort), true
	}
	if len(s.fields) > 0 && !s.has("listen") {
		s.require("listen", `the address and port to be asked at, like "127.0.0.1:8081"`)
	}
	return netip.AddrPort{}, false
}

func (s section) hookPath(def string) string { return one(s, "path", def, parsePath) }

var urlPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func parsePath(t string) (string, complaint) {
	if !urlPath.MatchString(t) || path.Clean(t) != t {
		return "", refuse("is not a path", `write one like "/redirect_call"`)
	}
	return t, complaint{}
}

// shared reads the secret of a hook, which anything but a loopback address needs.
func (s section) shared(key string, listen netip.AddrPort, why string) Secret {
	if s.filled(key+"_file") || s.filled(key+"_env") {
		return s.secret(key)
	}
	if listen.IsValid() && !listen.Addr().Unmap().IsLoopback() {
		s.fields["listen"].fail("is not a loopback address, so anybody who reaches it could "+why, "write "+key+"_file or "+key+"_env, or listen on 127.0.0.1")
	}
	return ""
}

func (s section) synthflowHook() *SynthflowHook {
	listen, on := s.on()
	if !on {
		return nil
	}
	return &SynthflowHook{Listen: listen, Path: s.hookPath("/synthflow/webhook"), Secret: s.secret("secret")}
}

func (s section) variablesHook() *VariablesHook {
	listen, on := s.on()
	if !on {
		return nil
	}
	h := &VariablesHook{
		Listen: listen, Path: s.hookPath("/variables"), Token: s.secret("token"), Values: s.variables("values"),
		Headers: []string{"X-*"},
	}
	if s.has("headers") {
		h.Headers = s.patterns("headers")
	}
	ids := s.list("ids")
	if !s.has("ids") {
		ids = []value{s.constant("ids", `{{.Header "X-Twilio-CallSid"}}`)}
	}
	for _, v := range ids {
		if t, _, ok := v.template(templateUse{hook: true}); ok {
			h.IDs = append(h.IDs, t)
		}
	}
	return h
}

// apart reports hooks at the address of the admin API, two at the same path of one address, and two at one port of which one
// listens at all addresses.
func (s section) apart(h Hooks, admin netip.AddrPort) {
	all := h.Endpoints()
	for i, e := range all {
		if e.Listen.Port() != 0 && overlap(e.Listen, admin) {
			s.fields[e.Name].fail("listens where admin.listen does", "give the hook a port of its own: it is for others than operators")
		}
		for _, first := range all[:i] {
			key := join(s.path, first.Name)
			switch {
			case e.Listen == first.Listen && e.Path == first.Path:
				s.fields[e.Name].fail("has the address and path of "+key, "write another path or another port")
			case e.Listen != first.Listen && e.Listen.Port() != 0 && overlap(e.Listen, first.Listen):
				s.fields[e.Name].fail("listens at the port of "+key+", and one of the two at all addresses", "write the same address in both, or another port")
			}
		}
	}
}

// overlap says whether two listeners would want the same address.
func overlap(a, b netip.AddrPort) bool {
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	return a.Port() == b.Port() && (x == y || x.IsUnspecified() && (x.Is6() || y.Is4()) || y.IsUnspecified() && (y.Is6() || x.Is4()))
}

// Endpoint is where one hook is asked.
type Endpoint struct {
	// Name is its key in the section `hooks`.
	Name   string
	Listen netip.AddrPort
	Path   string
}

// Endpoints are those of the hooks that are on.
func (h Hooks) Endpoints() (all []Endpoint) {
	if h.Twilio != nil {
		all = append(all, Endpoint{"twilio", h.Twilio.Listen, h.Twilio.Path})
		if h.Twilio.Follow {
			all = append(all, Endpoint{"twilio", h.Twilio.Listen, h.Twilio.FollowPath()})
		}
	}
	if h.Vapi != nil {
		all = append(all, Endpoint{"vapi", h.Vapi.Listen, h.Vapi.Path})
	}
	if h.Synthflow != nil {
		all = append(all, Endpoint{"synthflow", h.Synthflow.Listen, h.Synthflow.Path})
	}
	if h.Variables != nil {
		all = append(all, Endpoint{"variables", h.Variables.Listen, h.Variables.Path})
	}
	return all
}

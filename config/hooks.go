package config

import (
	"net/netip"

	"flowbridge/config/template"
)

// The paths that hooks are asked at.
const (
	TwilioPath    = "/redirect_call"
	VapiPath      = "/assistant-request"
	OpenAIPath    = "/openai/webhook"
	SynthflowPath = "/synthflow/webhook"
	VariablesPath = "/variables"
)

// Hooks is the section `hooks`. A hook without listen is nil.
type Hooks struct {
	// The certificate of all hooks, read again when it changes. Without it they take plain HTTP, for a proxy in front.
	TLS hookTLS `key:"tls"`
	// Answers the Voice URL of Twilio numbers.
	Twilio *TwilioHook `key:"twilio"`
	// Answers Vapi's assistant-request.
	Vapi *vapiHook `key:"vapi"`
	// Takes OpenAI's webhook of calls that ring there, and accepts or rejects them.
	OpenAI *OpenAIHook `key:"openai"`
	// Takes Synthflow's post-call webhook.
	Synthflow *synthflowHook `key:"synthflow"`
	// Gives agents the variables of a live call.
	Variables *variablesHook `key:"variables"`
}

// hookTLS is the section `hooks.tls`. The files are read again when they change.
type hookTLS struct {
	// The PEM file of the certificate.
	Cert string `key:"cert" is:"file"`
	// The PEM file of its private key.
	Key string `key:"key" is:"file"`
}

func (t *hookTLS) check(s section) { s.keyPair("cert", "key") }

// synthflowHook is the section `hooks.synthflow`.
type synthflowHook struct {
	// The address and port. They turn the hook on.
	Listen netip.AddrPort `key:"listen"`
	// The secret that signatures are made with.
	Secret Secret `key:"secret_file" required:"the file with the secret"`
}

func (h *synthflowHook) wanted(s section) bool { return s.on() }

// variablesHook is the section `hooks.variables`.
type variablesHook struct {
	// The address and port. They turn the hook on.
	Listen netip.AddrPort `key:"listen"`
	// The bearer token that must be shown.
	Token Secret `key:"token_file" required:"the file with the token"`
	// Templates of further ids that a call has.
	IDs []*template.Template `key:"ids" use:"hook" default:"{{.Header \"X-Twilio-CallSid\"}}"`
	// The headers of the carrier's INVITE that are given. "X-*": all that begin so.
	Headers []string `key:"headers" is:"header-pattern" default:"X-*"`
	// Variables by name, with a template each.
	Values []variable `key:"values" use:"hook"`
}

func (h *variablesHook) wanted(s section) bool { return s.on() }

// on says whether a hook is on. One that has other keys but no listen is reported.
func (s section) on() bool {
	if len(s.fields) > 0 && !s.has("listen") {
		s.require("listen", `the address and port to be asked at, like "127.0.0.1:8081"`)
	}
	return s.filled("listen")
}

// shared reads the secret of a hook, which anything but a loopback address needs.
func (s section) shared(key string, listen netip.AddrPort, why string) Secret {
	if s.filled(key) {
		return s.secretFile(key)
	}
	if listen.IsValid() && !listen.Addr().Unmap().IsLoopback() {
		s.fields["listen"].fail("is not a loopback address, so anybody who reaches it could "+why,
			"write "+key+", or listen on 127.0.0.1")
	}
	return ""
}

// check reports hooks at the address of the admin API, and two at one port of which one
// listens at all addresses.
func (h *Hooks) check(s section) {
	all := h.Endpoints()
	for i, e := range all {
		if e.Listen.Port() != 0 && s.l.cfg.Admin.Listen.IsValid() && overlap(e.Listen, s.l.cfg.Admin.Listen.AddrPort) {
			s.fields[e.Name].fail("listens where admin.listen does",
				"give the hook a port of its own: it is for others than operators")
		}
		for _, first := range all[:i] {
			if e.Listen != first.Listen && e.Listen.Port() != 0 && overlap(e.Listen, first.Listen) {
				s.fields[e.Name].fail("listens at the port of "+join(s.path, first.Name)+", and one of the two at all addresses",
					"write the same address in both, or another port")
			}
		}
	}
}

// overlap says whether two listeners would want the same address.
func overlap(a, b netip.AddrPort) bool {
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	return a.Port() == b.Port() && (x == y || x.IsUnspecified() && (x.Is6() || y.Is4()) ||
		y.IsUnspecified() && (y.Is6() || x.Is4()))
}

// Endpoint is where one hook listens.
type Endpoint struct {
	// Name is its key in the section `hooks`.
	Name   string
	Listen netip.AddrPort
}

// Endpoints are those of the hooks that are on.
func (h Hooks) Endpoints() (all []Endpoint) {
	if h.Twilio != nil {
		all = append(all, Endpoint{"twilio", h.Twilio.Listen})
	}
	if h.Vapi != nil {
		all = append(all, Endpoint{"vapi", h.Vapi.Listen})
	}
	if h.OpenAI != nil {
		all = append(all, Endpoint{"openai", h.OpenAI.Listen})
	}
	if h.Synthflow != nil {
		all = append(all, Endpoint{"synthflow", h.Synthflow.Listen})
	}
	if h.Variables != nil {
		all = append(all, Endpoint{"variables", h.Variables.Listen})
	}
	return all
}

// AskForCalls reports whether any hook asks for calls by foreign ids.
func (h *Hooks) AskForCalls() bool {
	return h.Variables != nil || h.Vapi != nil || h.OpenAI != nil || h.Synthflow != nil
}

package config

import (
	"net/netip"
	"slices"

	"flowbridge/config/template"
)

// The paths of the hooks.
const (
	TwilioPath    = "/redirect_call"
	VapiPath      = "/assistant-request"
	OpenAIPath    = "/openai/webhook"
	SynthflowPath = "/synthflow/webhook"
	VariablesPath = "/variables"
	CommandsPath  = "/commands"
)

// Hooks is the section `hooks`. A hook that is not in the file is nil.
type Hooks struct {
	// The address and port of all hooks, each with its own path.
	Listen netip.AddrPort `key:"listen"`
	// The certificate of all hooks, reread when it changes. Without it they use plain HTTP, for a proxy in front.
	TLS hookTLS `key:"tls"`
	// Answers the Voice URL of Twilio numbers.
	Twilio *TwilioHook `key:"twilio"`
	// Answers Vapi's assistant-request.
	Vapi *vapiHook `key:"vapi"`
	// Takes OpenAI's webhook for incoming calls, and accepts or rejects them.
	OpenAI *OpenAIHook `key:"openai"`
	// Takes Synthflow's post-call webhook.
	Synthflow *synthflowHook `key:"synthflow"`
	// Gives agents the variables of a live call.
	Variables *variablesHook `key:"variables"`
	// Takes the tool calls of agents that transfer, hold or end their own call.
	Commands []CommandsHook `key:"commands"`
}

// hookTLS is the section `hooks.tls`. The files are reread when they change.
type hookTLS struct {
	// The PEM file of the certificate.
	Cert string `key:"cert" is:"file"`
	// The PEM file of its private key.
	Key string `key:"key" is:"file"`
}

func (t *hookTLS) check(s section) { s.keyPair("cert", "key") }

// synthflowHook is the section `hooks.synthflow`.
type synthflowHook struct {
	// The secret that signatures are made with.
	Secret Secret `key:"secret_file" required:"the file with the secret"`
}

// variablesHook is the section `hooks.variables`.
type variablesHook struct {
	// The bearer token that requests must have.
	Token Secret `key:"token_file" required:"the file with the token"`
	// Templates of further ids of a call.
	IDs []*template.Template `key:"ids" use:"hook" default:"{{.Header \"X-Twilio-CallSid\"}}"`
	// Variables by name, each with a template.
	Values []variable `key:"values" use:"hook"`
}

// CommandsHook is one of `hooks.commands`.
type CommandsHook struct {
	// The name in the log and in records for commands given with the token.
	Name string `key:"name" is:"token-name" required:"a name for the log, like support"`
	// The file with the bearer token that requests must have. It allows nothing else.
	Token Secret `key:"token_file" required:"the file with the token"`
	// The targets whose calls it may command.
	Targets []string `key:"targets" is:"target" required:"the names of the targets whose calls it may command" filled:""`
	// The most transfers that it may request in any hour.
	PerHour int `key:"per_hour" default:"100" max:"10000" knob:""`
}

func (h *CommandsHook) check(s section) {
	for i := range s.l.cfg.Targets {
		t := &s.l.cfg.Targets[i]
		if slices.Contains(h.Targets, t.Name) && !t.mayBeTransferred() {
			s.fields["targets"].fail("has target "+t.Name+", whose calls may be transferred to nowhere",
				`write transfer_numbers, like ["^\\+1507[0-9]{7}$"], or transfer_hosts below it, or remove it here`)
		}
	}
}

// check reports hooks without an address, hooks at the admin API's address, and hooks that others can reach although
// they have no secret.
func (h *Hooks) check(s section) {
	if h.Twilio != nil || h.AskForCalls() {
		s.require("listen", `the address and port to be asked at, like "127.0.0.1:8081"`)
	}
	if !h.Listen.IsValid() {
		return
	}
	at := s.fields["listen"]
	if h.Listen.Port() != 0 && s.l.cfg.Admin.Listen.IsValid() && overlap(h.Listen, s.l.cfg.Admin.Listen.AddrPort) {
		at.fail("listens where admin.listen does", "give the hooks a port of their own: they are for others than operators")
	}
	if h.Listen.Addr().Unmap().IsLoopback() {
		return
	}
	if h.Twilio != nil && h.Twilio.open {
		at.fail("is not a loopback address, so anybody who reaches it could have calls prepared", "write twilio.auth_token_file, or listen on 127.0.0.1")
	}
	if h.Vapi != nil && h.Vapi.open {
		at.fail("is not a loopback address, so anybody who reaches it could ask which assistants there are", "write vapi.secret_file, or listen on 127.0.0.1")
	}
}

// overlap reports whether two listeners need the same address.
func overlap(a, b netip.AddrPort) bool {
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	return a.Port() == b.Port() && (x == y || x.IsUnspecified() && (x.Is6() || y.Is4()) ||
		y.IsUnspecified() && (y.Is6() || x.Is4()))
}

// AskForCalls reports whether any hook looks up calls by foreign ids.
func (h *Hooks) AskForCalls() bool {
	return h.Variables != nil || h.Vapi != nil || h.OpenAI != nil || h.Synthflow != nil || len(h.Commands) > 0
}

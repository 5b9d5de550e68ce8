package config

import (
	"net/netip"
	"path"
	"regexp"

	"flowbridge/config/template"
)

// Hooks is the section `hooks`. A hook without listen is nil.
type Hooks struct {
	// The certificate of all hooks, read again when it changes. Without it they take plain HTTP, for a proxy in front.
	TLS HookTLS `key:"tls"`
	// Answers the Voice URL of Twilio numbers.
	Twilio *TwilioHook `key:"twilio"`
	// Answers Vapi's assistant-request.
	Vapi *VapiHook `key:"vapi"`
	// Takes OpenAI's webhook of calls that ring there, and accepts or rejects them.
	OpenAI *OpenAIHook `key:"openai"`
	// Takes Synthflow's post-call webhook.
	Synthflow *SynthflowHook `key:"synthflow"`
	// Gives agents the variables of a live call.
	Variables *VariablesHook `key:"variables"`
}

// HookTLS is the section `hooks.tls`. The files are read again when they change.
type HookTLS struct {
	// The PEM file of the certificate.
	Cert string `key:"cert" is:"file"`
	// The PEM file of its private key.
	Key string `key:"key" is:"file"`
}

func (t *HookTLS) check(s section) { s.keyPair("cert", "key") }

// SynthflowHook is the section `hooks.synthflow`.
type SynthflowHook struct {
	// The address and port. They turn the hook on.
	Listen netip.AddrPort `key:"listen"`
	// The path of external_webhook_url.
	Path string `key:"path" is:"path" default:"/synthflow/webhook"`
	// The secret that signatures are made with. Required.
	Secret Secret `key:"secret"`
}

func (h *SynthflowHook) wanted(s section) bool { return s.on() }

// VariablesHook is the section `hooks.variables`.
type VariablesHook struct {
	// The address and port. They turn the hook on.
	Listen netip.AddrPort `key:"listen"`
	// The path, which ?id= or /id follows.
	Path string `key:"path" is:"path" default:"/variables"`
	// The bearer token that must be shown. Required.
	Token Secret `key:"token"`
	// Templates of further ids that a call has.
	IDs []*template.Template `key:"ids" use:"hook" default:"{{.Header \"X-Twilio-CallSid\"}}"`
	// The headers of the carrier's INVITE that are given. "X-*": all that begin so.
	Headers []string `key:"headers" is:"header-pattern" default:"X-*"`
	// Variables by name, with a template each.
	Values []Variable `key:"values" use:"hook"`
}

func (h *VariablesHook) wanted(s section) bool { return s.on() }

// on says whether a hook is on. One that has other keys but no listen is reported.
func (s section) on() bool {
	if len(s.fields) > 0 && !s.has("listen") {
		s.require("listen", `the address and port to be asked at, like "127.0.0.1:8081"`)
	}
	return s.filled("listen")
}

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

// check reports hooks at the address of the admin API, two at the same path of one address, and two at one port of which one
// listens at all addresses.
func (h *Hooks) check(s section) {
	all := h.Endpoints()
	for i, e := range all {
		once := i == 0 || all[i-1].Name != e.Name
		if once && e.Listen.Port() != 0 && s.l.cfg.Admin.Listen.IsValid() && overlap(e.Listen, s.l.cfg.Admin.Listen.AddrPort) {
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
		if h.Twilio.URL != "" {
			all = append(all, Endpoint{"twilio", h.Twilio.Listen, h.Twilio.ReferPath()})
		}
	}
	if h.Vapi != nil {
		all = append(all, Endpoint{"vapi", h.Vapi.Listen, h.Vapi.Path})
	}
	if h.OpenAI != nil {
		all = append(all, Endpoint{"openai", h.OpenAI.Listen, h.OpenAI.Path})
	}
	if h.Synthflow != nil {
		all = append(all, Endpoint{"synthflow", h.Synthflow.Listen, h.Synthflow.Path})
	}
	if h.Variables != nil {
		all = append(all, Endpoint{"variables", h.Variables.Listen, h.Variables.Path})
	}
	return all
}

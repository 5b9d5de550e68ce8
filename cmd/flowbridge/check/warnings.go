package check

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"flowbridge/b2bua/prepare"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/synthflow"
)

// platformWarnings warns of settings that a platform does not accept, or understands differently.
func platformWarnings(cfg *config.Config) (all []warning) {
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if t.Kind == config.KindSIP || t.Kind == config.KindWebsocket && !t.Requests() {
			continue
		}
		all = append(all, prepareWarnings(t)...)
		if t.Kind == config.KindHTTP || t.Kind == config.KindWebsocket {
			continue
		}
		all = append(all, headerWarnings(t)...)
		if _, host, port, err := sampleURI(t); err == nil {
			all = append(all, portWarning(t, host, port)...)
		}
		if outboundTo(cfg, t.Name) {
			all = append(all, leadWarnings(t)...)
		}
	}
	return append(all, hookWarnings(&cfg.Hooks)...)
}

// hookWarnings warns of hooks without authentication. They may listen only on loopback, but a proxy can make them
// public.
func hookWarnings(h *config.Hooks) (all []warning) {
	if h.Twilio != nil && h.Twilio.AuthToken == "" {
		all = append(all, warning{"hooks.twilio checks no signature: anyone who reaches it, for example through a proxy, can have calls prepared", "write auth_token_file and url"})
	}
	if h.Vapi != nil && h.Vapi.Secret == "" {
		all = append(all, warning{"hooks.vapi asks for no secret: anyone who reaches it, for example through a proxy, can list the assistants", "write secret_file"})
	}
	return all
}

// prepareWarnings warns of prepare steps that have no effect.
func prepareWarnings(t *config.Target) (all []warning) {
	if t.Prepare == nil {
		return nil
	}
	used := t.URI != nil && t.URI.UsesPrepare() ||
		slices.ContainsFunc(t.Headers, func(h config.Header) bool { return h.Value.UsesPrepare() })
	if t.Kind == config.KindHTTP || t.Kind == config.KindWebsocket {
		if err := prepare.Judge(t.Prepare.Sample(""), t.Prepare.Answer()); t.Prepare.Example != nil && err != nil {
			all = append(all, warning{
				fmt.Sprintf("target %s: prepare.example is no success by its own rules: %v", t.Name, err),
				"correct success, id or example",
			})
		}
		if t.Prepare.ID != "" && !used && t.Kind == config.KindHTTP {
			all = append(all, warning{
				fmt.Sprintf("target %s: each call gets an id by prepare, and neither uri nor a header tells the platform", t.Name),
				"write {{.Prepare.CallID}} where the platform looks for it, or remove prepare.id",
			})
		}
		return all
	}
	for key, value := range map[string]*template.Template{
		"model_id":     t.Prepare.ModelID,
		"workspace_id": t.Prepare.WorkspaceID,
	} {
		if text, constant := value.Constant(); constant && text == "" {
			all = append(all, warning{
				fmt.Sprintf("target %s: prepare has no %s, and goes out with an empty one", t.Name, key),
				"write the account's, unless the API does without",
			})
		}
	}
	slices.SortFunc(all, func(a, b warning) int { return strings.Compare(a.Problem, b.Problem) })
	if !used {
		all = append(all, warning{
			fmt.Sprintf("target %s: each call gets an id by prepare, and no header tells the platform", t.Name),
			`write headers: {X-EI: "S.{{.Prepare.CallID}};"}`,
		})
	}
	return all
}

// headerWarnings warns of headers that no platform turns into a variable, and of an X-EI that the platform does not
// understand.
func headerWarnings(t *config.Target) (all []warning) {
	for _, h := range t.Headers {
		switch {
		case strings.EqualFold(h.Name, "X-EI"):
			if t.Kind == config.KindSynthflow {
				all = append(all, xeiWarning(t, h)...)
			}
		case variableName.MatchString(h.Name),
			slices.ContainsFunc(knownHeaders, func(k string) bool { return strings.EqualFold(k, h.Name) }):
		case strings.HasPrefix(strings.ToLower(h.Name), "x-"):
			all = append(all, warning{
				fmt.Sprintf("target %s: kind %s makes no variable of the header %s", t.Name, t.Kind, h.Name),
				"use letters, digits, dashes and underscores behind X-",
			})
		default:
			all = append(all, warning{
				fmt.Sprintf("target %s: kind %s makes no variable of the header %s", t.Name, t.Kind, h.Name),
				"give it a name that begins with X-",
			})
		}
	}
	return all
}

// variableName matches headers that both platforms turn into a variable (Synthflow: "Pass call context", Vapi: "SIP
// introduction").
var variableName = regexp.MustCompile(`^[Xx]-[A-Za-z0-9_-]+$`)

// knownHeaders are headers that platforms understand.
var knownHeaders = []string{
	"Diversion", "History-Info", "User-to-User", "P-Asserted-Identity", "Remote-Party-ID",
	"Privacy", "User-Agent",
}

// almostToken matches a mistyped token of X-EI.
var almostToken = regexp.MustCompile(`^[SEO][.:=]`)

// xeiWarning warns of an X-EI that is neither a list of tokens, each ending with a semicolon, nor one bare value.
func xeiWarning(t *config.Target, h config.Header) []warning {
	value, err := h.Value.Render(t.SampleVars())
	if err != nil || value == "" {
		return nil
	}
	if _, err = synthflow.ParseXEI(value); err == nil {
		return nil
	}
	if !strings.ContainsAny(value, "; \t") && !almostToken.MatchString(value) {
		return nil // a bare value
	}
	return []warning{{
		fmt.Sprintf("target %s: X-EI would be %q, which is neither tokens nor one bare id (%s)", t.Name,
			h.Value.Redact(value), h.Value.Redact(err.Error())),
		`write it like "S.{{.Prepare.CallID}};" or "E.{{.SIPCallID}};", each token with a ; at its end`,
	}}
}

// portWarning warns if the port is not the documented one.
func portWarning(t *config.Target, host string, port uint16) []warning {
	_, r, ok := config.RegionOfHost(host)
	if !ok || port == r.PortFor(t.Transport) {
		return nil
	}
	want := r.PortFor(t.Transport)
	return []warning{{
		fmt.Sprintf("target %s: %s is called at port %d, and the platform documents %d for %s", t.Name, host, port, want,
			t.Transport),
		fmt.Sprintf("write :%d behind the host in uri", want),
	}}
}

func outboundTo(cfg *config.Config, target string) bool {
	return slices.ContainsFunc(cfg.Routes, func(r config.Route) bool {
		return r.Target == "" && r.Direction == template.DirectionOutbound && slices.Contains(r.Targets, target)
	})
}

// leadWarnings warns of templates that send the customer's number as the agent's.
func leadWarnings(t *config.Target) (all []warning) {
	type place struct {
		key string
		of  *template.Template
	}
	places := []place{{"uri", t.URI}}
	if t.Prepare != nil {
		places = append(places, place{"prepare.to_number", t.Prepare.ToNumber},
			place{"prepare.from_number", t.Prepare.FromNumber})
	}
	for _, p := range places {
		wrong, right := ".To.", ".Agent."
		if p.key == "prepare.from_number" {
			wrong, right = ".From.", ".Lead."
		}
		if p.of != nil && strings.Contains(p.of.String(), wrong) {
			all = append(all, warning{
				fmt.Sprintf("target %s: %s names %s, but a route with direction outbound leads there, so the called number is the customer's", t.Name, p.key, strings.TrimSuffix(wrong, ".")),
				"write " + strings.TrimSuffix(right, ".") + " instead, which is right in both directions",
			})
		}
	}
	return all
}

// readableKeys warns of SRTP keys in unencrypted SIP: anyone who can read the SIP could decrypt the media.
func readableKeys(cfg *config.Config) []warning {
	var found []warning
	warn := func(who string, m config.PeerMedia, remedy string) {
		what := "the keys can be read on the way"
		if m.Keying == config.KeyingDTLS {
			what = "who changes the fingerprint on the way can listen"
		}
		found = append(found, warning{
			fmt.Sprintf("%s has media.srtp, but its SIP need not go over TLS: %s", who, what),
			remedy,
		})
	}
	listensTLS := slices.ContainsFunc(cfg.SIP.Listen,
		func(l config.Listener) bool { return l.Transport == config.TransportTLS })
	for i := range cfg.Trunks {
		t := &cfg.Trunks[i]
		switch {
		case t.Media.SRTP == config.SRTPOff, t.Browser: // a browser's offer comes over the admin API
		case t.URI != nil && t.Transport != config.TransportTLS:
			warn("trunk "+t.Name, t.Media, "write transport: tls below it")
		case !listensTLS:
			warn("trunk "+t.Name, t.Media, "add a tls:// address to sip.listen, and have it call that")
		}
	}
	for i := range cfg.Targets {
		if t := &cfg.Targets[i]; t.Media.SRTP != config.SRTPOff && t.Transport != config.TransportTLS {
			warn("target "+t.Name, t.Media, "write transport: tls below it")
		}
	}
	return found
}

// keepers returns the targets that may neither transfer nor call although their platform sends REFER.
func keepers(cfg *config.Config) (names []string) {
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if (t.Kind == config.KindSynthflow || t.Kind == config.KindVapi) && t.Transfer == config.TransferRefuse &&
			!t.MayCall() {
			names = append(names, t.Name)
		}
	}
	return names
}

// deadTransfers warns of targets that may transfer calls to numbers without a route, while the call's trunk has no uri.
func deadTransfers(cfg *config.Config) []warning {
	var found []warning
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		routed := slices.ContainsFunc(cfg.Routes, func(r config.Route) bool { return r.Target == t.Name })
		if t.Transfer == config.TransferRelay || len(t.TransferNumbers) == 0 || routed { // hosts are called by their URI
			continue
		}
		if from := deadEnds(cfg, t.Name); len(from) > 0 {
			found = append(found, warning{
				fmt.Sprintf("calls of target %s may be transferred to numbers, but those of trunk %s have nowhere to go",
					t.Name, strings.Join(from, ", ")),
				fmt.Sprintf("write uri below the trunk, or a route with target: %s and trunks", t.Name),
			})
		}
	}
	return found
}

// deadEnds returns the trunks that have no uri and whose calls go to a target.
func deadEnds(cfg *config.Config, target string) []string {
	var names []string
	for i := range cfg.Trunks {
		t := &cfg.Trunks[i]
		leads := slices.ContainsFunc(cfg.Routes, func(r config.Route) bool {
			return r.Target == "" && (r.Trunk == "" || r.Trunk == t.Name) && slices.Contains(r.Targets, target)
		})
		if t.URI == nil && leads {
			names = append(names, t.Name)
		}
	}
	return names
}

package config

import (
	"errors"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

func (v value) target() Target {
	s := v.section("name", "kind", "uri", "transport", "prepare", "headers", "auth", "codecs", "first_response_timeout",
		"ring_timeout", "max_calls", "max_cps", "media_sources", "tls", "pass_headers", "budget", "overflow", "sources",
		"call_auth", "reinvite", "rel100", "session_expires", "min_se", "dtmf", "pass_methods", "pass_parts", "transfer",
		"transfer_numbers", "transfer_hosts", "media", "codec_order", "region", "account")
	s.require("name", "a short name for the target")
	s.require("kind", "synthflow, vapi or sip")
	t := Target{
		Name:                 s.name("target", s.l.targets),
		Kind:                 one(s, "kind", "", parseKind),
		Transport:            s.choice("transport", TransportUDP, TransportUDP, TransportTCP, TransportTLS),
		Auth:                 s.auth("auth"),
		PassHeaders:          s.passHeaders(),
		Budget:               s.sub("budget", "size", "value", "headers").budget(),
		Codecs:               s.codecs(),
		CodecOrder:           s.choice("codec_order", CodecOrderCaller, CodecOrderCaller, CodecOrderTarget),
		FirstResponseTimeout: s.duration("first_response_timeout", 4*time.Second),
		RingTimeout:          s.duration("ring_timeout", 60*time.Second),
		MaxCalls:             s.integer("max_calls", 0, 0, maxCap),
		MaxCPS:               s.integer("max_cps", 0, 0, maxCap),
		MediaSources:         each(s, "media_sources", parsePrefix),
		Media:                s.peerMedia(),
		CallAuth:             s.auth("call_auth"),
		Reinvite:             ReinviteMode(s.choice("reinvite", string(ReinviteAuto), string(ReinviteAuto), string(ReinviteRelay), string(ReinviteAbsorb))),
		Rel100:               s.rel100(Rel100Off),
		DTMF:                 DTMFMode(s.choice("dtmf", string(DTMFRelay), string(DTMFRelay), string(DTMFInfo), string(DTMFRFC4733))),
		PassMethods:          s.passMethods(),
		PassParts:            each(s, "pass_parts", parsePart),
	}
	t.TLS = s.targetTLS(t.Transport)
	t.SessionExpires, t.MinSE = s.sessionTimer()
	t.Sources = s.targetSources(t.CallAuth)
	s.transfer(&t)
	s.l.callers[t.Name] = t.MayCall() || t.Transfer != TransferRefuse
	overflow := OverflowTrim
	if len(regionsOf(t.Kind)) > 0 {
		overflow = OverflowTCP // both platforms document TCP on the same port
	}
	t.Overflow = s.choice("overflow", overflow, OverflowTCP, OverflowTrim)
	use := templateUse{}
	if p, ok := s.fields["prepare"]; ok {
		if t.Kind != KindSynthflow && t.Kind != "" {
			p.fail("is for kind synthflow only", "remove it, or write kind: synthflow")
		}
		t.Prepare = p.prepare()
		use.prepare = true
	}
	t.Headers = s.headers(use) // one that needs the id is left out where there is none
	use.mayLack = t.Prepare != nil && t.Prepare.OnFailure == OnFailureDial
	s.platform(&t, use)
	return t
}

func (v value) prepare() *Prepare {
	s := v.section("api", "token_file", "token_env", "workspace_id", "model_id", "from_number", "to_number",
		"custom_variables", "timeout", "on_failure")
	p := &Prepare{
		API:         one(s, "api", "", parseAPI), // its default depends on the region
		Token:       s.secret("token"),
		WorkspaceID: s.text("workspace_id"),
		ModelID:     s.text("model_id"),
		FromNumber:  s.template("from_number", "{{.Lead.Number}}"),
		ToNumber:    s.template("to_number", "{{.Agent.Number}}"),
		Timeout:     s.duration("timeout", 3*time.Second),
		OnFailure:   s.choice("on_failure", OnFailureNext, OnFailureNext, OnFailureDial),
	}
	if cv, ok := s.fields["custom_variables"]; ok {
		all, _ := cv.entries(join)
		for _, e := range all {
			if tmpl, _, ok := e.template(templateUse{inPrepare: true}); ok {
				p.CustomVariables = append(p.CustomVariables, Variable{Name: e.key, Value: tmpl})
			}
		}
	}
	return p
}

// template reads one of the prepare step's own templates.
func (s section) template(key, def string) *Template {
	v, ok := s.fields[key]
	if !ok {
		v = s.constant(key, def)
	}
	t, _, _ := v.template(templateUse{inPrepare: true})
	return t
}

// constant is the default of a key, as if it were written down.
func (s section) constant(key, text string) value {
	return value{l: s.l, path: join(s.path, key), node: &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: s.node.Line}}
}

// templateUse says what a template may name where it stands.
type templateUse struct {
	inPrepare bool // it makes the prepare request itself
	trunk     bool // it is of a trunk
	hook      bool // it is of a hook
	prepare   bool // the target has a prepare step
	mayLack   bool // a call may be dialled although the step failed
}

// template parses a template and tries it with sample values. It also gives the sample's result.
func (v value) template(use templateUse) (*Template, string, bool) {
	s, ok := v.scalar()
	if !ok {
		return nil, "", false
	}
	t, err := ParseTemplate(s.text)
	if err != nil {
		s.complain(refuse(s.describe(err), "correct the template"))
		return nil, "", false
	}
	switch {
	case t.UsesPrepare() && use.inPrepare:
		s.complain(refuse("uses .Prepare, which is what this step is there to get", "use other fields of the call"))
		return nil, "", false
	case t.UsesPrepare() && use.trunk:
		s.complain(refuse("uses .Prepare, which a call to a trunk does not have", "use other fields of the call"))
		return nil, "", false
	case t.UsesPrepare() && use.hook:
		s.complain(refuse("uses .Prepare, which a hook does not have", "use other fields of the call"))
		return nil, "", false
	case t.UsesPrepare() && !use.prepare:
		s.complain(refuse("uses .Prepare, but the target has no prepare step", "add prepare, or use other fields of the call"))
		return nil, "", false
	}
	sample, err := t.Render(SampleVars(use.prepare))
	if err != nil {
		s.complain(refuse(s.describe(err), "correct the template"))
		return nil, "", false
	}
	if use.mayLack {
		if _, err := t.Render(SampleVars(false)); err != nil {
			s.complain(refuse("fails when the prepare step failed, and on_failure is dial",
				"put the part with .Prepare between {{with .Prepare}} and {{end}} and write {{.CallID}} there, or write on_failure: next"))
			return nil, "", false
		}
	}
	return t, sample, true
}

// uri reads the URI of a target or trunk and checks what it gives for a sample call, which it also gives.
func (s section) uri(use templateUse, transport string) (*Template, string) {
	v, ok := s.fields["uri"]
	if !ok {
		return nil, ""
	}
	t, sample, ok := v.template(use)
	if !ok {
		return nil, ""
	}
	if c := checkSIPURI(sample, transport); !c.none() {
		if sc, ok := v.scalar(); ok {
			sc.complain(c)
		}
		return nil, ""
	}
	return t, sample
}

// headers reads the header mapping, in file order.
func (s section) headers(use templateUse) []Header {
	v, ok := s.fields["headers"]
	if !ok {
		return nil
	}
	entries, _ := v.entries(join)
	var all []Header
	first := map[string]string{}
	for _, e := range entries {
		lower := strings.ToLower(e.key)
		switch {
		case !tokenOnly.MatchString(e.key):
			v.l.fail(e.line, e.path, "is not a header name", "use letters, digits and dashes, and no colon within the name")
			continue
		case ownHeader(lower):
			v.l.fail(e.line, e.path, "is set by Flowbridge itself", "remove it; carry the value in a header of another name, X-…")
			continue
		case first[lower] != "":
			v.l.fail(e.line, e.path, "is the same header as "+first[lower], "keep one of them")
			continue
		}
		first[lower] = e.key
		if t, _, ok := e.template(use); ok {
			all = append(all, Header{Name: e.key, Value: t})
		}
	}
	return all
}

func parseKind(t string) (string, complaint) {
	switch t {
	case KindSynthflow, KindVapi, KindSIP:
		return t, complaint{}
	case "http":
		return "", refuse("is a kind of target that is not in this version", "write synthflow, vapi or sip")
	}
	return "", refuse("is not a kind of target", "write synthflow, vapi or sip")
}

// TrunkBudget is the budget of calls placed to trunks: what fits into a datagram on any path (RFC 3261 section 18.1.1).
func TrunkBudget() Budget { return Budget{Size: 1300, Value: 512, Headers: 24} }

// DefaultBudget is the budget of a target that has none of its own.
func DefaultBudget() Budget { return Budget{Size: 1100, Value: 512, Headers: 24} }

func (s section) budget() Budget {
	b := DefaultBudget()
	return Budget{
		Size:    s.integer("size", b.Size, 500, 60<<10),
		Value:   s.integer("value", b.Value, 1, 60<<10),
		Headers: s.integer("headers", b.Headers, 0, 1000),
	}
}

// parseCodec takes the encoding names of the RTP registry that telephony uses, and gives their usual spelling.
func parseCodec(t string) (string, complaint) {
	known := []string{"PCMU", "PCMA", "G722", "G729", "opus", "GSM", "iLBC", "speex", "L16", "AMR", "AMR-WB", "EVS"}
	for _, k := range known {
		if strings.EqualFold(k, t) {
			return k, complaint{}
		}
	}
	return "", refuse("is not an audio codec", "write one of "+strings.Join(known, ", "))
}

func parseRegexp(t string) (*regexp.Regexp, complaint) {
	if t == "" {
		return nil, complaint{}
	}
	re, err := regexp.Compile(t)
	if err != nil {
		why := "is not a regular expression"
		if se := (*syntax.Error)(nil); errors.As(err, &se) {
			why += ": " + string(se.Code)
		}
		return nil, refuse(why, `write one like "^\\+1507"; in double quotes each \ is written twice`)
	}
	return re, complaint{}
}

func parseStorePath(t string) (string, complaint) {
	switch {
	case t == "" || strings.ContainsAny(t, "\x00\r\n"):
		return "", refuse("is not a file name", "write one like flowbridge.db")
	case t == ":memory:" || strings.HasPrefix(t, "file:"):
		return "", refuse("is not a file of its own", "write a plain file name like flowbridge.db")
	}
	return t, complaint{}
}

// checkSIPURI looks at what a template gave for the sample call (RFC 3261 §19.1.1, without headers).
func checkSIPURI(u, transport string) complaint {
	wrong := func(why string) complaint {
		return refuse("gives no SIP URI for a sample call: "+why, `write it like "sip:{{.To.Number}}@sip.example.com:5060"`)
	}
	scheme, rest, ok := strings.Cut(u, ":")
	if ok && strings.EqualFold(scheme, "sips") {
		return refuse("is a sips: URI, which promises TLS on every hop", "write sip: and transport: tls")
	}
	if !ok || !strings.EqualFold(scheme, "sip") {
		return wrong("it does not begin with sip:")
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if !sipUser.MatchString(rest[:at]) {
			return wrong("the part before @ is empty or holds a character that has no place there")
		}
		rest = rest[at+1:]
	}
	if strings.ContainsAny(rest, "? \t<>\"") {
		return wrong("there is a space, a quote, < > or ? after the host")
	}
	hostPort, params, _ := strings.Cut(rest, ";")
	if !isHostPort(hostPort) {
		return wrong("the host or port is not one")
	}
	for p := range strings.SplitSeq(params, ";") {
		if name, val, _ := strings.Cut(p, "="); strings.EqualFold(name, "transport") && !strings.EqualFold(val, transport) {
			return refuse("asks for another transport than that which is used, "+transport, "remove ;transport=, or write transport: "+strings.ToLower(val)+" beside uri")
		}
	}
	return complaint{}
}

func isHostPort(t string) bool {
	host, port := t, ""
	if end := strings.LastIndexByte(t, ']'); strings.HasPrefix(t, "[") && end > 0 {
		a, err := netip.ParseAddr(t[1:end])
		if err != nil || !a.Is6() {
			return false
		}
		host, port = "", t[end+1:]
	} else if colon := strings.IndexByte(t, ':'); colon >= 0 {
		host, port = t[:colon], t[colon:]
	}
	if port != "" {
		n, err := strconv.ParseUint(strings.TrimPrefix(port, ":"), 10, 16)
		if err != nil || n == 0 || port[0] != ':' {
			return false
		}
	}
	if _, err := netip.ParseAddr(host); host == "" && strings.HasPrefix(t, "[") || err == nil && !strings.Contains(host, ":") {
		return true
	}
	return isHostName(host)
}

package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"flowbridge/config/template"
)

// templateUse says which values a template may use at its place.
type templateUse struct {
	prepare bool   // the answer of a prepare step may be used
	mayLack bool   // a call may be dialled even if that step failed
	without string // why there is no answer of a prepare step
	sample  *template.PrepareVars
}

// vars returns the values of the sample call.
func (u templateUse) vars() template.Vars {
	v := template.SampleVars(u.prepare)
	if u.prepare && u.sample != nil {
		v.Prepare = u.sample
	}
	return v
}

const (
	noPrepareStep = "but the target has no prepare step"
	ownStep       = "which is what this step is there to get"
	noTrunkStep   = "which a call to a trunk does not have"
)

// templateUse returns the values that the key's tag `use` allows.
func (k key) templateUse() templateUse {
	if k.use == "prepare" {
		return templateUse{without: ownStep}
	}
	return templateUse{without: "which a hook does not have"}
}

// template reads a template. It returns nil if the template is absent and has no default.
func (s section) template(k key) *template.Template {
	v, ok := s.fields[k.name]
	if !ok && k.def == "" {
		return nil
	}
	if !ok {
		v = s.constant(k.name, k.def)
	}
	t, _, _ := v.template(k.templateUse())
	return t
}

// templates reads a list of templates. Its default is a single one.
func (s section) templates(k key) (all []*template.Template) {
	list := s.list(k.name)
	if !s.has(k.name) {
		list = []value{s.constant(k.name, k.def)}
	}
	for _, v := range list {
		if t, _, ok := v.template(k.templateUse()); ok {
			all = append(all, t)
		}
	}
	return all
}

// variables reads a mapping of names to templates, in file order.
func (s section) variables(k key) (all []variable) {
	for _, e := range s.entriesOf(k.name) {
		if t, _, ok := e.template(k.templateUse()); ok {
			all = append(all, variable{Name: e.key, Value: t})
		}
	}
	return all
}

// constant returns the default of a key as a value, as if it were in the file.
func (s section) constant(key, text string) value {
	return value{
		l: s.l, path: join(s.path, key),
		node: &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Line: s.node.Line},
	}
}

// bareHeader matches the function Header with an unquoted name.
var bareHeader = regexp.MustCompile(`\.Header\s+([A-Za-z][A-Za-z0-9_-]*)`)

// template parses a template and tries it with sample values. It also returns the sample's result.
func (v value) template(use templateUse) (*template.Template, string, bool) {
	s, ok := v.scalar()
	if !ok {
		return nil, "", false
	}
	t, err := template.Parse(s.text)
	if err != nil {
		s.complain(refuse(s.describe(err), s.templateRemedy(err)))
		return nil, "", false
	}
	t.TakeEnvironment(s.environment)
	if t.UsesPrepare() && !use.prepare {
		remedy := "use other fields of the call"
		if use.without == noPrepareStep {
			remedy = "add prepare, or " + remedy
		}
		s.complain(refuse("uses .Prepare, "+use.without, remedy))
		return nil, "", false
	}
	if c := v.l.columnsOf(t); !c.none() {
		s.complain(c)
		return nil, "", false
	}
	sample, err := t.Render(v.l.sampleVars(use, t))
	if err != nil {
		s.complain(refuse(s.describe(err), "correct the template"))
		return nil, "", false
	}
	if use.mayLack {
		if _, err := t.Render(v.l.sampleVars(templateUse{}, t)); err != nil {
			s.complain(refuse("fails when the prepare step failed, and on_failure is dial",
				"put the part with .Prepare between {{with .Prepare}} and {{end}} and write {{.CallID}} there, or write on_failure: next"))
			return nil, "", false
		}
	}
	return t, sample, true
}

// undotted matches a field without its dot, which text/template takes for a function.
var undotted = regexp.MustCompile(`^function "(\w*CallID|To|From|Prepare|Header|Trunk|Row|Lead|Agent)" not defined`)

// undefined matches a word that text/template takes for a function.
var undefined = regexp.MustCompile(`^function "(\w+)" not defined`)

// fieldOf has the fields that other systems name by a word, in lower case without underscores.
var fieldOf = map[string]string{
	"callid": ".Prepare.CallID", "id": ".Prepare.CallID", "synthflowcallid": ".Prepare.CallID",
	"from": ".From.Number", "fromnumber": ".From.Number", "caller": ".From.Number", "callerid": ".From.Number",
	"to": ".To.Number", "tonumber": ".To.Number", "called": ".To.Number", "did": ".To.Number", "number": ".To.Number",
	"user": ".To.User", "trunk": ".Trunk", "sipcallid": ".SIPCallID", "diversion": ".Diversion",
}

// templateRemedy returns the remedy for a template that can't be parsed.
func (s scalar) templateRemedy(err error) string {
	if name := bareHeader.FindStringSubmatch(s.raw); name != nil {
		return `put the header's name in quotes, {{.Header "` + name[1] + `"}}, and the whole value in single quotes`
	}
	if strings.ContainsAny(s.raw, "“”„‘’") {
		return "write plain quotes in place of the typographic ones"
	}
	if name := undotted.FindStringSubmatch(err.Error()); name != nil {
		return "write ." + name[1] + ", with a dot before it, like {{.Prepare.CallID}} or {{.To.Number}}"
	}
	if name := undefined.FindStringSubmatch(err.Error()); name != nil {
		if strings.Contains(strings.ReplaceAll(s.raw, " ", ""), "|"+name[1]) {
			return "leave out | " + name[1] + ": templates are Go's text/template, whose functions are and, eq, index, len, not, or, " +
				"printf and slice, besides xei"
		}
		if field := fieldOf[strings.ToLower(strings.ReplaceAll(name[1], "_", ""))]; field != "" {
			return "write {{" + field + "}}: values of the call begin with a dot"
		}
	}
	return "correct the template"
}

// urlTemplate reads the URL of a request.
func (s section) urlTemplate(key string) *template.URL {
	sc, ok := s.get(key)
	if !ok {
		return nil
	}
	origin := template.OriginOf(sc.text)
	if _, c := parseAPI(origin); !c.none() {
		if strings.Contains(origin, "{{") {
			c = refuse("has a template in its scheme or host, which are the same for every call",
				"write the host itself, and templates behind it")
		}
		c.remedy = strings.ReplaceAll(c.remedy, "https://api.synthflow.ai", "https://api.example.com/calls")
		sc.complain(c)
		return nil
	}
	return s.renderedURL(sc, templateUse{without: ownStep})
}

// renderedURL reads a URL whose origin is right, and tries it with sample values.
func (s section) renderedURL(sc scalar, use templateUse) *template.URL {
	t, _, ok := sc.template(use)
	if !ok {
		return nil
	}
	u, err := template.NewURL(t)
	if err == nil {
		_, err = u.Render(s.l.sampleVars(use, t))
	}
	if err != nil {
		sc.complain(refuse(sc.describe(err), "correct the URL"))
		return nil
	}
	return u
}

// uri reads the URI of a target or trunk and checks its result for a sample call. It also returns that
// result.
func (s section) uri(use templateUse, transport string) (*template.Template, string) {
	v, ok := s.fields["uri"]
	if !ok {
		return nil, ""
	}
	t, sample, ok := v.template(use)
	if !ok {
		return nil, ""
	}
	t.EscapeParams()
	if c := checkSIPURI(sample, transport); !c.none() {
		if t.UsesPrepare() {
			c.remedy += "; an answer that has what it takes can stand in prepare.example"
		}
		if sc, ok := v.scalar(); ok {
			sc.complain(c)
		}
		return nil, ""
	}
	return t, sample
}

// describe returns a template's error without values from the environment.
func (s scalar) describe(err error) string {
	if s.fromEnv {
		return "cannot be used"
	}
	return fmt.Sprintf("cannot be used: %.200s", err.Error())
}

// checkSIPURI checks a template's result for the sample call (RFC 3261 §19.1.1, without headers).
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
			return refuse("asks for another transport than that which is used, "+transport,
				"remove ;transport=, or write transport: "+strings.ToLower(val)+" beside uri")
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
	if _, err := netip.ParseAddr(host); host == "" && strings.HasPrefix(t, "[") ||
		err == nil && !strings.Contains(host, ":") {
		return true
	}
	return isHostName(host)
}

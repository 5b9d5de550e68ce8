package synthflow

import (
	"regexp"
	"strings"

	"flowbridge/synthflow"
)

// Which INVITEs need no prepare_inbound.
const (
	DirectDialAuto = "auto" // to an imported number
	DirectDialOn   = "on"   // allowed in addition to any number, while the account has no number
	DirectDialOff  = "off"  // none
)

// direct reports whether a number may be called without a prepared call.
func (p *Platform) direct(number dialled) bool {
	switch p.opts.DirectDial {
	case DirectDialOff:
		return false
	case DirectDialOn:
		return true
	}
	return number.imported
}

// readXEI parses the header X-EI. The string is the reason for a refusal. With direct dial, the header may be
// absent, may lack the S token, or may be a bare id as in the guide to direct dialling (X-EI=<CallSid>).
func (c *call) readXEI(direct bool) (synthflow.XEI, string) {
	headers := 0
	for _, line := range c.In.Seen().Headers {
		if isXEI(line) {
			headers++
		}
	}
	switch {
	case headers == 0 && direct:
		return synthflow.XEI{}, ""
	case headers == 0:
		return synthflow.XEI{}, "no X-EI header"
	case headers > 1:
		return synthflow.XEI{}, "more than one X-EI header"
	}
	_, value, _ := strings.Cut(c.Seen().XEI, ":")
	value = strings.TrimSpace(value)
	if direct && bareXEI.MatchString(value) && !tokenXEI.MatchString(value) {
		return synthflow.XEI{E: value}, ""
	}
	x, err := synthflow.ParseXEI(value)
	switch {
	case err != nil:
		return synthflow.XEI{}, err.Error()
	case x.S == "" && !direct:
		return synthflow.XEI{}, "X-EI without S token"
	}
	return x, ""
}

func isXEI(line string) bool {
	name, _, _ := strings.Cut(line, ":")
	return strings.EqualFold(strings.TrimSpace(name), "X-EI")
}

var (
	bareXEI  = regexp.MustCompile(`^[^;\s]+$`)
	tokenXEI = regexp.MustCompile(`^[SEO]\.`)
)

var variableName = regexp.MustCompile(`^[Xx]-[A-Za-z0-9_-]+$`)

// variablesOf turns X- header lines into variables, by their whole names. Case matters (pass-call-context page). Of
// two equal names, the first counts.
func variablesOf(lines []string) map[string]string {
	all := map[string]string{}
	for _, line := range lines {
		if isXEI(line) {
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if _, twice := all[name]; twice || !variableName.MatchString(name) || strings.ContainsAny(value, "\r\n\x00") {
			continue
		}
		all[name] = strings.TrimSpace(value)
	}
	return all
}

var uriUser = regexp.MustCompile(`(?i)\b(?:sips?|tel):([^@;>?, ]*)`)

// numberIn returns the user part of the first URI in a header's value, or the value
// itself.
func numberIn(value string) string {
	if m := uriUser.FindStringSubmatch(value); m != nil {
		return m[1]
	}
	return strings.TrimSpace(value)
}

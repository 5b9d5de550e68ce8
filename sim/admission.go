package sim

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"flowbridge/synthflow"
)

// Which INVITEs need no call of prepare_inbound.
const (
	DirectDialAuto = "auto" // those for a number that an inbound agent is bound to
	DirectDialOn   = "on"   // those too that are for any number while the account has none
	DirectDialOff  = "off"  // none
)

// synthflowBook is what the platform keeps of a call.
type synthflowBook struct {
	// set before the call is remembered
	from, to string     // numbers
	asked    apiRequest // of prepare_inbound; zero for a direct dial

	agent agentOfCall // that takes it
}

// takenBy is the agent that has the call.
func (c *agentCall) takenBy() agentOfCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.book.agent
}

// read notes what an INVITE says of its call besides X-EI.
func (c *agentCall) read(req *sip.Request) {
	c.book.from, c.book.to = req.From().Address.User, req.Recipient.User
	c.seen.Variables, c.seen.IgnoredHeaders = variablesOf(c.seen.Headers)
	if h := req.GetHeader("Diversion"); h != nil {
		c.seen.Diversion = numberIn(h.Value())
	}
	if c.seen.Diversion == "" {
		c.seen.Diversion = numberIn(carriedDiversion(c.seen.Headers))
	}
}

// admit checks what the platform checks. Code 0 lets the call in.
func (s *Synthflow) admit(c *agentCall, req *sip.Request) (remoteMedia, int, string) {
	c.read(req)
	switch f := s.Fault(); f.Kind {
	case FaultBusy:
		return remoteMedia{}, sip.StatusBusyHere, "Busy Here"
	case FaultStatus:
		return remoteMedia{}, f.Status, "As Asked"
	default:
	}
	media, err := parseSDP(req.Body())
	if err != nil {
		return remoteMedia{}, sip.StatusNotAcceptableHere, printable(err.Error())
	}
	number := s.account.dialled(c.book.to)
	if number.strict && !number.imported {
		return remoteMedia{}, sip.StatusNotFound, "Request-URI user is no imported number"
	}
	x, why := s.readXEI(c, s.direct(number))
	if why != "" {
		return remoteMedia{}, sip.StatusForbidden, why
	}
	code, reason := s.accept(c, x, number)
	return media, code, reason
}

// direct says whether a number may be called without a prepared call.
func (s *Synthflow) direct(number dialled) bool {
	switch s.opts.DirectDial {
	case DirectDialOff:
		return false
	case DirectDialOn:
		return true
	}
	return number.imported
}

// readXEI reads the header X-EI; the string says why it cannot be taken. Where
// direct dial is, it may be absent, have no S token, or be a bare id as the
// guide to direct dialling shows it (X-EI=<CallSid>).
func (s *Synthflow) readXEI(c *agentCall, direct bool) (synthflow.XEI, string) {
	switch n := countXEI(c.seen.Headers); {
	case n == 0 && direct:
		return synthflow.XEI{}, ""
	case n == 0:
		return synthflow.XEI{}, "no X-EI header"
	case n > 1:
		return synthflow.XEI{}, "more than one X-EI header"
	}
	_, value, _ := strings.Cut(c.seen.XEI, ":")
	value = strings.TrimSpace(value)
	if direct && bareXEI.MatchString(value) && !tokenXEI.MatchString(value) {
		return synthflow.XEI{E: value}, ""
	}
	x, err := synthflow.ParseXEI(value)
	switch {
	case err != nil:
		return synthflow.XEI{}, printable(err.Error())
	case x.S == "" && !direct:
		return synthflow.XEI{}, "X-EI without S token"
	}
	return x, ""
}

var (
	bareXEI  = regexp.MustCompile(`^[^;\s]+$`)
	tokenXEI = regexp.MustCompile(`^[SEO]\.`)
)

// accept finds the call that was prepared, or the agent of the number, and notes
// what the INVITE says of the call.
func (s *Synthflow) accept(c *agentCall, x synthflow.XEI, number dialled) (code int, reason string) {
	c.book.agent = number.agent
	switch {
	case x.S != "":
		asked, why := s.ids.use(x.S, c.book.to, time.Now())
		if why != "" {
			return sip.StatusForbidden, why
		}
		c.id, c.book.asked = x.S, asked
		if c.book.agent, _ = s.account.agent(asked.model); c.book.agent.id == "" {
			c.book.agent.id = asked.model // nobody keeps agents
		}
	case number.strict && c.book.agent.id == "":
		return sip.StatusNotFound, "no inbound agent is linked to the number"
	default:
		c.id = uuid.NewString()
	}
	c.greets = c.id
	c.seen.SynthflowID, c.seen.ModelID, c.seen.ExternalID = c.id, c.book.agent.id, x.E
	if x.O != "" {
		c.seen.Diversion = x.O
	}
	return 0, ""
}

var variableName = regexp.MustCompile(`^[Xx]-[A-Za-z0-9_-]+$`)

// variablesOf makes variables of X- header lines: by the whole name, whose case
// counts (pass-call-context page). Of a name that comes twice the first counts.
func variablesOf(lines []string) (all map[string]string, ignored int) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if strings.EqualFold(name, "X-EI") {
			continue
		}
		if _, twice := all[name]; twice || !variableName.MatchString(name) || strings.ContainsAny(value, "\r\n\x00") {
			ignored++
			continue
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = strings.TrimSpace(value)
	}
	return all, ignored
}

// carriedDiversion is the value of X-Diversion, which stands in for a Diversion
// that a carrier strips.
func carriedDiversion(lines []string) string {
	for _, line := range lines {
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(strings.TrimSpace(name), "X-Diversion") {
			return value
		}
	}
	return ""
}

var uriUser = regexp.MustCompile(`(?i)\b(?:sips?|tel):([^@;>?, ]*)`)

// numberIn is the user part of the first URI in a header's value, or the value
// itself where there is none.
func numberIn(value string) string {
	if m := uriUser.FindStringSubmatch(value); m != nil {
		return m[1]
	}
	return strings.TrimSpace(value)
}

// logged adds what a call is about to a log line.
func (c *agentCall) logged(e *zerolog.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.Str("sip_call_id", c.seen.CallID).Str("id", c.id)
	for _, f := range []struct{ name, value string }{
		{"model_id", c.seen.ModelID},
		{"external_id", c.seen.ExternalID},
		{"diversion", c.seen.Diversion},
		{"fetch_error", c.seen.FetchError},
	} {
		if f.value != "" {
			e.Str(f.name, f.value)
		}
	}
	for _, f := range []struct {
		name   string
		values map[string]string
	}{{"variables", c.seen.Variables}, {"fetched", c.seen.Fetched}} {
		if len(f.values) == 0 {
			continue
		}
		inner := zerolog.Dict()
		for _, key := range slices.Sorted(maps.Keys(f.values)) {
			inner.Str(key, f.values[key])
		}
		e.Dict(f.name, inner)
	}
}

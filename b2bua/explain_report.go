package b2bua

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// Explanation is what a call would do and send.
type Explanation struct {
	Trunk  string      `json:"trunk"`  // empty: the source belongs to none
	Target string      `json:"target"` // that places the call, instead of a trunk; empty: none
	Source netip.Addr  `json:"source"` // where the call would come from
	From   PartyReport `json:"from"`
	To     PartyReport `json:"to"`

	Diversion string `json:"diversion"`

	Direction string `json:"direction"` // inbound, outbound
	Lead      string `json:"lead"`      // the customer's number

	// Status and Reason are the answer to a call that gets to no target; 0:
	// none at all. Why is what they don't say.
	Refused bool   `json:"refused"`
	Status  int    `json:"status"`
	Reason  string `json:"reason"`
	Why     string `json:"why"`

	Routes  []RouteReport  `json:"routes"` // up to the one that matches
	Route   string         `json:"route"`  // empty: none matches
	Targets []TargetReport `json:"targets"`

	Ringing        string `json:"ringing"`
	Ringback       string `json:"ringback"` // tone or sound
	Hold           string `json:"hold"`     // the same, or none
	Record         string `json:"record"`   // off, always, on_demand
	MaskDTMF       string `json:"mask_dtmf"`
	Otherwise      int    `json:"otherwise"`
	FailoverOn     []int  `json:"failover_on"`
	SetupTimeoutMS int64  `json:"setup_timeout_ms"`
	MaxDurationMS  int64  `json:"max_duration_ms"`
	MaxCalls       int    `json:"max_calls"` // of the trunk
	MaxCPS         int    `json:"max_cps"`

	Limits   LimitsReport   `json:"limits"` // of the trunk
	Reserved ReservedReport `json:"reserved"`

	Notes []string `json:"notes"` // what is a guess, and why
}

// LimitsReport are the limits of a trunk for its numbers and addresses; 0: none.
type LimitsReport struct {
	PerCallerCalls      int `json:"per_caller_calls"`
	PerCallerCPS        int `json:"per_caller_cps"`
	PerDestinationCalls int `json:"per_destination_calls"`
	PerDestinationCPS   int `json:"per_destination_cps"`
	PerSourceRate       int `json:"per_source_rate"`
}

// ReservedReport is what is kept for a trunk, whatever the others take.
type ReservedReport struct {
	Setups int `json:"setups"` // calls without an answer
	Calls  int `json:"calls"`  // with ports
}

// PartyReport is one side of the call as templates see it.
type PartyReport struct {
	Number string `json:"number"`
	User   string `json:"user"`
	Name   string `json:"name"`
	Host   string `json:"host"`
	URI    string `json:"uri"`
}

// RouteReport says of one route whether it takes the call.
type RouteReport struct {
	Route   string `json:"route"`
	Matches bool   `json:"matches"`
	Why     string `json:"why"`
}

// TargetReport is an attempt at one target.
type TargetReport struct {
	Target    string `json:"target"` // or the trunk that the call is placed to
	Kind      string `json:"kind"`   // synthflow, sip; or trunk
	Transport string `json:"transport"`
	Prepares  bool   `json:"prepares"` // asks its API first
	OnFailure string `json:"on_failure"`

	Cause cause.Cause `json:"cause"` // why the attempt fails before its INVITE; empty: it does not
	Error string      `json:"error"`

	URI     string   `json:"uri"`     // Request-URI
	Invite  []string `json:"invite"`  // request line and headers as they go out
	Body    string   `json:"body"`    // SDP
	LeftOut []string `json:"omitted"` // configured headers that have no value for this call
	Dropped []string `json:"dropped"` // headers that can't be passed on, or don't fit into the budget
	Codecs  []string `json:"codecs"`

	Bytes         int                `json:"bytes"`          // of the INVITE
	UDPBudget     int                `json:"udp_budget"`     // its most bytes; 0: it does not go over UDP
	Overflow      string             `json:"overflow"`       // what becomes of a larger one: tcp, trim
	ForChallenges *CredentialsReport `json:"for_challenges"` // nil: no credentials, or not over UDP

	MediaAddress netip.Addr `json:"media_address"` // that its RTP is bound to; zero: the first of the IP version
	Latch        string     `json:"latch"`         // auto, strict, off
	SRTP         string     `json:"srtp"`          // off, optional, required

	Username string `json:"username"` // whose credentials answer 401 and 407; empty: nobody's

	PrepareTimeoutMS       int64 `json:"prepare_timeout_ms"`
	FirstResponseTimeoutMS int64 `json:"first_response_timeout_ms"`
	RingTimeoutMS          int64 `json:"ring_timeout_ms"`
	MaxCalls               int   `json:"max_calls"`
	MaxCPS                 int   `json:"max_cps"`
}

// CredentialsReport says how an INVITE makes room for the credentials that a target asks
// for. Their length is the target's choice: a common one stands for it.
type CredentialsReport struct {
	Bytes   int      `json:"bytes"`   // of the credentials
	Fits    bool     `json:"fits"`    // there is room for them
	Dropped []string `json:"dropped"` // headers that are left out besides
}

// budgetOf reports on the size of an INVITE over UDP.
func (r *TargetReport) budgetOf(a *attempt, in leg.Invite) {
	t := a.target.Dial
	if in.Shorten == nil || message.IsStream(r.Transport) {
		return
	}
	r.UDPBudget, r.Overflow = t.Budget.Size, t.Overflow
	if t.Auth == nil {
		return
	}
	before := len(a.dropped)
	_, fits := in.Shorten(outbound.TypicalCredentials)
	r.ForChallenges = &CredentialsReport{Bytes: outbound.TypicalCredentials, Fits: fits, Dropped: a.dropped[before:]}
}

// headersOf notes the configured headers that are missing, and those whose value
// depends on the platform's real answer. It hides what comes from the environment.
func (x *explainer) headersOf(r *TargetReport, t *peers.Dial) {
	for _, h := range t.Headers {
		at := slices.IndexFunc(r.Invite, func(line string) bool {
			name, _, _ := strings.Cut(line, ":")
			return strings.EqualFold(name, h.Name)
		})
		sent := at >= 0
		if sent {
			name, value, _ := strings.Cut(r.Invite[at], ":")
			r.Invite[at] = name + ":" + h.Value.Redact(value)
		}
		if !sent && !slices.Contains(r.Dropped, h.Name) {
			r.LeftOut = append(r.LeftOut, h.Name)
		}
		if strings.Contains(h.Value.String(), ".Prepare.JSON") {
			x.note("%s of target %s takes a value of the platform's answer, which is not asked for here", h.Name, t.Name)
		}
	}
}

// routes says why the routes before the matching one don't match.
func (x *explainer) routes(c *Call, found int) {
	for i := range x.server.cfg.Routes {
		r := &x.server.cfg.Routes[i]
		report := RouteReport{Route: routeName(i), Matches: i == found}
		switch mismatch(r, &c.vars) {
		case "target":
			report.Why = "it is for calls of trunks"
			if r.Target != "" {
				report.Why = "it is for calls of target " + r.Target
			}
		case "trunk":
			report.Why = "it is for trunk " + r.Trunk
		case "to":
			report.Why = fmt.Sprintf("the called number %s does not match to: %s", c.vars.To.Number, r.To)
		case "from":
			report.Why = fmt.Sprintf("the calling number %s does not match from: %s", c.vars.From.Number, r.From)
		default:
			report.Why = matchWords(r)
			if i != found {
				report.Why = "it matches, but no target is left: " + fmt.Sprintf(noPhoneNumber, c.vars.To.Number)
			}
		}
		x.out.Routes = append(x.out.Routes, report)
		if i == found {
			return
		}
	}
}

// matchWords names the conditions of a route, which the call meets.
func matchWords(r *config.Route) string {
	var why []string
	if r.Trunk != "" {
		why = append(why, "trunk "+r.Trunk)
	}
	if r.Target != "" {
		why = append(why, "target "+r.Target)
	}
	if r.To != nil {
		why = append(why, "to: "+r.To.String())
	}
	if r.From != nil {
		why = append(why, "from: "+r.From.String())
	}
	if why == nil {
		return "it takes every call"
	}
	return "it matches " + strings.Join(why, ", ")
}

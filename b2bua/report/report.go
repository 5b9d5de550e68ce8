package report

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/config/template"
)

// Explanation describes what a call would do and send.
type Explanation struct {
	Trunk  string     `json:"trunk"`  // empty if the source belongs to no trunk
	Target string     `json:"target"` // the target that placed the call; empty if a trunk did
	Source netip.Addr `json:"source"` // where the call would come from
	At     time.Time  `json:"at"`     // when the call would come
	From   Party      `json:"from"`
	To     Party      `json:"to"`

	Diversion string `json:"diversion"`

	Identity *Identity `json:"identity"` // nil if the trunk's calls are not verified

	Direction string `json:"direction"` // inbound, outbound
	Lead      string `json:"lead"`      // number of the person whom the agent talks to

	// Status and Reason are the answer to a call that reaches no target. Status is 0 if
	// there is no answer. Why explains the refusal.
	Refused bool   `json:"refused"`
	Status  int    `json:"status"`
	Reason  string `json:"reason"`
	Why     string `json:"why"`

	Row template.Row `json:"row"` // row of the agent's number in the number table; null if there is none

	Routes  []Route  `json:"routes"` // the routes up to the one that matches
	Route   string   `json:"route"`  // empty if none matches
	Split   *Share   `json:"split"`  // null if no share decided the first target
	Targets []Target `json:"targets"`

	Ringing string `json:"ringing"`
	Settings
	Otherwise      int   `json:"otherwise"`
	FailoverOn     []int `json:"failover_on"`
	SetupTimeoutMS int64 `json:"setup_timeout_ms"`
	MaxDurationMS  int64 `json:"max_duration_ms"`
	MaxCalls       int   `json:"max_calls"` // limit of the trunk; 0 means none
	MaxCPS         int   `json:"max_cps"`

	Limits   Limits   `json:"limits"` // of the trunk
	Reserved Reserved `json:"reserved"`

	Notes []string `json:"notes"` // what had to be guessed, with reasons
}

// Note adds a remark, unless it was added before.
func (e *Explanation) Note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(e.Notes, n) {
		e.Notes = append(e.Notes, n)
	}
}

// Refuse notes that the call would be refused, or, if status is 0, would get no answer.
func (e *Explanation) Refuse(status int, reason, why string) {
	e.Refused, e.Status, e.Reason, e.Why = true, status, reason, why
}

// Identity is the expected result of verifying the caller.
type Identity struct {
	Verstat     string `json:"verstat"`
	Attest      string `json:"attest"`
	OrigID      string `json:"orig_id"`
	Result      string `json:"result"`      // in words
	Certificate string `json:"certificate"` // URL of the certificate; empty if none would be fetched
	Refuse      []int  `json:"refuse"`      // the failures for which a call is refused
}

// Limits are the limits of a trunk for its numbers and addresses; 0 means none.
type Limits struct {
	PerCallerCalls      int `json:"per_caller_calls"`
	PerDestinationCalls int `json:"per_destination_calls"`
}

// Reserved is the capacity that is reserved for a trunk.
type Reserved struct {
	Setups int `json:"setups"` // calls without an answer
	Calls  int `json:"calls"`  // with ports
}

// Party is one side of the call in the form that templates use.
type Party struct {
	Number string `json:"number"`
	User   string `json:"user"`
	Name   string `json:"name"`
	Host   string `json:"host"`
	URI    string `json:"uri"`
}

// Route says whether one route takes the call.
type Route struct {
	Route   string `json:"route"`
	Matches bool   `json:"matches"`
	Why     string `json:"why"`
}

// Share is the share of a route's calls to which the call belongs.
type Share struct {
	Target string `json:"target"`
	Weight int    `json:"weight"`
	Of     int    `json:"of"` // the sum of all weights
}

// Target is an attempt at one target.
type Target struct {
	Target    string `json:"target"` // name of the target, or of the trunk that is called
	Kind      string `json:"kind"`   // synthflow, vapi, sip, http, or trunk
	Transport string `json:"transport"`
	Prepares  bool   `json:"prepares"` // the target's API is asked first
	OnFailure string `json:"on_failure"`

	PrepareSuccess string `json:"prepare_success"` // which answers of the API count as success, in words

	Cause cause.Cause `json:"cause"` // why the attempt would fail before its INVITE; empty if it would not
	Error string      `json:"error"`

	URI     string   `json:"uri"`     // Request-URI
	Invite  []string `json:"invite"`  // request line and headers as they go out
	Body    string   `json:"body"`    // SDP
	LeftOut []string `json:"omitted"` // configured headers that have no value for this call
	Dropped []string `json:"dropped"` // headers that can't be passed on, or don't fit into the budget
	Codecs  []string `json:"codecs"`
	// Transcodes says what is transcoded for a caller that has none of the codecs, such as "opus <->
	// PCMU".
	Transcodes string `json:"transcodes,omitempty"`

	Bytes int `json:"bytes"` // size of the INVITE
	// UDPBudget is the greatest size over UDP in bytes; 0 if the INVITE does not go over UDP.
	UDPBudget int    `json:"udp_budget"`
	Overflow  string `json:"overflow"` // what happens to a larger INVITE: tcp, trim
	// ForChallenges is nil if there are no credentials, or the INVITE does not go over UDP.
	ForChallenges *Credentials `json:"for_challenges"`

	// MediaAddress is the address that RTP is sent from; zero means the first one of the IP version.
	MediaAddress netip.Addr `json:"media_address"`
	Latch        string     `json:"latch"` // auto, strict, off
	SRTP         string     `json:"srtp"`  // off, optional, required
	// Dtls; empty if the keys are in the SDP, or there is no SRTP.
	SRTPKeying string `json:"srtp_keying,omitempty"`

	Username string `json:"username"` // user name in the answer to 401 and 407; empty if there are no credentials

	PrepareTimeoutMS       int64 `json:"prepare_timeout_ms"`
	FirstResponseTimeoutMS int64 `json:"first_response_timeout_ms"`
	RingTimeoutMS          int64 `json:"ring_timeout_ms"`
	MaxCalls               int   `json:"max_calls"`
	MaxCPS                 int   `json:"max_cps"`
}

// Credentials says how an INVITE makes room for credentials. Their length depends on the target's
// challenge, so a common length is assumed.
type Credentials struct {
	Bytes   int      `json:"bytes"`   // assumed size of the credentials
	Fits    bool     `json:"fits"`    // whether there is room for them
	Dropped []string `json:"dropped"` // additional headers that are left out
}

// Configured adds notes about configured headers that are missing, and those whose value
// depends on the platform's real answer. It hides values from the environment.
func (t *Target) Configured(headers []config.Header, e *Explanation) {
	for _, h := range headers {
		at := slices.IndexFunc(t.Invite, func(line string) bool {
			name, _, _ := strings.Cut(line, ":")
			return strings.EqualFold(name, h.Name)
		})
		sent := at >= 0
		if sent {
			name, value, _ := strings.Cut(t.Invite[at], ":")
			t.Invite[at] = name + ":" + h.Value.Redact(value)
		}
		if !sent && !slices.Contains(t.Dropped, h.Name) {
			t.LeftOut = append(t.LeftOut, h.Name)
		}
		if strings.Contains(h.Value.String(), ".Prepare.JSON") {
			e.Note("%s of target %s takes a value of the platform's answer, which is not asked for here", h.Name, t.Target)
		}
	}
}

// met lists a route's conditions, all of which the call meets.
func met(r *config.Route) string {
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
	if r.Listed {
		why = append(why, "the table of numbers")
	}
	if r.Hours != nil {
		why = append(why, "hours: "+r.Hours.String())
	}
	if why == nil {
		return "it takes every call"
	}
	return "it matches " + strings.Join(why, ", ")
}

// unlisted explains why a route that uses the number table does not accept a call.
func unlisted(r *config.Route, numbers *config.Table, vars *template.Vars) string {
	number := r.AgentNumber(vars)
	if row, ok := numbers.Find(number); ok {
		return "the table of numbers has route " + row.Route() + " for " + number
	}
	return "the number " + number + " is not in the table of numbers"
}

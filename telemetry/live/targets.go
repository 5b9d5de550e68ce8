package live

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"flowbridge/store/record"
)

// These are the values of Target.Health.
const (
	// HealthOK means that most of a target's last attempts did not fail, or failed for a reason that is not the target's.
	HealthOK = "ok"
	// HealthFailing means that most of them failed for a reason of the target, that the target is out of use because one
	// of its circuits is not closed, or that it does not answer OPTIONS.
	HealthFailing = "failing"
	// HealthRefusing means that it has refused its last attempts, ten or more in a row, with one status or cause. It stays
	// in use: only Target.Refusing and the list of troubles say so.
	HealthRefusing = "refusing"
	// HealthUnknown means that there was no attempt in the window, and that the last one before had failed.
	HealthUnknown = "unknown"
	// HealthIdle means that there was no attempt in the window.
	HealthIdle = "idle"
)

// Healths returns the values of Target.Health, the worst first.
func Healths() []string {
	return []string{HealthFailing, HealthRefusing, HealthUnknown, HealthOK, HealthIdle}
}

// judged is how many of a target's last attempts determine its health.
const judged = 5

// KindTrunk is the kind of a trunk that can be called.
const KindTrunk = "trunk"

// Peer is a target, or a trunk that can be called, from the configuration.
type Peer struct {
	Name string
	// Kind is the configured kind, or KindTrunk.
	Kind string
	// Address is the peer's URI, which is a template. Fixed says that every call has the same one.
	Address string
	Fixed   bool
	// Calls counts the peer's open calls. MaxCalls is its cap; 0 means none.
	Calls, MaxCalls int
	Circuits        []Circuit
	Addresses       []Address
	Shares          []Share
}

// Share is a target's share of the calls of a route with a split.
type Share struct {
	Route  string `json:"route"`
	Weight int    `json:"weight"`
	Of     int    `json:"of"`
	// Moved says when and why the split has other weights than the file. Empty: it has the file's.
	Moved   string      `json:"moved"`
	MovedAt record.Time `json:"moved_at"`
	Pinned  bool        `json:"pinned"` // an operator has set the weights
	// Seen says what the last look at the split saw of the target: figures beside their bounds. Empty: there was none.
	Seen string `json:"seen"`
}

// Target is the state of a target, as returned by GET /api/targets.
type Target struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Address  string `json:"address"`
	Health   string `json:"health"`
	Calls    int    `json:"calls"`
	MaxCalls int    `json:"max_calls"`
	// Attempts counts the finished attempts in the window. Failed counts those that failed for a reason of the target.
	Attempts uint64 `json:"attempts"`
	Failed   uint64 `json:"failed"`
	// AnswerRatio is the share of Attempts that were answered. It is nil if there were none.
	AnswerRatio *float64 `json:"answer_ratio"`
	Prepare     *Latency `json:"prepare_ms"`
	Answer      *Latency `json:"answer_ms"`
	// Turns is how long callers waited for the agent's answers within a conversation, in calls that ended in the window.
	// It is nil if there is no reliable measurement.
	Turns          *Latency    `json:"turns_ms"`
	LastAnsweredAt record.Time `json:"last_answered_at"`
	// LastError is the last failure for a reason of the target, however long ago. It is nil if there has been none since
	// the start.
	LastError *TargetError `json:"last_error"`
	// Refusing says with what it has refused its last attempts. It is nil unless Health is HealthRefusing.
	Refusing *Refusing `json:"refusing"`
	// Circuits are the circuits of its SIP side and of its API. Addresses are the addresses to which its host name
	// recently led calls.
	Circuits  []Circuit `json:"circuits"`
	Addresses []Address `json:"addresses"`
	Shares    []Share   `json:"shares"`
}

// Latency is the median of a duration, and the value that 95 % do not exceed.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

// TargetError is a failed attempt.
type TargetError struct {
	At            record.Time `json:"at"`
	Cause         string      `json:"cause"`
	SIPStatus     int         `json:"sip_status"`
	PrepareStatus int         `json:"prepare_status"`
	// Call is the call's id.
	Call string `json:"call"`
	// Text describes the failure.
	Text string `json:"text"`
}

// target holds the data about a target.
type target struct {
	attempts, failed, answered tally
	prepare, answer, turns     series // milliseconds
	last                       [judged]bool
	tried                      int // number of attempts since the start; last says which of the last ones failed
	lastAnswered               record.Time
	lastError                  *TargetError
	row                        refusals
	hangups                    refusals // of its answered calls
}

// target returns the entry of a peer. It returns nil if there is no such peer, for example because a REFER named it.
func (w *Watcher) target(name string) *target {
	t := w.targets[name]
	if t == nil && w.options.IsPeer(name) {
		t = &target{}
		w.targets[name] = t
	}
	return t
}

func (t *target) clear(slot int) {
	for _, n := range []*tally{&t.attempts, &t.failed, &t.answered, &t.row.refused, &t.hangups.refused} {
		n.clear(slot)
	}
	t.prepare.clear(slot)
	t.answer.clear(slot)
	t.turns.clear(slot)
}

// converse counts the turns of a finished call for its target. If the call moved to another target, it counts for
// neither, because its turns belong to both.
func (w *Watcher) converse(slot int, r *record.Record) {
	talk := r.Talk
	if talk == nil || talk.Confidence != record.TalkGood || talk.Turns == nil ||
		slices.ContainsFunc(r.Attempts, func(a record.Attempt) bool { return a.Cause == "" && a.Target != r.Target }) {
		return
	}
	if t := w.target(r.Target); t != nil {
		for _, ms := range talk.Turns.Values {
			t.turns.add(slot, float64(ms))
		}
	}
}

func (t *target) note(slot int, r *record.Record, a *record.Attempt) {
	if !countsForTarget(a) {
		return
	}
	t.attempts.add(slot, 1)
	if a.Prepared() {
		t.prepare.add(slot, float64(a.PrepareMS))
	}
	fault := faultOf(a)
	t.row.note(slot, r, a)
	t.last[t.tried%judged] = fault != ""
	t.tried++
	ended := endOf(a)
	switch {
	case fault != "":
		t.failed.add(slot, 1)
		t.lastError = &TargetError{
			At: ended, Cause: a.Cause, SIPStatus: a.SIPStatus, PrepareStatus: a.PrepareStatus,
			Call: r.ID, Text: fault,
		}
	case a.Cause == "":
		t.answered.add(slot, 1)
		t.answer.add(slot, float64(a.MS))
		t.lastAnswered = ended
	}
}

// health judges the last attempts that are in the window.
func (t *target) health() string {
	n := int(min(t.attempts.sum, judged))
	if n == 0 {
		return HealthIdle
	}
	failed := 0
	for i := range n {
		if t.last[(t.tried-1-i)%judged] {
			failed++
		}
	}
	if failed*2 > n {
		return HealthFailing
	}
	return HealthOK
}

// Targets returns the state of each target, in the order of Options.Peers.
func (w *Watcher) Targets() []Target {
	peers := w.options.Peers()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance()
	all, is := make([]Target, 0, len(peers)), make(map[string]bool, len(peers))
	for _, p := range peers {
		is[p.Name] = true
		out := Target{
			Name: p.Name, Kind: p.Kind, Address: p.Address, Health: HealthIdle, Calls: p.Calls,
			MaxCalls: p.MaxCalls,
		}
		out.Circuits, out.Addresses = append([]Circuit{}, p.Circuits...), append([]Address{}, p.Addresses...)
		out.Shares = append([]Share{}, p.Shares...)
		if t := w.targets[p.Name]; t != nil {
			out.Health, out.Attempts, out.Failed = t.health(), t.attempts.sum, t.failed.sum
			out.AnswerRatio, out.Prepare, out.Answer = ratio(t.answered.sum, t.attempts.sum), latency(&t.prepare),
				latency(&t.answer)
			out.Turns = latency(&t.turns)
			out.LastAnsweredAt, out.LastError = t.lastAnswered, t.lastError
		}
		switch e, row := out.LastError, w.targets[p.Name].refuses(&p); {
		case slices.ContainsFunc(p.Circuits, func(c Circuit) bool { return c.State != CircuitClosed || c.Ping != "" }):
			out.Health = HealthFailing
		case out.Health != HealthFailing && row != nil:
			row.show(&out)
		case out.Health == HealthIdle && e != nil && !out.LastAnsweredAt.After(e.At.Time):
			out.Health = HealthUnknown
		}
		all = append(all, out)
	}
	for name := range w.targets {
		if !is[name] { // a reload has removed it
			delete(w.targets, name)
		}
	}
	return all
}

func latency(s *series) *Latency {
	p := percentiles(s)
	if p == nil {
		return nil
	}
	return &Latency{P50: p.P50, P95: p.P95}
}

// countsForTarget reports whether an attempt says anything about its target. It says nothing if the caller gave up, or
// if our limit or template prevented the attempt.
func countsForTarget(a *record.Attempt) bool {
	switch a.Cause {
	case "", "target_busy", "target_refused", "ring_timeout":
		return true
	default:
		return faultOf(a) != ""
	}
}

// faultOf describes the failure of an attempt if it lies in the target or in the path to it, so that the next call
// would fail as well. Otherwise it returns "". A target that is busy, or whose user does not answer or declines,
// works.
func faultOf(a *record.Attempt) string {
	switch {
	case a.Cause == "":
		return ""
	case a.Cause != "prepare_failed":
	case a.PrepareStatus == 0:
		return "its API could not be reached"
	case a.PrepareStatus == http.StatusUnauthorized || a.PrepareStatus == http.StatusForbidden:
		return "its API refuses our token: " + statusText(a.PrepareStatus)
	default:
		return "its API answered " + statusText(a.PrepareStatus)
	}
	fault := map[string]string{
		"prepare_timeout":    fmt.Sprintf("its API did not answer within %d ms", a.PrepareMS),
		"prepare_refused":    "its API took no call",
		"prepare_invalid":    "its API gave no usable call id",
		"dns_failed":         unresolved(a.Error),
		"target_silent":      "it did not answer the INVITE at all",
		"target_unreachable": "the INVITE could not be sent to it",
		"tls_failed":         "the TLS handshake with it failed",
		"target_error":       fmt.Sprintf("it answered the INVITE with %d", a.SIPStatus),
		"auth_missing":       fmt.Sprintf("it asked for credentials (%d), and has none configured", a.SIPStatus),
		"auth_unsupported":   fmt.Sprintf("it asked for credentials (%d) in a way that can't be answered", a.SIPStatus),
		"auth_refused":       fmt.Sprintf("it refused the credentials (%d)", a.SIPStatus),
		"bad_answer":         "its session description does not fit the offer",
		"srtp_refused":       "it answered SRTP with RTP, or without a usable key",
	}[a.Cause]
	if fault != "" && a.Error != "" {
		fault += ": " + a.Error
	}
	return fault
}

// unresolved tells a name without an address from a name server that does not answer, which the error names.
func unresolved(err string) string {
	if strings.Contains(err, "name server ") {
		return "the name server is unreachable"
	}
	return "its host name has no address"
}

// statusText returns an HTTP status with its name.
func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

package redirected

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/internal/tracecontext"
	"flowbridge/store/record"
)

// Options are the settings of all redirected calls.
type Options struct {
	Targets []string            // names of the targets, which are tried in this order
	Rules   []config.TwilioRule // targets for some numbers; the first match counts
	Route   string              // name of the route in the records of these calls
	Follow  bool                // whether the dialling party reports how attempts end; then each call gets a record

	// Accept returns an error if the dialling party can't use the destination; nil means that it can use all.
	Accept    func(Destination) error
	Variables func(template.Vars) map[string]string // variables for agents that ask; nil if none asks
}

// Calls handles the redirected calls of a server. Its methods may be called from any
// goroutine.
type Calls struct {
	server   Server
	options  Options
	memory   *memory
	repeats  *repeats
	followed *followed // nil if ends of attempts are not reported
}

// Server has the parts of the server that Calls needs.
type Server struct {
	Peers    func() *peers.Snapshot // returns the current snapshot
	Draining func() bool
	Journal  func(record.Record)                        // stores the record of an open call; does not block
	Put      func(context.Context, record.Record) error // stores an ended call's record; returns when it is on disk
	Node     string                                     // name of this node in records; may be empty
	OTLP     *config.OTLP
	Log      zerolog.Logger
}

// New returns a Calls. Close ends its calls.
func New(s Server, o Options) *Calls {
	r := &Calls{server: s, options: o, memory: newMemory(rememberFor), repeats: newRepeats(s.Log)}
	if o.Follow {
		r.memory = newMemory(followFor)
		r.followed = newFollowed(s.Journal, r.keep, s.Log)
	}
	return r
}

// Next tells the dialling party how the call continues.
type Next struct {
	Dial     *Destination // dial this target; nil if none
	Fallback bool         // no target is left, so tell the caller
}

// End is the end of an attempt that another party dialled.
type End struct {
	Call    string // our id
	Attempt int    // from 1

	SIPCallID       string // Call-ID of the call at the dialling party
	Outcome         outbound.Outcome
	SIPStatus       int    // the target's final status; 0 if there was none
	TargetSIPCallID string // Call-ID of the INVITE to the target
	Answered        bool
	CallerGone      bool          // the caller has left, so try no other target
	Duration        time.Duration // time since the answer, in whole seconds
}

// These are the reasons why a call is not redirected.
var (
	ErrNoTarget       = errors.New("no target can be dialled")
	ErrUnknownAttempt = errors.New("no such attempt at a call is known here")
	errDraining       = errors.New("draining")
	errNotThere       = errors.New("it is not in the configuration any more")
	errNoNumber       = errors.New("the target's uri dials the number of the call, and the call has no phone number")
)

// These final statuses follow from what the dialling party reports, even if it reports another one.
const (
	statusAnswered  = 200
	statusCancelled = 487
)

// Begin starts a call and returns the first target that can be dialled. vars.CallID is from NewID. A peer repeats a
// request if the answer was lost: for preparedFor, the repetition belongs to the same call. status is the call's at the
// dialling party. Another status means that the party has used the answer and asks for the next conversation.
func (r *Calls) Begin(ctx context.Context, vars template.Vars, status string) (Destination, error) {
	c := r.newCall(vars)
	c.status = status
	var next Next
	var err error
	switch {
	case r.followed != nil:
		if c, err = r.followed.begin(c, c.began); err == nil {
			next, err = r.followed.decide(ctx, c, 0, func(ctx context.Context) (Next, error) { return r.dialNext(ctx, c) })
		}
	case c.sid != "":
		next, err = r.repeats.decide(ctx, c, func(ctx context.Context) (Next, error) { return r.first(ctx, c) })
	default:
		next, err = r.first(ctx, c)
	}
	switch {
	case err != nil:
		return Destination{}, err
	case next.Dial == nil:
		return Destination{}, ErrNoTarget
	}
	return *next.Dial, nil
}

// first returns the first target of a call that is not followed.
func (r *Calls) first(ctx context.Context, c *call) (Next, error) {
	to, _, err := r.next(ctx, c)
	return Next{Dial: &to}, err
}

// newCall returns a new call, with the targets of the current configuration.
func (r *Calls) newCall(vars template.Vars) *call {
	now, inForce := time.Now(), r.server.Peers()
	vars.Row = inForce.RowOf(vars.To.Number)
	c := &call{id: vars.CallID, vars: vars, began: now, steps: map[int]*decision{}, record: record.Record{
		ID: vars.CallID, Node: r.server.Node, Route: r.options.Route, Direction: vars.Direction, From: vars.From.Number,
		To:   vars.To.Number,
		Lead: vars.Lead().Number, StartedAt: record.TimeOf(now),
		TraceID: outbound.TraceOf(vars.CallID, nil, false, r.server.OTLP).ID(),
	}}
	if len(vars.SIPCallID) <= maxSID && !strings.ContainsFunc(vars.SIPCallID,
		func(r rune) bool { return !unicode.IsPrint(r) }) {
		c.sid, c.record.SIPCallID = vars.SIPCallID, vars.SIPCallID
	}
	names := r.options.Targets
	for i, rule := range r.options.Rules {
		if rule.To.Match(vars.To.Number) && rule.From.Match(vars.From.Number) {
			names, c.naming = rule.Targets, []*config.Numbers{rule.To, rule.From}
			c.record.Route = fmt.Sprintf("%s.rules[%d]", r.options.Route, i)
			break
		}
	}
	for _, name := range names {
		t := inForce.Targets[name]
		if t == nil { // the attempt will fail with errNotThere
			t = &peers.Target{Dial: &peers.Dial{Peer: peers.Peer{Name: name}}}
		}
		c.left = append(c.left, t)
	}
	return c
}

// maxSID bounds the dialling party's id of a call, in bytes. Twilio's have 34.
const maxSID = 64

// Ended stores the end of an attempt, and returns how the call continues.
func (r *Calls) Ended(ctx context.Context, e End) (Next, error) {
	c := r.followed.find(e)
	if c == nil {
		return Next{}, ErrUnknownAttempt
	}
	return r.followed.decide(ctx, c, e.Attempt,
		func(ctx context.Context) (Next, error) { return r.afterAttempt(ctx, c, e) })
}

// afterAttempt tries the next target if the outcome allows it and the caller is still
// there. Otherwise it ends the call.
func (r *Calls) afterAttempt(ctx context.Context, c *call, e End) (Next, error) {
	now := time.Now()
	o := e.Outcome
	if !r.followed.ended(c, e, o.Cause, now) {
		return Next{}, ErrUnknownAttempt
	}
	switch {
	case o.Cause == cause.CallerHangup:
		r.followed.finish(c, o, statusAnswered, record.EndedByCaller, now)
	case o.Cause == cause.AgentHangup:
		r.followed.finish(c, o, statusAnswered, record.EndedByAgent, now)
	case o.Cause == cause.CallerCancelled, o.Next && e.CallerGone:
		r.followed.finish(c, outbound.OutcomeOf(statusCancelled, cause.CallerCancelled), statusCancelled,
			record.EndedByCaller, now)
	case o.Next:
		return r.dialNext(ctx, c)
	default:
		r.followed.finish(c, o, e.SIPStatus, record.EndedByAgent, now)
	}
	return Next{}, nil
}

// dialNext returns the next target that can be dialled. If there is none, it ends the call with the
// outcome of the last attempt.
func (r *Calls) dialNext(ctx context.Context, c *call) (Next, error) {
	to, failed, err := r.next(ctx, c)
	if err == nil {
		if !r.followed.dialled(c, to, failed, time.Now()) {
			return Next{}, ErrUnknownAttempt
		}
		return Next{Dial: &to}, nil
	}
	if r.followed.ctx.Err() != nil {
		return Next{Fallback: true}, errStopping
	}
	last := r.followed.noneLeft(c, failed)
	r.followed.finish(c, outbound.OutcomeOf(last.SIPStatus, cause.Cause(last.Cause)), last.SIPStatus,
		record.EndedBySystem, time.Now())
	return Next{Fallback: true}, err
}

// next prepares the next target that can be dialled. failed has the attempts that failed before it.
func (r *Calls) next(ctx context.Context, c *call) (to Destination, failed []record.Attempt, err error) {
	var why []error
	for a := c.next(); a != nil; a = c.next() {
		if to, err = r.prepare(ctx, a, c); err == nil {
			return to, failed, nil
		}
		failed = append(failed, a.recordOf(to.Cause, 0))
		why = append(why, fmt.Errorf("target %s: %w", a.target.Dial.Name, err))
	}
	if why == nil { // there was no target to try
		return Destination{}, failed, ErrNoTarget
	}
	return Destination{}, failed, fmt.Errorf("%w: %w", ErrNoTarget, errors.Join(why...))
}

// prepare prepares an attempt. If that fails, the Destination has the cause.
func (r *Calls) prepare(ctx context.Context, a *attempt, c *call) (Destination, error) {
	vars := c.vars
	switch {
	case r.server.Draining():
		return Destination{Cause: cause.Shutdown}, errDraining
	case a.target.Dial.URI == nil:
		return Destination{Cause: cause.TargetUnreachable}, errNotThere
	case !peers.Dialable(a.target, &vars, c.naming...):
		return Destination{Cause: cause.TemplateFailed}, errNoNumber
	}
	vars.Attempt = a.number
	trace := outbound.TraceOf(vars.CallID, nil, false, r.server.OTLP)
	to, err := destinationOf(tracecontext.With(ctx, trace.Header(tracecontext.KindPrepare, a.number)), a, vars)
	if err == nil && r.options.Accept != nil {
		if err = r.options.Accept(to); err != nil { // the next target may be acceptable
			to.Cause = cause.TemplateFailed
		}
	}
	if err != nil {
		return to, err
	}
	r.remember(to, vars)
	r.server.Log.Info().Str("call_sid", vars.SIPCallID).Str("call", vars.CallID).Str("target", to.Target).
		Str("synthflow_call_id", to.CallID).
		Msg("call redirected")
	return to, nil
}

// remember stores a call, so that its agent can ask about it and its platform can report on it.
func (r *Calls) remember(to Destination, vars template.Vars) {
	if r.options.Variables == nil && r.followed == nil {
		return
	}
	c := &entry{
		At: time.Now(), IDs: []string{vars.CallID, vars.SIPCallID, to.CallID},
		Followed: r.followed != nil, Call: Call{
			ID: vars.CallID, SIPCallID: vars.SIPCallID, SynthflowCallID: to.CallID, ExternalID: to.externalID(),
			Target:    to.Target,
			Direction: vars.Direction, From: vars.From.Number, To: vars.To.Number, Lead: vars.Lead().Number,
			Diversion: vars.Diversion,
		},
	}
	for _, id := range to.IDs() {
		c.IDs = append(c.IDs, id.Value)
	}
	if r.options.Variables != nil {
		c.Call.Variables = r.options.Variables(vars)
		for _, t := range r.server.Peers().IDs {
			if id, err := t.Render(vars); err == nil {
				c.IDs = append(c.IDs, strings.TrimSpace(id))
			}
		}
	}
	r.memory.add(c)
}

// keep waits until a record is stored or the process stops. In both cases the sink has the record.
func (r *Calls) keep(ctx context.Context, rec record.Record) {
	if err := r.server.Put(ctx, rec); err != nil && ctx.Err() == nil {
		r.server.Log.Error().Err(err).Str("call", rec.ID).Msg("record not written")
	}
}

// Find returns the redirected call that has an id. Its error is ErrUnknownCall or
// ErrSeveralCalls.
func (r *Calls) Find(id string) (Call, error) {
	c, err := r.memory.find(id, time.Now())
	if err != nil {
		return Call{}, err
	}
	return c.Call, nil
}

// Reported returns the followed call that a platform's report is about: by the platform's
// id, or, for a call that was not prepared, by the external one. unwritten says that its
// record is not written yet.
func (r *Calls) Reported(platformID, externalID string) (c Call, unwritten, found bool) {
	m := r.memory.reported(platformID, externalID, time.Now())
	if m == nil {
		return Call{}, false, false
	}
	return m.Call, r.followed.unwritten(m.Call.ID), true
}

// Expire gives up the calls whose end should have been reported by now. It should be called every
// few seconds.
func (r *Calls) Expire(now time.Time) {
	if r.followed != nil {
		r.followed.expire(now)
	}
}

// Close gives up the calls whose end was not reported, and returns when the sink has
// their records.
func (r *Calls) Close() {
	r.repeats.close()
	if r.followed != nil {
		r.followed.close()
	}
}

// Destination describes the INVITE that another party should send to a target.
type Destination struct {
	Call    string // our id
	Attempt int    // from 1
	Target  string

	URI     string           // includes the transport unless that is UDP
	Headers []peers.Variable // headers that the target's configuration sets, in file order
	peers.Prepared
	Cause cause.Cause // set with an error
}

// destinationOf prepares an attempt like one in our own calls. Its error is a
// *outbound.PrepareError if the platform, or the way to it, failed.
func destinationOf(ctx context.Context, a *attempt, vars template.Vars) (Destination, error) {
	t := a.target.Dial
	ready := outbound.Request(ctx, a.target, vars)
	a.prepareMS, a.prepareStatus = ready.Elapsed.Milliseconds(), ready.Prepared.Status
	out := Destination{Call: vars.CallID, Attempt: a.number, Target: t.Name, Prepared: ready.Prepared, Cause: ready.Cause}
	if ready.Cause != cause.None {
		return out, ready.Err
	}
	vars.Prepare = ready.Answer()
	fields, err := outbound.RenderHeaders(t, vars)
	if err != nil {
		out.Cause = cause.TemplateFailed
		return out, err
	}
	out.URI = ready.URI.String()
	if message.IsStream(t.Transport) && !strings.Contains(out.URI, ";transport=") {
		out.URI += ";transport=" + t.Transport // otherwise the dialling party would use UDP
	}
	for _, f := range fields {
		out.Headers = append(out.Headers, peers.Variable{Name: f.Name, Value: f.Values[0]})
	}
	return out, nil
}

// IDs returns the ids in X-EI, for the platform.
func (r Destination) IDs() []outbound.PlatformID {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, "X-EI") {
			return outbound.IDsIn(h.Value)
		}
	}
	return nil
}

// externalID returns the external id in X-EI, or "" if there is none.
func (r Destination) externalID() (id string) {
	for _, i := range r.IDs() {
		if i.External {
			id = i.Value
		}
	}
	return id
}

// PartyOf returns one side of a call that did not come by SIP: a number, or a SIP URI.
func PartyOf(text string) template.Party {
	var uri sip.Uri
	if scheme, _, ok := strings.Cut(text, ":"); ok && strings.HasPrefix(strings.ToLower(scheme), "sip") &&
		sip.ParseUri(text, &uri) == nil {
		return message.PartyOf("", &uri, "")
	}
	if len(text) > message.MaxURI || strings.ContainsFunc(text, template.IsControl) {
		return template.Party{}
	}
	return template.Party{Number: message.NormaliseNumber(text, ""), User: text}
}

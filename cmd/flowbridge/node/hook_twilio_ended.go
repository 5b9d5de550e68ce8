package node

import (
	"context"
	"errors"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/store"
	"flowbridge/twilio"
)

// redirectRoute is the route of a followed call in its record.
const redirectRoute = "hooks.twilio"

// followRedirects has calls followed to their end, where that is configured.
func (n *Node) followRedirects() {
	t := n.config().Hooks.Twilio
	if t == nil || !t.Follow {
		return
	}
	n.redirects.keep = followFor
	n.followed = newFollowed(n.store.Journal, n.keepRecord, n.log)
}

// keepRecord waits until a record is committed, or the process stops: then the
// store has it, and writes it.
func (n *Node) keepRecord(ctx context.Context, r store.Record) {
	if err := n.store.Put(ctx, r); err != nil && ctx.Err() == nil {
		n.log.Error().Err(err).Str("call", r.ID).Msg("record not written")
	}
}

// follow says where Twilio dials a call, and has it tell the end.
func (n *Node) follow(ctx context.Context, vars config.Vars) (twilio.Destination, error) {
	now := time.Now()
	c, err := n.followed.begin(vars, n.redirectRecord(vars, now), now)
	if err != nil {
		return twilio.Destination{}, err
	}
	next, err := n.followed.decide(ctx, c, 0, func(ctx context.Context) (twilio.Next, error) { return n.dialNext(ctx, c) })
	switch {
	case err != nil:
		return twilio.Destination{}, err
	case next.Dial == nil:
		return twilio.Destination{}, errNoTarget
	}
	return *next.Dial, nil
}

// redirectRecord is what is known of a call when it comes in.
func (n *Node) redirectRecord(vars config.Vars, now time.Time) store.Record {
	r := store.Record{
		ID: vars.CallID, Node: n.host, Route: redirectRoute, Direction: vars.Direction, From: vars.From.Number, To: vars.To.Number,
		Lead: vars.Lead().Number, StartedAt: store.TimeOf(now),
	}
	if len(vars.SIPCallID) <= maxSID && cli.IsPrintable(vars.SIPCallID) {
		r.SIPCallID = vars.SIPCallID
	}
	return r
}

// maxSID bounds a CallSid, which has 34 characters.
const maxSID = 64

var errUnknownAttempt = errors.New("no such attempt at a call is known here")

// twilioEnded says what becomes of a call when an attempt has ended.
func (n *Node) twilioEnded(ctx context.Context, e twilio.Ended) (twilio.Next, error) {
	c := n.followed.find(e)
	if c == nil {
		return twilio.Next{}, errUnknownAttempt
	}
	return n.followed.decide(ctx, c, e.Attempt, func(ctx context.Context) (twilio.Next, error) { return n.afterAttempt(ctx, c, e) })
}

// afterAttempt notes how an attempt ended, and goes on to the next target where
// that is its turn and the caller is there.
func (n *Node) afterAttempt(ctx context.Context, c *followedCall, e twilio.Ended) (twilio.Next, error) {
	now := time.Now()
	v := verdictOf(e)
	if !n.followed.ended(c, e, v.Cause, now) {
		return twilio.Next{}, errUnknownAttempt
	}
	switch {
	case v.Cause == cause.CallerHangup:
		n.followed.finish(c, v, statusAnswered, store.EndedByCaller, now)
	case v.Cause == cause.AgentHangup:
		n.followed.finish(c, v, statusAnswered, store.EndedByAgent, now)
	case v.Cause == cause.CallerCancelled, v.Next && e.CallerGone():
		n.followed.finish(c, b2bua.OutcomeOf(statusCancelled, cause.CallerCancelled), statusCancelled, store.EndedByCaller, now)
	case v.Next:
		return n.dialNext(ctx, c)
	default:
		n.followed.finish(c, v, e.SIPStatus, store.EndedByAgent, now)
	}
	return twilio.Next{}, nil
}

// The final answers (RFC 3261 section 21) that an outcome stands for, whatever
// Twilio says of them.
const (
	statusAnswered  = 200
	statusBusy      = 486
	statusCancelled = 487
)

// verdictOf says what the end of an attempt means. The target's answer decides
// where there was one: 487 is what a target says to Twilio's CANCEL.
func verdictOf(e twilio.Ended) b2bua.Outcome {
	switch {
	case e.Answered() && e.CallerGone():
		return b2bua.OutcomeOf(statusAnswered, cause.CallerHangup)
	case e.Answered():
		return b2bua.OutcomeOf(statusAnswered, cause.AgentHangup)
	case e.SIPStatus >= 300 && e.SIPStatus != statusCancelled:
		return b2bua.OutcomeOf(e.SIPStatus, cause.None)
	case e.Status == "busy":
		return b2bua.OutcomeOf(statusBusy, cause.None)
	case e.CallerGone():
		return b2bua.OutcomeOf(statusCancelled, cause.CallerCancelled)
	case e.Status == "no-answer":
		return b2bua.OutcomeOf(e.SIPStatus, cause.RingTimeout)
	default: // failed: Twilio could not reach it
		return b2bua.OutcomeOf(0, cause.TargetUnreachable)
	}
}

// dialNext has Twilio dial the next target that can be. Without one the call
// ends as the last attempt did.
func (n *Node) dialNext(ctx context.Context, c *followedCall) (twilio.Next, error) {
	place, attempts := n.followed.position(c)
	to, err := n.choose(ctx, c.vars, place, attempts)
	if err == nil {
		to.dest.Action = twilio.ActionURL(n.config().Hooks.Twilio.FollowURL(), c.id, to.number)
		if !n.followed.dialled(c, to, time.Now()) {
			return twilio.Next{}, errUnknownAttempt
		}
		return twilio.Next{Dial: &to.dest}, nil
	}
	if n.followed.ctx.Err() != nil {
		return twilio.Next{Fallback: true}, errStopping // close ends the call
	}
	last := n.followed.untaken(c, to)
	n.followed.finish(c, b2bua.OutcomeOf(last.SIPStatus, cause.Cause(last.Cause)), last.SIPStatus, store.EndedBySystem, time.Now())
	return twilio.Next{Fallback: true}, err
}

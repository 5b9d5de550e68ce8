package node

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/store"
	"flowbridge/twilio"
)

// The bounds of what is known of followed calls.
const (
	// followFor is how long Twilio may take to tell the end of a call: <Dial> ends one after four hours (its timeLimit), and it
	// may have rung at several targets before.
	followFor = 4*time.Hour + 15*time.Minute
	// endedFor is how long a call that is over is known, should Twilio ask again.
	endedFor = 5 * time.Minute
	// repeatFor is how long a call that comes again is the same question: Twilio waits 15 s for an answer.
	repeatFor   = 30 * time.Second
	maxFollowed = 10_000 // calls that are open, and as many that are over
	// stepTimeout bounds the search for a target. It leaves the webhook, which waits 10 s, time to say that there is none.
	stepTimeout = 8 * time.Second
)

// followedCall is a call that Twilio dials by our word and tells us the end of.
type followedCall struct {
	// constant
	id, sid string // ours; Twilio's CallSid, or empty
	vars    config.Vars
	began   time.Time

	// guarded by followed.mu
	record store.Record // as far as it is known
	at     *dialling    // nil: Twilio dials nothing now
	place  int          // in hooks.twilio.targets, of the target to try next
	steps  map[int]*step
	over   bool
	kept   bool          // the record is written
	elem   *list.Element // in followed.open, or in followed.over
}

// dialling is an attempt that Twilio makes.
type dialling struct {
	number  int
	attempt store.Attempt
}

// step is what is decided when a call comes in (0), or when the attempt with
// that number has ended. It is decided once, however often Twilio asks.
type step struct {
	done chan struct{} // closed once next and err hold
	next twilio.Next
	err  error
}

// followed are the calls that Twilio dials by our word, from the webhook until
// a while after their end.
//
// Ownership: a step runs in a goroutine of its own, one of a call at a time, as
// an attempt ends after it was told. Requests wait for it. Records are handed to
// the store by goroutines, too; close waits for all of them.
type followed struct {
	journal func(store.Record)                  // of a call that is open; does not block
	keep    func(context.Context, store.Record) // of one that is over; until the context ends
	log     zerolog.Logger
	ctx     context.Context //nolint:containedctx // of what runs in the background, until close
	stop    context.CancelFunc
	working sync.WaitGroup

	mu         sync.Mutex
	byID       map[string]*followedCall
	bySID      map[string]*followedCall // open ones
	open, over *list.List               // of *followedCall, oldest first
	closed     bool
}

func newFollowed(journal func(store.Record), keep func(context.Context, store.Record), log zerolog.Logger) *followed {
	ctx, stop := context.WithCancel(context.Background())
	return &followed{
		journal: journal, keep: keep, log: log, ctx: ctx, stop: stop,
		byID: map[string]*followedCall{}, bySID: map[string]*followedCall{}, open: list.New(), over: list.New(),
	}
}

var errStopping = errors.New("the process is stopping")

// begin opens a call. One that Twilio asks about again, because it has not had
// the answer, is the same call.
func (s *followed) begin(vars config.Vars, r store.Record, now time.Time) (*followedCall, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errStopping
	}
	if before := s.bySID[r.SIPCallID]; before != nil { // never of an empty one
		if len(before.steps) <= 1 && now.Sub(before.began) < repeatFor {
			return before, nil
		}
		s.interrupt(before, cause.DialogLost, now) // Twilio has begun anew, and dials nothing of before
	}
	for s.open.Len() >= maxFollowed {
		s.log.Warn().Int("calls", maxFollowed).Msg("too many calls at Twilio whose end is not known: the oldest is given up")
		s.interrupt(s.open.Front().Value.(*followedCall), cause.DialogLost, now)
	}
	c := &followedCall{id: r.ID, sid: r.SIPCallID, vars: vars, began: now, record: r, steps: map[int]*step{}}
	c.elem = s.open.PushBack(c)
	s.byID[c.id] = c
	if c.sid != "" {
		s.bySID[c.sid] = c
	}
	s.journal(r)
	return c, nil
}

// find gives the call that an end is about: of an attempt that is under way, or
// whose end has been told before. nil: there is none.
func (s *followed) find(e twilio.Ended) *followedCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byID[e.Call]
	switch {
	case c == nil, e.Attempt == 0, c.sid != "" && c.sid != e.SID:
		return nil
	case c.steps[e.Attempt] != nil, c.at != nil && c.at.number == e.Attempt:
		return c
	default:
		return nil
	}
}

// decide has a step decided by how, unless it was or is being decided, and
// gives what was. When ctx ends first, the step goes on without it.
func (s *followed) decide(ctx context.Context, c *followedCall, number int, how func(context.Context) (twilio.Next, error)) (twilio.Next, error) {
	s.mu.Lock()
	st := c.steps[number]
	if st == nil {
		if s.closed {
			s.mu.Unlock()
			return twilio.Next{Fallback: true}, errStopping
		}
		st = &step{done: make(chan struct{})}
		c.steps[number] = st
		s.working.Go(func() { s.take(c, st, how) })
	}
	s.mu.Unlock()
	select {
	case <-st.done:
		return st.next, st.err
	case <-ctx.Done():
		return twilio.Next{Fallback: true}, context.Cause(ctx)
	}
}

// take decides a step. A fault of ours ends the call.
func (s *followed) take(c *followedCall, st *step, how func(context.Context) (twilio.Next, error)) {
	defer close(st.done)
	defer func() {
		if p := recover(); p != nil {
			s.log.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Str("call", c.id).Msg("panic recovered")
			st.next, st.err = twilio.Next{Fallback: true}, fmt.Errorf("panic: %v", p)
			s.finish(c, b2bua.OutcomeOf(0, cause.InternalError), 0, store.EndedBySystem, time.Now())
		}
	}()
	ctx, cancel := context.WithTimeout(s.ctx, stepTimeout)
	defer cancel()
	st.next, st.err = how(ctx)
}

// dialled notes what Twilio dials from now on, and what was tried before. It is
// false for a call that was given up meanwhile.
func (s *followed) dialled(c *followedCall, to choice, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.over {
		return false
	}
	c.tried(to)
	c.at = &dialling{to.number, to.attempt}
	r := &c.record
	r.Target, r.SynthflowCallID, r.ExternalID, r.TargetSIPCallID = to.attempt.Target, to.to.CallID, externalID(to.to), ""
	r.PreparedAt, r.DialedAt = store.Time{}, store.TimeOf(now)
	if to.to.CallID != "" {
		r.PreparedAt = r.DialedAt
	}
	s.journal(*r)
	return true
}

// untaken notes that no target is left, and gives the last attempt.
func (s *followed) untaken(c *followedCall, to choice) store.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.tried(to)
	return c.record.Attempts[len(c.record.Attempts)-1]
}

// position is the place of the next target, and how many attempts there were.
func (s *followed) position(c *followedCall) (place, attempts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.place, len(c.record.Attempts)
}

// tried notes the attempts that Twilio was not told of.
func (c *followedCall) tried(to choice) {
	c.place = to.place + 1
	for _, a := range to.failed {
		c.record.Target = a.Target
		c.record.Attempts = append(c.record.Attempts, a)
	}
}

// ended notes how an attempt ended. It is false for a call that was given up
// meanwhile.
func (s *followed) ended(c *followedCall, e twilio.Ended, cause cause.Cause, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.over || c.at == nil {
		return false
	}
	c.settle(cause, e.SIPStatus, e.SIPCallID, now)
	if e.Answered() {
		r := &c.record
		answered := now.Add(-e.Duration)
		if answered.Before(r.DialedAt.Time) { // whole seconds, maybe rounded up
			answered = r.DialedAt.Time
		}
		r.AnsweredAt = store.TimeOf(answered)
		r.SetupMS, r.DurationMS = answered.Sub(r.StartedAt.Time).Milliseconds(), now.Sub(answered).Milliseconds()
	}
	return true
}

// settle moves the attempt that is under way into the record.
func (c *followedCall) settle(cause cause.Cause, status int, callID string, now time.Time) {
	a := c.at.attempt
	a.SIPStatus, a.Cause, a.SIPCallID, a.MS = status, string(cause), callID, now.Sub(a.StartedAt.Time).Milliseconds()
	c.record.Attempts = append(c.record.Attempts, a)
	c.record.TargetSIPCallID = callID
	c.at = nil
}

// finish ends a call, once.
func (s *followed) finish(c *followedCall, v b2bua.Outcome, status int, by string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finishLocked(c, v, status, by, now)
}

func (s *followed) finishLocked(c *followedCall, v b2bua.Outcome, status int, by string, now time.Time) {
	if c.over {
		return
	}
	r := &c.record
	r.Cause, r.Disposition, r.SIPStatus, r.Q850, r.EndedBy, r.EndedAt = string(v.Cause), v.Disposition, status, v.Q850, by, store.TimeOf(now)
	c.over = true
	s.open.Remove(c.elem)
	c.elem = s.over.PushBack(c)
	if s.bySID[c.sid] == c {
		delete(s.bySID, c.sid)
	}
	for s.over.Len() > maxFollowed {
		s.forget(s.over.Front().Value.(*followedCall))
	}
	s.log.Info().Str("call", r.ID).Str("disposition", r.Disposition).Str("cause", r.Cause).Str("ended_by", r.EndedBy).Int("code", r.SIPStatus).
		Str("call_sid", r.SIPCallID).Str("target", r.Target).Str("target_sip_call_id", r.TargetSIPCallID).
		Str("synthflow_call_id", r.SynthflowCallID).Int64("setup_ms", r.SetupMS).Int64("dur_ms", r.DurationMS).Msg("redirected call ended")
	done := *r
	s.working.Go(func() {
		s.keep(s.ctx, done)
		s.mu.Lock()
		defer s.mu.Unlock()
		c.kept = true
	})
}

// unwritten says whether the record of a call is still to come.
func (s *followed) unwritten(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byID[id]
	return c != nil && !c.kept
}

// forget drops a call that is over. The lock is held.
func (s *followed) forget(c *followedCall) {
	s.over.Remove(c.elem)
	delete(s.byID, c.id)
}

// interrupt ends a call whose end nobody has told. The lock is held.
func (s *followed) interrupt(c *followedCall, cause cause.Cause, now time.Time) {
	if c.at != nil {
		c.settle(cause, 0, "", now)
	}
	s.finishLocked(c, b2bua.Outcome{Cause: cause, Disposition: store.DispositionInterrupted}, 0, store.EndedBySystem, now)
}

// tend gives up the calls whose end is overdue, and forgets those that have
// been over for long enough.
func (s *followed) tend(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for e := s.open.Front(); e != nil && now.Sub(e.Value.(*followedCall).began) > followFor; e = s.open.Front() {
		s.interrupt(e.Value.(*followedCall), cause.DialogLost, now)
	}
	for e := s.over.Front(); e != nil && now.Sub(e.Value.(*followedCall).record.EndedAt.Time) > endedFor; e = s.over.Front() {
		s.forget(e.Value.(*followedCall))
	}
}

// close gives up what is open, and waits until every record was handed over.
func (s *followed) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.working.Wait()
	s.mu.Lock()
	for s.open.Len() > 0 {
		s.interrupt(s.open.Front().Value.(*followedCall), cause.Shutdown, time.Now())
	}
	s.mu.Unlock()
	s.working.Wait()
}

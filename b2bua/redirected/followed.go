package redirected

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/store/record"
)

// The limits for followed calls.
const (
	// followFor bounds the wait for the report of a call's end. Twilio's <Dial> ends a call after four hours (its
	// timeLimit), and the call may have rung at several targets before.
	followFor = 4*time.Hour + 15*time.Minute
	// endedFor is how long an ended call is kept, in case the request is repeated.
	endedFor = 5 * time.Minute
	// preparedFor is how long a target that was prepared can be dialled: the longest time that a platform documents
	// (Retell).
	preparedFor = 5 * time.Minute
	maxFollowed = 10_000 // open calls, and as many ended ones
	// stepTimeout bounds the search for a target. The webhook waits 10 s, which leaves time to answer that there is none.
	stepTimeout = 8 * time.Second
)

// call is a call that another party dials as we tell it.
type call struct {
	// constant
	id, sid string // our id, and the dialling party's, which may be empty
	status  string // at the dialling party, when it asked
	vars    template.Vars
	naming  []*config.Numbers // expressions of its rule, which allow user parts to be dialled
	began   time.Time

	// The fields below belong to the step that is being decided.
	left    []*peers.Target // targets that were not tried yet
	current *attempt        // nil if none is being tried
	begun   int             // number of attempts so far

	// guarded by followed.mu
	record  record.Record // the record of the call so far
	at      *attempt      // the attempt that is being dialled; nil if none is
	dialled time.Time     // when that attempt was returned to the dialling party
	steps   map[int]*decision
	over    bool
	ended   time.Time     // when the call ended, by the monotonic clock; the record's time differs if the clock was set
	kept    bool          // the record is written
	elem    *list.Element // in followed.open, or in followed.over
}

// request identifies the dialling party's first request. A repeated one has the same id, called number and status.
func (c *call) request() string { return c.sid + " " + c.vars.To.Number + " " + c.status }

// attempt is one try at one target.
type attempt struct {
	number        int // from 1
	target        *peers.Target
	started       time.Time
	prepareMS     int64
	prepareStatus int
}

// next begins an attempt at the next target, or returns nil if none is left.
func (c *call) next() *attempt {
	c.current = nil
	if len(c.left) == 0 {
		return nil
	}
	c.begun++
	c.current = &attempt{number: c.begun, target: c.left[0], started: time.Now()}
	c.left = c.left[1:]
	return c.current
}

// recordOf returns an attempt's entry in the record.
func (a *attempt) recordOf(why cause.Cause, status int) record.Attempt {
	return record.Attempt{
		StartedAt: record.TimeOf(a.started), Target: a.target.Dial.Name, PrepareMS: a.prepareMS,
		PrepareStatus: a.prepareStatus,
		SIPStatus:     status, Cause: string(why), MS: time.Since(a.started).Milliseconds(),
	}
}

// decision says how a call continues: after it came in (number 0), or after the attempt with this number ended. It is
// made one time, however often Twilio asks.
type decision struct {
	done chan struct{} // closed once next and err are set
	next Next
	err  error
}

// followed holds the redirected calls for which the dialling party reports how attempts end. A call is in it from the
// first request until some time after its end.
//
// A step, the search for the next target, runs in its own goroutine. A call has only one at a time, because an attempt
// ends only after it was returned. Requests wait for the step. Goroutines also hand the records to the store. close
// waits for all goroutines.
type followed struct {
	journal func(record.Record)                  // stores the record of an open call; does not block
	keep    func(context.Context, record.Record) // stores the record of an ended call; until the context ends
	log     zerolog.Logger
	ctx     context.Context //nolint:containedctx // of what runs in the background, until close
	stop    context.CancelFunc
	working sync.WaitGroup

	mu         sync.Mutex
	byID       map[string]*call
	bySID      map[string]*call // open calls
	open, over *list.List       // of *call, oldest first
	closed     bool
}

func newFollowed(journal func(record.Record), keep func(context.Context, record.Record), log zerolog.Logger) *followed {
	ctx, stop := context.WithCancel(context.Background())
	return &followed{
		journal: journal, keep: keep, log: log, ctx: ctx, stop: stop,
		byID: map[string]*call{}, bySID: map[string]*call{}, open: list.New(), over: list.New(),
	}
}

// errStopping says that the process is stopping: close ends the calls.
var errStopping = errors.New("the process is stopping")

// begin opens a call. If the request is repeated because the answer was lost, it returns the existing call.
func (s *followed) begin(c *call, now time.Time) (*call, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errStopping
	}
	if before := s.bySID[c.sid]; before != nil { // never for an empty sid
		if len(before.steps) <= 1 && now.Sub(before.began) < preparedFor && before.request() == c.request() {
			return before, nil
		}
		// The platform has started the call again, so its earlier attempts have ended.
		s.interrupt(before, cause.DialogLost, now)
	}
	for s.open.Len() >= maxFollowed {
		s.log.Warn().Int("calls", maxFollowed).Msg("too many redirected calls without a known end: dropping the oldest")
		s.interrupt(s.open.Front().Value.(*call), cause.DialogLost, now)
	}
	c.elem = s.open.PushBack(c)
	s.byID[c.id] = c
	if c.sid != "" {
		s.bySID[c.sid] = c
	}
	s.journal(c.record)
	return c, nil
}

// find returns the call with the attempt whose end is reported, or nil. The attempt must be the current one, or its
// end must have been reported before.
func (s *followed) find(e End) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byID[e.Call]
	switch {
	case c == nil, e.Attempt == 0, c.sid != "" && c.sid != e.SIPCallID:
		return nil
	case c.steps[e.Attempt] != nil, c.at != nil && c.at.number == e.Attempt:
		return c
	default:
		return nil
	}
}

// decide returns the decision with this number. It calls how to make the decision, unless it was made or is being
// made. If ctx ends first, how continues in the background.
func (s *followed) decide(ctx context.Context, c *call, number int,
	how func(context.Context) (Next, error),
) (Next, error) {
	s.mu.Lock()
	st := c.steps[number]
	if st == nil {
		if s.closed {
			s.mu.Unlock()
			return Next{Fallback: true}, errStopping
		}
		st = &decision{done: make(chan struct{})}
		c.steps[number] = st
		s.working.Go(func() {
			st.run(s.ctx, s.log, c.id, how, func() { // a panic ends the call
				s.finish(c, outbound.OutcomeOf(0, cause.InternalError), 0, record.EndedBySystem, time.Now())
			})
		})
	}
	s.mu.Unlock()
	return st.wait(ctx)
}

// wait returns the decision once it is made, or an error if ctx ends first.
func (st *decision) wait(ctx context.Context) (Next, error) {
	select {
	case <-st.done:
		return st.next, st.err
	case <-ctx.Done():
		return Next{Fallback: true}, context.Cause(ctx)
	}
}

// run makes the decision about the call with this id. After a panic, it calls failed, and the decision is an error.
func (st *decision) run(ctx context.Context, log zerolog.Logger, id string, how func(context.Context) (Next, error),
	failed func(),
) {
	defer close(st.done)
	defer func() {
		if p := recover(); p != nil {
			log.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Str("call", id).Msg("panic recovered")
			st.next, st.err = Next{Fallback: true}, fmt.Errorf("panic: %v", p)
			failed()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	st.next, st.err = how(ctx)
}

// dialled stores the attempt that is returned now, and the attempts that failed before it. It returns false if the
// call was given up meanwhile.
func (s *followed) dialled(c *call, to Destination, failed []record.Attempt, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.over {
		return false
	}
	c.recordFailed(failed)
	c.at, c.dialled = c.current, now
	r := &c.record
	r.Target, r.SynthflowCallID, r.ExternalID, r.TargetSIPCallID = to.Target, to.CallID, to.externalID(), ""
	r.PreparedAt, r.DialedAt = record.Time{}, record.TimeOf(now)
	if to.CallID != "" {
		r.PreparedAt = r.DialedAt
	}
	s.journal(*r)
	return true
}

// noneLeft stores that no target is left. It returns the last attempt, or, if there was none, an entry that says so.
func (s *followed) noneLeft(c *call, failed []record.Attempt) record.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.recordFailed(failed)
	if len(c.record.Attempts) == 0 {
		return record.Attempt{SIPStatus: 404, Cause: string(cause.NoRoute)}
	}
	return c.record.Attempts[len(c.record.Attempts)-1]
}

// recordFailed adds the attempts that failed before they could be dialled to the record.
func (c *call) recordFailed(failed []record.Attempt) {
	for _, a := range failed {
		c.record.Target = a.Target
		c.record.Attempts = append(c.record.Attempts, a)
	}
}

// ended stores the end of an attempt. It returns false if the call was given up meanwhile.
func (s *followed) ended(c *call, e End, why cause.Cause, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.over || c.at == nil {
		return false
	}
	c.recordAttempt(why, e.SIPStatus, e.TargetSIPCallID)
	if e.Answered {
		r := &c.record
		answered := now.Add(-e.Duration)
		if answered.Before(c.dialled) { // the reported duration is in whole seconds, perhaps rounded up
			answered = c.dialled
		}
		r.AnsweredAt = record.TimeOf(answered)
		r.SetupMS, r.DurationMS = answered.Sub(c.began).Milliseconds(), now.Sub(answered).Milliseconds()
	}
	return true
}

// recordAttempt moves the current attempt into the record.
func (c *call) recordAttempt(why cause.Cause, status int, callID string) {
	a := c.at.recordOf(why, status)
	a.SIPCallID = callID
	c.record.Attempts = append(c.record.Attempts, a)
	c.record.TargetSIPCallID = callID
	c.at = nil
}

// finish ends a call, unless it has ended before.
func (s *followed) finish(c *call, v outbound.Outcome, status int, by string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finishLocked(c, v, status, by, now)
}

func (s *followed) finishLocked(c *call, v outbound.Outcome, status int, by string, now time.Time) {
	if c.over {
		return
	}
	r := &c.record
	r.Cause, r.Disposition, r.SIPStatus, r.Q850, r.EndedBy, r.EndedAt = string(v.Cause), v.Disposition, status, v.Q850, by,
		record.TimeOf(now)
	c.over, c.ended = true, now
	s.open.Remove(c.elem)
	c.elem = s.over.PushBack(c)
	if s.bySID[c.sid] == c {
		delete(s.bySID, c.sid)
	}
	for s.over.Len() > maxFollowed {
		s.forget(s.over.Front().Value.(*call))
	}
	s.log.Info().Str("call", r.ID).Str("disposition", r.Disposition).Str("cause", r.Cause).Str("ended_by", r.EndedBy).
		Int("code", r.SIPStatus).
		Str("call_sid", r.SIPCallID).Str("target", r.Target).Str("target_sip_call_id", r.TargetSIPCallID).
		Str("synthflow_call_id", r.SynthflowCallID).Int64("setup_ms", r.SetupMS).Int64("dur_ms", r.DurationMS).
		Msg("redirected call ended")
	done := *r
	s.working.Go(func() {
		s.keep(s.ctx, done)
		s.mu.Lock()
		defer s.mu.Unlock()
		c.kept = true
	})
}

// unwritten reports whether the record of a call is not written yet.
func (s *followed) unwritten(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byID[id]
	return c != nil && !c.kept
}

// forget removes an ended call. The caller must hold s.mu.
func (s *followed) forget(c *call) {
	s.over.Remove(c.elem)
	delete(s.byID, c.id)
}

// interrupt ends a call whose end was not reported. The caller must hold s.mu.
func (s *followed) interrupt(c *call, why cause.Cause, now time.Time) {
	if c.at != nil {
		c.recordAttempt(why, 0, "")
	}
	s.finishLocked(c, outbound.Outcome{Cause: why, Disposition: record.DispositionInterrupted}, 0,
		record.EndedBySystem, now)
}

// expire gives up calls whose end should have been reported by now, and removes calls that ended long enough ago.
func (s *followed) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for e := s.open.Front(); e != nil && now.Sub(e.Value.(*call).began) > followFor; e = s.open.Front() {
		s.interrupt(e.Value.(*call), cause.DialogLost, now)
	}
	for e := s.over.Front(); e != nil && now.Sub(e.Value.(*call).ended) > endedFor; e = s.over.Front() {
		s.forget(e.Value.(*call))
	}
}

// close gives up the open calls, and waits until the store has all records.
func (s *followed) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.working.Wait()
	s.mu.Lock()
	for s.open.Len() > 0 {
		s.interrupt(s.open.Front().Value.(*call), cause.Shutdown, time.Now())
	}
	s.mu.Unlock()
	s.working.Wait()
}

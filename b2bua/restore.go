package b2bua

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/snapshot"
	"flowbridge/internal/parallel"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file restores calls from an earlier process, which was killed, ran on another machine, or is replaced by this
// one. An answered call continues, with its dialogs, timers and media ports. An unanswered call is refused and
// cancelled if its process was killed, and restarted if its process is replaced (restart.go). If a call can't be read,
// or has lost its trunk, target or ports, only that call is lost; in an upgrade, the old process continues instead.

var (
	errUnanswered = errors.New("the call was not answered yet")
	errOver       = errors.New("the call is over")
	errGoneTrunk  = errors.New("its trunk or target is not configured any more")
	errGoneSocket = errors.New("its SIP address is not listened on any more")
	errNoLeg      = errors.New("a leg of it was over")
)

// restore continues the calls of a process that has ended. It reads nothing from the sockets, and lets no call have a
// turn, before the audio of all calls is restored. SRTP starts with a call's turn, because the SRTP counters must be on
// disk first.
func (su *successor) restore(all []record.Saved) {
	if len(all) == 0 || su.server.stack.Freeze(su.server.ctx, nil) != nil {
		return // the server is stopping
	}
	errs := make([]error, len(all)) // for each call: nil if it continues
	_ = parallel.Do(len(all), func(i int) error {
		errs[i] = su.take(&all[i])
		return nil
	})
	calls, foreign := 0, 0
	for i, err := range errs {
		switch {
		case err == nil:
			calls++
		case errors.Is(err, snapshot.ErrFormat):
			foreign++
		case !errors.Is(err, errUnanswered) && !errors.Is(err, errOver) && !all[i].Owed:
			su.server.log.Warn().Err(err).Str("call", all[i].Record.ID).Msg("call of a killed process can't go on")
		}
	}
	if foreign > 0 {
		su.server.log.Warn().Int("calls", foreign).Msg("calls of another version can't go on")
	}
	text := "calls of a killed process go on"
	if calls == 0 {
		text = "no call of a killed process goes on"
	}
	su.server.log.Info().Int("calls", calls).Int("of", len(all)).Msg(text)
}

// take continues one call of a process that has ended. It returns an error if the call can't continue; then it has
// ended the call.
func (su *successor) take(l *record.Saved) error {
	k, err := snapshot.DecodeNow(l.State, su.server.machine)
	switch {
	case err != nil:
	case k.Refused != nil:
		su.server.stack.RefuseAgain(k.Refused, func() { su.server.sink.Owe(k.ID, nil) })
		return errUnanswered
	case k.Ended != "" && !l.Owed: // the call had ended, and only waited for its recordings
		l.Interrupted = l.Record
		l.Interrupted.Killed()
		su.keepInterrupted(l)
		return errOver
	default:
		err = su.server.safely(func() error { return su.resume(k, l, nil) })
	}
	if err == nil {
		return nil
	}
	if k == nil || su.server.safely(func() error { return su.end(k, l) }) != nil {
		su.keepInterrupted(l)
	}
	return err
}

// replace takes over the calls that another process has handed over. If it returns an error, the other process must
// keep them all.
func (su *successor) replace(before snapshot.Predecessor) error {
	su.replaces = true
	if err := su.server.stack.Freeze(su.server.ctx, nil); err != nil {
		return err
	}
	if err := before.Restore(su.server.stack); err != nil {
		return err
	}
	all := before.Calls()
	return parallel.Do(len(all), func(i int) error {
		l := &all[i]
		err := su.server.safely(func() error { return su.takeOver(l, before.Sockets(l.Record.ID)) })
		if err != nil {
			return fmt.Errorf("call %s: %w", l.Record.ID, err)
		}
		return nil
	})
}

// takeOver takes over one call that was handed over. sockets carry its media, or are nil if it has no media.
func (su *successor) takeOver(l *record.Saved, sockets *media.Sockets) error {
	k, err := snapshot.DecodeNow(l.State, su.server.machine)
	switch {
	case err != nil:
		return err
	case slices.ContainsFunc(k.Legs, func(l snapshot.Leg) bool { return !su.server.stack.Bound(l.State.At()) }):
		return errGoneSocket
	case l.Owed:
		return su.end(k, l)
	case k.Times.Answered == 0 && !k.IsPlaced():
		return su.keepToRestart(k, l, sockets)
	}
	return su.resume(k, l, sockets)
}

// safely runs a step of the restoration. It turns a panic into an error, so that only one call is lost.
func (s *Server) safely(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.panicked(s.log.Error(), "restore", v)
			err = fmt.Errorf("panic: %v", v) //nolint:err113 // it has been logged
		}
	}()
	return do()
}

// resume restores a call that was answered or placed, and starts it. It returns an error if the call can't continue.
func (su *successor) resume(k *snapshot.Call, l *record.Saved, sockets *media.Sockets) (err error) {
	p := su.server.admission.Peers.Load()
	t, known := p.CallerNamed(k.Trunk)
	switch {
	case k.Times.Answered == 0 && !k.IsPlaced(), k.Ended != "":
		return errUnanswered
	case !known:
		return errGoneTrunk
	case k.Bridge.Session == nil: // a placed call whose first party had not answered
		return errUnanswered
	}
	if up, boot := su.server.machine(); boot != 0 && !l.Alive.IsZero() {
		k.Bridge.Session.Died = up - time.Since(l.Alive)
	}
	v, err := su.restoreOrigin(k, t, p)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			v.discard()
		}
	}()
	if err = v.check(); err == nil {
		err = v.restore(l, sockets)
	}
	if err != nil {
		return err
	}
	v.now = func(*Call) phase { return v.revived() }
	if su.replaces {
		v.now = func(*Call) phase { return v.handed() }
		v.checkpoint.write() // the journal of this process must have the call
	}
	own := peers.PartiesOf(&v.vars)
	var callee *peers.Target
	var parties peers.Parties
	if a := cmp.Or(v.connected, v.kept); a != nil && a.placed {
		callee, parties = a.target, a.parties
	}
	su.server.admission.Resume(t, own, v.times.answered.IsZero(), callee, parties)
	su.server.resume(v.Call, true)
	return nil
}

// check returns the reason why a call can't continue, or nil if it can.
func (v *restoring) check() error {
	switch {
	case v.waits:
		return errUnanswered
	case v.a == nil || !v.k.IsPlaced() &&
		(v.b == nil && !v.k.Replacement.Rescues() || v.k.Attempts.Current == nil):
		return errNoLeg
	}
	for _, l := range v.legs {
		if !v.server.stack.Bound(l.Leg.Local) {
			return errGoneSocket
		}
	}
	return nil
}

// end hangs up the legs of a call that does not continue, and writes the call's record.
func (su *successor) end(k *snapshot.Call, l *record.Saved) error {
	p := su.server.admission.Peers.Load()
	t, _ := p.CallerNamed(k.Trunk)
	v, err := su.restoreOrigin(k, t, p)
	if err != nil {
		return err
	}
	v.ladder.Discard()
	r := &l.Interrupted
	if v.waits && !l.Owed { // the caller has no final response, and is refused now
		r.EndedAt, r.SIPStatus, r.Q850 = record.TimeOf(time.Now()), 500, cause.Q850Of(500)
		r.AnsweredAt, r.SetupMS, r.DurationMS = record.Time{}, 0, 0
	}
	if !l.Owed && (v.waits || v.a != nil && !v.a.Leg.UAS && k.Bridge.Session == nil) {
		v.closeAttempt(r)
	}
	v.ladder, v.ended, v.finished, v.now = nil, &l.Interrupted, true, (*Call).closing
	v.why = cause.ProcessRestart
	if k.Ended != "" {
		v.why = cause.Cause(k.Ended)
	}
	v.checkpoint.saveOutstanding(v.checkpoint.writeOutstanding)
	if !l.Owed || len(v.legs) == 0 {
		su.keepInterrupted(l)
	}
	su.server.resume(v.Call, false)
	return nil
}

// closeAttempt adds to the record the unfinished attempt of a call that was not answered.
func (v *restoring) closeAttempt(r *record.Record) {
	k := v.k.Attempts.Current
	if k == nil {
		return
	}
	if target := v.target(k.Target); target != nil {
		a := restoreAttempt(k, target, v.b).recordOf(cause.ProcessRestart, 0)
		a.SIPCallID = r.TargetSIPCallID
		if k.Reason == record.ReasonCustomer {
			a.SIPCallID = r.SIPCallID
		}
		r.Attempts = append(r.Attempts, a)
	}
}

// resume starts a call that was restored or placed. live is false if the call only has to end its legs.
func (s *Server) resume(c *Call, live bool) {
	s.registry.Resume(c.id, c, c.legs, live)
	s.calls.Add(1)
	c.mailbox.Begin()
}

// keepInterrupted writes the record of a call that does not continue.
func (su *successor) keepInterrupted(l *record.Saved) {
	if l.Owed {
		su.server.sink.Owe(l.Record.ID, nil)
		return
	}
	r := l.Interrupted
	if r.Disposition == record.DispositionInterrupted { // else the process that ended it has logged it
		su.server.log.Warn().Str("call", r.ID).Str("trunk", r.Trunk).EmbedObject(bridge.Ended{Record: &r}).Msg("call ended")
	}
	su.server.bridges.Settle(&r)
	su.server.unwritten.Add(1)
	su.server.keep(&r, nil, func() {})
}

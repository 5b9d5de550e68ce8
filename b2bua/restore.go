package b2bua

import (
	"errors"
	"fmt"
	"slices"

	"flowbridge/b2bua/call"
	"flowbridge/b2bua/snapshot"
	"flowbridge/internal/parallel"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file restores calls from an earlier process, which was killed, ran on another machine, or is replaced by this
// one. An answered call continues, with its dialogs, timers and media ports. An unanswered call is refused and
// cancelled if its process was killed, and restarted if its process is replaced (restart.go). If a call can't be read,
// or has lost its trunk, target or ports, only that call is lost; in an upgrade, the old process continues instead.

var errOver = errors.New("the call is over")

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
		case !errors.Is(err, call.ErrUnanswered) && !errors.Is(err, errOver) && !all[i].Owed:
			su.server.log.Warn().Err(err).Str("call", all[i].Record.ID).Msg("call not resumed after a crash")
		}
	}
	if foreign > 0 {
		su.server.log.Warn().Int("calls", foreign).Msg("calls not resumed: another version wrote them")
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
	k, err := snapshot.DecodeNow(l.State, su.server.host.Machine)
	switch {
	case err != nil:
	case k.Refused != nil:
		su.server.stack.RefuseAgain(k.Refused, func() { su.server.host.Sink.Owe(k.ID, nil) })
		return call.ErrUnanswered
	case k.Ended != "" && !l.Owed: // the call had ended, and only waited for its recordings
		l.Interrupted = l.Record
		l.Interrupted.Killed()
		su.server.host.KeepInterrupted(l)
		return errOver
	default:
		err = su.server.safely(func() error { return call.Resume(&su.server.host, k, l, nil, false) })
	}
	if err == nil {
		return nil
	}
	if k == nil || su.server.safely(func() error { return call.End(&su.server.host, k, l) }) != nil {
		su.server.host.KeepInterrupted(l)
	}
	return err
}

// replace takes over the calls that another process has handed over. If it returns an error, the other process must
// keep them all.
func (su *successor) replace(before snapshot.Predecessor) error {
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
	k, err := snapshot.DecodeNow(l.State, su.server.host.Machine)
	switch {
	case err != nil:
		return err
	case slices.ContainsFunc(k.Legs, func(l snapshot.Leg) bool { return !su.server.stack.Bound(l.State.At()) }):
		return call.ErrGoneSocket
	case l.Owed:
		return call.End(&su.server.host, k, l)
	case k.Times.Answered == 0 && !k.IsPlaced():
		return su.keepToRestart(k, l, sockets)
	}
	return call.Resume(&su.server.host, k, l, sockets, true)
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

package bridge

import (
	"errors"
	"slices"
	"time"

	"flowbridge/media"
	"flowbridge/media/recording"
	"flowbridge/store/record"
)

// Listeners: people who hear a live call, each with the right listen.

// Listening has the listeners of a call.
type Listening struct {
	idle
	now  []*listener
	past []record.Recording // entries of listeners of this process that have left
	at   time.Time          // when to look next for listeners that have left; zero if there are none
}

// listener is one listener of a call.
type listener struct {
	ListenRequest
	since time.Time
	told  [2]bool   // the sides that have heard Sound to its end
	until time.Time // when both must have heard it; zero: the listener hears the call
}

// ListenRequest is an order to let somebody hear a call.
type ListenRequest struct {
	Audio *recording.Listener
	By    string // the name of the listener's token
	Sound string // what both sides hear before the listener hears them; empty: nothing
}

const (
	// listenLook is how often to remove the taps of listeners that have left. Their leaving posts no event.
	listenLook = time.Second

	// listenedMost is how many entries of recordings and listeners a record may have for one more listener. Half of them
	// may be of one token.
	listenedMost = 200
)

var (
	errCallOver  = errors.New("the call has ended")
	errUpgraded  = errors.New("an upgrade has replaced the process")
	errNotWarned = errors.New("the sides have not heard the sound to its end")
)

// tap gives the media to the listeners that may hear it.
func (ls *Listening) tap() {
	var all []media.Tap
	for _, l := range ls.now {
		if l.until.IsZero() {
			all = append(all, l.Audio)
		}
	}
	ls.bridge.Media.tap(ls, all...)
}

// Order lets somebody hear the call.
func (ls *Listening) Order(r ListenRequest) error {
	b := ls.bridge
	switch {
	case !b.Call.Moment().Answered || b.Media.session == nil:
		return NotAnswered()
	case len(b.Recordings.past)+len(b.Recordings.all)+len(ls.past)+len(ls.now) >= listenedMost:
		return refused("the record of the call has no room for another listener", "record the call, and listen to that")
	}
	if ls.entriesOf(r.By) >= listenedMost/2 {
		return refused("the record of the call has no room for another listener by this token", "record the call, and listen to that")
	}
	if err := r.Audio.Hear(b.payloads()); err != nil {
		return refused(err.Error(), "listen to the other side, if that speaks PCMU or PCMA")
	}
	l := &listener{ListenRequest: r, since: time.Now()}
	if r.Sound != "" {
		if err := ls.warn(l); err != nil {
			return err
		}
	}
	ls.now = append(ls.now, l)
	ls.at = time.Now().Add(listenLook)
	b.Log.Info().Str("by", l.By).Str("sound", l.Sound).Msg("listener joined")
	b.Ladder.Decide("%s listens to the call", l.By)
	ls.tap()
	return nil
}

// entriesOf returns how many entries of a token's listeners the record has or gets.
func (ls *Listening) entriesOf(by string) (n int) {
	for i := range ls.past {
		if ls.past[i].By == by {
			n++
		}
	}
	for _, l := range ls.now {
		if l.By == by {
			n++
		}
	}
	for i := range ls.bridge.Recordings.past {
		if r := &ls.bridge.Recordings.past[i]; r.Format == record.FormatLive && r.By == by {
			n++
		}
	}
	return n
}

// warn plays the sound to both sides, before the listener hears them.
func (ls *Listening) warn(l *listener) error {
	ss := &ls.bridge.Sounds
	sound, ok := ss.named(l.Sound)
	if !ok {
		return noSound(l.Sound)
	}
	ss.update()
	for side, v := range ss.voices {
		if err := ss.canHear(media.Side(side)); err != nil {
			return err
		}
		if v != nil {
			return refused("side "+media.Side(side).String()+" hears another sound, "+v.name, "ask again when it is over")
		}
	}
	l.until = time.Now().Add(sound.Duration() + listenLook)
	for side := range l.told {
		ss.play(media.Side(side), &voice{name: l.Sound, sound: sound, mix: true, lasts: true, over: func(media.EventPlayed) {
			if l.told[side] = true; l.told[side^1] {
				l.until = time.Time{}
				ls.tap()
			}
		}})
	}
	return nil
}

func (ls *Listening) on(e Event) (handled bool) {
	switch e.(type) {
	case describing:
		for _, l := range ls.now {
			for side, p := range ls.bridge.payloads() {
				l.Audio.SetPayloads(media.Side(side), p)
			}
		}
	case replaced:
		ls.leave(errUpgraded)
	}
	return false
}

func (ls *Listening) deadline() time.Time { return ls.at }

func (ls *Listening) due(now time.Time) {
	for _, l := range ls.now {
		if !l.until.IsZero() && !now.Before(l.until) {
			l.Audio.End(errNotWarned)
		}
	}
	ls.look(now)
}

func (ls *Listening) end() { ls.leave(errCallOver) }

// leave ends all listeners.
func (ls *Listening) leave(why error) {
	for _, l := range ls.now {
		l.Audio.End(why)
	}
	ls.look(time.Now())
}

// look forgets the listeners who have left.
func (ls *Listening) look(now time.Time) {
	b, before := ls.bridge, len(ls.now)
	ls.now = slices.DeleteFunc(ls.now, func(l *listener) bool {
		_, why := l.Audio.Ended()
		if why != nil {
			ls.past = append(ls.past, l.entry())
			b.Log.Info().Str("by", l.By).Str("reason", why.Error()).Msg("listener left")
			b.Ladder.Decide("%s no longer listens: %v", l.By, why)
		}
		return why != nil
	})
	if len(ls.now) < before {
		ls.tap()
	}
	if ls.at = now.Add(listenLook); len(ls.now) == 0 {
		ls.at = time.Time{}
	}
}

// entry returns the listener's entry among the record's recordings.
func (l *listener) entry() record.Recording {
	at, why := l.Audio.Ended()
	r := record.Recording{By: l.By, Format: record.FormatLive}
	r.StartedAt, r.EndedAt = record.TimeOf(l.since), record.TimeOf(at)
	if why != nil {
		r.Error = why.Error()
	}
	return r
}

// record adds the listeners after the recordings.
func (ls *Listening) record(r *record.Record) {
	r.Recordings = append(r.Recordings, ls.past...)
	for _, l := range ls.now {
		r.Recordings = append(r.Recordings, l.entry())
	}
}

package calltest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flowbridge/b2bua/outbound"
	"flowbridge/media"
	"flowbridge/media/answerer"
)

// actPlace makes the server place a call.
func (m *callModel) actPlace(choose func(int) int) string {
	o := outbound.Origination{
		To: "+15075785607", From: "4711", Trunk: pick([]string{"carrier", "carrier", "pbx"}, choose(3)),
		Target: pick([]string{"agent", "spare"}, choose(2)), AnswerWithin: pick([]time.Duration{0, 5 * time.Second}, choose(2)),
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	live, err := m.w.server.Originate(ctx, &o)
	var not *outbound.PlaceError
	switch {
	case errors.As(err, &not):
		return "not now: " + not.Problem
	case err != nil:
		m.w.t.Errorf("not placed: %v", err)
		return err.Error()
	}
	m.placed++
	return fmt.Sprintf("%s to %s by %s", live.Record.ID, o.Trunk, o.Target)
}

func (m *callModel) actMedia(choose func(int) int) string {
	m.w.relay.mu.Lock()
	sessions := m.w.relay.sessions
	m.w.relay.mu.Unlock()
	if len(sessions) == 0 {
		return ""
	}
	s := sessions[len(sessions)-1]
	if s.closed.Load() || !s.started.Load() {
		return ""
	}
	side := pick([]media.Side{media.SideA, media.SideB}, choose(2))
	if s.asked.CompareAndSwap(true, false) {
		who := pick([]answerer.Verdict{answerer.Human, answerer.Unknown, answerer.Machine, answerer.Fax, answerer.Screening}, choose(5))
		if s.screened { // only a beep changes this
			who = answerer.Machine
		}
		s.screened = who == answerer.Screening
		s.asked.Store(s.screened)
		s.onEvent(media.EventAnsweredBy{Side: media.SideA, Answer: answerer.Answer{Verdict: who}})
		if choose(2) == 0 && !s.screened {
			s.onEvent(media.EventBeep{Side: media.SideA})
		}
		return "answered by " + string(who)
	}
	if choose(6) == 5 {
		s.onEvent(media.EventSilent{Since: time.Minute, Never: choose(2) == 0})
		return "silent"
	}
	if choose(4) == 3 {
		s.onEvent(media.EventOneWay{Side: side})
		if choose(2) == 0 {
			s.onEvent(media.EventHeard{Side: side})
		}
		return "one-way of " + side.String()
	}
	s.onEvent(media.EventDigit{Side: side, Digit: '7', Duration: 100 * time.Millisecond})
	return "digit of " + side.String()
}

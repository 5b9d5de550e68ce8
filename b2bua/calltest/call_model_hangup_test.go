package calltest

import (
	"context"
	"errors"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
)

// actHangup ends all calls, like a stop or like an operator.
func (m *callModel) actHangup(choose func(int) int) string {
	switch choose(3) {
	case 1:
		m.w.server.HangupAll()
		return "now"
	case 2:
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, l := range m.w.server.Live(ctx) {
			ended, err := m.w.server.Order(ctx, l.Record.ID, bridge.OrderHangup)
			if errors.Is(err, b2bua.ErrNoCall) && m.hasEnded(ctx, l.Record.ID) { // perhaps by a CANCEL that was in flight
				continue
			}
			if err != nil || ended.Record.EndedAt.IsZero() {
				m.w.t.Errorf("hangup of %s in %s: %v, %+v", l.Record.ID, l.Phase, err, ended)
			}
		}
		return "by an operator"
	default:
		return "not now"
	}
}

// hasEnded reports whether a call has ended, though its record may not be written yet.
func (m *callModel) hasEnded(ctx context.Context, id string) bool {
	for _, l := range m.w.server.Live(ctx) {
		if l.Record.ID == id {
			return !l.Record.EndedAt.IsZero()
		}
	}
	return true
}

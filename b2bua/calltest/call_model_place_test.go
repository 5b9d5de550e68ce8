package calltest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flowbridge/b2bua/outbound"
)

// actPlace has the server place a call.
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

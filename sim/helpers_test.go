package sim

import (
	"context"
	"fmt"
)

// waitFor returns the call with this id when the agent is done with it. Behind a
// relay that may be a little later than the caller is.
func (s *Synthflow) waitFor(ctx context.Context, synthflowID string) (AgentCall, error) {
	c := s.byID(synthflowID)
	if c == nil {
		return AgentCall{}, fmt.Errorf("no INVITE with id %q", synthflowID)
	}
	select {
	case <-c.ended.ch:
		return c.snapshot(), nil
	case <-ctx.Done():
		return c.snapshot(), context.Cause(ctx)
	}
}

// oneWayDelays is PooledDelays of one call.
func oneWayDelays(sent, heard []PacketMark) Delays { return PooledDelays([]MarkPair{{sent, heard}}) }

package calltest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/media"
)

// everyOrder sends each order except a hangup to a call, and returns the results by order.
func (w *world) everyOrder(ctx context.Context, id string) map[string]error {
	all := map[string]error{}
	_, all["transfer"] = w.server.Transfer(ctx, id, toNumber("4711"))
	_, all["hold"] = w.server.Order(ctx, id, bridge.OrderHold)
	_, all["resume"] = w.server.Order(ctx, id, bridge.OrderUnhold)
	_, all["dtmf"] = w.server.Press(ctx, id, bridge.DigitsRequest{Side: media.SideB, Digits: "1"})
	_, all["variables"] = w.server.SetVariables(ctx, id, "anna", map[string]string{"a": "b"})
	return all
}

// If an order crosses a BYE, it fails because there is no such call, although the legs are not finished yet. A hangup
// succeeds.
func TestOrderCrossesBYE(t *testing.T) {
	inWorldWith(t, orderConfig, func(w *world) {
		d, _ := w.established()
		id := w.server.Live(context.Background())[0].Record.ID
		w.sink.hold = make(chan struct{}) // the record can't be written, so the call can still be found
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		bye := w.agent.expect("BYE")
		for what, err := range w.everyOrder(context.Background(), id) {
			if !errors.Is(err, b2bua.ErrNoCall) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		if _, err := w.server.Order(context.Background(), id, bridge.OrderHangup); err != nil {
			t.Errorf("a hangup: got %v", err)
		}
		w.agent.reply(bye, 200, "OK", "", "")
		w.agent2.silent(time.Second)
		close(w.sink.hold)
		w.record()
	})
}

// While a dead agent's replacement is being called, the call can't be transferred, and keys can't be sent to any party.
// The replacement can be put on hold.
func TestOrderCrossesRescue(t *testing.T) {
	inRescue(t, "", func(w *world) {
		d, invite := w.established()
		w.agentDies(10*time.Minute, invite, "Reason: Q.850;cause=41")
		called := w.agent2.expect("INVITE")
		got := w.everyOrder(context.Background(), d.callID)
		for what, says := range map[string]string{"transfer": "another agent is being called", "dtmf": "another agent is being called"} {
			if err := got[what]; err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: got %v; want %s", what, err, says)
			}
		}
		if got["variables"] != nil {
			t.Errorf("variables: got %v", got["variables"])
		}
		w.agent2.concludes(called, 200, "OK", "spare", sdpAt("192.0.2.21", 41000))
		synctest.Wait()
		w.holds(true)
		w.holds(false)
		w.callerEnds(w.agent2, d)
	})
}

// If an order comes while the process is frozen for an upgrade, and the upgrade fails, the order is carried out.
func TestOrderCrossesUpgrade(t *testing.T) {
	inWorldWith(t, orderConfig, func(w *world) {
		d, _ := w.established()
		synctest.Wait()
		must(t, w.server.Freeze(context.Background(), nil))
		done := make(chan error, 1)
		go func() {
			_, err := w.server.Order(context.Background(), d.callID, bridge.OrderHold)
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Errorf("a process that stands still answers %v", err)
		default:
		}
		w.server.Thaw()
		if err := <-done; err != nil {
			t.Errorf("a process that goes on answers %v", err)
		}
		w.holds(false)
		w.callerEnds(w.agent, d)
	})
}

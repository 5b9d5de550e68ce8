package calltest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/store/record"
)

// If the phone of the person called first rings during an upgrade, the call is connected later, even if the new
// configuration no longer allows placed calls over its trunk.
func TestOriginateUpgradedWithoutOriginate(t *testing.T) {
	inWorldWith(t, originateConfig, func(w *world) {
		_, invite := w.originates(origination())
		w.carrier.reply(invite, 180, "Ringing", "customer", "")
		synctest.Wait()
		var err error
		yaml := strings.Replace(originateConfig, "    originate: {numbers: [\"^\\\\+1507\"], from: [\"^\\\\+1212\", \"^\\\\+1312\"], per_hour: 5}\n", "", 1)
		w.options.Config, err = config.Parse("test.yaml", []byte(yaml), func(string) (string, bool) { return "secret", true })
		must(t, err)
		if w.options.Config.Trunks[0].Originate != nil {
			t.Fatal("the trunk still has originate")
		}
		must(t, w.upgrade())
		called := w.customerTakes(invite)
		w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
		w.customerHangsUp(invite)
		hungUpOn(w.agent)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

// A placed call's phase is dialing until its agent is connected, even if the person called first has answered. An
// upgrade waits a moment for the agent.
func TestOriginatePhase(t *testing.T) {
	inWorldWith(t, originateConfig, func(w *world) {
		live, invite := w.originates(origination())
		want := func(phase string) {
			t.Helper()
			if c, ok := w.server.Find(w.t.Context(), live.Record.ID); !ok || c.Phase != phase {
				t.Errorf("phase %q; want %s", c.Phase, phase)
			}
		}
		want("dialing")
		called := w.customerTakes(invite)
		want("dialing")
		if err := w.server.Settled(context.Background(), false); err == nil || !strings.HasPrefix(err.Error(), "1 calls") {
			t.Errorf("not settled: %v", err)
		}
		w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
		want("bridged")
		w.customerHangsUp(invite)
		hungUpOn(w.agent)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

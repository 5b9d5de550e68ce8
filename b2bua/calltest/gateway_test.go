package calltest

import (
	"net/netip"
	"strings"
	"testing"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/store/record"
)

// fakeGateway is a preparer that has the agent's end of calls.
type fakeGateway struct{ fakePreparer }

func (*fakeGateway) Resume(_, _, _ string) {}

// TestGatewaysWord: the BYE of the gateway of bots may say that a bot was lost. From any other peer on this machine the
// same words are a hangup.
func TestGatewaysWord(t *testing.T) {
	yaml := strings.ReplaceAll(testConfig, "192.0.2.20", "127.0.0.9")
	for name, tt := range map[string]struct {
		preparer peers.Preparer
		said     string
		want     cause.Cause
	}{
		"gateway, lost":    {&fakeGateway{}, "bot_lost", cause.BotLost},
		"gateway, stalled": {&fakeGateway{}, "agent_stalled", cause.AgentStalled},
		"gateway, other":   {&fakeGateway{}, "caller_hangup", cause.AgentHangup},
		"another peer":     {&fakePreparer{}, "bot_lost", cause.AgentHangup},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldOf(t, yaml, func(o *b2bua.Options) { o.Preparers["agent"] = tt.preparer }, func(w *world) {
				must(t, w.agent.conn.Close())
				w.agent = w.peer(netip.MustParseAddrPort("127.0.0.9:32681"))
				_, invite := w.established()
				w.agent.agentRequest("BYE", invite, "agent1", 10, `Reason: Q.850;cause=41;text="`+tt.said+`"`)
				w.agent.expect("SIP/2.0 200")
				w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
				w.wantRecord("answered", tt.want, record.EndedByAgent)
			})
		})
	}
}

package node

import (
	"cmp"

	"flowbridge/b2bua/circuit"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

const circuitRemedy = "see flowbridge targets list; what failed is in the log's lines before, and calls try again by themselves"

// logCircuit logs and notes the changes of a circuit. Its opening is logged at once; each failed try after that is
// logged as a detail.
func (n *Node) logCircuit(c circuit.Change) {
	switch {
	case c.State == circuit.Open && !c.Reopened:
		n.live.Note("target", c.Name+" is out of use: "+cmp.Or(c.Why, "it fails"))
		n.log.Warn().Str("circuit", c.Name).Str("why", c.Why).Dur("pause_ms", c.Pause).
			Str("remedy", circuitRemedy).Msg("circuit open: the platform fails, and calls skip it")
	case c.State == circuit.Open:
		n.log.Info().Str("circuit", c.Name).Dur("pause_ms", c.Pause).Msg("circuit still open")
	case c.State == circuit.Closed:
		n.live.Note("target", c.Name+" is in use again")
		n.log.Info().Str("circuit", c.Name).Dur("open_for_ms", c.For).Msg("circuit closed")
	}
}

// addresses returns the addresses that recent calls to a target went to.
func (f *figures) addresses(target string) []live.Address {
	states := f.node.server.Stack().Names().States(target)
	all := make([]live.Address, len(states))
	for i, s := range states {
		all[i] = live.Address{Address: s.String(), State: live.AddressOK, Until: record.TimeOf(s.Until), Cause: s.Cause}
		if !s.Until.IsZero() {
			all[i].State = live.AddressAvoided
		}
	}
	return all
}

func (f *figures) circuits() map[string][]live.Circuit {
	all := map[string][]live.Circuit{}
	for _, s := range f.node.admission.Circuits() {
		c := live.Circuit{
			Of: live.CircuitSIP, State: s.State.String(), Since: record.TimeOf(s.Since), RetryAt: record.TimeOf(s.RetryAt),
			Opened: s.Opened, Refused: s.Refused, Ping: s.Probe, Silent: s.Silent,
		}
		if s.API {
			c.Of = live.CircuitAPI
		}
		all[s.Name] = append(all[s.Name], c)
	}
	return all
}

package node

import (
	"flowbridge/b2bua/circuit"
	"flowbridge/live"
	"flowbridge/store"
)

// circuitChanged logs what becomes of a circuit. One that opens is told at once; each try that fails afterwards is a detail.
func (n *Node) circuitChanged(c circuit.Change) {
	switch {
	case c.State == circuit.Open && !c.Again:
		n.log.Warn().Str("circuit", c.Name).Dur("pause", c.Pause).Msg("circuit open: it fails, and calls do without it")
	case c.State == circuit.Open:
		n.log.Info().Str("circuit", c.Name).Dur("pause", c.Pause).Msg("circuit still open")
	case c.State == circuit.Closed:
		n.log.Info().Str("circuit", c.Name).Dur("open_for", c.For).Msg("circuit closed")
	}
}

// circuits are the circuits by target.
func (n *Node) circuits() map[string][]live.Circuit {
	all := map[string][]live.Circuit{}
	for _, s := range n.server.Circuits() {
		c := live.Circuit{
			Of: live.CircuitSIP, State: s.State.String(), Since: store.TimeOf(s.Since), RetryAt: store.TimeOf(s.RetryAt), Opened: s.Opened, Refused: s.Refused,
		}
		if s.API != "" {
			c.Of = live.CircuitAPI
		}
		all[s.Name] = append(all[s.Name], c)
	}
	return all
}

package sim

import (
	"slices"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
)

const maxHistory = 4096 // calls remembered

// newAgent is an agent without an endpoint and a clock, which its platform
// gives it.
func newAgent(p platform, m manner, log zerolog.Logger) *agent {
	return &agent{platform: p, manner: m, log: log, dialogs: map[string]*agentCall{}}
}

// SetFault changes the behaviour towards what comes from now on.
func (s *agent) SetFault(f Fault) { s.fault.Store(&f) }

// Fault is the behaviour at present.
func (s *agent) Fault() Fault { return *s.fault.Load() }

// drops is asked for every datagram.
func (s *agent) drops(b []byte) bool {
	if s.Fault().Kind != FaultSilent {
		return false
	}
	for _, method := range []string{"INVITE ", "CANCEL ", "ACK "} {
		if len(b) >= len(method) && string(b[:len(method)]) == method {
			return true
		}
	}
	return false
}

func (s *agent) route() {
	s.sip.server.OnInvite(s.onInvite)
	s.sip.server.OnAck(s.onAck)
	s.sip.server.OnBye(s.onBye)
	s.sip.server.OnOptions(s.onOptions)
	s.sip.server.OnNotify(s.onNotify)
	s.sip.server.OnInfo(s.inDialog)
	s.sip.server.OnUpdate(s.inDialog)
	s.sip.server.OnCancel(func(req *sip.Request, tx sip.ServerTransaction) {
		reply(req, tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
	})
}

func (s *agent) remember(c *agentCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = append(s.history, c)
	if len(s.history) > maxHistory {
		s.history = s.history[1:]
	}
	s.dialogs[c.key] = c
}

func (s *agent) forget(c *agentCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.dialogs, c.key)
}

func (s *agent) find(req *sip.Request) *agentCall {
	if req.CallID() == nil || req.To() == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialogs[dialogKey(req.CallID().Value(), tagOf(req.To().Params))]
}

func dialogKey(callID, localTag string) string { return callID + " " + localTag }

// calls are those that are remembered, oldest first.
func (s *agent) calls() []*agentCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.history)
}

func (s *agent) byID(id string) *agentCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range slices.Backward(s.history) {
		if c.id == id {
			return c
		}
	}
	return nil
}

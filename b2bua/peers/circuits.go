package peers

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/config"
)

// circuits are the circuit breakers of what calls depend on. They outlive reloads.
type circuits struct {
	sip  map[string]*circuit.Breaker // by the name of the target or trunk
	apis map[string]*circuit.Breaker // by origin: targets of one API share it
}

func newCircuits() circuits {
	return circuits{sip: map[string]*circuit.Breaker{}, apis: map[string]*circuit.Breaker{}}
}

// An open circuit refuses all calls for a second at first, and at most for half a minute: a caller waits that long for
// a target, and no longer.
const (
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// settingsOf are a circuit's settings. probed: OPTIONS find out whether it may close.
func settingsOf(c config.Circuit, probed bool) circuit.Settings {
	return circuit.Settings{Failures: c.Failures, Pause: firstPause, MaxPause: longestPause, Probed: probed}
}

// breaker finds or makes the circuit of this key.
func (a *Admission) breaker(all map[string]*circuit.Breaker, key, name string, s circuit.Settings) *circuit.Breaker {
	b := all[key]
	if b == nil {
		b = circuit.New(name, s, func(c circuit.Change) {
			if told := a.CircuitChanged.Load(); told != nil {
				(*told)(c)
			}
			if a.queues.Load() > 0 {
				go a.circuitMoved() // the lock may be held
			}
		})
		all[key] = b
	}
	return b
}

// assignCircuits gives the targets and callees of a snapshot their circuits, and drops the circuits without a user.
// Of the targets of one API the first one's settings count.
func (a *Admission) assignCircuits(p *Snapshot, cfg *config.Config) {
	now, used := time.Now(), map[*circuit.Breaker]bool{}
	configure := func(b *circuit.Breaker, s circuit.Settings) {
		if !used[b] {
			used[b] = true
			b.Configure(now, s)
		}
	}
	sip := func(t *Target, kind string) {
		_, pinged := t.Dial.PingAt()
		s := settingsOf(t.Dial.Circuit, pinged)
		t.SIP = a.breaker(a.circuits.sip, t.Dial.Name, kind+" "+t.Dial.Name, s)
		configure(t.SIP, s)
	}
	for _, t := range p.Callees {
		sip(t, "trunk")
	}
	for i := range cfg.Targets {
		t := p.Targets[cfg.Targets[i].Name]
		sip(t, "target")
		if t.Preparer != nil && t.Dial.Prepare != nil {
			s := settingsOf(t.Dial.Circuit, false)
			at := t.Dial.Prepare.Origin()
			t.API = a.breaker(a.circuits.apis, at, "API "+at, s)
			configure(t.API, s)
		}
	}
	for _, all := range []map[string]*circuit.Breaker{a.circuits.sip, a.circuits.apis} {
		for key, b := range all {
			if !used[b] {
				delete(all, key)
			}
		}
	}
}

// RecordOutcome tells the circuit of the target how its part of an attempt ended, or that it rings. code is its
// final answer, 0 for none. Only the first word about an attempt counts.
func (t *Target) RecordOutcome(try *circuit.Try, why cause.Cause, code int) {
	t.SIP.End(time.Now(), try, t.outcomeOf(why, code))
}

// Leave lets a try run on without its caller. end judges it; after so long it counts as silent.
func (t *Target) Leave(try *circuit.Try, after time.Duration) (end func(why cause.Cause, code int)) {
	left, once := *try, sync.Once{}
	*try = circuit.Try{}
	end = func(why cause.Cause, code int) { once.Do(func() { t.RecordOutcome(&left, why, code) }) }
	time.AfterFunc(after, func() { end(cause.TargetSilent, 0) })
	return end
}

// outcomeOf says what the end of an attempt tells of its target's SIP side. One that answers at all but with 500, 502,
// 503, 504 or 408 does its work. A trunk that is called does its work with any answer: carriers give these for a
// single number.
func (t *Target) outcomeOf(why cause.Cause, code int) circuit.Outcome {
	switch why {
	case cause.TargetSilent:
		return circuit.Silent
	case cause.DNSFailed, cause.TargetUnreachable, cause.TLSFailed:
		return circuit.Failed
	case cause.None, cause.TargetBusy, cause.TargetRefused, cause.BadAnswer, cause.SRTPRefused,
		cause.AuthMissing, cause.AuthUnsupported, cause.AuthRefused:
		return circuit.Succeeded
	case cause.TargetError:
		if t.Trunk == nil && slices.Contains([]int{408, 500, 502, 503, 504}, code) {
			return circuit.Failed
		}
		return circuit.Succeeded
	default:
		return circuit.Neutral
	}
}

// PrepareOutcome says what a platform's answer to prepare tells of its API. why is the cause of a failed step, status
// the HTTP status, 0 for none. 401, 403 and 429 concern the account, and so the next call as well; another 4xx concerns
// one call.
func PrepareOutcome(why cause.Cause, status int) circuit.Outcome {
	switch {
	case why == cause.None:
		return circuit.Succeeded
	case why == cause.PrepareTimeout:
		return circuit.Silent
	case why == cause.PrepareFailed && status >= 400 && status < 500 &&
		!slices.Contains([]int{401, 403, 408, 429}, status):
		return circuit.Succeeded
	default:
		return circuit.Failed
	}
}

// CircuitStatus is a circuit with what it is for.
type CircuitStatus struct {
	API  bool   // of its API; else of its SIP side
	Name string // of the target or trunk; each target of an API has the API's
	circuit.Status
}

// Circuits returns the circuits of what is configured, ordered by name: of each target and trunk that can be called,
// and of each API that it prepares by.
func (a *Admission) Circuits() (all []CircuitStatus) {
	p := a.Peers.Load()
	for _, t := range p.Callees {
		all = append(all, CircuitStatus{Name: t.Dial.Name, Status: t.SIP.Status()})
	}
	for _, t := range p.Targets {
		all = append(all, CircuitStatus{Name: t.Dial.Name, Status: t.SIP.Status()})
		if t.API != nil {
			all = append(all, CircuitStatus{Name: t.Dial.Name, API: true, Status: t.API.Status()})
		}
	}
	// the SIP side comes first
	slices.SortStableFunc(all, func(x, y CircuitStatus) int { return cmp.Compare(x.Name, y.Name) })
	return all
}

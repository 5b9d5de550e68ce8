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

// circuits holds the circuit breakers of the targets, trunks and APIs that calls depend on. It outlives reloads.
type circuits struct {
	sip  map[string]*circuit.Breaker // by the name of the target or trunk
	apis map[string]*circuit.Breaker // by origin; targets with the same API share a breaker
}

func newCircuits() circuits {
	return circuits{sip: map[string]*circuit.Breaker{}, apis: map[string]*circuit.Breaker{}}
}

// An open circuit breaker refuses all calls, at first for a second, and later for up to half a minute, because callers
// do not wait for a target longer than that.
const (
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// settingsOf returns the settings of a circuit breaker. probed says that OPTIONS, and not calls, find out whether it
// may close.
func settingsOf(c config.Circuit, probed bool) circuit.Settings {
	return circuit.Settings{Failures: c.Failures, Pause: firstPause, MaxPause: longestPause, Probed: probed}
}

// breaker returns the circuit breaker with this key, and creates it if necessary.
func (a *Admission) breaker(all map[string]*circuit.Breaker, key, name string, s circuit.Settings) *circuit.Breaker {
	b := all[key]
	if b == nil {
		b = circuit.New(name, s, func(c circuit.Change) {
			if told := a.CircuitChanged.Load(); told != nil {
				(*told)(c)
			}
			if a.queues.Load() > 0 {
				go a.circuitMoved() // a goroutine, because the caller may hold the lock
			}
		})
		all[key] = b
	}
	return b
}

// assignCircuits gives the targets and callees of a snapshot their circuit breakers, and removes unused breakers. If
// several targets share an API, the settings of the first target count.
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

// RecordOutcome reports to the target's circuit breaker how an attempt ended, or that the target rings. code is the
// target's final status, or 0 if there was none. Only the first report about an attempt counts.
func (t *Target) RecordOutcome(try *circuit.Try, why cause.Cause, code int) {
	t.SIP.End(time.Now(), try, t.outcomeOf(why, code))
}

// Leave takes a try from its attempt, because the caller no longer waits for the outcome. end reports the outcome to
// the circuit breaker. If end is not called within this time, the target counts as silent.
func (t *Target) Leave(try *circuit.Try, after time.Duration) (end func(why cause.Cause, code int)) {
	left, once := *try, sync.Once{}
	*try = circuit.Try{}
	end = func(why cause.Cause, code int) { once.Do(func() { t.RecordOutcome(&left, why, code) }) }
	time.AfterFunc(after, func() { end(cause.TargetSilent, 0) })
	return end
}

// outcomeOf returns what an attempt's end means for the circuit breaker of the target's SIP side. A target works if it
// answers with anything but 408, 500, 502, 503 or 504. A called trunk works if it answers at all, because carriers
// also send these codes for a single number.
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

// Silence opens a callee's circuit for calls that another one can take, because its answered calls were silent. why
// says so.
func (a *Admission) Silence(callee, why string) {
	if t := a.Peers.Load().CalleeNamed(callee); t != nil {
		t.SIP.Silence(time.Now(), why)
	}
}

// Heard closes the callee's circuit if it is open because of silence: a call that began then has heard words.
func (a *Admission) Heard(callee string, began time.Time) {
	if t := a.Peers.Load().CalleeNamed(callee); t != nil {
		t.SIP.Words(time.Now(), began)
	}
}

// PrepareOutcome returns what a platform's response to prepare means for the circuit breaker of its API. why is the
// cause of the failure, and status the HTTP status, or 0 if there was no response. 401, 403, 408 and 429 will also
// affect the next call; any other 4xx concerns only this call.
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

// CircuitStatus is the status of one circuit breaker.
type CircuitStatus struct {
	API  bool   // the breaker is that of the target's API, and not of its SIP side
	Name string // name of the target or trunk; targets with the same API share its breaker
	circuit.Status
}

// Circuits returns the circuit breakers, in the order of their names: one for each target and trunk that can be
// called, and one for each target's API.
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
	// For one name, the SIP side comes first.
	slices.SortStableFunc(all, func(x, y CircuitStatus) int { return cmp.Compare(x.Name, y.Name) })
	return all
}

package peers

import (
	"slices"
	"strconv"
	"time"

	"flowbridge/b2bua/circuit"
)

// lastHour holds the times of the calls that API requests have placed over a trunk within the last hour. Its memory is
// bounded by the limit.
type lastHour struct{ began []time.Time }

// count returns how many calls were placed within the last hour.
func (h *lastHour) count(now time.Time) int {
	first := slices.IndexFunc(h.began, func(at time.Time) bool { return now.Sub(at) < time.Hour })
	if first < 0 {
		first = len(h.began)
	}
	h.began = slices.Delete(h.began, 0, first)
	return len(h.began)
}

// Originate counts a call that an API request places over a trunk: for the first agent with room, for the trunk, for
// the numbers, and for the hourly limit. Vacate, Leave and Release undo the first three. Originate returns the agent,
// or nil and the reason for refusing the call.
func (a *Admission) Originate(t *Trunk, agents []*Target, p Parties, now time.Time) (agent *Target, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	capacity := a.closed()
	if capacity == CapacityFree {
		capacity = a.room(t, now)
	}
	limit := t.Caller.Originate.PerHour
	switch {
	case capacity != CapacityFree:
		return nil, capacity.words(t)
	case limit > 0 && t.placed.count(now) >= a.part(limit):
		return nil, "the trunk " + t.Caller.Name + " has placed as many calls within an hour as originate.per_hour allows: " +
			strconv.Itoa(limit)
	}
	agent, full := a.reserve(agents, p, now)
	if agent == nil {
		return nil, "no agent can take the call: " + full.Cause().Words()
	}
	if over := t.claim(&t.Caller.Limits, p); over != LimitNone {
		a.vacate(agent, p, now)
		return nil, "a number is over its limit of calls at a time: " + over.Cause().Words()
	}
	t.take(now)
	a.setups.add(&t.setups, 1)
	a.ports.add(&t.ports, 1)
	if limit > 0 {
		t.placed.began = append(t.placed.began, now)
	}
	return agent, ""
}

// reserve counts a later call to the first target with room, and returns that target. If no target has room it returns
// nil and the limit of the last target.
func (a *Admission) reserve(targets []*Target, p Parties, now time.Time) (t *Target, full Limit) {
	for _, t := range targets {
		var try circuit.Try
		try, full = a.occupyIfRoom(t, p, now)
		if full == LimitNone {
			t.SIP.End(now, &try, circuit.Neutral)
			return t, full
		}
	}
	return nil, full
}

// words explains why there is no capacity, for the answer to an API request.
func (c Capacity) words(t *Trunk) string {
	switch c {
	case CapacityNone:
		return "the trunk " + t.Caller.Name + " has as many calls as max_calls or max_cps allows"
	case CapacityDraining:
		return "the server takes no new calls, because it is about to end"
	case CapacitySetups:
		return "too many calls wait for their answer"
	case CapacityPorts:
		return "too many calls have RTP ports"
	case CapacityMemory:
		return "the process has too little memory"
	case CapacityFree, CapacityOverload:
	}
	return "too many messages wait"
}

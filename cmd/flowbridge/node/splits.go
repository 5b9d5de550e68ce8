package node

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/follow"
	"flowbridge/config"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// followEvery is how often a node reads what other nodes have decided. followCalls and lookWithin bound a look, which
// is repeated after lookAgain if its result is not written. A fleet drops a state that was unseen so long.
const followEvery, followCalls, lookWithin, lookAgain, unseen = 5 * time.Second, 10_000, 30 * time.Second,
	5 * time.Minute, 48 * time.Hour

// splits keeps the weights of splits that follow what callers hear, or that are pinned. In a fleet the database has
// them, and the node that looks first decides for all; without the database each node goes on by itself.
type splits struct {
	node     *Node
	ticking  sync.Mutex // held by a tick; a test holds it to look itself
	changing sync.Mutex // held while states are read and changed; guards the fields below
	all      states     // in force; a change needs the lock of the test caller, too
	recalled bool       // what an earlier process has noted is known
	noted    string     // what this one has noted
	tried    map[string]time.Time

	hearing sync.Mutex             // guards last
	last    map[string]follow.Last // what the newest calls have heard, by keyOf; of this node

	shown atomic.Pointer[states] // the states in all; can be read without a lock
}

// moment is the form of times that people read.
const moment = "15:04 UTC on 2 January"

type states map[string]follow.State // by keyOf

// keyOf identifies a route's split with its bounds, as the file has them. A state counts only for the same ones.
func keyOf(r *config.Route) string {
	text, _ := json.Marshal([]any{r.Name, r.Split, r.Follow}) // can't fail: it is plain data
	return fmt.Sprintf("%x", sha256.Sum256(text))[:32]
}

// recall returns the states that an earlier process has noted. Until it can read them, a note would lose its pins.
func (s *splits) recall(ctx context.Context) (all states, err error) {
	ctx, cancel := context.WithTimeout(ctx, aliveEvery)
	defer cancel()
	text, err := s.node.store.Noted(ctx, "splits")
	s.recalled = err == nil
	return s.parse(text), err
}

// parse parses noted states. If they are damaged, the file's weights are in force.
func (s *splits) parse(text string) (all states) {
	if err := json.Unmarshal([]byte(text), &all); err != nil && text != "" {
		s.node.log.Info().Err(err).Msg("stored split weights are damaged: using the file's")
	}
	return all
}

// weighed returns routes with the weights in force. The caller holds the lock of the test caller, or changing.
func (s *splits) weighed(routes []config.Route) []config.Route {
	routes = slices.Clone(routes)
	for i := range routes {
		r := &routes[i]
		state := s.all[keyOf(r)]
		if state.Weights == nil || len(r.Split) == 0 {
			continue
		}
		how, why := "moved", "because "+state.Why
		if r.MovedAt, r.Pinned = state.Moved.UTC(), state.Pinned; r.Pinned {
			how, why = "pinned", "by "+strings.TrimSuffix(state.Why, " ordered it")
		}
		r.Moved = fmt.Sprintf("%s at %s %s", how, r.MovedAt.Format(moment), why)
		r.Split = slices.Clone(r.Split)
		for j := range r.Split {
			r.Split[j].Weight = state.Weights[r.Split[j].Name]
		}
	}
	return routes
}

// changeFunc changes the state of a split. from has the calls of the fleet, or if its database is away, of this node.
type changeFunc func(ctx context.Context, r *config.Route, s *follow.State, now time.Time, from record.Lister)

// update reads the states of all splits, has change change them, and puts them into force.
func (s *splits) update(ctx context.Context, change changeFunc) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.forget()
	n, now, from := s.node, time.Now(), record.Lister(s.node.store)
	all, text, away, lost := s.all, "", error(nil), error(nil)
	if !s.recalled {
		all, lost = s.recall(ctx)
	}
	if n.fleet != nil {
		var at time.Time
		if text, at, away = n.fleet.Weights(ctx); away == nil {
			now, from, all, lost = at, n.fleet, s.parse(text), nil
		}
	}
	if lost != nil {
		return lost
	}
	next, routes := states{}, n.config().Routes
	maps.Copy(next, all)
	maps.DeleteFunc(next, func(_ string, s follow.State) bool { return n.fleet == nil || now.Sub(s.Looked) > unseen })
	for i := range routes {
		if r := &routes[i]; r.Name != "" && len(r.Split) > 0 {
			state := all[keyOf(r)]
			if state.Weights != nil && !isOf(r, state.Weights) { // no node has written them
				state = follow.State{}
			}
			change(ctx, r, &state, now.UTC().Round(0), from)
			next[keyOf(r)] = state
		}
	}
	noted, _ := json.Marshal(next) // can't fail
	if n.fleet != nil && away == nil && string(noted) != text {
		if err := n.fleet.SetWeights(ctx, text, string(noted)); err != nil {
			return err
		}
	}
	if err := s.keep(ctx, next, string(noted)); err != nil && n.fleet == nil {
		return fmt.Errorf("the weights are in force until a restart, and noted as soon as possible: %w", err)
	}
	return away // if nil, the fleet has them
}

// forget drops what this node has seen of splits that the configuration no longer has. The caller holds changing. Ended
// takes the same lock, so a reload in between costs no call of a new split.
func (s *splits) forget() {
	s.hearing.Lock()
	defer s.hearing.Unlock()
	routes, has := s.node.config().Routes, map[string]bool{}
	for i := range routes {
		if r := &routes[i]; len(r.Split) > 0 {
			has[keyOf(r)] = true
		}
	}
	maps.DeleteFunc(s.last, func(key string, _ follow.Last) bool { return !has[key] })
	maps.DeleteFunc(s.tried, func(key string, _ time.Time) bool { return !has[key] })
}

// tick looks at all splits.
func (s *splits) tick(ctx context.Context) {
	s.ticking.Lock()
	defer s.ticking.Unlock()
	_ = s.update(ctx, s.look) // repeated
}

// keep puts states into force, and notes them for the next process.
func (s *splits) keep(ctx context.Context, next states, noted string) error {
	n, old := s.node, s.all
	if noted == s.noted {
		return nil
	}
	n.tending.Lock() // an upgrade holds it, and then the other process notes states
	defer n.tending.Unlock()
	n.tests.mu.Lock()
	s.all, s.noted = next, ""
	s.shown.Store(&next)
	n.tests.mu.Unlock()
	routes, moved := n.config().Routes, false
	for i, r := range s.weighed(routes) {
		was, is := old[keyOf(&routes[i])], next[keyOf(&routes[i])]
		differs := !maps.Equal(was.Weights, is.Weights)
		if moved = moved || differs || was.Why != is.Why || !was.Moved.Equal(is.Moved); differs {
			weights := fmt.Sprint(r.Split)
			n.log.Info().Str("route", r.Name).Str("weights", weights).Str("why", is.Why).Msg("weights of a split changed")
			n.live.Note("split", fmt.Sprintf("%s: %s because %s", r.Name, weights, is.Why))
		}
	}
	if moved {
		n.tests.put(nil, n.server)
	}
	ctx, cancel := context.WithTimeout(ctx, aliveEvery)
	defer cancel()
	err := n.store.Note(ctx, "splits", noted)
	if err == nil {
		s.noted, s.recalled = noted, true
	}
	return err
}

// Changed implements watcher.
func (s *splits) Changed(record.Record) {}

// Ended implements watcher. A call that has heard its target closes the target's circuit, if that is open because of
// silence. A call of a split that follows opens it if the target is dead.
func (s *splits) Ended(r record.Record) {
	if r.Talk == nil {
		return
	}
	if r.Talk.FirstAgentMS != nil {
		s.node.admission.Heard(r.Target, r.StartedAt.Time)
	}
	routes := s.node.config().Routes
	i := slices.IndexFunc(routes, func(of config.Route) bool { return of.Follow != nil && of.Name == r.Route })
	if i < 0 {
		return
	}
	s.hearing.Lock()
	defer s.hearing.Unlock()
	key := keyOf(&routes[i])
	if s.last[key] == nil {
		s.last[key] = follow.Last{}
	}
	if dead := s.last[key].Add(&r); dead != "" && s.last[key].HearsAnother(r.Target) {
		s.node.admission.Silence(r.Target, dead)
	}
}

// hear looks at the calls that have ended on this node since the last tick.
func (s *splits) hear(r *config.Route, state *follow.State, now time.Time) {
	s.hearing.Lock()
	defer s.hearing.Unlock()
	if last := s.last[keyOf(r)]; last != nil && r.Follow != nil && !state.Pinned {
		*state = follow.Hear(r, *state, last, now)
	}
}

// look decides about the weights of a split: at once about dead targets, and once in
// follow.Every about the others.
func (s *splits) look(ctx context.Context, r *config.Route, state *follow.State, now time.Time, from record.Lister) {
	s.hear(r, state, now)
	if state.Pinned && now.Sub(state.Looked).Abs() > unseen/2 {
		state.Looked = now
	}
	if r.Follow == nil || state.Pinned || now.Sub(state.Looked).Abs() < follow.Every ||
		now.Sub(s.tried[keyOf(r)]).Abs() < lookAgain {
		return
	}
	s.tried[keyOf(r)] = now
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	if state.Looked.IsZero() { // earlier calls may be of other targets with these names
		state.Moved = now
	}
	f := record.Filter{Route: r.Name, Limit: followCalls, Until: now}
	since, until := state.Window(now)
	g := follow.NewGathered(until)
	f.Since = since
	if err := record.Each(ctx, from, f, func(rec record.Record) error { g.Add(&rec); return nil }); err != nil {
		s.node.log.Info().Err(err).Str("route", r.Name).Msg("split keeps its weights: its calls can't be read")
		state.Looked, state.Seen = now, map[string]string{}
		for _, target := range r.Split {
			state.Seen[target.Name] = "its calls can't be read"
		}
		return
	}
	*state = follow.Decide(r, *state, g, now)
}

// order pins the weights of a route's split, or releases them if weights is nil. The figures count from then on.
func (s *splits) order(ctx context.Context, route, by string, weights map[string]int) *admin.RefusedError {
	n, status, problem, remedy := s.node, http.StatusNotFound, "there is no such split", "see shares in /api/targets"
	pin := func(_ context.Context, r *config.Route, state *follow.State, now time.Time, from record.Lister) {
		switch {
		case r.Name != route:
		case weights != nil && !isOf(r, weights):
			status, problem = http.StatusBadRequest, "these are no weights of the split of "+route
			remedy = "give 0 to 100, not all 0, to " + strings.Join(slices.Sorted(maps.Keys(follow.Percent(r))), ", ")
		default:
			if problem = ""; n.fleet == nil || from == record.Lister(n.fleet) { // otherwise update returns why not
				*state = follow.State{Weights: weights, Moved: now, Why: by + " ordered it", Pinned: weights != nil, Looked: now}
			}
		}
	}
	err := s.update(context.WithoutCancel(ctx), pin)
	if problem == "" && err == nil {
		return nil
	} else if err != nil && status == http.StatusNotFound {
		status, problem, remedy = http.StatusServiceUnavailable, "not kept: "+err.Error(), "try again"
	}
	return &admin.RefusedError{Status: status, Problem: problem, Remedy: remedy}
}

// isOf reports whether a pin has a weight for each target of a route's split.
func isOf(r *config.Route, weights map[string]int) bool {
	names, sum := follow.Percent(r), 0
	for name, w := range weights {
		if _, known := names[name]; !known || w < 0 || w > 100 {
			return false
		}
		sum += w
	}
	return sum > 0 && len(weights) == len(names)
}

// shares returns the shares of a target in the calls of routes with a split.
func (s *splits) shares(target string) (all []live.Share) {
	p := s.node.admission.Peers.Load()
	for i := range p.Routes {
		if r := &p.Routes[i]; slices.ContainsFunc(r.Split, func(s config.Share) bool { return s.Name == target }) {
			share := live.Share{Route: p.RouteName(i), Weight: r.Weight(target), Of: r.Total(), Moved: r.Moved}
			share.MovedAt, share.Pinned = record.TimeOf(r.MovedAt), r.Pinned
			share.Seen = s.seen(r.Name, target)
			all = append(all, share)
		}
	}
	return all
}

// seen returns what the last look at a route's split saw of a target.
func (s *splits) seen(route, target string) string {
	routes, all := s.node.config().Routes, s.shown.Load()
	i := slices.IndexFunc(routes, func(r config.Route) bool { return r.Name == route && route != "" })
	if i < 0 || all == nil {
		return ""
	}
	state := (*all)[keyOf(&routes[i])]
	if state.Seen[target] == "" {
		return ""
	}
	return fmt.Sprintf("seen at %s: %s", state.Looked.UTC().Format(moment), state.Seen[target])
}

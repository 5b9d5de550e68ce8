package node

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"flowbridge/b2bua/registration"
	"flowbridge/config"
	"flowbridge/internal/acme"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// troubles makes the one list of what is not well, which every screen shows. Only this type decides what is in it.
type troubles struct {
	node   *Node
	keeper *acme.Keeper // of the certificate; nil without sip.tls.acme

	mu      sync.Mutex // guards the fields below
	since   map[[2]string]time.Time
	told    map[[2]string]time.Time // when the log last said so
	refused uint64                  // calls that found no transcoder, as last seen
	lacked  time.Time               // when that number last grew; zero if it has not
	stood   time.Time               // when the process last stood still
	stoodMS int64
}

// recent is how long the list shows what happened once.
const recent = 5 * time.Minute

// The bounds of figures of the last five minutes, beyond which somebody should look. Fewer calls than judgedCalls prove
// nothing.
const judgedCalls, fewAnswers, muchLoss, lowMOS, manyPorts = 20, 0.5, 0.03, 3.5, 0.85

// From fewUnheard calls on, and above muchUnheard of the answered ones, callers who are not heard, or who are cut off,
// are more than chance. The alerts have the same bounds.
const fewUnheard, muchUnheard = 3, 0.02

// list is what one screen shows of what is not well.
type list []live.Trouble

// add adds a trouble, and returns it so that the caller can say of what it is and since when.
func (l *list) add(code, text string, values ...any) *live.Trouble {
	*l = append(*l, live.Trouble{Code: code, Text: fmt.Sprintf(text, values...)})
	return &(*l)[len(*l)-1]
}

// all returns the list, with the figures and targets of the node as the watcher has them.
func (t *troubles) all(s *live.Stats, targets []live.Target) []live.Trouble {
	now, all := time.Now(), t.ofProcess()
	all.addTargets(targets)
	all.addFigures(s)
	t.addServer(&all, now)
	t.addFiles(&all)
	t.addFleet(&all)
	t.date(now, all)
	return all
}

// date fills in since when each of the troubles lasts, and sorts them.
func (t *troubles) date(now time.Time, all []live.Trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.since
	if t.told == nil {
		t.told = map[[2]string]time.Time{}
	}
	t.since = make(map[[2]string]time.Time, len(all))
	for i := range all {
		key := [2]string{all[i].Code, all[i].Of}
		if all[i].Since.IsZero() {
			began, known := was[key]
			if !known {
				began = now
			}
			all[i].Since = record.TimeOf(began)
		}
		t.since[key] = all[i].Since.Time
	}
	live.SortTroubles(all)
	t.log(now, was, all)
}

// log says what is new in the list, and what is over. What comes and goes has a line each few minutes.
func (t *troubles) log(now time.Time, was map[[2]string]time.Time, all []live.Trouble) {
	for i := range all {
		one := &all[i]
		key := [2]string{one.Code, one.Of}
		if _, known := was[key]; !known && now.Sub(t.told[key]) >= recent {
			t.told[key] = now
			t.node.log.Warn().Str("code", one.Code).Str("of", one.Of).Str("text", one.Text).Msg("not well")
		}
	}
	for key, began := range was {
		if _, still := t.since[key]; !still && !t.told[key].Before(began) {
			t.node.log.Info().Str("code", key[0]).Str("of", key[1]).Int64("dur_ms", now.Sub(began).Milliseconds()).
				Msg("well again")
		}
	}
}

// ofStandby returns the troubles of a node that waits for its seat.
func (t *troubles) ofStandby() (all list) {
	t.addFleet(&all)
	if err := t.node.store.Err(); err != nil {
		all.add(live.TroubleRecords, "%v", err)
	}
	t.date(time.Now(), all)
	return all
}

// ofProcess returns the troubles that /healthz and /readyz tell everybody: they name no peer, and cost little.
func (t *troubles) ofProcess() (all list) {
	n := t.node
	if n.server.Draining() {
		all.add(live.TroubleDraining, "draining: new calls are refused, and the process ends after the last one")
	}
	if state := n.memory.Scarce(); state != "" {
		all.add(live.TroubleMemory, "%s", state)
	}
	if err := n.store.Err(); err != nil {
		all.add(live.TroubleRecords, "records wait in memory: %v; %s", err, t.afterKill())
	}
	if file := n.store.SetAside(); file != "" {
		all.add(live.TroubleSetAside, "the database was damaged, and is set aside: %s", file)
	}
	if state := n.cpu.Trouble(); state != "" {
		all.add(live.TroubleNoCPU, "%s", state)
	}
	for _, one := range n.watchdog.Troubles() {
		all.add(live.TroubleStalled, "%s", one)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.stood) < recent {
		all.add(live.TroubleStoodStill, "the whole process stood still for %d s: is the machine overcommitted, or was it suspended?",
			(t.stoodMS+500)/1000).Since = record.TimeOf(t.stood)
	}
	live.SortTroubles(all)
	return all
}

// ready returns why calls are refused or records have to wait, or nil.
func (t *troubles) ready() error {
	for _, one := range t.ofProcess() {
		if one.NotReady {
			return errors.New(one.Text) //nolint:err113 // shown, not handled
		}
	}
	return nil
}

// lines returns the troubles of the process for /healthz.
func (t *troubles) lines() (all []string) {
	for _, one := range t.ofProcess() {
		all = append(all, one.Text)
	}
	return all
}

// afterKill says whether live calls outlive a kill of the process while records can't be written.
func (t *troubles) afterKill() string {
	switch n := t.node; {
	case n.store.JournalErr() == nil:
		return "live calls still outlive a kill"
	case n.seat != nil && n.fleet.Status().BeatError == nil:
		return "live calls outlive a kill only at the standby, by flowbridge fleet take"
	default:
		return "calls that begin or change now do not outlive a kill"
	}
}

// stoodStill notes that the whole process made no progress.
func (t *troubles) stoodStill(late time.Duration) {
	t.mu.Lock()
	t.stood, t.stoodMS = time.Now(), late.Milliseconds()
	t.mu.Unlock()
	t.node.live.Note("stall", fmt.Sprintf("the process stood still for %d s", int(late.Seconds()+0.5)))
}

func (l *list) addTargets(targets []live.Target) {
	for i := range targets {
		g := &targets[i]
		last := ""
		if g.LastError != nil {
			last = ": " + g.LastError.Text
		}
		switch g.Health {
		case live.HealthRefusing:
			l.add(live.TroubleRefusing, "%s %s", g.Name, refusalOf(g)).Of = g.Name
		case live.HealthUnknown:
			at := g.LastError.At
			one := l.add(live.TroubleUnknown, "%s failed at %s, and no call has tried it since%s", g.Name,
				at.Format("15:04 UTC"), last)
			one.Of, one.Since = g.Name, at
		case live.HealthFailing:
			one := l.add(live.TroubleFailing, "%s fails%s", g.Name, last)
			one.Of = g.Name
			for _, c := range g.Circuits {
				if c.Ping != "" {
					one.Text = fmt.Sprintf("%s does not answer OPTIONS: %s", g.Name, c.Ping)
				}
				if c.State != live.CircuitClosed {
					one.Since = c.Since
				}
			}
		}
	}
}

// refusalOf says how a target refuses its calls, and what may be wrong.
func refusalOf(g *live.Target) string {
	user, _, _ := strings.Cut(g.Address, "@")
	look := "is its configuration right?"
	switch with := g.Refusing.With; with {
	case "404", "410", "416", "484", "604":
		look = fmt.Sprintf("is %s@ right?", user)
	case "403":
		look = "does it know our address, and may we call it?"
	case "415", "488", "606":
		look = "does it take our codecs, and SRTP or RTP as we offer?"
	case "480":
		look = "is the agent there and switched on?"
	}
	if _, err := strconv.Atoi(g.Refusing.With); err != nil {
		return strings.TrimPrefix(g.LastError.Text, "it ")
	}
	return fmt.Sprintf("refuses every call with %s: %s (failover_on: [%[1]s] tries the next target)", g.Refusing.With, look)
}

// addFigures adds the troubles that the calls of the last five minutes show.
func (l *list) addFigures(s *live.Stats) {
	if s.AnswerRatio != nil && s.Decided >= judgedCalls && *s.AnswerRatio < fewAnswers {
		l.add(live.TroubleAnswers, "%d of %d new calls were answered", s.Answered, s.Decided)
	}
	for _, of := range s.Suffering {
		if of.Calls >= fewUnheard && float64(of.Calls) > muchUnheard*float64(s.Answered) {
			l.add(of.Code, "%s", sufferingOf(&of)).Of = of.Side
		}
	}
	if s.Loss != nil && *s.Loss > muchLoss {
		l.add(live.TroubleLoss, "%.1f %% of the RTP packets did not arrive in time%s", 100**s.Loss,
			lostAt(*s.Loss, *s.LossHere))
	}
	if s.MOS != nil && s.MOS.P5 < lowMOS && uint64(s.Calls)+s.Ended >= judgedCalls {
		l.add(live.TroubleQuality, "1 call in 20 sounds bad (MOS below %.1f)", lowMOS)
	}
	if p := s.Ports; p.Limit > 0 && float64(p.InUse) > manyPorts*float64(p.Limit) {
		l.add(live.TroublePorts, "%d of %d pairs of RTP ports are in use: without one, a call gets 503", p.InUse, p.Limit)
	}
	var why []string
	for _, reason := range []string{"full", "setups", "ports", "overload", "memory", "source_rate"} {
		if n := s.Rejected[reason]; n > 0 {
			why = append(why, fmt.Sprintf("%s %d", reason, n))
		}
	}
	if len(why) > 0 {
		l.add(live.TroubleCallsRefused, "calls got 503 in the last 5 minutes: %s", strings.Join(why, ", "))
	}
}

// lostAt tells the network's part of a loss from this machine's.
func lostAt(loss, here float64) string {
	if here < 0.001 {
		return ""
	}
	return fmt.Sprintf(": %.1f %% were lost on the way, and %.1f %% by this machine", 100*max(loss-here, 0), 100*here)
}

// sufferingOf says what callers of answered calls suffer, and where to look.
func sufferingOf(s *live.Suffering) string {
	side := map[string]string{"a": "caller", "b": "target"}[s.Side]
	switch s.Code {
	case live.TroubleOneWay:
		return fmt.Sprintf("%d answered calls in 5 minutes in which the %s was not heard, most with target %s", s.Calls, side, s.Target)
	case live.TroubleSilent:
		return fmt.Sprintf("%d answered calls in 5 minutes in which the %s fell silent, most with target %s", s.Calls, side, s.Target)
	default:
		return fmt.Sprintf("%d answered calls were cut off in 5 minutes, most for %s, with target %s", s.Calls, s.Cause, s.Target)
	}
}

// addServer adds the troubles of transcoders, registrations and splits.
func (t *troubles) addServer(all *list, now time.Time) {
	server := t.node.server
	_, most, refused := server.Transcoders().Figures()
	t.mu.Lock()
	if uint64(refused) > t.refused {
		t.lacked = now
	}
	t.refused = uint64(refused)
	lacks := now.Sub(t.lacked) < recent
	t.mu.Unlock()
	switch {
	case lacks && most == 0:
		all.add(live.TroubleTranscoders, "calls that need a transcoder get 503: media.max_transcoded is 0")
	case lacks:
		all.add(live.TroubleTranscoders,
			"all %d transcoders were in use in the last 5 minutes: calls that need one get 503 (media.max_transcoded)", most)
	}
	for _, r := range server.Registrations() {
		if r.State != registration.Registered && r.Failures > 0 {
			why := strings.TrimSpace(fmt.Sprintf("%d %s", r.Code, r.Reason))
			one := all.add(live.TroubleRegistration, "trunk %s is not registered, so its calls do not come: %s", r.Trunk,
				strings.TrimPrefix(why, "0 "))
			one.Of, one.Since = r.Trunk, record.TimeOf(r.Since)
		}
	}
	p := t.node.admission.Peers.Load()
	for i := range p.Routes {
		if r := &p.Routes[i]; r.Pinned {
			one := all.add(live.TroubleSplitPinned, "%s of %s, %s", weightsOf(r), p.RouteName(i), r.Moved)
			one.Of, one.Since = p.RouteName(i), record.TimeOf(r.MovedAt)
		}
	}
}

// weightsOf returns the weights of a split as people say them.
func weightsOf(r *config.Route) string {
	var names, weights []string
	for _, s := range r.Split {
		names, weights = append(names, s.Name), append(weights, strconv.Itoa(s.Weight))
	}
	return strings.Join(weights, " : ") + " (" + strings.Join(names, ", ") + ")"
}

// addFiles adds the troubles of certificates, files and webhooks.
func (t *troubles) addFiles(all *list) {
	n := t.node
	for _, c := range n.withMissing(n.figures.sampled.Load().certificates) {
		switch {
		case c.Refused:
			all.add(live.TroubleNoCertificate, "%s %s", c.File, c.Problem).Of = c.File
		case c.Problem != "":
			all.add(live.TroubleCertificate, "%s %s", c.File, c.Problem).Of = c.File
		}
	}
	if n.archive == nil && n.config().Recording.Path != "" {
		all.add(live.TroubleRecordings, "calls are not recorded: the disk of recording.path took nothing at the start")
	}
	if kept := n.ladders.kept; kept != nil && kept.Err() != nil {
		all.add(live.TroubleLadders, "calls have no ladder: %v", kept.Err())
	}
	for _, w := range n.webhooks.Stats() {
		if !w.Failing.IsZero() {
			one := all.add(live.TroubleWebhook, "the webhook %s is not taken: %s", w.Name, w.Reason)
			one.Of, one.Since = w.Name, record.TimeOf(w.Failing)
		}
	}
	if n.figures.reloads.failed.Load() {
		all.add(live.TroubleReload, "the configuration file was refused, and the old one is in force: a restart would fail (flowbridge check)")
	}
}

// addFleet adds the troubles of the fleet's database and its other nodes.
func (t *troubles) addFleet(all *list) {
	n := t.node
	if n.fleet == nil {
		return
	}
	s := n.fleet.Status()
	var errs []string // mostly both are the same
	for _, err := range []error{s.BeatError, s.DrainError} {
		if err != nil && !slices.Contains(errs, err.Error()) {
			errs = append(errs, err.Error())
		}
	}
	if len(errs) > 0 {
		all.add(live.TroubleFleet, "the fleet's database does not serve this node: %s", strings.Join(errs, "; "))
	}
	if s.Missing > 0 {
		all.add(live.TroubleNodesVanished, "%d nodes of the fleet have vanished", s.Missing)
	}
	if n.seat != nil {
		if _, _, unprotected := n.seat.Figures(); unprotected > 0 {
			all.add(live.TroubleUnprotected, "%d answered calls end if this machine dies now: the fleet's database lacks their states",
				unprotected)
		}
	}
}

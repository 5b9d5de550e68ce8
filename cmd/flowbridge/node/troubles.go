package node

import (
	"errors"
	"fmt"
	"maps"
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

// recent is how long the list has what happened once.
const recent = 5 * time.Minute

// The bounds of figures of the last five minutes, beyond which somebody should look. Fewer calls than judgedCalls prove
// nothing.
const judgedCalls, fewAnswers, muchLoss, lowMOS, manyPorts = 20, 0.5, 0.03, 3.5, 0.85

// From fewUnheard calls on, and above muchUnheard of the answered ones, callers who are not heard, or who are cut off,
// are more than chance. The alerts have the same bounds.
const fewUnheard, muchUnheard = 3, 0.02

// all returns the list, with the figures and targets of the node as the watcher has them.
func (t *troubles) all(s *live.Stats, targets []live.Target) []live.Trouble {
	now, all := time.Now(), t.ofProcess()
	all = append(all, ofTargets(targets)...)
	all = append(all, ofFigures(s)...)
	all = append(all, t.ofServer(now)...)
	all = append(all, t.ofFiles()...)
	all = append(all, t.ofFleet()...)
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
			t.node.log.Info().Str("code", key[0]).Str("of", key[1]).Int64("dur_ms", now.Sub(began).Milliseconds()).Msg("well again")
		}
	}
}

// ofStandby returns the troubles of a node that waits for its seat.
func (t *troubles) ofStandby() []live.Trouble {
	all := t.ofFleet()
	if err := t.node.store.Err(); err != nil {
		all = append(all, live.Trouble{Code: live.TroubleRecords, Text: err.Error()})
	}
	t.date(time.Now(), all)
	return all
}

// ofProcess returns the troubles that /healthz and /readyz tell everybody: they name nobody, and cost little.
func (t *troubles) ofProcess() (all []live.Trouble) {
	n := t.node
	add := func(code, text string) { all = append(all, live.Trouble{Code: code, Text: text}) }
	if n.health.server.Draining() {
		add(live.TroubleDraining, "draining: new calls are refused, and the process ends after the last one")
	}
	if state := n.health.memory.scarce(); state != "" {
		add(live.TroubleMemory, state)
	}
	if err := n.health.store.Err(); err != nil {
		add(live.TroubleRecords, fmt.Sprintf("records wait in memory: %v; %s", err, t.afterKill()))
	}
	if file := n.health.store.SetAside(); file != "" {
		add(live.TroubleSetAside, "the database was damaged, and is set aside: "+file)
	}
	if state := n.health.cpu.trouble(); state != "" {
		add(live.TroubleNoCPU, state)
	}
	for _, one := range n.health.stalls.troubles() {
		add(live.TroubleStalled, one)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.stood) < recent {
		text := fmt.Sprintf("the whole process stood still for %d s: is the machine overcommitted, or was it suspended?",
			(t.stoodMS+500)/1000)
		all = append(all, live.Trouble{Code: live.TroubleStoodStill, Since: record.TimeOf(t.stood), Text: text})
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
	case n.health.store.JournalErr() == nil:
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

func ofTargets(targets []live.Target) (all []live.Trouble) {
	for i := range targets {
		g := &targets[i]
		one := live.Trouble{Of: g.Name}
		if e := g.LastError; e != nil {
			one.Text = ": " + e.Text
		}
		switch g.Health {
		case live.HealthRefusing:
			one.Code, one.Text = live.TroubleRefusing, g.Name+" "+refusalOf(g)
		case live.HealthUnknown:
			one.Code, one.Since = live.TroubleUnknown, g.LastError.At
			one.Text = fmt.Sprintf("%s failed at %s, and no call has tried it since%s", g.Name,
				g.LastError.At.Format("15:04 UTC"), one.Text)
		case live.HealthFailing:
			one.Code, one.Text = live.TroubleFailing, g.Name+" fails"+one.Text
			for _, c := range g.Circuits {
				if c.Ping != "" {
					one.Text = fmt.Sprintf("%s does not answer OPTIONS: %s", g.Name, c.Ping)
				}
				if c.State != live.CircuitClosed {
					one.Since = c.Since
				}
			}
		default:
			continue
		}
		all = append(all, one)
	}
	return all
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
		return g.LastError.Text
	}
	return fmt.Sprintf("refuses every call with %s: %s (failover_on: [%[1]s] tries the next target)", g.Refusing.With, look)
}

// ofFigures returns the troubles that the calls of the last five minutes show.
func ofFigures(s *live.Stats) (all []live.Trouble) {
	add := func(code, text string, values ...any) {
		all = append(all, live.Trouble{Code: code, Text: fmt.Sprintf(text, values...)})
	}
	if s.AnswerRatio != nil && s.Decided >= judgedCalls && *s.AnswerRatio < fewAnswers {
		add(live.TroubleAnswers, "%d of %d new calls were answered", s.Answered, s.Decided)
	}
	for _, of := range s.Suffering {
		if of.Calls < fewUnheard || float64(of.Calls) <= muchUnheard*float64(s.Answered) {
			continue
		}
		all = append(all, live.Trouble{Code: of.Code, Of: of.Side, Text: sufferingOf(&of)})
	}
	if s.Loss != nil && *s.Loss > muchLoss {
		add(live.TroubleLoss, "%.1f %% of the RTP packets did not arrive in time", 100**s.Loss)
	}
	if s.MOS != nil && s.MOS.P5 < lowMOS && uint64(s.Calls)+s.Ended >= judgedCalls {
		add(live.TroubleQuality, "1 call in 20 sounds bad (MOS below %.1f)", lowMOS)
	}
	if p := s.Ports; p.Limit > 0 && float64(p.InUse) > manyPorts*float64(p.Limit) {
		add(live.TroublePorts, "%d of %d pairs of RTP ports are in use: without one, a call gets 503", p.InUse, p.Limit)
	}
	var why []string
	for _, reason := range []string{"full", "setups", "ports", "overload", "memory", "source_rate"} {
		if n := s.Rejected[reason]; n > 0 {
			why = append(why, fmt.Sprintf("%s %d", reason, n))
		}
	}
	if len(why) > 0 {
		add(live.TroubleCallsRefused, "calls got 503 in the last 5 minutes: %s", strings.Join(why, ", "))
	}
	return all
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

// ofServer returns the troubles of transcoders, registrations and splits.
func (t *troubles) ofServer(now time.Time) (all []live.Trouble) {
	server := t.node.server
	_, most, refused := server.Transcoders().Figures()
	t.mu.Lock()
	if uint64(refused) > t.refused {
		t.lacked = now
	}
	t.refused = uint64(refused)
	lacks := now.Sub(t.lacked) < recent
	t.mu.Unlock()
	if lacks {
		text := fmt.Sprintf("all %d transcoders were in use in the last 5 minutes: calls that need one get 503 (media.max_transcoded)", most)
		if most == 0 {
			text = "calls that need a transcoder get 503: media.max_transcoded is 0"
		}
		all = append(all, live.Trouble{Code: live.TroubleTranscoders, Text: text})
	}
	for _, r := range server.Registrations() {
		if r.State != registration.Registered && r.Failures > 0 {
			why := strings.TrimSpace(fmt.Sprintf("%d %s", r.Code, r.Reason))
			all = append(all, live.Trouble{
				Code: live.TroubleRegistration, Of: r.Trunk, Since: record.TimeOf(r.Since),
				Text: fmt.Sprintf("trunk %s is not registered, so its calls do not come: %s", r.Trunk,
					strings.TrimPrefix(why, "0 ")),
			})
		}
	}
	p := t.node.admission.Peers.Load()
	for i := range p.Routes {
		if r := &p.Routes[i]; r.Pinned {
			all = append(all, live.Trouble{
				Code: live.TroubleSplitPinned, Of: p.RouteName(i), Since: record.TimeOf(r.MovedAt),
				Text: fmt.Sprintf("%s of %s, %s", weightsOf(r), p.RouteName(i), r.Moved),
			})
		}
	}
	return all
}

// weightsOf returns the weights of a split as people say them.
func weightsOf(r *config.Route) string {
	var names, weights []string
	for _, s := range r.Split {
		names, weights = append(names, s.Name), append(weights, strconv.Itoa(s.Weight))
	}
	return strings.Join(weights, " : ") + " (" + strings.Join(names, ", ") + ")"
}

// ofFiles returns the troubles of certificates, files and webhooks.
func (t *troubles) ofFiles() (all []live.Trouble) {
	n := t.node
	add := func(code, of, text string) { all = append(all, live.Trouble{Code: code, Of: of, Text: text}) }
	for _, c := range n.withMissing(n.figures.sampled.Load().certificates) {
		switch {
		case c.Refused:
			add(live.TroubleNoCertificate, c.File, c.File+" "+c.Problem)
		case c.Problem != "":
			add(live.TroubleCertificate, c.File, c.File+" "+c.Problem)
		}
	}
	if n.archive == nil && n.config().Recording.Path != "" {
		add(live.TroubleRecordings, "", "calls are not recorded: the disk of recording.path took nothing at the start")
	}
	if kept := n.ladders.kept; kept != nil && kept.Err() != nil {
		add(live.TroubleLadders, "", fmt.Sprintf("calls have no ladder: %v", kept.Err()))
	}
	for _, w := range n.webhooks.Stats() {
		if !w.Failing.IsZero() {
			all = append(all, live.Trouble{
				Code: live.TroubleWebhook, Of: w.Name, Since: record.TimeOf(w.Failing),
				Text: fmt.Sprintf("the webhook %s is not taken: %s", w.Name, w.Reason),
			})
		}
	}
	if n.figures.reloads.failed.Load() {
		add(live.TroubleReload, "", "the configuration file was refused, and the old one is in force: a restart would fail (flowbridge check)")
	}
	return all
}

// ofFleet returns the troubles of the fleet's database and its other nodes.
func (t *troubles) ofFleet() (all []live.Trouble) {
	n := t.node
	if n.fleet == nil {
		return nil
	}
	s := n.fleet.Status()
	errs := map[string]bool{}
	for _, err := range []error{s.BeatError, s.DrainError} {
		if err != nil {
			errs[err.Error()] = true
		}
	}
	if len(errs) > 0 {
		all = append(all, live.Trouble{
			Code: live.TroubleFleet,
			Text: "the fleet's database does not serve this node: " + strings.Join(slices.Sorted(maps.Keys(errs)), "; "),
		})
	}
	if s.Missing > 0 {
		text := fmt.Sprintf("%d nodes of the fleet have vanished", s.Missing)
		all = append(all, live.Trouble{Code: live.TroubleNodesVanished, Text: text})
	}
	if n.seat != nil {
		if _, _, unprotected := n.seat.Figures(); unprotected > 0 {
			all = append(all, live.Trouble{
				Code: live.TroubleUnprotected,
				Text: fmt.Sprintf("%d answered calls end if this machine dies now: the fleet's database lacks their states", unprotected),
			})
		}
	}
	return all
}

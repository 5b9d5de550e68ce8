package node

import (
	"cmp"
	"context"
	"maps"
	"strings"
	"time"

	"flowbridge/b2bua/stir"
	"flowbridge/config"
	"flowbridge/store/fleet"
	"flowbridge/store/webhook"
	"flowbridge/telemetry"
	"flowbridge/telemetry/live"
)

// sampleEvery is how often the slow figures are read. A scrape must not wait for them.
const sampleEvery = 15 * time.Second

// sampled holds the slow figures.
type sampled struct {
	at     time.Time
	outbox map[string]int64     // waiting items, by consumer
	expiry map[string]time.Time // expiry of the certificates shown to peers, by file

	certificates []config.Certificate // shown to peers
	certificate  string               // what is wrong with one of them, or ""

	machine live.Machine
	cpu     time.Duration // that the process has used
}

// sample reads the slow figures again if they are too old. Only one goroutine calls it.
func (f *figures) sample(ctx context.Context, now time.Time) {
	last := f.sampled.Load()
	if now.Sub(last.at) < sampleEvery {
		return
	}
	s := &sampled{at: now, expiry: map[string]time.Time{}}
	ctx, cancel := context.WithTimeout(ctx, sampleEvery)
	defer cancel()
	var err error
	if s.outbox, err = f.node.store.OutboxSize(ctx); err != nil {
		s.outbox = maps.Clone(last.outbox) // cloned because a scrape may be reading it; the store's own alert has the reason
	}
	cfg := f.node.config()
	for _, consumer := range consumers(cfg) { // an empty outbox counts as 0
		if s.outbox == nil {
			s.outbox = map[string]int64{}
		}
		s.outbox[consumer] += 0
	}
	s.certificates = cfg.Certificates(now)
	all := f.node.withMissing(s.certificates)
	for _, c := range all {
		s.expiry[c.File] = time.Unix(0, 0)
		if c.Leaf != nil {
			s.expiry[c.File] = c.Leaf.NotAfter
		}
	}
	s.certificate = worstCertificate(all)
	s.machine = f.machine(last, s)
	renewed := !maps.EqualFunc(s.expiry, last.expiry, time.Time.Equal)
	was, _, _ := strings.Cut(last.certificate, nextTry)
	is, _, _ := strings.Cut(s.certificate, nextTry)
	if !last.at.IsZero() && (renewed || is != was) {
		f.node.live.Note("certificate", cmp.Or(s.certificate, "the certificates have changed, and are valid"))
	}
	f.sampled.Store(s)
}

// worstCertificate returns the problem to show: a certificate that peers refuse now comes before one that ends soon.
func worstCertificate(all []config.Certificate) (problem string) {
	for _, c := range all {
		if c.Problem != "" && (problem == "" || c.Refused) {
			problem = c.File + " " + c.Problem
		}
		if c.Refused {
			break
		}
	}
	return problem
}

// identityGauges adds the counts of verified callers.
func identityGauges(add telemetry.Add, v *stir.Verifier) {
	v.Counts(func(result string, n uint64) {
		add("identity_verifications_total", "Calls whose caller was verified.", float64(n), "result", result)
	})
	f := v.Fetches()
	for result, n := range map[string]uint64{"ok": f.OK, "failed": f.Failed, "cached": f.Cached} {
		add("identity_fetches_total", "Certificates of callers.", float64(n), "result", result)
	}
}

// partGauges adds the figures of the node's parts.
func (f *figures) partGauges(add telemetry.Add) {
	s := f.sampled.Load()
	for consumer, items := range s.outbox {
		add("outbox_records", "Records that wait in the database for a fleet or a webhook.", float64(items),
			"consumer", consumer)
	}
	for file, until := range s.expiry {
		add("certificate_expiry_timestamp_seconds", "When a certificate that peers are shown ends. 0: there is none yet.", float64(until.Unix()),
			"file", file)
	}
	add("config_last_reload_success_timestamp_seconds", "When the configuration in force was read.",
		float64(f.reloads.at.Load().Unix()))
	add("config_last_reload_successful", "Whether the last attempt to read the configuration succeeded.",
		telemetry.OneIf(!f.reloads.failed.Load()))
	changed := false
	if f.node.out != nil {
		_, _, until := f.node.out.Level()
		changed = !until.IsZero()
	}
	add("log_level_changed", "Whether the log has another level than the configuration, for a while.",
		telemetry.OneIf(changed))
	add("store_broken",
		"Whether the last write to the database or the journal failed. Calls go on, and records wait in memory.",
		telemetry.OneIf(f.node.store.Err() != nil))
	add("journal_dropped_total", "Updates of live calls that were left out because the disk was too slow or full.",
		float64(max(0, f.node.store.Dropped())))
	add("store_set_aside", "Whether this process has set a damaged database aside, and begun a new one.",
		telemetry.OneIf(f.node.store.SetAside() != ""))
	add("store_unreadable_records",
		"Records of the database that could not be read, and were left out of lists; 1000 at most.",
		float64(len(f.node.store.Unreadable())))
	if f.node.server != nil { // otherwise the node stands by
		f.serverGauges(add)
	}
	webhookGauges(add, f.node.webhooks.Stats())
	for _, p := range f.node.parts {
		if p.gauges != nil {
			p.gauges(add)
		}
	}
}

// serverGauges adds the figures of a node that takes calls.
func (f *figures) serverGauges(add telemetry.Add) {
	for _, q := range f.node.admission.Waiting() {
		add("queue_calls", "Callers that wait for a place at a target of a route.", float64(q.Calls), "route", q.Route)
		add("queue_limit", "How many may wait at once, queue.limit.", float64(q.Limit), "route", q.Route)
	}
	used, most, refused := f.node.server.Transcoders().Figures()
	add("transcoded_calls", "Calls with a transcoder between Opus and G.711, or with a place for one.", float64(used))
	add("transcoded_calls_limit", "How many calls may have one, media.max_transcoded. 0: none.", float64(most))
	add("transcoders_refused_total", "How often a call needed a transcoder and found none free.", float64(refused))
	identityGauges(add, f.node.server.Verifier())
}

func fleetGauges(add telemetry.Add, s fleet.Status) {
	add("fleet_nodes", "Nodes that share the caps, this one included.", float64(s.Nodes))
	add("fleet_nodes_vanished", "Nodes that the database has not seen for 6 s, though they did not leave.",
		float64(s.Missing))
	add("fleet_reached", "Whether the fleet's database answers this node.", telemetry.OneIf(s.BeatError == nil))
	add("fleet_draining_ok", "Whether the fleet's database takes this node's records.",
		telemetry.OneIf(s.DrainError == nil))
	add("fleet_records_delivered_total", "Records that the fleet's database took.", float64(s.Drained))
}

// exporting returns a function that adds the figures of an exporter, which never waits for its
// receiver.
func exporting(name, what string, sent, dropped func() uint64) func(telemetry.Add) {
	return func(add telemetry.Add) {
		add(name+"_sent_total", what+" that were sent.", float64(sent()))
		add(name+"_dropped_total", what+" that were left out, because the receiver was away or too slow.",
			float64(dropped()))
	}
}

func webhookGauges(add telemetry.Add, hooks []webhook.Stats) {
	for _, w := range hooks {
		add("webhook_delivered_total", "Items that a webhook's receiver took.", float64(w.Delivered), "webhook", w.Name)
		add("webhook_failed_requests_total", "Requests that a webhook's receiver did not take. They are repeated.",
			float64(w.Failed), "webhook", w.Name)
		add("webhook_given_up_total", "Items that were never taken, and are not tried any more.", float64(w.GivenUp),
			"webhook", w.Name)
		add("webhook_failing", "Whether no request to a webhook's receiver has succeeded since one failed.",
			telemetry.OneIf(!w.Failing.IsZero()), "webhook", w.Name)
	}
}

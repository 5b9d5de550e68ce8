package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"maps"
	"time"

	"flowbridge/b2bua/stir"
	"flowbridge/store/fleet"
	"flowbridge/store/webhook"
	"flowbridge/telemetry"
)

// sampleEvery is how often the figures are taken that a scrape must not wait for.
const sampleEvery = 15 * time.Second

// sampled are those figures.
type sampled struct {
	at     time.Time
	outbox map[string]int64     // items that wait, by consumer
	expiry map[string]time.Time // of the certificates of listeners, by file
}

// sample takes the figures anew if they are too old. One goroutine alone calls it.
func (f *figures) sample(ctx context.Context, now time.Time) {
	last := f.sampled.Load()
	if last != nil && now.Sub(last.at) < sampleEvery {
		return
	}
	s := &sampled{at: now, expiry: map[string]time.Time{}}
	ctx, cancel := context.WithTimeout(ctx, sampleEvery)
	defer cancel()
	var err error
	if s.outbox, err = f.node.store.OutboxSize(ctx); err != nil && last != nil {
		s.outbox = maps.Clone(last.outbox) // a scrape may be reading it; the store's own alert says what is wrong
	}
	cfg := f.node.config()
	for _, consumer := range consumers(cfg) { // one whose outbox is empty has 0
		if s.outbox == nil {
			s.outbox = map[string]int64{}
		}
		s.outbox[consumer] += 0
	}
	for file, key := range map[string]string{cfg.SIP.TLS.Cert: cfg.SIP.TLS.Key, cfg.Hooks.TLS.Cert: cfg.Hooks.TLS.Key} {
		if until, ok := expiryOf(file, key); ok {
			s.expiry[file] = until
		}
	}
	f.sampled.Store(s)
}

// expiryOf is when a certificate ends; not ok: there is none, or it can't be read, which the log has.
func expiryOf(cert, key string) (time.Time, bool) {
	if cert == "" {
		return time.Time{}, false
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return time.Time{}, false
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return time.Time{}, false
	}
	return leaf.NotAfter, true
}

// identityGauges count the callers that were verified.
func identityGauges(v *stir.Verifier) (all []telemetry.Gauge) {
	v.Counts(func(result string, n uint64) {
		all = append(all, telemetry.Gauge{
			Name: "identity_verifications_total", Help: "Calls whose caller was verified.",
			Labels: []string{"result", result}, Value: float64(n),
		})
	})
	f := v.Fetches()
	for result, n := range map[string]uint64{"ok": f.OK, "failed": f.Failed, "cached": f.Cached} {
		all = append(all, telemetry.Gauge{
			Name: "identity_fetches_total", Help: "Certificates of callers.",
			Labels: []string{"result", result}, Value: float64(n),
		})
	}
	return all
}

// partGauges are the figures of the parts that only some nodes have.
func (f *figures) partGauges() (all []telemetry.Gauge) {
	if s := f.sampled.Load(); s != nil {
		for consumer, items := range s.outbox {
			all = append(all, telemetry.Gauge{
				Name: "outbox_records",
				Help: "Records that wait in the database for a fleet or a webhook.", Labels: []string{"consumer", consumer},
				Value: float64(items),
			})
		}
	}
	all = append(all,
		telemetry.Gauge{
			Name:  "store_set_aside",
			Help:  "Whether this process has set a damaged database aside, and begun a new one.",
			Value: oneIf(f.node.store.SetAside() != ""),
		},
		telemetry.Gauge{
			Name:  "store_unreadable_records",
			Help:  "Records of the database that could not be read, and were left out of lists; 1000 at most.",
			Value: float64(len(f.node.store.Unreadable())),
		})
	if f.node.server != nil { // else it stands by
		all = append(all, f.serverGauges()...)
	}
	all = append(all, webhookGauges(f.node.webhooks.Stats())...)
	for _, p := range f.node.parts {
		if p.gauges != nil {
			all = append(all, p.gauges()...)
		}
	}
	return all
}

// serverGauges are the figures of a node that takes calls.
func (f *figures) serverGauges() (all []telemetry.Gauge) {
	for _, q := range f.node.admission.Waiting() {
		label := []string{"route", q.Route}
		all = append(all,
			telemetry.Gauge{
				Name: "queue_calls", Help: "Callers that wait for a place at a target of a route.", Labels: label,
				Value: float64(q.Calls),
			},
			telemetry.Gauge{
				Name: "queue_limit", Help: "How many may wait at once, queue.limit.", Labels: label,
				Value: float64(q.Limit),
			})
	}
	return append(all, identityGauges(f.node.server.Verifier())...)
}

func fleetGauges(s fleet.Status) []telemetry.Gauge {
	return []telemetry.Gauge{
		{Name: "fleet_nodes", Help: "Nodes that share the caps, this one included.", Value: float64(s.Nodes)},
		{
			Name: "fleet_nodes_vanished", Help: "Nodes that the database has not seen for 6 s, though they did not leave.",
			Value: float64(s.Missing),
		},
		{Name: "fleet_reached", Help: "Whether the fleet's database answers this node.", Value: oneIf(s.BeatError == nil)},
		{
			Name: "fleet_draining_ok", Help: "Whether the fleet's database takes this node's records.",
			Value: oneIf(s.DrainError == nil),
		},
		{Name: "fleet_records_delivered_total", Help: "Records that the fleet's database took.", Value: float64(s.Drained)},
	}
}

// exporting are the figures of a part that sends something elsewhere, and never waits for it.
func exporting(name, what string, sent, dropped func() uint64) func() []telemetry.Gauge {
	return func() []telemetry.Gauge {
		return []telemetry.Gauge{
			{Name: name + "_sent_total", Help: what + " that were sent.", Value: float64(sent())},
			{
				Name: name + "_dropped_total", Help: what + " that were left out, because the receiver was away or too slow.",
				Value: float64(dropped()),
			},
		}
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// expiries are when the certificates of listeners end, by file.
func (f *figures) expiries() map[string]time.Time {
	if s := f.sampled.Load(); s != nil {
		return maps.Clone(s.expiry)
	}
	return nil
}

func webhookGauges(hooks []webhook.Stats) (all []telemetry.Gauge) {
	for _, w := range hooks {
		label := []string{"webhook", w.Name}
		all = append(all,
			telemetry.Gauge{
				Name: "webhook_delivered_total", Help: "Items that a webhook's receiver took.", Labels: label,
				Value: float64(w.Delivered),
			},
			telemetry.Gauge{
				Name: "webhook_failed_requests_total",
				Help: "Requests that a webhook's receiver did not take. They are repeated.", Labels: label,
				Value: float64(w.Failed),
			},
			telemetry.Gauge{
				Name: "webhook_given_up_total", Help: "Items that were never taken, and are not tried any more.",
				Labels: label, Value: float64(w.GivenUp),
			},
			telemetry.Gauge{
				Name: "webhook_failing",
				Help: "Whether no request to a webhook's receiver has succeeded since one failed.", Labels: label,
				Value: oneIf(!w.Failing.IsZero()),
			})
	}
	return all
}

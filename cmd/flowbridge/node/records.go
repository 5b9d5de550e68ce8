package node

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/internal/periodic"
	"flowbridge/store"
	"flowbridge/store/fleet"
	"flowbridge/store/webhook"
)

// consumers returns the consumers that get an outbox item for each change of a finished call.
func consumers(cfg *config.Config) (names []string) {
	if cfg.Fleet.On() {
		names = append(names, fleet.Consumer)
	}
	for _, h := range hooksOf(cfg) {
		names = append(names, h.Consumer())
	}
	return names
}

// hooksOf returns the receivers of a configuration.
func hooksOf(cfg *config.Config) (all []webhook.Hook) {
	for i := range cfg.Webhooks {
		w := &cfg.Webhooks[i]
		all = append(all, webhook.Hook{
			Name: w.Name, URL: w.URL, Secret: w.Secret.Reveal(),
			Timeout: 10 * time.Second, GiveUp: 3 * 24 * time.Hour, Concurrent: 4,
		})
	}
	return all
}

// tellOthers sets the outbox's consumers to those of a configuration. Items for a consumer that is no longer
// configured are lost.
func (n *Node) tellOthers(ctx context.Context, cfg *config.Config) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	lost, err := n.store.SetConsumers(ctx, consumers(cfg)...)
	for consumer, items := range lost {
		n.log.Warn().Str("consumer", consumer).Int64("items", items).Msg("outbox of a removed consumer deleted")
	}
	if err != nil {
		n.log.Warn().Err(err).Msg("outbox not updated to the configuration")
	}
	n.webhooks.Set(hooksOf(cfg))
}

// purgeHourly removes old records. It runs beside tend, because many records may take a while.
func purgeHourly(ctx context.Context, s *store.Store, keep func() time.Duration, log *zerolog.Logger) {
	removeOld := func() { purge(ctx, s, time.Now().Add(-keep()), log) }
	removeOld()
	periodic.Run(ctx, purgeEvery, removeOld)
}

// purge deletes records that are older than limit.
func purge(ctx context.Context, s *store.Store, limit time.Time, log *zerolog.Logger) {
	gone, err := s.Purge(ctx, limit)
	if gone > 0 {
		log.Info().Int64("records", gone).Msg("old records removed")
	}
	lost, lostErr := s.PurgeOutbox(ctx, limit)
	for consumer, items := range lost {
		log.Error().Str("consumer", consumer).Int64("items", items).
			Msg("outbox items lost: they waited longer than store.keep")
	}
	for _, err := range []error{err, lostErr} {
		if err != nil && ctx.Err() == nil {
			log.Warn().Err(err).Msg("old records not removed")
		}
	}
}

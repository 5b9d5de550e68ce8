package node

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/internal/publicaddr"
)

// FindAddress sets the public address of a configuration with advertise: auto. It warns if the address differs
// from the one at the last start, which carriers and firewalls may still have.
func FindAddress(ctx context.Context, cfg *config.Config, log zerolog.Logger) error {
	if !cfg.FindsAddress() {
		return nil
	}
	return cfg.FindAddress(func(server string) (netip.Addr, error) {
		addr, from, err := publicaddr.Find(ctx, server)
		if err != nil {
			return addr, fmt.Errorf("advertise: the public address is not found: %w; write it in sip.advertise and media.advertise", err)
		}
		log.Info().Stringer("address", addr).Str("from", from).Msg("public address found")
		file := cfg.Store.Path + ".address"
		last, err := os.ReadFile(file)
		if was := strings.TrimSpace(string(last)); err == nil && was != addr.String() {
			log.Warn().Str("before", was).Stringer("address", addr).
				Msg("the public address is another one than at the last start")
		}
		_ = os.Remove(file) // what a link leads to is not written
		if err := os.WriteFile(file, []byte(addr.String()+"\n"), 0o600); err != nil {
			log.Info().Err(err).Msg("public address not saved for the next start")
		}
		return addr, nil
	})
}

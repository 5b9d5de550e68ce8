package node

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"flowbridge/config"
	"flowbridge/internal/acme"
)

// keepCertificate keeps the certificate of sip.tls.acme valid. Nodes of a fleet with the same secret share one.
func (n *Node) keepCertificate(ctx context.Context, cfg *config.ListenTLS) error {
	if !cfg.ACME.On() {
		return nil
	}
	k := &acme.Keeper{Config: acme.Config{
		Domains: cfg.ACME.Domains, Directory: cfg.ACME.Directory, CA: cfg.ACME.CA,
		Challenge: acme.HTTP01, Listen: cfg.ACME.Listen.AddrPort.String(),
		File: cfg.Cert, Account: cfg.ACME.Account(cfg.Cert), Log: n.log,
	}}
	if cfg.ACME.Listen.Transport == config.TransportTLS {
		k.Challenge = acme.TLSALPN01
	}
	if n.fleet != nil && n.fleet.Seat != nil {
		share, err := n.fleet.Seat.Certificate(k.Domains)
		if err != nil {
			return err
		}
		k.Share = share
	}
	n.troubles.keeper = k
	var running sync.WaitGroup
	n.add(part{
		begin: func() { running.Go(func() { k.Run(ctx) }) },
		close: func() error { running.Wait(); return nil },
	})
	return nil
}

// nextTry comes before the time of the next order in a certificate's problem.
const nextTry = "; next try at "

// withMissing adds the certificate of sip.tls.acme to the others if there is none that can be used.
func (n *Node) withMissing(all []config.Certificate) []config.Certificate {
	k := n.troubles.keeper
	if k == nil {
		return all
	}
	next, why := k.State()
	text := ""
	if why != nil {
		text = fmt.Sprintf("; %v", why)
	}
	if !next.IsZero() {
		text += nextTry + next.UTC().Format("15:04:05 UTC")
	}
	i := slices.IndexFunc(all, func(c config.Certificate) bool { return c.File == k.File })
	if i < 0 {
		return append(all, config.Certificate{
			File: k.File, Refused: true, Problem: "has no certificate: TLS callers are refused" + text,
		})
	}
	if all[i].Problem != "" {
		all = slices.Clone(all)
		all[i].Problem += text
	}
	return all
}

package node

import (
	"context"
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
		Domains: cfg.ACME.Domains, Email: cfg.ACME.Email, Directory: cfg.ACME.Directory, CA: cfg.ACME.CA,
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
	var running sync.WaitGroup
	n.add(part{
		begin: func() { running.Go(func() { k.Run(ctx) }) },
		close: func() error { running.Wait(); return nil },
	})
	return nil
}

package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/config"
)

// certificates holds our own certificates and the trusted authorities. It reads a file again after the
// file has changed. If the new content is unusable, the old content stays in use.
type certificates struct {
	own config.ListenTLS
	log zerolog.Logger

	mu    sync.Mutex
	pairs map[[2]string]*watched[*tls.Certificate] // by the file names of certificate and key
	pools map[string]*watched[*x509.CertPool]      // by file name
}

// watched is a value read from files. stamps are the files' modification times, and checked is when they
// were last looked at.
type watched[T any] struct {
	value   T
	stamps  [2]time.Time
	checked time.Time
}

// certificateAge is how often the files are checked for changes.
const certificateAge = time.Second

func newCertificates(own config.ListenTLS, log zerolog.Logger) *certificates {
	return &certificates{
		own: own, log: log,
		pairs: map[[2]string]*watched[*tls.Certificate]{}, pools: map[string]*watched[*x509.CertPool]{},
	}
}

// server returns the TLS configuration for peers that connect to us.
func (c *certificates) server() *tls.Config {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.pair(c.own.Cert, c.own.Key)
		},
	}
	if c.own.ClientCA == "" {
		return cfg
	}
	cfg.ClientAuth = tls.VerifyClientCertIfGiven
	pool, err := c.pool(c.own.ClientCA)
	if err != nil { // an empty pool trusts no certificate
		c.log.Error().Err(err).Msg("sip.tls.client_ca not usable")
		pool = x509.NewCertPool()
	}
	cfg.ClientCAs = pool
	return cfg
}

// client performs the TLS handshake with a peer that we connect to. The peer's certificate must have the
// peer's name and come from a trusted authority.
func (c *certificates) client(ctx context.Context, conn net.Conn, peer streamPeer) (*tls.Conn, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: peer.serverName}
	if peer.tls.CA != "" {
		pool, err := c.pool(peer.tls.CA)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = pool
	}
	if peer.tls.Cert != "" {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.pair(peer.tls.Cert, peer.tls.Key)
		}
	}
	tc := tls.Client(conn, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return tc, nil
}

func (c *certificates) pair(cert, key string) (*tls.Certificate, error) {
	return fresh(c, c.pairs, [2]string{cert, key}, [2]string{cert, key}, func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key)
		return &pair, err
	})
}

func (c *certificates) pool(file string) (*x509.CertPool, error) {
	return fresh(c, c.pools, file, [2]string{file, file}, func() (*x509.CertPool, error) {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%s holds no certificate", file)
		}
		return pool, nil
	})
}

// fresh returns the value that was read from files. It reads the files again if they have changed. If
// that fails, it returns the old value.
func fresh[K comparable, V any](c *certificates, known map[K]*watched[V], key K, files [2]string,
	read func() (V, error),
) (V, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := known[key]
	now := time.Now()
	if w != nil && now.Sub(w.checked) < certificateAge {
		return w.value, nil
	}
	var stamps [2]time.Time
	for i, f := range files {
		if st, err := os.Stat(f); err == nil {
			stamps[i] = st.ModTime()
		}
	}
	if w != nil && w.stamps == stamps {
		w.checked = now
		return w.value, nil
	}
	value, err := read()
	switch {
	case err == nil:
		known[key] = &watched[V]{value, stamps, now}
		if w != nil {
			c.log.Info().Str("file", files[0]).Msg("certificate reloaded")
		}
		return value, nil
	case w != nil: // the new file is incomplete, or was removed
		w.checked = now
		c.log.Warn().Err(err).Str("file", files[0]).Msg("new certificate not usable: keeping the old one")
		return w.value, nil
	default:
		return value, err
	}
}

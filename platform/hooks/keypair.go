package hooks

import (
	"crypto/tls"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// lookInterval is how often the files of a certificate are looked at, at most.
const lookInterval = time.Second

// keyPair is a certificate with its key, read again when a file has changed. An unusable one leaves the old one in
// force.
type keyPair struct {
	cert, key string
	log       zerolog.Logger
	now       func() time.Time

	mu     sync.Mutex
	looked time.Time
	pair   *tls.Certificate
	stamps stamps // of pair
	warned stamps // of the last unusable one
}

// stamps are the files' times of change; zero for a missing file.
type stamps [2]time.Time

func newKeyPair(o Options) (*keyPair, error) {
	k := &keyPair{cert: o.Cert, key: o.Key, log: o.Log, now: o.now}
	if k.now == nil {
		k.now = time.Now
	}
	k.looked, k.stamps = k.now(), k.look()
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	k.pair = &pair
	return k, err
}

// get gives the certificate in force.
func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.now(); now.Sub(k.looked) >= lookInterval {
		k.looked = now
		k.renew()
	}
	return k.pair, nil
}

// renew reads the files if they have changed.
func (k *keyPair) renew() {
	seen := k.look()
	if seen == k.stamps {
		return
	}
	// An unusable one is tried again, because its files may be readable by now.
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	switch {
	case err == nil:
		k.pair, k.stamps = &pair, seen
		k.log.Info().Str("cert", k.cert).Msg("hooks.tls: the new certificate is in force")
	case seen != k.warned:
		k.warned = seen
		k.log.Warn().Err(err).Str("cert", k.cert).Str("key", k.key).
			Msg("hooks.tls: the new certificate can't be used, the old one stays")
	}
}

func (k *keyPair) look() (s stamps) {
	for i, file := range []string{k.cert, k.key} {
		if st, err := os.Stat(file); err == nil {
			s[i] = st.ModTime()
		}
	}
	return s
}

package hooks

import (
	"crypto/tls"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// lookInterval is the minimum time between two checks of a certificate's files.
const lookInterval = time.Second

// keyPair is a certificate with its key, which is read again when a file has changed. If the new pair can't be used,
// the old one stays in force.
type keyPair struct {
	cert, key string
	log       zerolog.Logger
	now       func() time.Time

	mu     sync.Mutex
	looked time.Time
	pair   *tls.Certificate
	stamps stamps // times of the files of pair
	warned stamps // times of the files that could not be used last
}

// stamps are the files' modification times; zero for a missing file.
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

// get returns the certificate in force.
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
	// A pair that could not be used is tried again, because its files may be readable by now.
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	switch {
	case err == nil:
		k.pair, k.stamps = &pair, seen
		k.log.Info().Str("cert", k.cert).Msg("hooks.tls: using the new certificate")
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

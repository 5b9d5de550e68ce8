// Package acme gets the certificate of our TLS listeners from an authority by ACME (RFC 8555), and renews it. The
// listeners read it from a file, as any other certificate, so a renewal touches no connection.
//
// golang.org/x/crypto/acme does the protocol. Its autocert waits for the first handshake, wants a server name in it,
// and has no lock for a fleet; certmagic adds thirty modules.
package acme

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/acme"
)

const (
	// lookEvery is the longest time between two looks at the certificate, and lookSoon the time while there is none that
	// can be used, or another node orders one.
	lookEvery = time.Hour
	lookSoon  = 10 * time.Second

	// After a failure the next order waits for retryFirst, then twice as long each time, up to retryMost. An authority may
	// ask for more, up to retryAsked.
	retryFirst = time.Minute
	retryMost  = time.Hour
	retryAsked = 24 * time.Hour

	// orderTimeout bounds an order.
	orderTimeout = 5 * time.Minute
)

// The challenges.
const (
	HTTP01    = "http-01"
	TLSALPN01 = "tls-alpn-01"
)

// Config says which certificate is wanted, and from whom.
type Config struct {
	Domains   []string
	Directory string // the authority's URL
	CA        string // a PEM file of authorities that the authority's own certificate is from; empty: the system's
	Challenge string // how it asks: HTTP01 or TLSALPN01
	Listen    string // where it asks, during an order

	File    string // the certificate, its chain and its key, as PEM
	Account string // the account's key, as PEM

	Share Share // nil: this node has its own certificate
	Log   zerolog.Logger
}

// Share is where the nodes of a fleet share one certificate.
type Share interface {
	// Certificate returns what Publish was last given, or nil.
	Certificate(ctx context.Context) ([]byte, error)
	Publish(ctx context.Context, pem []byte) error
	// Turn reports whether this node may order. If so, no other node may for that time.
	Turn(ctx context.Context, d time.Duration) (bool, error)
}

// Keeper keeps a certificate valid.
type Keeper struct {
	Config
	failures   int       // of orders, one after the other
	orderAfter time.Time // the authority is not asked before
	issued     []byte    // the disk has not taken it yet
	told       bool      // there is a problem besides the authority, and the log says so

	mu   sync.Mutex // guards the fields below
	next time.Time
	why  error
}

// State says when the next try is due, and why the last one got no certificate. Both are zero after a success, and
// before the first try.
func (k *Keeper) State() (next time.Time, why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.next, k.why
}

func (k *Keeper) setState(next time.Time, why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next, k.why = next, why
}

// Run keeps the certificate valid until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for {
		select {
		case <-time.After(k.look(ctx)):
		case <-ctx.Done():
			return
		}
	}
}

// look gets a new certificate if it is time, and returns when to look again.
func (k *Keeper) look(ctx context.Context) time.Duration {
	if leaf, err := k.usable(k.issued); err == nil {
		return k.keep(ctx, leaf)
	}
	have, err := k.current(ctx)
	now := time.Now()
	at := renewal(have)
	mine := !now.Before(at) && !now.Before(k.orderAfter)
	if mine && k.Share != nil {
		var away error
		mine, away = k.Share.Turn(ctx, orderTimeout)
		mine, err = mine && away == nil, cmp.Or(err, away)
	}
	k.tell(ctx, err)
	switch {
	case now.Before(at):
		k.setState(time.Time{}, nil)
		return min(at.Sub(now), lookEvery)
	case !mine && k.Share != nil: // another node may get one
		return lookSoon
	case !mine:
		return k.orderAfter.Sub(now)
	case have == nil && k.failures == 0:
		k.Log.Info().Strs("domains", k.Domains).Msg("no certificate yet: refusing TLS handshakes until the CA issues one")
	}
	bounded, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	got, text, err := k.order(bounded)
	switch {
	case err == nil:
		k.failures, k.issued = 0, text
		k.setState(time.Time{}, nil)
		return k.keep(ctx, got)
	case ctx.Err() != nil:
		return lookEvery
	}
	k.failures = min(k.failures+1, 10)
	pause := min(retryFirst<<(k.failures-1), retryMost)
	if asked := askedPause(err); asked > pause {
		pause = min(asked, retryAsked)
	}
	k.orderAfter = time.Now().Add(pause)
	k.setState(k.orderAfter, told(err))
	line := k.Log.Warn().Err(told(err)).Strs("domains", k.Domains).Stringer("retry_in", pause)
	if have != nil {
		line.Time("valid_until", have.NotAfter)
	}
	line.Msg("the CA issued no certificate")
	if k.Share != nil {
		return lookSoon
	}
	return pause
}

// tell logs the begin of a problem that is no fault of the authority. Looks may follow each other soon.
func (k *Keeper) tell(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && !k.told {
		k.Log.Warn().Err(err).Msg("certificate not usable")
	}
	k.told = err != nil
}

// askedPause returns how long an authority asks us to wait.
func askedPause(err error) time.Duration {
	said, is := errors.AsType[*acme.Error](err)
	if !is {
		return 0
	}
	pause, _ := acme.RateLimit(said)
	return pause
}

// renewal returns when a certificate is renewed: after two thirds of its time. The zero time means at once.
func renewal(c *x509.Certificate) (at time.Time) {
	if c != nil {
		at = c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 2 / 3)
	}
	return at
}

// current returns the certificate in force, or nil. It first takes over a newer one of the fleet.
func (k *Keeper) current(ctx context.Context) (*x509.Certificate, error) {
	var have *x509.Certificate
	if text, err := os.ReadFile(k.File); err == nil {
		have, _ = k.usable(text) // otherwise it is replaced
	}
	if k.Share == nil {
		return have, nil
	}
	text, err := k.Share.Certificate(ctx)
	if err != nil || text == nil {
		return have, err
	}
	theirs, err := k.usable(text)
	if err != nil {
		return have, err
	}
	if have != nil && !theirs.NotAfter.After(have.NotAfter) {
		return have, nil
	}
	if err := write(k.File, text); err != nil {
		return have, err
	}
	k.Log.Info().Strs("domains", k.Domains).Time("valid_until", theirs.NotAfter).Msg("certificate received from the fleet")
	return theirs, nil
}

// keep puts the issued certificate where listeners and other nodes find it, and returns when to look again. If the disk
// does not take it, the next look tries again: a second order would count against the authority's limits.
func (k *Keeper) keep(ctx context.Context, leaf *x509.Certificate) time.Duration {
	err := write(k.File, k.issued)
	k.tell(ctx, err)
	if err != nil {
		return lookSoon
	}
	if k.Share != nil {
		if err := k.Share.Publish(ctx, k.issued); err != nil {
			k.Log.Warn().Err(err).Msg("new certificate not shared with other nodes")
		}
	}
	k.issued = nil
	k.Log.Info().Strs("domains", k.Domains).Time("valid_until", leaf.NotAfter).Msg("certificate received")
	if wait := time.Until(renewal(leaf)); wait > 0 {
		return min(wait, lookEvery)
	}
	return lookEvery // the authority's clock is wrong, or it lies: it is not asked again and again
}

// usable returns the certificate of a PEM text with its key, if peers accept it now for every domain.
func (k *Keeper) usable(text []byte) (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("the certificate can't be used: %w", err)
	}
	for _, name := range k.Domains {
		if err := pair.Leaf.VerifyHostname(name); err != nil {
			return nil, fmt.Errorf("the certificate can't be used: %w", err)
		}
	}
	if now := time.Now(); now.Before(pair.Leaf.NotBefore) || now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("the certificate can't be used: it is valid from %s to %s",
			pair.Leaf.NotBefore.UTC().Format(time.RFC3339), pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return pair.Leaf, nil
}

// accountKey returns the account's key. The first call makes one.
func (k *Keeper) accountKey() (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(k.Account)
	if err == nil {
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("%s has no key: remove it, and a new account is made", k.Account)
		}
		return x509.ParseECPrivateKey(block.Bytes)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	key, text, err := newKey()
	if err != nil {
		return nil, err
	}
	return key, write(k.Account, text)
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
}

// write replaces a file, which only the process's user can read.
func write(file string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// chainOf returns a chain and its key as PEM.
func chainOf(key []byte, chain [][]byte) []byte {
	text := slices.Clone(key)
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text
}

package dtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	_ "crypto/sha512" // hashes of fingerprints
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
)

// Identity is our self-signed certificate. The peer verifies only its fingerprint.
type Identity struct {
	certificate tls.Certificate
	fingerprint string
}

// NewIdentity returns the identity for a key. The same key always gives the same identity.
func NewIdentity(key [32]byte) (*Identity, error) {
	seed, err := hkdf.Key(sha256.New, key[:], nil, "flowbridge DTLS-SRTP certificate", 48)
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	// FIPS 186-5 A.2.1: use 128 more random bits than the order has, so that all keys are equally likely.
	curve := elliptic.P256()
	order := new(big.Int).Sub(curve.Params().N, big.NewInt(1))
	d := new(big.Int).Mod(new(big.Int).SetBytes(seed), order)
	private, err := ecdsa.ParseRawPrivateKey(curve, d.Add(d, big.NewInt(1)).FillBytes(make([]byte, 32)))
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "flowbridge"},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(nil, &template, &template, private.Public(), repeatable{private})
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	return &Identity{
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private},
		fingerprint: fingerprint("sha-256", crypto.SHA256, der),
	}, nil
}

// repeatable is a signer that always gives the same signature for a digest (RFC 6979).
type repeatable struct{ *ecdsa.PrivateKey }

// Sign implements crypto.Signer. It ignores the source of randomness.
func (r repeatable) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return r.PrivateKey.Sign(nil, digest, opts)
}

// Fingerprint returns the value of a=fingerprint for the certificate (RFC 8122 §5).
func (i *Identity) Fingerprint() string { return i.fingerprint }

// fingerprint returns a certificate's value of a=fingerprint for a hash.
func fingerprint(name string, hash crypto.Hash, der []byte) string {
	h := hash.New()
	h.Write(der)
	digits := strings.ToUpper(hex.EncodeToString(h.Sum(nil)))
	b := append([]byte(name), ' ')
	for i := 0; i < len(digits); i += 2 {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[i:i+2]...)
	}
	return string(b)
}

// matches reports whether a certificate has one of these fingerprints. A fingerprint with an unknown hash never
// matches.
func matches(der []byte, fingerprints []string) bool {
	for _, f := range fingerprints {
		name, _, _ := strings.Cut(f, " ")
		var hash crypto.Hash
		switch strings.ToLower(name) {
		case "sha-256":
			hash = crypto.SHA256
		case "sha-384":
			hash = crypto.SHA384
		case "sha-512":
			hash = crypto.SHA512
		default:
			continue
		}
		if strings.EqualFold(f, fingerprint(name, hash, der)) {
			return true
		}
	}
	return false
}

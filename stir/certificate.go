package stir

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// maxChain bounds the certificates at one URL.
const maxChain = 8

// tnAuthList is the extension that says for which numbers a certificate speaks (RFC 8226
// section 9).
func tnAuthList() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 26} }

var (
	errNoCertificate = errors.New("no certificate")
	errKey           = errors.New("a certificate whose key is not of P-256")
	errAuthority     = errors.New("a certificate of an authority")
	errUsage         = errors.New("a certificate that may not sign")
	errNoTNAuthList  = errors.New("a certificate without TNAuthList")
	errTNAuthList    = errors.New("a TNAuthList that is not well-formed")
	errNotTheirs     = errors.New("a number that is not in the certificate's TNAuthList")
)

// chain is a certificate with those between it and a root.
type chain struct {
	leaf          *x509.Certificate
	key           *ecdsa.PublicKey
	intermediates *x509.CertPool
	authority     authority
}

// readChain reads certificates, the signer's first: PEM, or one as DER.
func readChain(data []byte) (*chain, error) {
	var all []*x509.Certificate
	for rest := data; len(all) <= maxChain; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		cert, err := x509.ParseCertificate(data)
		if err != nil {
			return nil, errNoCertificate
		}
		all = append(all, cert)
	}
	if len(all) > maxChain {
		return nil, fmt.Errorf("more than %d certificates", maxChain)
	}
	return newChain(all)
}

func newChain(all []*x509.Certificate) (*chain, error) {
	c := &chain{leaf: all[0], intermediates: x509.NewCertPool()}
	for _, cert := range all[1:] {
		c.intermediates.AddCert(cert)
	}
	var ok bool
	if c.key, ok = c.leaf.PublicKey.(*ecdsa.PublicKey); !ok || c.key.Curve != elliptic.P256() {
		return nil, errKey
	}
	switch {
	case c.leaf.IsCA:
		return nil, errAuthority
	case c.leaf.KeyUsage != 0 && c.leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, errUsage
	}
	for _, e := range c.leaf.Extensions {
		if !e.Id.Equal(tnAuthList()) {
			continue
		}
		var err error
		if c.authority, err = readAuthority(e.Value); err != nil {
			return nil, err
		}
		c.leaf.UnhandledCriticalExtensions = slices.DeleteFunc(c.leaf.UnhandledCriticalExtensions, tnAuthList().Equal)
		return c, nil
	}
	return nil, errNoTNAuthList
}

// trusted reports why a chain leads to none of the roots, and until when it does.
func (c *chain) trusted(roots *x509.CertPool, now time.Time) (until time.Time, err error) {
	chains, err := c.leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: c.intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return until, err
	}
	until = c.leaf.NotAfter
	for _, cert := range chains[0] {
		if cert.NotAfter.Before(until) {
			until = cert.NotAfter
		}
	}
	return until, nil
}

// authority is a TNAuthList: a provider, whose numbers it does not say, or numbers.
type authority struct {
	provider bool
	ranges   []numberRange
}

// numberRange is count numbers from the first one on.
type numberRange struct {
	first string
	count uint64
}

// The tags of TNEntry.
const (
	tagProvider = iota
	tagRange
	tagNumber
)

// readAuthority reads a TNAuthList (RFC 8226 section 9).
func readAuthority(der []byte) (a authority, err error) {
	var entries []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &entries); err != nil || len(rest) > 0 || len(entries) == 0 {
		return a, errTNAuthList
	}
	for _, e := range entries {
		var r struct {
			First string `asn1:"ia5"`
			Count int64
		}
		r.Count = 1
		var text string
		switch {
		case e.Class != asn1.ClassContextSpecific || !e.IsCompound:
			return a, errTNAuthList
		case e.Tag == tagProvider:
			err = whole(asn1.UnmarshalWithParams(e.Bytes, &text, "ia5"))
			a.provider = true
			if err != nil {
				return a, err
			}
			continue
		case e.Tag == tagRange:
			err = whole(asn1.Unmarshal(e.Bytes, &r))
		case e.Tag == tagNumber:
			err = whole(asn1.UnmarshalWithParams(e.Bytes, &r.First, "ia5"))
		default:
			return a, errTNAuthList
		}
		if err != nil || r.Count < 1 || len(r.First) == 0 || len(r.First) > 15 {
			return a, errTNAuthList
		}
		a.ranges = append(a.ranges, numberRange{r.First, uint64(r.Count)})
	}
	return a, nil
}

// whole is the error of a value that is not all there is.
func whole(rest []byte, err error) error {
	if err != nil || len(rest) > 0 {
		return errTNAuthList
	}
	return nil
}

// has reports whether a number, in its canonical form, may be signed for. What numbers a
// provider has, the list does not say.
func (a *authority) has(number string) bool {
	return a.provider || slices.ContainsFunc(a.ranges, func(r numberRange) bool {
		if r.first == number {
			return true
		}
		first, err := strconv.ParseUint(r.first, 10, 64)
		n, err2 := strconv.ParseUint(number, 10, 64)
		return err == nil && err2 == nil && len(number) == len(r.first) && n >= first && n-first < r.count
	})
}

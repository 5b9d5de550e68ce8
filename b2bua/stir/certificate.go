package stir

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxChain bounds the certificates at one URL.
const maxChain = 8

// tnAuthList returns the extension that says for which numbers a certificate speaks (RFC
// 8226 section 9).
func tnAuthList() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 26} }

var (
	errNoCertificate = errors.New("no certificate")
	errKey           = errors.New("a certificate whose key is not of P-256")
	errAuthority     = errors.New("a certificate of an authority")
	errUsage         = errors.New("a certificate that may not sign")
	errNoTNAuthList  = errors.New("a certificate without TNAuthList")
	errTNAuthList    = errors.New("a TNAuthList that is not well-formed")
	errBeyond        = errors.New("a certificate for numbers that the one above it does not have")
	errNotTheirs     = errors.New("a number that is not in the certificate's TNAuthList")
)

// chain is a certificate with the intermediate certificates below a root.
type chain struct {
	leaf          *x509.Certificate
	key           *ecdsa.PublicKey
	intermediates *x509.CertPool
	authority     authority
}

// readChain reads certificates, the signer's first: several as PEM, or one as DER.
func readChain(data []byte) (*chain, error) {
	var all []*x509.Certificate
	for rest := data; len(all) <= maxChain; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
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
	for _, cert := range all { // Go does not know the extension and would refuse it as critical; trusted handles it
		cert.UnhandledCriticalExtensions = slices.DeleteFunc(cert.UnhandledCriticalExtensions, tnAuthList().Equal)
	}
	of, err := authorityOf(c.leaf)
	switch {
	case err != nil:
		return nil, err
	case of == nil:
		return nil, errNoTNAuthList
	}
	c.authority = *of
	return c, nil
}

// trusted returns until when a chain leads to one of the roots, or an error if it does not.
func (c *chain) trusted(roots *x509.CertPool, now time.Time) (until time.Time, err error) {
	chains, err := c.leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: c.intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return until, err
	}
	for _, certs := range chains {
		if err = delegated(certs); err == nil {
			return slices.MinFunc(certs, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).
				NotAfter, nil
		}
	}
	return until, err
}

// delegated returns an error if a certificate in a chain, the signer's first, has numbers that the one above it lacks
// (RFC 9060 section 4). A certificate without a TNAuthList, like a root or most carriers' authorities, sets no limit of
// its own.
func delegated(certs []*x509.Certificate) error {
	var above *authority
	for _, cert := range slices.Backward(certs) {
		of, err := authorityOf(cert)
		switch {
		case err != nil:
			return err
		case of == nil:
			continue
		case above != nil && !above.encompasses(of):
			return errBeyond
		}
		above = of
	}
	return nil
}

// authorityOf returns the TNAuthList of a certificate, or nil if it has none.
func authorityOf(cert *x509.Certificate) (*authority, error) {
	for _, e := range cert.Extensions {
		if e.Id.Equal(tnAuthList()) {
			a, err := readAuthority(e.Value)
			return &a, err
		}
	}
	return nil, nil //nolint:nilnil // most certificates have none
}

// authority is a TNAuthList. It has numbers, and codes of providers, whose numbers it does not list.
type authority struct {
	codes  []string      // sorted
	ranges []numberRange // sorted, and merged if adjacent
}

// numberRange is a range of numbers, given by the keys of its first and its last number.
type numberRange struct{ first, last uint64 }

// keyOf returns the key of a number. The next number with the same length has the next key. ok is false for a number
// with * or #, which no caller from another network has.
func keyOf(number string) (key uint64, ok bool) {
	key, err := strconv.ParseUint("1"+number, 10, 64) // the 1 keeps leading zeros
	return key, err == nil
}

// settle sorts and merges the entries.
func (a *authority) settle() {
	slices.Sort(a.codes)
	slices.SortFunc(a.ranges, func(x, y numberRange) int { return cmp.Compare(x.first, y.first) })
	apart := a.ranges[:0]
	for _, r := range a.ranges {
		if n := len(apart); n > 0 && r.first <= apart[n-1].last+1 {
			apart[n-1].last = max(apart[n-1].last, r.last)
			continue
		}
		apart = append(apart, r)
	}
	a.ranges = apart
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
			if err != nil {
				return a, err
			}
			a.codes = append(a.codes, text)
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
		if first, ok := keyOf(r.First); ok {
			end, _ := keyOf(strings.Repeat("9", len(r.First)))
			a.ranges = append(a.ranges, numberRange{first, min(first+uint64(r.Count)-1, end)})
		}
	}
	a.settle()
	return a, nil
}

// whole returns err, or an error if bytes follow a value.
func whole(rest []byte, err error) error {
	if err != nil || len(rest) > 0 {
		return errTNAuthList
	}
	return nil
}

// has reports whether a number, in its canonical form, may be signed for. A provider's
// code allows any number, because the list does not say which ones the provider has.
func (a *authority) has(number string) bool {
	key, ok := keyOf(number)
	return len(a.codes) > 0 || ok && a.covers(numberRange{key, key})
}

func (a *authority) covers(r numberRange) bool {
	i, _ := slices.BinarySearchFunc(a.ranges, r.first,
		func(of numberRange, first uint64) int { return cmp.Compare(of.last, first) })
	return i < len(a.ranges) && a.ranges[i].first <= r.first && r.last <= a.ranges[i].last
}

// encompasses reports whether another list lies within this one. A provider's code allows any number, because the list
// does not say which ones the provider has, but no other provider's code.
func (a *authority) encompasses(b *authority) bool {
	for _, code := range b.codes {
		if _, found := slices.BinarySearch(a.codes, code); !found {
			return false
		}
	}
	return len(a.codes) > 0 || !slices.ContainsFunc(b.ranges, func(r numberRange) bool { return !a.covers(r) })
}

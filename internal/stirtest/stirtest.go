// Package stirtest signs calls for tests. It creates PASSporTs, and a certificate with telephone number authority
// that leads to its own root.
package stirtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"
)

// Signer is a certificate with its key and its authority.
type Signer struct {
	key      *ecdsa.PrivateKey
	Leaf     *x509.Certificate
	File     []byte // PEM: leaf and intermediate
	Root     *x509.CertPool
	RootFile []byte // PEM
}

// Provider is a TNAuthList with one service provider code.
var Provider = []byte{0x30, 0x08, 0xa0, 0x06, 0x16, 0x04, '7', '0', '9', 'J'}

// Numbers returns a TNAuthList with one number and a range of ten.
func Numbers(tb testing.TB, one, first string) []byte {
	tb.Helper()
	ia5 := func(s string) []byte {
		b, err := asn1.MarshalWithParams(s, "ia5")
		if err != nil {
			tb.Fatal(err)
		}
		return b
	}
	ten, err := asn1.Marshal(10)
	if err != nil {
		tb.Fatal(err)
	}
	seq := func(tag byte, b []byte) []byte { return append([]byte{tag, byte(len(b))}, b...) }
	return seq(0x30, append(seq(0xa2, ia5(one)), seq(0xa1, seq(0x30, append(ia5(first), ten...)))...))
}

// New creates a root, an intermediate and a leaf certificate. change may spoil the leaf.
func New(tb testing.TB, list []byte, change ...func(*x509.Certificate)) *Signer {
	tb.Helper()
	now := time.Now()
	make := func(name string, ca bool, parent *x509.Certificate, by *ecdsa.PrivateKey,
		changes ...func(*x509.Certificate),
	) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour),
			NotAfter: now.Add(time.Hour),
			IsCA:     ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		}
		if ca {
			template.KeyUsage = x509.KeyUsageCertSign
		} else if list != nil {
			template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 26}, Value: list}}
		}
		for _, c := range changes {
			c(template)
		}
		if parent == nil {
			parent, by = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
		if err != nil {
			tb.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			tb.Fatal(err)
		}
		return cert, key
	}
	rootCert, rootKey := make("root", true, nil, nil)
	middle, middleKey := make("intermediate", true, rootCert, rootKey)
	s := &Signer{Root: x509.NewCertPool()}
	s.Root.AddCert(rootCert)
	s.RootFile = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootCert.Raw})
	s.Leaf, s.key = make("SHAKEN 709J", false, middle, middleKey, change...)
	for _, c := range []*x509.Certificate{s.Leaf, middle} {
		s.File = append(s.File, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return s
}

// Header returns the header of a SHAKEN PASSporT. Its certificate is at the URL.
func Header(url string) string {
	return `{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"` + url + `"}`
}

// Claims returns the payload for a call from one number to another. The numbers are without +.
func Claims(from, to string, at time.Time) string {
	return fmt.Sprintf(`{"attest":"A","dest":{"tn":[%q]},"iat":%d,"orig":{"tn":%q},"origid":"123e4567-e89b-12d3-a456-426655440000"}`, to, at.Unix(), from)
}

// Sign returns the token of a PASSporT.
func (s *Signer) Sign(tb testing.TB, header, payload string) string {
	tb.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(payload))
	return text + "." + base64.RawURLEncoding.EncodeToString(s.Signature(tb, text))
}

// Signature returns the ES256 signature of a text.
func (s *Signer) Signature(tb testing.TB, text string) []byte {
	tb.Helper()
	digest := sha256.Sum256([]byte(text))
	r, q, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		tb.Fatal(err)
	}
	out := [64]byte{}
	r.FillBytes(out[:32])
	q.FillBytes(out[32:])
	return out[:]
}

// Identity returns an Identity header for a call that starts now. The numbers are without +.
func (s *Signer) Identity(tb testing.TB, url, from, to string) string {
	tb.Helper()
	return s.Sign(tb, Header(url), Claims(from, to, time.Now())) + ";info=<" + url + `>;alg=ES256;ppt="shaken"`
}

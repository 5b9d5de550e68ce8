package stir

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

// tnList returns an encoded TNAuthList. Each entry has a letter for its kind and a text, such as "s709J",
// "n15075550100" and "r15075550100+10".
func tnList(t testing.TB, entries string) []byte {
	t.Helper()
	var all []asn1.RawValue
	for entry := range strings.FieldsSeq(entries) {
		tag := strings.IndexByte("srn", entry[0])
		text, count, isRange := strings.Cut(entry[1:], "+")
		der, err := asn1.MarshalWithParams(text, "ia5")
		if isRange {
			n, ok := new(big.Int).SetString(count, 10)
			if !ok {
				t.Fatal(count)
			}
			der, err = asn1.Marshal(struct {
				First string `asn1:"ia5"`
				Count *big.Int
			}{text, n})
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: der})
	}
	der, err := asn1.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// delegates makes a chain of certificates with these TNAuthLists, beginning with the root's. "-" means no list, and "?"
// a malformed one. file has the chain without the root, leaf first.
func delegates(t testing.TB, critical bool, lists ...string) (file []byte, roots *x509.CertPool) {
	t.Helper()
	var above *x509.Certificate
	var by *ecdsa.PrivateKey
	for i, entries := range lists {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: string(rune('A' + i))},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Duration(i+1) * time.Hour),
			BasicConstraintsValid: true, IsCA: i < len(lists)-1, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		}
		switch entries {
		case "-":
		case "?":
			c.ExtraExtensions = []pkix.Extension{{Id: tnAuthList(), Value: []byte{0x30, 3, 1}}}
		default:
			c.ExtraExtensions = []pkix.Extension{{Id: tnAuthList(), Critical: critical && i > 0, Value: tnList(t, entries)}}
		}
		if above == nil {
			above, by = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, above, &key.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		if above, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		by = key
		if i == 0 {
			roots = x509.NewCertPool()
			roots.AddCert(above)
			continue
		}
		file = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), file...)
	}
	return file, roots
}

// A certificate is not valid for numbers that the certificate above it lacks (RFC 9060 section 4), even if its
// TNAuthList is critical.
func TestDelegates(t *testing.T) {
	for _, tt := range []struct {
		name, chain string // TNAuthLists of the chain, separated by bars
		want        error
	}{
		{"an authority without a list", "-|-|n15075550100", nil},
		{"below a provider", "-|-|s709J|n15075550100", nil},
		{"below a provider's delegate", "-|s709J|r15075550100+10|n15075550109", nil},
		{"of the same provider", "-|s709J|s709J", nil},
		{"of another provider", "-|s709J|s010H", errBeyond},
		{"of one of two providers", "-|s709J s010H|s010H", nil},
		{"of two providers", "-|s709J|s709J s010H", errBeyond},
		{"of the same number", "-|n15075550100|n15075550100", nil},
		{"of another number", "-|n15075550100|n15075550101", errBeyond},
		{"of another number besides", "-|n15075550100|n15075550100 n15075550101", errBeyond},
		{"a provider below a number", "-|n15075550100|s709J", errBeyond},
		{"any number below a number's provider", "-|n15075550100|s709J|n15075550199", errBeyond},
		{"within a range", "-|r15075550100+10|r15075550102+8", nil},
		{"beyond the end of a range", "-|r15075550100+10|r15075550102+9", errBeyond},
		{"before the begin of a range", "-|r15075550100+10|r15075550099+2", errBeyond},
		{"over ranges that touch", "-|r15075550105+5 r15075550100+5|r15075550101+9", nil},
		{"over a gap", "-|r15075550100+5 r15075550106+5|r15075550101+9", errBeyond},
		{"over ranges that overlap", "-|r15075550100+9 r15075550102+2|r15075550105+4", nil},
		{"of fewer digits", "-|r15075550100+10|n5075550100", errBeyond},
		{"with a leading zero", "-|r15075550100+10|n015075550100", errBeyond},
		{"behind the last of as many digits", "-|r98+9|n100", errBeyond},
		{"a range that is larger than all numbers", "-|r10+9223372036854775807|n99", nil},
		{"a range of all", "-|n15075550100|r0+9223372036854775807", errBeyond},
		{"no list between", "-|n15075550100|-|n15075550101", errBeyond},
		{"no list between, within", "-|n15075550100|-|n15075550100", nil},
		{"a limit of the root's", "n15075550100|-|n15075550101", errBeyond},
		{"a number with a star, which counts for nothing", "-|n*100 n15075550100|n*101 n15075550100", nil},
		{"not well-formed above", "-|?|n15075550100", errTNAuthList},
	} {
		for _, critical := range []bool{false, true} {
			file, roots := delegates(t, critical, strings.Split(tt.chain, "|")...)
			c, err := readChain(file)
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			until, err := c.trusted(roots, time.Now())
			if !errors.Is(err, tt.want) {
				t.Errorf("%s, critical %v: %v; want %v", tt.name, critical, err, tt.want)
			}
			if err == nil && time.Until(until) > time.Hour {
				t.Errorf("%s: trusted until %v, and the root ends before", tt.name, until)
			}
		}
	}
}

// Lists of the maximum length are read and compared in linear time.
func TestLongLists(t *testing.T) {
	var above, below bytes.Buffer
	for i := range 2500 {
		above.WriteString(" n" + big.NewInt(int64(10_000_000+4*i)).String() + " s" + big.NewInt(int64(i)).String())
		below.WriteString(" n" + big.NewInt(int64(10_000_000+4*i)).String())
	}
	a, err1 := readAuthority(tnList(t, above.String()))
	b, err2 := readAuthority(tnList(t, below.String()))
	if err1 != nil || err2 != nil || !a.encompasses(&b) || b.encompasses(&a) || len(b.ranges) != 2500 || b.has("10000001") || !b.has("10000004") {
		t.Errorf("%v, %v, %d ranges", err1, err2, len(b.ranges))
	}
}

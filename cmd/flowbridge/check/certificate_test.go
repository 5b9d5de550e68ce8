package check

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A certificate that peers refuse is an error of check, one that ends soon or has another name than the advertised one
// a warning. The file is valid all the same: serve starts.
func TestCertificates(t *testing.T) {
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		from, until time.Duration
		advertise   string
		want        string // what is wrong
		refused     bool
	}{
		"fine":        {-day, 15 * day, "sip.example.com", "", false},
		"no name":     {-day, 15 * day, "", "", false},
		"ended":       {-2 * day, -time.Minute, "sip.example.com", "is valid from ", true},
		"not begun":   {time.Hour, 90 * day, "sip.example.com", "is valid from ", true},
		"ends soon":   {-day, 13 * day, "sip.example.com", "ends at " + time.Now().Add(13*day).UTC().Format(time.DateOnly), false},
		"other name":  {-day, 15 * day, "sip.example.net", "not sip.example.net", false},
		"an address":  {-day, 15 * day, "192.0.2.8", "", false},
		"found later": {-day, 15 * day, "auto", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			template := &x509.Certificate{
				SerialNumber: big.NewInt(1), NotBefore: now.Add(tt.from), NotAfter: now.Add(tt.until),
				DNSNames: []string{"sip.example.com"},
			}
			der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
			if err != nil {
				t.Fatal(err)
			}
			private, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			for file, block := range map[string]pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
				if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(&block), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(dir, "flowbridge.yaml")
			if err := os.WriteFile(file, []byte(`sip: {listen: ["tls://127.0.0.1:0"], advertise: "`+tt.advertise+`", tls: {cert: "`+dir+`/cert.pem", key: "`+dir+`/key.pem"}}
store: {path: "`+dir+`/c.db"}
media: {listen: ["127.0.0.1"]}
`), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err = check(&out, file, roomy(), false, nil)
			var about string
			for line := range strings.Lines(out.String()) {
				if strings.Contains(line, "sip.tls.cert") {
					about = line
				}
			}
			kind := "warning: "
			if tt.refused {
				kind = "error: "
			}
			if (err != nil) != tt.refused || (about != "") != (tt.want != "") || !strings.Contains(about, tt.want) ||
				tt.want != "" && !strings.HasPrefix(about, kind) {
				t.Errorf("%v, %q; want %s%q", err, about, kind, tt.want)
			}
		})
	}
}

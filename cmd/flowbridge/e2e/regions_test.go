//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

// TestRegions: with only a region in the configuration, calls go to the platform's names in that
// region, at its ports, and over TLS to its API. In the B2BUA's own mount namespace, the names lead
// to the stand-in.
func TestRegions(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a mount namespace")
	}
	for region, names := range map[string][2]string{
		"":       {"sipin.synthflow.ai", "api.synthflow.ai"},
		"global": {"sip.synthflow.ai", "api.synthflow.ai"},
		"us":     {"sip.us.synthflow.ai", "api.us.synthflow.ai"},
		"eu":     {"sip.eu.synthflow.ai", "api.eu.synthflow.ai"},
	} {
		t.Run("region "+region, func(t *testing.T) {
			s := newStage(t)
			host, dir := s.platform.String(), s.TempDir()
			s.simulateAt(host + ":32681")
			ca := s.securedAPI(names[1])
			write := func(name, text string) string {
				path := filepath.Join(dir, name)
				must(t, os.WriteFile(path, []byte(text), 0o600))
				return path
			}
			hosts := write("hosts", "127.0.0.1 localhost\n"+host+" "+names[0]+" "+names[1]+"\n")
			resolver := write("resolv.conf", "nameserver 127.0.0.1\n")
			write("flowbridge.yaml", strings.NewReplacer("@B2BUA@", s.b2bua.String(), "@CARRIER@", s.carrier.String(), "@REGION@", `"`+region+`"`).Replace(`
sip: {listen: ["udp://@B2BUA@:0"]}
media: {listen: ["@B2BUA@"]}
trunks: [{name: carrier, sources: ["@CARRIER@"]}]
targets:
  - {name: synthflow, kind: synthflow, region: @REGION@, prepare: {token_env: E2E_TOKEN}, headers: {X-EI: "S.{{.Prepare.CallID}};"}}
routes: [{trunk: carrier, targets: [synthflow]}]
store: {path: calls.db}
admin: {listen: "127.0.0.1:0"}
`))
			inside := func(args ...string) *exec.Cmd {
				cmd := exec.Command("unshare", append([]string{
					"-m", "sh", "-c", `mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"`, "sh", hosts, resolver, program,
				}, args...)...)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "E2E_TOKEN="+apiToken, "SSL_CERT_FILE="+ca, raceEnv)
				return cmd
			}
			s.server = serveCommand(t, dir, inside("serve"))
			out, err := inside("check", "--online").CombinedOutput()
			if text := string(out); err != nil || !strings.Contains(text, names[0]+" is "+host) || !strings.Contains(text, "answers over udp: 200 OK") ||
				!strings.Contains(text, "https://"+names[1]+" takes the token") {
				t.Errorf("check --online: %v\n%s", err, out)
			}
			p := &platforms{stage: s, dir: dir}
			if out, code := p.call(caller, called); code != 0 {
				t.Fatalf("exit code %d\n%s", code, out)
			}
			if r := p.last(1, answered); r.SynthflowCallID == "" || r.Disposition != record.DispositionAnswered {
				t.Errorf("record %+v", r)
			}
			s.server.stop()
		})
	}
}

// simulateAt starts the stand-in with its agent at this address.
func (s *stage) simulateAt(agent string) {
	s.Helper()
	cmd := exec.Command(program, "simulate", "synthflow", "--http", s.platform.String()+":0", "--sip", agent, "--token", apiToken, "--ring", "20ms")
	cmd.Env = append(os.Environ(), "NO_COLOR=1", raceEnv)
	p := start(s.T, "flowbridge simulate", cmd)
	eventually(s.T, "the platform listens", func() bool {
		api, ok := p.find("API   ")
		s.api, _, _ = strings.Cut(api, " ")
		return ok
	})
}

// securedAPI puts the stand-in's API behind TLS at port 443, with a certificate for this name, and
// returns the file of its authority.
func (s *stage) securedAPI(name string) (ca string) {
	s.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(s, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(s, err)
	ca = filepath.Join(s.TempDir(), "ca.pem")
	must(s, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	behind, err := url.Parse(s.api)
	must(s, err)
	l, err := net.Listen("tcp", netip.AddrPortFrom(s.platform, 443).String())
	must(s, err)
	server := &http.Server{Handler: httputil.NewSingleHostReverseProxy(behind), TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}}
	go func() { _ = server.ServeTLS(l, "", "") }()
	s.Cleanup(func() { _ = server.Close() })
	return ca
}

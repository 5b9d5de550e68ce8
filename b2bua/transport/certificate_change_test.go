package transport

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// If certificate files change, they are read again. If a file can't be used, the old
// certificate stays in use.
func TestCertificateChanges(t *testing.T) {
	ca := siptest.NewAuthority(t, "ca")
	_, _, path := ca.Sign("own", []string{"one.test"})
	synctest.Test(t, func(t *testing.T) {
		c := newCertificates(config.ListenTLS{Cert: path, Key: path + ".key"}, zerolog.Nop())
		named := func() string {
			t.Helper()
			pair, err := c.pair(path, path+".key")
			must(t, err)
			return pair.Leaf.DNSNames[0]
		}
		if got := named(); got != "one.test" {
			t.Errorf("got %s", got)
		}
		touch := func() {
			t.Helper()
			time.Sleep(2 * certificateAge)
			for _, f := range []string{path, path + ".key"} {
				must(t, os.Chtimes(f, time.Now(), time.Now()))
			}
		}
		ca.Sign("own", []string{"two.test"})
		touch()
		if got := named(); got != "two.test" {
			t.Errorf("got %s after a change", got)
		}
		must(t, os.WriteFile(path, []byte("half"), 0o600))
		touch()
		if got := named(); got != "two.test" {
			t.Errorf("got %s after a file that can't be used", got)
		}
		ca.Sign("own", []string{"three.test"})
		touch()
		if got := named(); got != "three.test" {
			t.Errorf("got %s", got)
		}
	})
}

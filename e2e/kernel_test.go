//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// text is what the admin API answers.
func (s *server) text(path string) string {
	s.t.Helper()
	res, err := client.Get(s.admin + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s: %v", path, res.Status, err)
	}
	return string(body)
}

// TestKernelRelay has the kernel relay both directions of a call, from packet to packet as the process does before and
// after. The record counts all of them.
func TestKernelRelay(t *testing.T) {
	s := newStage(t)
	s.prepareCalls()
	b := s.serve(setup{})
	if health := b.text("/healthz"); !strings.Contains(health, "media: kernel: ") {
		t.Skip("the kernel can't relay here: ", health)
	}
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	carrier := s.sippCarrier("caller_hangup", one.key()...)
	ids := carrier.answered(1)
	agent.confirmed(1)
	n := s.relaysWhile(one, two, carrier, agent, 5*8000, func() {
		eventually(t, "the kernel relays both directions", func() bool {
			return strings.Contains(b.text("/metrics"), "\nflowbridge_media_streams{path=\"kernel\"} 2\n")
		})
	})
	carrier.proceed(ids...)
	carrier.finish()
	agent.finish()
	s.counts(b.finish(hungUpByCaller)[0], n)
}

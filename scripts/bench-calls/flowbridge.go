package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const flowbridgeConfig = `
sip: {listen: ["udp://%[1]v:5060"]}
media: {listen: [%[1]v], timeout: 20m, start_timeout: 20m}
trunks: [{name: carrier, sources: [%[2]v], max_calls: 0, max_cps: 0, limits: {per_source_rate: 0}}]
targets:
  - name: synthflow
    kind: synthflow
    uri: "sip:{{.To.Number}}@%[3]v"
    prepare: {api: "http://%[4]v", token_env: BENCH_TOKEN, model_id: bench}
    headers: {X-EI: "S.{{.Prepare.CallID}};"}
routes: [{targets: [synthflow]}]
store: {path: %[5]q}
admin: {listen: "%[1]v:8080", profiles: true}
log: {level: warn}
`

// startFlowbridge starts a binary at the last byte of an address.
func (b *bench) startFlowbridge(name, binary string, last byte) (*system, error) {
	dir, err := os.MkdirTemp(b.dir, "flowbridge")
	if err != nil {
		return nil, err
	}
	at := b.at.at(last)
	s := &system{name: name, sut: netip.AddrPortFrom(at, 5060), admin: fmt.Sprintf("http://%v:8080", at)}
	s.closers = append(s.closers, func() { _ = os.RemoveAll(dir) })
	file, log := filepath.Join(dir, "flowbridge.yaml"), filepath.Join(dir, "log")
	text := fmt.Sprintf(flowbridgeConfig, at, b.at.carrier.Addr(), b.at.agent, b.at.api, filepath.Join(dir, "calls.db"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	c, err := s.launch(log, []string{"BENCH_TOKEN=" + token}, binary, "serve", "--config", file)
	if err == nil {
		s.pids = []int{c.Process.Pid}
		err = until(func() error { _, err := get(s.admin + "/readyz"); return err })
	}
	if err != nil {
		err = fmt.Errorf("%s does not start: %w; %s", name, err, logTail(log))
		s.stop()
		return nil, err
	}
	return s, nil
}

// get returns what a URL of the admin API has.
func get(url string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return string(b), err
}

func dial(at netip.AddrPort) error {
	c, err := net.DialTimeout("tcp", at.String(), time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err
}

// allocations is what a Go process has allocated so far.
type allocations struct{ objects, bytes int64 }

func (s *system) allocations() (a allocations, err error) {
	text, err := get(s.admin + "/debug/pprof/heap?debug=1")
	for line := range strings.Lines(text) {
		_, _ = fmt.Sscanf(line, "# Mallocs = %d", &a.objects)
		_, _ = fmt.Sscanf(line, "# TotalAlloc = %d", &a.bytes)
	}
	if err == nil && a.objects == 0 {
		err = fmt.Errorf("%s/debug/pprof/heap has no counts", s.admin)
	}
	return a, err
}

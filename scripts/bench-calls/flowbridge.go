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
	"slices"
	"strings"
	"time"

	"flowbridge/scripts/internal/process"
)

const flowbridgeConfig = `
sip: {listen: ["udp://%[1]v:5060"]}
media: {listen: [%[2]s], ports: 10000-64999, timeout: 20m}
trunks:
%[3]stargets:
%[4]sroutes:
%[5]sstore: {path: %[6]q}
admin: {listen: "%[1]v:8080", profiles: true}
log: {level: warn}
`

// A lane is a trunk and a target with an address each for audio: room for 27,500 calls.
const (
	trunkConfig = `  - {name: carrier%[1]d, sources: [%[2]v], media: {address: %[3]v}, max_calls: 0, max_cps: 0, limits: {per_source_rate: 0}}
`
	targetConfig = `  - name: synthflow%[1]d
    kind: synthflow
    uri: "sip:{{.To.Number}}@%[2]v"
    media: {address: %[3]v}
    prepare: {api: "http://%[4]v", token_env: BENCH_TOKEN, model_id: bench}
    headers: {X-EI: "S.{{.Prepare.CallID}};"}
`
	routeConfig = `  - {trunk: carrier%[1]d, targets: [synthflow%[1]d]}
`
)

// startFlowbridge starts a binary at the last byte of an address.
func (b *bench) startFlowbridge(name, binary string, last byte) (*system, error) {
	return b.startConfigured(name, binary, last, b.configure)
}

// startConfigured starts a binary with a configuration of its own.
func (b *bench) startConfigured(name, binary string, last byte, configure func(s *system, db string) string) (*system, error) {
	dir, err := os.MkdirTemp(b.dir, "flowbridge")
	if err != nil {
		return nil, err
	}
	at := b.at.at(last)
	s := &system{name: name, sut: netip.AddrPortFrom(at, 5060), admin: fmt.Sprintf("http://%v:8080", at)}
	s.closers = append(s.closers, func() { _ = os.RemoveAll(dir) })
	file, log := filepath.Join(dir, "flowbridge.yaml"), filepath.Join(dir, "log")
	if err := os.WriteFile(file, []byte(configure(s, filepath.Join(dir, "calls.db"))), 0o600); err != nil {
		return nil, err
	}
	s.again = func() error {
		c, err := s.launch(log, []string{"BENCH_TOKEN=" + token}, binary, "serve", "--config", file)
		if err != nil {
			return err
		}
		s.pids = []int{c.Process.Pid}
		s.signalling = s.pids
		return until(func() error { _, err := get(s.admin + "/readyz"); return err })
	}
	if err := s.again(); err != nil {
		err = fmt.Errorf("%s does not start: %w; %s", name, err, process.Tail(log))
		s.stop()
		return nil, err
	}
	return s, nil
}

// configure is the configuration of Flowbridge with its lanes.
func (b *bench) configure(s *system, db string) string {
	var trunks, targets, routes strings.Builder
	for i := range b.lanes {
		carrier := b.at.carrier
		near, far := s.sut.Addr(), s.sut.Addr()
		if b.lanes > 1 {
			carrier = netip.AddrPortFrom(b.at.at(byte(100+i)), 5060)
			near, far = b.at.at(byte(130+2*i)), b.at.at(byte(131+2*i))
		}
		s.carriers, s.media = append(s.carriers, carrier), append(s.media, near.String(), far.String())
		fmt.Fprintf(&trunks, trunkConfig, i, carrier.Addr(), near)
		fmt.Fprintf(&targets, targetConfig, i, b.at.agent, far, b.at.api)
		fmt.Fprintf(&routes, routeConfig, i)
	}
	listen := slices.Clone(s.media)
	slices.Sort(listen)
	return fmt.Sprintf(flowbridgeConfig, s.sut.Addr(), strings.Join(slices.Compact(listen), ", "), trunks.String(), targets.String(), routes.String(), db)
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
	c, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(at))
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

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
)

const flowbridgeConfig = `
sip: {listen: ["udp://%[1]v:5060"]}
media: {listen: [%[2]s], ports: 10000-64999, timeout: 20m}
trunks:
%[3]stargets:
%[4]sroutes:
%[5]sstore: {path: %[6]q}
admin: {listen: "unix://%[7]s"}
log: {level: warn}
`

// A lane is a trunk and a target, each with an address for audio. It has room for 27,500 calls.
const (
	trunkConfig = `  - name: carrier%[1]d
    sources: [%[2]v]
    media: {address: %[3]v}
    max_calls: 0
    max_cps: 0
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

// startFlowbridge starts a binary at the address with this last byte.
func (b *bench) startFlowbridge(name, binary string, last byte) (*system, error) {
	return b.startConfigured(name, binary, last, b.configure)
}

// startConfigured starts a binary with a particular configuration.
func (b *bench) startConfigured(name, binary string, last byte, configure configuration) (*system, error) {
	server, err := flowbridge.New(binary, b.dir, namespace.Here, "BENCH_TOKEN="+token)
	if err != nil {
		return nil, err
	}
	server.Serve = b.alone(server.Serve...)
	s := &system{name: name, sut: netip.AddrPortFrom(b.at.at(last), 5060), admin: server.Admin}
	s.closers = append(s.closers, server.Stop)
	if err = server.Configure(configure(s, server)); err == nil {
		err = server.Start()
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.group = process.Group{server.PID}
	return s, nil
}

// configuration returns the configuration of a system, and sets its addresses.
type configuration func(*system, *flowbridge.Server) string

// configure returns the configuration of Flowbridge with its lanes.
func (b *bench) configure(s *system, f *flowbridge.Server) string {
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
	return fmt.Sprintf(flowbridgeConfig, s.sut.Addr(), strings.Join(slices.Compact(listen), ", "),
		trunks.String(), targets.String(), routes.String(), f.Store(), f.Socket())
}

// allocations counts the allocations of a Go process so far.
type allocations struct{ objects, bytes int64 }

func (s *system) allocations() (a allocations, err error) {
	text, err := s.admin.Get("/debug/pprof/heap?debug=1")
	for line := range strings.Lines(text) {
		_, _ = fmt.Sscanf(line, "# Mallocs = %d", &a.objects)
		_, _ = fmt.Sscanf(line, "# TotalAlloc = %d", &a.bytes)
	}
	if err == nil && a.objects == 0 {
		err = errors.New("/debug/pprof/heap has no counts")
	}
	return a, err
}

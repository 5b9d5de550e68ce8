package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"

	"flowbridge/scripts/internal/process"
)

const flowbridgeConfig = `
sip: {listen: ["udp://%[1]v:5060"]}
media: {listen: [%[1]v], ports: 10000-60999, engine: %[6]s}
trunks: [{name: carrier, sources: [%[2]v], max_calls: 20000}]
targets: [{name: agent, kind: sip, uri: "sip:{{.To.Number}}@%[3]v:5060"}]
routes: [{targets: [agent]}]
store: {path: %[4]q}
admin: {listen: "%[1]v:8080", token_file: %[5]q}
log: {level: warn}
`

// flowbridge is the binary with the configuration of an engine.
type flowbridge struct {
	binary, file, log string
	limited           bool // without CAP_PERFMON, and without CAP_SYS_ADMIN, which includes it
}

// configure writes the configuration that startFlowbridge starts the binary with.
func configure(binary, engine, dir string) (f flowbridge, err error) {
	if binary == "" {
		return f, fmt.Errorf("%w: -flowbridge is missing", errUsage)
	}
	if dir, err = os.MkdirTemp(dir, "flowbridge"); err != nil {
		return f, err
	}
	f = flowbridge{binary: binary, file: filepath.Join(dir, "flowbridge.yaml"), log: filepath.Join(dir, "log")}
	token := filepath.Join(dir, "token")
	text := fmt.Sprintf(flowbridgeConfig, systemAddr, carrierAddr, agentAddr, filepath.Join(dir, "calls.db"), token, engine)
	return f, errors.Join(os.WriteFile(f.file, []byte(text), 0o600), os.WriteFile(token, []byte("bench"), 0o600))
}

// startFlowbridge starts the binary and waits until it takes calls.
func (s *system) startFlowbridge(f flowbridge) error {
	run := []string{f.binary, "serve", "--config", f.file}
	if f.limited {
		run = append([]string{"setpriv", "--bounding-set=-perfmon,-sys_admin"}, run...)
	}
	if err := s.launch(s.command(run[0], run[1:]...), f.log); err != nil {
		return err
	}
	if err := until(s.readyz); err != nil {
		return fmt.Errorf("flowbridge does not start: %w; %s", err, process.Tail(f.log))
	}
	return nil
}

// callBySIP has calls set up by SIP: this process is carrier and agent.
func (s *system) callBySIP() error {
	ends, err := newEnds(s.network, netip.AddrPortFrom(systemAddr, 5060))
	if err != nil {
		return err
	}
	s.closers = append(s.closers, ends.close)
	s.open, s.ends = ends.call, ends
	return nil
}

func (s *system) readyz(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%v:8080/readyz", systemAddr), nil)
	if err != nil {
		return err
	}
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, to string) (conn net.Conn, err error) {
		err = s.network.carrier.Do(func() error {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, to)
			return err
		})
		return conn, err
	}}
	res, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errNoAnswer, res.Status)
	}
	return nil
}

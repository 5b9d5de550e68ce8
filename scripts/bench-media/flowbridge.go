package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"

	"flowbridge/scripts/internal/process"
)

const flowbridgeConfig = `
sip: {listen: ["udp://%[1]v:5060"]}
media: {listen: [%[1]v], ports: 10000-32767, engine: %[6]s}
trunks: [{name: carrier, sources: [%[2]v]}]
targets: [{name: agent, kind: sip, uri: "sip:{{.To.Number}}@%[3]v:5060"}]
routes: [{targets: [agent]}]
store: {path: %[4]q}
admin: {listen: "%[1]v:8080", token_file: %[5]q}
log: {level: warn}
`

// startFlowbridge starts the binary with a media engine. Calls are set up by SIP: this process is
// carrier and agent.
func (s *system) startFlowbridge(binary, dir, engine string) error {
	if binary == "" {
		return fmt.Errorf("%w: -flowbridge is missing", errUsage)
	}
	dir, err := os.MkdirTemp(dir, "flowbridge")
	if err != nil {
		return err
	}
	file, log, token := filepath.Join(dir, "flowbridge.yaml"), filepath.Join(dir, "log"), filepath.Join(dir, "token")
	text := fmt.Sprintf(flowbridgeConfig, systemAddr, carrierAddr, agentAddr, filepath.Join(dir, "calls.db"), token, engine)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(token, []byte("bench"), 0o600); err != nil {
		return err
	}
	if err := s.launch(s.command(binary, "serve", "--config", file), log); err != nil {
		return err
	}
	if err := until(readyz); err != nil {
		return fmt.Errorf("flowbridge does not start: %w; %s", err, process.Tail(log))
	}
	ends, err := newEnds(netip.AddrPortFrom(systemAddr, 5060))
	if err != nil {
		return err
	}
	s.closers = append(s.closers, ends.close)
	s.open = ends.call
	return nil
}

func readyz(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%v:8080/readyz", systemAddr), nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errNoAnswer, res.Status)
	}
	return nil
}

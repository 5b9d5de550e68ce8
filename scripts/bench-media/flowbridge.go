package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
)

const flowbridgeConfig = `
sip: {listen: ["udp://%[1]v:5060"]}
media: {listen: [%[1]v], ports: 10000-60999, engine: %[6]s, insight: %[7]s%[8]s}
trunks: [{name: carrier, sources: [%[2]v], max_calls: 20000%[9]s}]
targets: [{name: agent, kind: sip, uri: "sip:{{.To.Number}}@%[3]v:5060"%[10]s}]
routes: [{targets: [agent], rescue: {targets: [agent]}%[11]s}]
store: {path: %[4]q}
admin: {listen: "unix://%[5]s"}
log: {level: warn}
%[12]s
`

// recipient is a public key of age. Its secret key is lost.
const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

// startFlowbridge starts the binary with an engine, and waits until it takes calls.
func (s *system) startFlowbridge(binary, name, dir string) (err error) {
	if binary == "" {
		return fmt.Errorf("%w: -flowbridge or -other is missing", errUsage)
	}
	if s.server, err = flowbridge.New(binary, dir, s.network.Relay); err != nil {
		return err
	}
	s.closers = append(s.closers, s.server.Kill)
	if name == limited { // also without CAP_SYS_ADMIN, which includes CAP_PERFMON
		s.server.Serve = append([]string{"setpriv", "--bounding-set=-perfmon,-sys_admin"}, s.server.Serve...)
	}
	engine, _, _ := strings.Cut(name, ",")
	insight := "on"
	switch name {
	case noInsight:
		engine, insight = "userspace", "off"
	case kernelNoInsight:
		engine, insight = "kernel", "off"
	}
	more, record, section := "", "", ""
	if name == recorded || name == encrypted {
		engine, record = "userspace", ", record: always"
		section = fmt.Sprintf("recording: {path: %q}", filepath.Join(dir, "recordings"))
		if name == encrypted {
			section = strings.Replace(section, "}", ", recipients: ["+recipient+"]}", 1)
		}
	}
	if s.speech != nil {
		more = fmt.Sprintf(", max_transcoded: %d", maxCalls)
	}
	text := fmt.Sprintf(flowbridgeConfig, namespace.RelayAddr, namespace.CarrierAddr, namespace.AgentAddr,
		s.server.Store(), s.server.Socket(), engine, insight, more, s.secure.setting(0), s.secure.setting(1),
		record, section)
	if err = s.server.Configure(text); err == nil {
		err = s.restart()
	}
	if err == nil {
		s.ends, err = newEnds(s.network, s.caller, s.secure)
	}
	if err == nil {
		s.closers = append(s.closers, s.ends.close)
		s.open = s.ends.call
	}
	return err
}

// restart starts a process of Flowbridge, and waits until it takes calls.
func (s *system) restart() error {
	err := s.server.Start()
	s.relay = process.Group{s.server.PID}
	return err
}

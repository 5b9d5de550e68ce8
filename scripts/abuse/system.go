package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The addresses of the attacks: all are this machine's.
var (
	sutSIP        = netip.MustParseAddrPort("127.0.5.1:5060")
	sutAdmin      = "127.0.5.1:8080"
	carrierAddr   = netip.MustParseAddr("127.0.5.2")
	agentAddr     = netip.MustParseAddr("127.0.5.3")
	neighbourAddr = netip.MustParseAddr("127.0.5.4")
	victimAddr    = netip.MustParseAddr("127.0.5.9")
	phones        = credentials{user: "phones", password: "correct-horse"}
)

// systemConfig is what is attacked: two trunks with addresses, one with credentials that
// comes from anywhere, and an agent.
const systemConfig = `
sip: {listen: ["udp://%[1]v", "tcp://%[1]v"]%[5]s}
media: {listen: [%[2]v]%[6]s}
store: {path: %[3]q}
admin: {listen: %[4]q}
log: {level: warn}
trunks:
  - {name: carrier, sources: [127.0.5.2/32]}
  - {name: neighbour, sources: [127.0.5.4/32]}
%[7]s
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@127.0.5.3:5070", ring_timeout: 2m}
routes:
  - {%[8]stargets: [agent]}
`

const phonesTrunk = `  - {name: phones, auth: {username: phones, password_env: ABUSE_PASSWORD}}`

// options change the configuration for one attack.
type options struct {
	limits  string // of sip, with its comma
	media   string
	phones  bool
	ringing string // of the route
}

// system is a Flowbridge under attack, with an agent behind it.
type system struct {
	cmd   *exec.Cmd
	log   string
	agent *agent
}

func start(binary, dir string, o options) (*system, error) {
	dir, err := os.MkdirTemp(dir, "attack")
	if err != nil {
		return nil, err
	}
	open, ringing := "", ""
	if o.phones {
		open = phonesTrunk
	}
	if o.ringing != "" {
		ringing = "ringing: " + o.ringing + ", "
	}
	file := filepath.Join(dir, "flowbridge.yaml")
	text := fmt.Sprintf(systemConfig, sutSIP, sutSIP.Addr(), filepath.Join(dir, "calls.db"), sutAdmin, o.limits, o.media, open, ringing)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s := &system{cmd: exec.CommandContext(context.Background(), binary, "serve", "--config", file), log: filepath.Join(dir, "log")}
	s.cmd.Env = append(os.Environ(), "ABUSE_PASSWORD="+phones.password)
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for range 100 {
		if _, err = s.ready(time.Second); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		_ = s.cmd.Process.Kill()
		text, _ := os.ReadFile(s.log)
		return nil, fmt.Errorf("flowbridge does not start: %w; %s", err, bytes.TrimSpace(text))
	}
	if s.agent, err = newAgent(); err != nil {
		_ = s.cmd.Process.Kill()
		return nil, err
	}
	return s, nil
}

func (s *system) stop() {
	if s.agent != nil {
		s.agent.close()
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	time.Sleep(200 * time.Millisecond)
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait()
	kill.Stop()
}

// alive says whether the process still runs.
func (s *system) alive() bool {
	return s.cmd.Process.Signal(syscall.Signal(0)) == nil && s.memory() > 0
}

// ready asks /readyz over a connection of its own.
func (s *system) ready(within time.Duration) (took time.Duration, err error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+sutAdmin+"/readyz", nil)
	if err != nil {
		return 0, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return time.Since(begin), err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return time.Since(begin), errors.New(res.Status)
	}
	return time.Since(begin), nil
}

// memory is the process's resident memory in kB.
func (s *system) memory() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && n == "VmRSS" {
			number, _ := strconv.Atoi(strings.Fields(v)[0])
			return number
		}
	}
	return 0
}

// files counts the open files.
func (s *system) files() int {
	all, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	return len(all)
}

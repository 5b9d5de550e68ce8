// Command bench-bots is run by scripts/bench bots: what a call with a bot on a WebSocket costs, and how late its words
// are.
//
//	bench-bots run -flowbridge BINARY [-seconds N] [-json FILE] [CALLS]
//	bench-bots soak -flowbridge BINARY [-minutes N] [-rest N] [CALLS]     calls of 20 s, again and again, and rest
//	                                                            before and after: what a process keeps
//	bench-bots bot ADDRESS                                      the bot: it does what the frames of its caller say
//
// Carrier, Flowbridge and bot have a network namespace each, so it takes root. The frames of a call carry when they
// were sent, also through the bot, and all processes have one clock.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
)

var errUsage = errors.New("usage: bench-bots run|soak -flowbridge BINARY [-seconds N] [-minutes N] [-rest N] [-json FILE] [CALLS]")

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-bots:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "bot" {
		return bot(args[1])
	}
	if len(args) == 0 || args[0] != "run" && args[0] != "soak" {
		return errUsage
	}
	b := bench{calls: 150, out: os.Stdout}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	binary := f.String("flowbridge", "", "the binary to measure")
	f.IntVar(&b.seconds, "seconds", 10, "length of each measurement")
	f.IntVar(&b.minutes, "minutes", 30, "length of a soak")
	f.IntVar(&b.rest, "rest", 5, "minutes without calls before and after a soak")
	f.StringVar(&b.json, "json", "", "file for the figures")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if f.NArg() > 0 {
		b.calls, _ = strconv.Atoi(f.Arg(0))
	}
	if *binary == "" || f.NArg() > 1 || b.calls < 1 || b.calls > 1000 || b.seconds < 2 || b.minutes < 1 || b.rest < 1 {
		return errUsage
	}
	dir, err := os.MkdirTemp("", "bench-bots")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := start(*binary, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	if args[0] == "soak" {
		return b.soak(s)
	}
	return b.measure(s)
}

// system is Flowbridge between a carrier and a bot.
type system struct {
	network *namespace.Network
	server  *flowbridge.Server
	carrier *carrier
	bot     *process.Child
}

// The numbers that reach the bot at once, and after a target that refuses.
const (
	direct = "+15075785607"
	second = "+15085785607"
)

const config = `
sip: {listen: ["udp://%[1]v:5060"], max_delay: 1m}
media: {listen: [%[1]v]}
trunks: [{name: carrier, sources: [%[2]v]}]
targets:
- {name: bot, kind: websocket, url: "ws://%[3]v/", parameters: {called: "{{.To.Number}}"}}
- {name: refuses, kind: websocket, url: "ws://%[4]v:9/", circuit: {failures: 0}}
routes: [{to: '^\+1508', targets: [refuses, bot]}, {targets: [bot]}]
store: {path: %[5]q}
admin: {listen: "unix://%[6]s"}
log: {level: warn}
`

func start(binary, dir string) (s *system, err error) {
	s = &system{}
	if s.network, err = namespace.NewNetwork(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	at := net.JoinHostPort(namespace.AgentAddr.String(), "9000")
	s.bot, err = process.Start(s.network.Agent, dir+"/bot.log", exec.CommandContext(context.Background(), self, "bot", at))
	if err != nil {
		return s, err
	}
	err = process.Until(patience, func() error {
		return s.network.Agent.Do(func() error {
			conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", at)
			if err == nil {
				err = conn.Close()
			}
			return err
		})
	})
	if err != nil {
		return s, fmt.Errorf("the bot: %w", err)
	}
	if s.server, err = flowbridge.New(binary, dir, s.network.Relay); err != nil {
		return s, err
	}
	err = s.server.Configure(fmt.Sprintf(config, namespace.RelayAddr, namespace.CarrierAddr, at, namespace.AgentAddr,
		s.server.Store(), s.server.Socket()))
	if err == nil {
		err = s.server.Start()
	}
	if err == nil {
		s.carrier, err = newCarrier(s.network.Carrier)
	}
	return s, err
}

func (s *system) stop() {
	if s.carrier != nil {
		s.carrier.Close()
	}
	if s.server != nil {
		s.server.Kill()
	}
	if s.bot != nil {
		s.bot.Kill()
	}
	s.network.Close()
}

// kill kills the process, and starts another one.
func (s *system) kill() error {
	s.server.Kill()
	time.Sleep(100 * time.Millisecond)
	return s.server.Start()
}

// upgrade replaces the process.
func (s *system) upgrade() error {
	out, err := s.server.Upgrade().CombinedOutput()
	if err != nil {
		return fmt.Errorf("upgrade: %w: %s", err, out)
	}
	var done struct {
		PID int `json:"pid"`
	}
	err = json.Unmarshal(out, &done)
	s.server.PID = done.PID
	return err
}

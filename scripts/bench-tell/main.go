// Command bench-tell is run by scripts/bench tell: what routes[].tell costs a caller, on the wire.
//
//	bench-tell -flowbridge BINARY [-json FILE] [CALLS]
//
// Carrier, Flowbridge and agent have a network namespace each, so it takes root. The statement's frames are numbered,
// and the words of both sides say when they were sent.
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/report"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-tell:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: bench-tell -flowbridge BINARY [-json FILE] [CALLS]")

func run(args []string) error {
	f := flag.NewFlagSet("bench-tell", flag.ContinueOnError)
	program := f.String("flowbridge", "", "the binary to measure")
	file := f.String("json", "", "file for the figures")
	if err := f.Parse(args); err != nil {
		return err
	}
	calls := 100
	if f.NArg() > 0 {
		calls, _ = strconv.Atoi(f.Arg(0))
	}
	if *program == "" || f.NArg() > 1 || calls < 1 || calls > 10000 {
		return errUsage
	}
	dir, err := os.MkdirTemp("", "bench-tell")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	network, err := namespace.NewNetwork()
	if err != nil {
		return err
	}
	defer network.Close()
	server, err := start(*program, dir, network)
	if err != nil {
		return err
	}
	defer server.Kill()
	b, err := newBench(network)
	if err != nil {
		return err
	}
	defer b.close()
	all, err := b.measure(os.Stdout, calls)
	if err != nil {
		return fmt.Errorf("%w; %s", err, process.Tail(server.Log()))
	}
	return report.Write(*file, all)
}

// A target for each way to answer, because Flowbridge learns how long a target usually takes.
const config = `
sip: {listen: ["udp://%[1]v:5060"]}
media: {listen: [%[1]v]}
sounds: {statement: %[4]q}
trunks: [{name: carrier, sources: [%[2]v]}]
targets:
- {name: even, kind: sip, uri: "sip:{{.To.Number}}@%[3]v:5060"}
- {name: uneven, kind: sip, uri: "sip:{{.To.Number}}@%[3]v:5060"}
routes:
- {to: '^\+1508', targets: [uneven], tell: {sound: statement}}
- {targets: [even], tell: {sound: statement}}
store: {path: %[5]q}
admin: {listen: "unix://%[6]s"}
log: {level: warn}
`

func start(program, dir string, in *namespace.Network) (*flowbridge.Server, error) {
	s, err := flowbridge.New(program, dir, in.Relay)
	if err != nil {
		return nil, err
	}
	sound := filepath.Join(dir, "statement.wav")
	err = errors.Join(os.WriteFile(sound, statement(), 0o600), s.Configure(fmt.Sprintf(config, namespace.RelayAddr,
		namespace.CarrierAddr, namespace.AgentAddr, sound, s.Store(), s.Socket())))
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		s.Kill()
	}
	return s, err
}

// statement returns a WAV file of numbered frames in µ-law.
func statement() []byte {
	const size = told * (frameSize - headerSize)
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("RIFF"), 36+size)
	b = le.AppendUint32(append(b, "WAVEfmt "...), 16)
	b = le.AppendUint16(le.AppendUint16(b, 7), 1)
	b = le.AppendUint32(le.AppendUint32(b, 8000), 8000)
	b = le.AppendUint16(le.AppendUint16(b, 1), 8)
	b = le.AppendUint32(append(b, "data"...), size)
	for i := range size {
		b = append(b, codeOf(i/(frameSize-headerSize)))
	}
	return b
}

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
	"flowbridge/scripts/internal/sip"
)

// Addresses that namespace.Network does not have.
var (
	phoneAddr = netip.MustParseAddr("10.205.2.3") // beside the carrier
	resolver  = netip.MustParseAddrPort("127.0.0.53:53")
)

const (
	agentName = "agents.chaos.test"
	apiPort   = 8090
	token     = "chaos"

	firstPort, lastPort = 10000, 32767 // of RTP
)

const configuration = `
sip: {listen: ["udp://%[1]v:5060"]}
media: {listen: [%[1]v], ports: %[11]d-%[12]d, engine: %[6]s}
trunks:
  - {name: carrier, sources: [%[2]v], session_expires: 90s}
  - {name: phones, auth: {username: %[13]s, password_env: CHAOS_TOKEN}, registrar: {}}
targets:
  - name: first
    kind: synthflow
    uri: "sip:{{.To.Number}}@%[7]s:5060"
    ring_timeout: 3s
    dtmf: info
    prepare: {api: "http://%[3]v:%[8]d", token_env: CHAOS_TOKEN, model_id: chaos}
    headers: {X-EI: "S.{{.Prepare.CallID}};"}
  - {name: second, kind: sip, uri: "sip:{{.To.Number}}@%[3]v:5070", ring_timeout: 3s, dtmf: info}
routes:
  - {targets: [first, second]}
store: {path: %[4]q}
admin: {listen: "unix://%[5]s"}
log: {level: %[9]s}
%[10]s
`

// world holds everything that takes part in a run.
type world struct {
	dir     string // for all output except the store
	disk    string // the store's file system
	engine  string
	binary  string
	level   string
	more    string // further configuration
	clock   bool   // the binary has a clock that can be set
	minutes float64
	heard   int // how many of the held calls have RTP; 0 means all of them
	begun   time.Time

	net                    *namespace.Network
	server                 *flowbridge.Server // its files; the supervisor has its processes
	carrier, first, second *end
	audio                  *audio
	phones                 *phones
	names                  *names
	api                    *api
	supervisor             *supervisor
	admin                  *flowbridge.Admin
	seen                   map[string]record // records of a database that is gone, by id
	closers                []func()
}

func (w *world) close() {
	for _, c := range slices.Backward(w.closers) {
		c()
	}
}

// build creates the networks, the disk and the ends, and starts Flowbridge.
func (w *world) build() (err error) {
	w.begun, w.seen = time.Now(), map[string]record{}
	for _, step := range []func() error{w.buildNetwork, w.buildDisk, w.buildEnds, w.buildAPI, w.configure} {
		if err := step(); err != nil {
			return err
		}
	}
	w.supervisor, err = newSupervisor(w)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.supervisor.close)
	w.carrier.set = w.admin.Number
	return w.server.Ready(10 * time.Second)
}

func (w *world) store() string { return filepath.Join(w.disk, "calls.db") }
func (w *world) time() string  { return filepath.Join(w.dir, "clock") }

func (w *world) buildNetwork() (err error) {
	if w.net, err = namespace.NewNetwork(); err != nil {
		return err
	}
	return w.net.Carrier.IP("address add %v/24 dev c0", phoneAddr)
}

// buildDisk mounts file systems for Flowbridge: the store's disk, the BPF file system, and the resolver's file.
func (w *world) buildDisk() error {
	w.disk = filepath.Join(w.dir, "disk")
	if err := os.Mkdir(w.disk, 0o700); err != nil {
		return err
	}
	resolv := filepath.Join(w.dir, "resolv.conf")
	text := fmt.Sprintf("nameserver %v\noptions timeout:1 attempts:2\n", resolver.Addr())
	if err := os.WriteFile(resolv, []byte(text), 0o644); err != nil { //nolint:gosec // as for /etc/resolv.conf
		return err
	}
	if err := unix.Mount("chaos", w.disk, "tmpfs", 0, w.diskSize()); err != nil {
		return os.NewSyscallError("mount tmpfs", err)
	}
	if err := unix.Mount(resolv, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return os.NewSyscallError("mount /etc/resolv.conf", err)
	}
	if err := unix.Mount("bpf", "/sys/fs/bpf", "bpf", 0, ""); err != nil && w.engine == "kernel" {
		return os.NewSyscallError("mount bpf", err)
	}
	return nil
}

// diskSize is enough for the records and ladders of a run.
func (w *world) diskSize() string { return fmt.Sprintf("size=%dm", 256+int(w.minutes*60)) }

func (w *world) buildEnds() (err error) {
	if err = w.openEnds([2]namespace.Namespace{w.net.Carrier, w.net.Agent},
		[2]netip.Addr{namespace.CarrierAddr, namespace.AgentAddr}, systemSIP); err != nil {
		return err
	}
	if w.phones, err = newPhones(w.net.Carrier, netip.AddrPortFrom(phoneAddr, 5060), systemSIP); err != nil {
		return err
	}
	w.closers = append(w.closers, w.phones.close)
	w.names, err = newNames(w.net.Relay)
	if err == nil {
		w.closers = append(w.closers, w.names.close)
	}
	return err
}

// openEnds opens carrier and targets with their audio: the carrier on side 0, the targets on side 1.
func (w *world) openEnds(in [2]namespace.Namespace, at [2]netip.Addr, peer netip.AddrPort) (err error) {
	if w.audio, err = newAudio(in, at); err != nil {
		return err
	}
	w.closers = append(w.closers, w.audio.close)
	for _, o := range []struct {
		to     **end
		name   string
		side   int
		port   uint16
		arrive func(*leg, *sip.Server)
	}{
		{&w.carrier, "carrier", 0, 5060, nil},
		{&w.first, "first", 1, 5060, taker(false)},
		{&w.second, "second", 1, 5070, taker(true)},
	} {
		e, err := newEnd(o.name, in[o.side], netip.AddrPortFrom(at[o.side], o.port), peer)
		if err != nil {
			return err
		}
		e.audio, e.media, e.begun, e.heard = w.audio, w.audio.port[o.side].At, w.begun, w.heard
		if o.arrive != nil {
			e.Arrive = func(d *sip.Dialog, s *sip.Server) {
				s.Respond("100 Trying", sip.Empty)
				o.arrive(legOf(d), s)
			}
		}
		*o.to = e
		w.closers = append(w.closers, e.Close)
	}
	for _, e := range w.ends() {
		go e.Run()
	}
	return nil
}

var systemSIP = netip.AddrPortFrom(namespace.RelayAddr, 5060)

func (w *world) ends() []*end { return []*end{w.carrier, w.first, w.second} }

func (w *world) configure() (err error) {
	w.server, err = flowbridge.New(w.binary, w.dir, w.net.Relay, "CHAOS_TOKEN="+token, "CHAOS_CLOCK="+w.time())
	if err != nil {
		return err
	}
	w.admin = w.server.Admin
	return w.server.Configure(fmt.Sprintf(configuration, namespace.RelayAddr, namespace.CarrierAddr, namespace.AgentAddr,
		w.store(), w.server.Socket(), w.engine, agentName, apiPort, w.level, w.more,
		firstPort, lastPort, phoneUser))
}

// api is the platform's HTTP API, which has one fault at a time.
type api struct {
	w     *world
	child *process.Child
}

func (w *world) buildAPI() error {
	w.api = &api{w: w}
	w.closers = append(w.closers, w.api.stop)
	return w.api.start("")
}

func (a *api) stop() {
	if a.child != nil {
		a.child.Kill()
	}
}

func (a *api) start(fault string) (err error) {
	a.stop()
	args := []string{
		"simulate", "synthflow", "--http", fmt.Sprintf("%v:%d", namespace.AgentAddr,
			apiPort), "--sip", "127.0.0.1:0", "--token", token,
	}
	if fault != "" {
		args = append(args, "--fault", fault)
	}
	c := exec.CommandContext(context.Background(), a.w.binary, args...)
	a.child, err = process.Start(a.w.net.Agent, filepath.Join(a.w.dir, "api.log"), c)
	return err
}

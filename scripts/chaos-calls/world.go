package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
)

// The addresses. A network namespace each, linked by veth pairs, as if they were three machines:
//
//	carrier, phones c0 --- c0 relay a0 --- a0 agents, their HTTP API
var (
	systemAddr  = netip.MustParseAddr("10.205.1.1")
	carrierAddr = netip.MustParseAddr("10.205.2.2")
	phoneAddr   = netip.MustParseAddr("10.205.2.3")
	agentAddr   = netip.MustParseAddr("10.205.3.2")
	gateways    = [2]netip.Addr{netip.MustParseAddr("10.205.2.1"), netip.MustParseAddr("10.205.3.1")} // the relay's, of both links
	resolver    = netip.MustParseAddrPort("127.0.0.53:53")
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
  - {name: phones, auth: {username: %[13]s, password_env: CHAOS_TOKEN}, registrar: {max_contacts: %[14]d}}
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
admin: {listen: "unix://%[5]s", profiles: true}
log: {level: %[9]s}
%[10]s
`

// world is all that takes part.
type world struct {
	dir     string // what is written, but the store
	disk    string // the store's file system
	engine  string
	binary  string
	level   string
	more    string // configuration
	clock   bool   // the binary has one of its own
	minutes float64
	begun   time.Time

	carrierNet, systemNet, agentNet namespace.Namespace

	carrier, first, second *end
	audio                  *audio
	phones                 *phones
	names                  *names
	api                    *api
	flowbridge             *supervisor
	admin                  *admin
	seen                   map[string]record // by id: records that were there before the database was damaged or removed
	unread                 time.Duration     // what was there before could not be read
	closers                []func()
}

func (w *world) close() {
	for _, c := range slices.Backward(w.closers) {
		c()
	}
}

// build makes the networks, the disk, the ends, and starts Flowbridge.
func (w *world) build() (err error) {
	w.begun, w.seen = time.Now(), map[string]record{}
	for _, step := range []func() error{w.buildNetwork, w.buildDisk, w.buildEnds, w.buildAPI, w.configure} {
		if err := step(); err != nil {
			return err
		}
	}
	w.admin = newAdmin(w.socket())
	w.flowbridge, err = newSupervisor(w)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.flowbridge.close)
	if err := w.admin.awaitReady(10 * time.Second); err != nil {
		return fmt.Errorf("flowbridge does not start: %w; %s", err, process.Tail(w.log()))
	}
	return nil
}

func (w *world) log() string    { return filepath.Join(w.dir, "log") }
func (w *world) socket() string { return filepath.Join(w.dir, "admin.sock") }
func (w *world) store() string  { return filepath.Join(w.disk, "calls.db") }
func (w *world) time() string   { return filepath.Join(w.dir, "clock") }
func (w *world) config() string { return filepath.Join(w.dir, "flowbridge.yaml") }

func (w *world) buildNetwork() (err error) {
	for _, ns := range []*namespace.Namespace{&w.carrierNet, &w.systemNet, &w.agentNet} {
		if *ns, err = namespace.New(); err != nil {
			return fmt.Errorf("a network of our own: %w; it needs root", err)
		}
	}
	link := func(from namespace.Namespace, name string, at, gateway netip.Addr) {
		if err == nil {
			err = errors.Join(from.Pair(name, w.systemNet), from.Address(name, at, 24), w.systemNet.Address(name, gateway, 24), from.Route(gateway))
		}
	}
	link(w.carrierNet, "c0", carrierAddr, gateways[0])
	link(w.agentNet, "a0", agentAddr, gateways[1])
	return errors.Join(err, w.carrierNet.Address("c0", phoneAddr, 24), w.systemNet.Address("lo", systemAddr, 32))
}

// buildDisk mounts what Flowbridge has for itself: the store's disk, the file system of BPF, and the resolver's file.
func (w *world) buildDisk() error {
	w.disk = filepath.Join(w.dir, "disk")
	if err := os.Mkdir(w.disk, 0o700); err != nil {
		return err
	}
	resolv := filepath.Join(w.dir, "resolv.conf")
	text := fmt.Sprintf("nameserver %v\noptions timeout:1 attempts:2\n", resolver.Addr())
	if err := os.WriteFile(resolv, []byte(text), 0o644); err != nil { //nolint:gosec // as /etc/resolv.conf is
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
	if w.audio, err = newAudio([2]namespace.Namespace{w.carrierNet, w.agentNet}, [2]netip.Addr{carrierAddr, agentAddr}); err != nil {
		return err
	}
	w.closers = append(w.closers, w.audio.close)
	for _, e := range []struct {
		end  **end
		name string
		in   namespace.Namespace
		at   netip.AddrPort
		side int
	}{
		{&w.carrier, "carrier", w.carrierNet, netip.AddrPortFrom(carrierAddr, 5060), 0},
		{&w.first, "first", w.agentNet, netip.AddrPortFrom(agentAddr, 5060), 1},
		{&w.second, "second", w.agentNet, netip.AddrPortFrom(agentAddr, 5070), 1},
	} {
		n, err := newEnd(e.name, e.in, e.at, netip.AddrPortFrom(systemAddr, 5060))
		if err != nil {
			return err
		}
		n.audio, n.media, n.begun = w.audio, w.audio.addr[e.side], w.begun
		*e.end = n
		w.closers = append(w.closers, n.close)
	}
	w.first.arrive, w.second.arrive = taker(false), taker(true)
	for _, e := range w.ends() {
		go e.read()
	}
	if w.phones, err = newPhones(w.carrierNet, netip.AddrPortFrom(phoneAddr, 5060), netip.AddrPortFrom(systemAddr, 5060)); err != nil {
		return err
	}
	w.closers = append(w.closers, w.phones.close)
	w.names, err = newNames(w.systemNet)
	if err == nil {
		w.closers = append(w.closers, w.names.close)
	}
	return err
}

func (w *world) ends() []*end { return []*end{w.carrier, w.first, w.second} }

func (w *world) configure() error {
	text := fmt.Sprintf(configuration, systemAddr, carrierAddr, agentAddr, w.store(), w.socket(), w.engine, agentName, apiPort, w.level, w.more, firstPort, lastPort,
		phoneUser, phoneCount)
	return os.WriteFile(w.config(), []byte(text), 0o600)
}

// api is the platform's HTTP API, which has one fault at a time.
type api struct {
	w   *world
	end func()
}

func (w *world) buildAPI() error {
	w.api = &api{w: w}
	w.closers = append(w.closers, func() { w.api.end() })
	return w.api.start("")
}

func (a *api) start(fault string) error {
	if a.end != nil {
		a.end()
	}
	args := []string{"simulate", "synthflow", "--http", fmt.Sprintf("%v:%d", agentAddr, apiPort), "--sip", "127.0.0.1:0", "--token", token}
	if fault != "" {
		args = append(args, "--fault", fault)
	}
	out, err := os.OpenFile(filepath.Join(a.w.dir, "api.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	c := exec.Command(a.w.binary, args...) //nolint:noctx // it is ended by its own
	c.Stdout, c.Stderr = out, out
	err = a.w.agentNet.Do(c.Start)
	_ = out.Close()
	a.end = func() {
		if c.Process != nil {
			_ = c.Process.Signal(syscall.SIGKILL)
			_ = c.Wait()
		}
	}
	return err
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
)

// The addresses of scripts/takeover-lab.
var (
	seatAddr   = netip.MustParseAddr("10.206.0.10")
	labCarrier = netip.MustParseAddr("10.206.0.2")
	labAgent   = netip.MustParseAddr("10.206.0.3")
)

const (
	databaseURL = "postgres://postgres@10.206.0.4:5432,10.206.0.5:5432/flowbridge?sslmode=disable" +
		"&target_session_attrs=read-write&connect_timeout=2"
	nodeConfig = `
sip: {listen: ["udp://%[1]v:5060"], max_delay: 1h}
media: {listen: [%[1]v], ports: 10000-32767, engine: %[2]s, timeout: %[3]v}
trunks: [{name: carrier, sources: [%[4]v], session_expires: 90s%[5]s}]
targets:
  - {name: first, kind: sip, uri: "sip:{{.To.Number}}@%[6]v:5060", ring_timeout: 3s, dtmf: info}
  - {name: second, kind: sip, uri: "sip:{{.To.Number}}@%[6]v:5070", ring_timeout: 3s, dtmf: info}
routes: [{targets: [first, second]}]
store: {path: %[7]q}
admin: {listen: "unix://%[8]s"}
log: {level: info}
fleet: {dsn_file: %[9]q, node: %[10]s, caps: true%[11]s}
`
)

// lab is a carrier, agents, a database with its standby, and three nodes, one of which has the seat. After the first
// error its methods do nothing.
type lab struct {
	*takeover
	runner   // the load
	err      error
	dir      string
	in       map[string]namespace.Namespace
	nodes    []*node
	undo     []func()        // run in reverse
	plain    bool            // without takeover: each node has a separate journal
	more     string          // further keys of the trunk
	silent   time.Duration   // media.timeout
	patience time.Duration   // fleet.takeover.patience
	cut      time.Duration   // when a cable was last pulled out
	waited   map[string]bool // numbers of the calls that were not answered when their machine died
}

// node is a machine that can have the seat.
type node struct {
	name   string // of its link and namespace, and in the fleet
	server *flowbridge.Server
	keeper *process.Child // keepalived; may be nil
}

// newLab builds a lab in which no node runs yet.
func (t *takeover) newLab(prepare func(*lab)) *lab {
	l := &lab{takeover: t, in: map[string]namespace.Namespace{}, waited: map[string]bool{}}
	l.silent = 20 * time.Second // calls that end as planned have no RTP, and may last half as long as this
	l.runner = runner{settings: &settings{}, out: t.out}
	l.patience = 50 * time.Millisecond
	prepare(l)
	l.dir, l.err = os.MkdirTemp(t.dir, t.name)
	l.step(func() error {
		return errors.Join(os.Chmod(t.dir, 0o711), os.Chmod(l.dir, 0o711)) //nolint:gosec // for PostgreSQL's user
	})
	l.undo = append(l.undo, func() { _ = l.command("remove").Run() })
	l.do("build")
	for _, name := range []string{"carrier", "agent", "a", "b", "c"} {
		l.step(func() (err error) {
			l.in[name], err = namespace.Named(name)
			l.undo = append(l.undo, func() { _ = l.in[name].Close() })
			return err
		})
	}
	l.step(l.buildEnds)
	l.step(l.buildNodes)
	return l
}

func (l *lab) close() {
	for _, n := range l.nodes {
		n.kill()
	}
	for _, f := range slices.Backward(l.undo) {
		f()
	}
	_ = os.RemoveAll(l.dir)
}

func (l *lab) step(f func() error) {
	if l.err == nil {
		l.err = f()
	}
}

func (l *lab) wait(d time.Duration) {
	if l.err == nil {
		time.Sleep(d)
	}
}

func (l *lab) file(name string) string { return filepath.Join(l.dir, name) }

// command returns a command of scripts/takeover-lab.
func (l *lab) command(args ...string) *exec.Cmd {
	c := exec.CommandContext(context.Background(), l.script, args...)
	c.Env = append(os.Environ(), "LAB="+l.dir, "CASE="+l.name)
	return c
}

// do runs a command of scripts/takeover-lab, and returns its output.
func (l *lab) do(args ...string) (text string) {
	l.step(func() error {
		file := l.file("said") // not a pipe, because background processes would keep it open
		c, err := process.Start(namespace.Here, file, l.command(args...))
		if err != nil {
			return err
		}
		ok := c.Wait()
		b, err := os.ReadFile(file)
		text = strings.TrimSpace(string(b))
		if !ok {
			err = fmt.Errorf("takeover-lab %s: %s", strings.Join(args, " "), text)
		}
		if args[0] == "link" && args[2] == "down" {
			l.cut = time.Since(l.begun)
		}
		return errors.Join(err, os.Remove(file))
	})
	return text
}

// ask queries the database for a single number. It returns -1 if the query fails.
func (l *lab) ask(query string) int {
	n := -1
	text, err := l.command("query", query).CombinedOutput()
	if _, wrong := fmt.Sscan(string(text), &n); err != nil || wrong != nil {
		l.figure("a query fails", "%v: %s", err, text)
	}
	return n
}

func (l *lab) buildEnds() error {
	l.begun = time.Now()
	l.undo = append(l.undo, l.world.close)
	return l.openEnds([2]namespace.Namespace{l.in["carrier"], l.in["agent"]}, [2]netip.Addr{labCarrier, labAgent},
		netip.AddrPortFrom(seatAddr, 5060))
}

// buildNodes writes the nodes' settings, and the secrets that they share.
func (l *lab) buildNodes() error {
	err := errors.Join(os.WriteFile(l.file("dsn"), []byte(databaseURL), 0o600),
		os.WriteFile(l.file("key"), []byte(rand.Text()+rand.Text()), 0o600))
	for _, name := range []string{"a", "b", "c"} {
		server, err2 := flowbridge.New(l.binary, l.dir, l.in[name])
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		l.nodes = append(l.nodes, &node{name: name, server: server})
	}
	return err
}

// configure gives a node the same configuration as all others, except for its name and files.
func (l *lab) configure(n *node) error {
	seat := ""
	if !l.plain {
		seat = fmt.Sprintf(", takeover: {seat: east, key_file: %q, patience: %v}", l.file("key"), l.patience)
	}
	return n.server.Configure(fmt.Sprintf(nodeConfig, seatAddr, l.engine, l.silent, labCarrier, l.more, labAgent,
		n.server.Store(), n.server.Socket(), l.file("dsn"), n.name, seat))
}

// start starts the first node with the address, and the others as its standbys.
func (l *lab) start() {
	for i, n := range l.nodes {
		l.step(func() error { return l.configure(n) })
		switch {
		case l.by == "keepalived":
			l.keep(n, i)
		case i == 0:
			l.do("add", n.name)
		}
		switch {
		case i == 0:
			l.step(n.server.Start)
		case !l.plain:
			l.step(n.server.Launch)
		}
	}
}

// keep starts keepalived, which moves the address. At first the first node has it.
func (l *lab) keep(n *node, i int) {
	l.step(func() (err error) {
		n.keeper, err = process.Start(namespace.Here, l.file("keepalived-"+n.name+".log"), l.command("keepalived", n.name,
			fmt.Sprint(150-10*i), l.binary+" seat take east --config "+n.server.Config()))
		if err == nil && i == 0 {
			err = process.Until(10*time.Second, func() error { return l.command("has", n.name).Run() })
		}
		return err
	})
}

// die kills all processes of the node, and unplugs its cable. Messages that the process sent before that have left.
func (l *lab) die(n *node) {
	n.server.Kill()
	l.do("link", n.name, "down")
	n.kill()
}

// kill kills the processes of the node. keepalived would announce a normal end.
func (n *node) kill() {
	n.server.Kill()
	if n.keeper != nil {
		n.keeper.Kill()
	}
}

// take makes the node take over the seat from a node that is dead or cut off, and returns when it serves. Without
// keepalived, it first waits a second, the time in which a script detects this.
func (l *lab) take(n, from *node) {
	begin := time.Now()
	if l.by != "keepalived" {
		l.wait(time.Second)
		l.do("add", n.name)
	}
	l.step(func() error { return n.server.Ready(30 * time.Second) })
	took := float64(time.Since(begin).Milliseconds())
	l.atMost(fmt.Sprintf("node %s serves after the end of %s", n.name, from.name), 3000, took)
}

// listen counts the packets a node sends by UDP from now on; note records the count.
func (l *lab) listen(name string) (note func()) {
	log := l.file("wire.log")
	var c *process.Child
	l.step(func() (err error) {
		if c, err = process.Start(namespace.Here, log, l.command("listen", name)); err != nil {
			return err
		}
		return process.Until(10*time.Second, func() error {
			if text := process.Tail(log); !strings.Contains(text, "File: ") {
				return errors.New(text)
			}
			return nil
		})
	})
	return func() {
		if l.err != nil {
			return
		}
		c.Stop()
		lines := strings.FieldsFunc(l.do("heard"), func(r rune) bool { return r == '\n' })
		l.is("datagrams of the former owner after the takeover", 0, len(lines))
		if len(lines) > 0 {
			l.figure("the first of them, and the last", "%s", strings.Join([]string{lines[0], lines[len(lines)-1]}, "\n      "))
		}
	}
}

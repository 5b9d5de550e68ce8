package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
)

// node is a machine that can have the seat.
type node struct {
	lab    *lab
	name   string // of its link, its namespace and in the fleet
	server *flowbridge.Server
	keeper *process.Child // keepalived; nil: none
}

const nodeConfig = `
sip: {listen: ["udp://%[1]v:5060"]}
media: {listen: [%[1]v], ports: 10000-32767, engine: %[2]s, timeout: %[11]v}
trunks: [{name: carrier, sources: [%[3]v], session_expires: 90s%[9]s}]
targets:
  - {name: first, kind: sip, uri: "sip:{{.To.Number}}@%[4]v:5060", ring_timeout: 3s, dtmf: info}
  - {name: second, kind: sip, uri: "sip:{{.To.Number}}@%[4]v:5070", ring_timeout: 3s, dtmf: info}
routes: [{targets: [first, second]}]
store: {path: %[5]q}
admin: {listen: "unix://%[6]s"}
log: {level: info}
fleet: {dsn_file: %[7]q, node: %[8]s, caps: true%[10]s}
`

// buildNodes writes what the nodes are told, and the secrets that they share.
func (l *lab) buildNodes() error {
	key := rand.Text() + rand.Text()
	err := errors.Join(
		os.WriteFile(l.file("dsn"), []byte(databaseURLs), 0o600), os.WriteFile(l.file("key"), []byte(key), 0o600))
	for _, name := range []string{"a", "b", "c"} {
		n := &node{lab: l, name: name}
		if err == nil {
			n.server, err = flowbridge.New(l.takeover.binary, l.dir, l.in[name])
		}
		if err != nil {
			return err
		}
		l.nodes = append(l.nodes, n)
		err = n.server.Configure(n.config())
	}
	return err
}

// owner is who has the seat, and its epoch.
func (l *lab) owner() string {
	text, err := l.do("query", "SELECT node || ', epoch ' || epoch FROM flowbridge_seats WHERE seat = 'east'")
	if err != nil {
		text = err.Error()
	}
	return text
}

// move runs what moves the address: "add" or "drop" at a node, or the seat's name.
func (l *lab) move(what, node string) error {
	_, err := l.do(what, node)
	return err
}

func (l *lab) file(name string) string { return filepath.Join(l.dir, name) }

// config is the same for all nodes, but for the node's name and files.
func (n *node) config() string {
	l, seat := n.lab, ""
	if !l.plain {
		seat = fmt.Sprintf(", takeover: {seat: east, key_file: %q, patience: 50ms}", l.file("key"))
	}
	return fmt.Sprintf(nodeConfig, seatAddr, l.takeover.engine, labCarrier, labAgent,
		n.server.Store(), n.server.Socket(), l.file("dsn"), n.name, l.more, seat, l.silent)
}

// start starts the first node with the address, and the others as its standbys.
func (l *lab) start() error {
	first, give := l.nodes[0], func() error { return l.move("add", "a") }
	keeps := l.by == "keepalived" && !l.plain
	if keeps {
		give = first.keep
	}
	err := give()
	if err == nil {
		err = process.Until(10*time.Second, first.has)
	}
	if err == nil {
		err = first.server.Start()
	}
	for _, n := range l.nodes[1:] {
		if err == nil && !l.plain {
			err = n.server.Launch()
		}
		if err == nil && keeps {
			err = n.keep()
		}
	}
	return err
}

// keep starts keepalived, which moves the address.
func (n *node) keep() (err error) {
	take := n.lab.takeover.binary + " seat take east --config " + n.server.Config()
	n.keeper, err = process.Start(namespace.Here, n.lab.file("keepalived-"+n.name+".log"),
		n.lab.command("keepalived", n.name, map[string]string{"a": "150", "b": "140", "c": "130"}[n.name], take))
	return err
}

var errNoAddress = errors.New("the node does not have the address")

// has says whether the node has the address.
func (n *node) has() error {
	out, err := exec.Command("ip", "-n", n.name, "-br", "address", "show", "to", seatAddr.String()).Output() //nolint:noctx,lll // it takes no time
	if err == nil && len(out) == 0 {
		err = errNoAddress
	}
	return err
}

// die kills all processes of the node, and takes its link down. What its process has said before has left.
func (n *node) die() error {
	n.server.Kill()
	_, err := n.lab.do("link", n.name, "down")
	if n.keeper != nil { // it would say good-bye
		n.keeper.Kill()
	}
	return err
}

// kill ends the processes of the node.
func (n *node) kill() {
	if n.server != nil {
		n.server.Kill()
	}
	if n.keeper != nil {
		n.keeper.Kill()
	}
}

// detection is how long a script takes to find out that a node is dead, as keepalived does.
const detection = time.Second

// take has the node take the seat over from one that is dead or cut off, and returns when it serves. Without takeover an
// operator can copy the store, if its disk lives: that all calls live then shows that this bench counts right.
func (n *node) take(from *node) error {
	switch {
	case n.lab.plain:
		err := from.server.CopyStore(n.server)
		return errors.Join(err, n.lab.move("add", n.name), n.server.Start())
	case n.lab.by == "keepalived":
		return n.server.Ready(30 * time.Second)
	}
	time.Sleep(detection)
	return n.takeByScript()
}

// takeByScript gives the node the address, whoever else has it, and the seat.
func (n *node) takeByScript() error {
	if err := n.lab.move("add", n.name); err != nil {
		return err
	}
	out, err := n.seat("take", "east")
	if err != nil {
		n.lab.figure("flowbridge seat take says", "%v: %s", err, out)
	}
	return n.server.Ready(30 * time.Second)
}

// seat runs flowbridge seat at the node.
func (n *node) seat(args ...string) (string, error) {
	args = append([]string{n.lab.takeover.binary, "seat", args[0], "--config", n.server.Config()}, args[1:]...)
	out, err := n.server.Command(args...).CombinedOutput()
	return string(out), err
}

// keepLog copies what the node has written to where somebody wants it.
func (n *node) keepLog() {
	t := n.lab.takeover
	if t.logs == "" || n.server == nil {
		return
	}
	for from, to := range map[string]string{
		n.server.Log(): "log", n.lab.file("keepalived-" + n.name + ".take"): "take", n.server.Config(): "yaml",
		n.lab.file("keepalived-" + n.name + ".log"): "keepalived",
	} {
		if b, err := os.ReadFile(from); err == nil {
			_ = os.WriteFile(filepath.Join(t.logs, fmt.Sprintf("%s-%s.%s", t.name, n.name, to)), b, 0o600)
		}
	}
}

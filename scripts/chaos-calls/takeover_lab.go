package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/process"
)

// The addresses of scripts/takeover-lab.
var (
	seatAddr     = netip.MustParseAddr("10.206.0.10")
	labCarrier   = netip.MustParseAddr("10.206.0.2")
	labAgent     = netip.MustParseAddr("10.206.0.3")
	databaseURLs = "postgres://postgres@10.206.0.4:5432,10.206.0.5:5432/flowbridge?sslmode=disable" +
		"&target_session_attrs=read-write&connect_timeout=2"
)

const runDir = "/run/netns"

// mountRun makes a /run of our own: the names of our namespaces are nobody else's.
func mountRun() error {
	err := unix.Mount("run", "/run", "tmpfs", 0, "size=16m,mode=755")
	return os.NewSyscallError("mount /run", err)
}

// lab is a carrier, agents, a database with its standby and three nodes, one of which has the seat.
type lab struct {
	*takeover
	runner // the load
	dir    string
	in     map[string]namespace.Namespace
	nodes  []*node
	undo   []func()        // run in reverse
	heard  int             // so many of the held calls have RTP; 0: all
	plain  bool            // without takeover: nodes have a journal of their own
	more   string          // of the trunk
	silent time.Duration   // media.timeout
	waited map[string]bool // numbers of those that nobody had answered when their machine died
}

// newLab builds a lab, in which no node runs yet.
func (t *takeover) newLab(options func(*takeover, *lab)) (l *lab, err error) {
	l = &lab{takeover: t, in: map[string]namespace.Namespace{}, waited: map[string]bool{}, silent: 10 * time.Second}
	l.runner = runner{settings: &settings{}, out: t.out, stop: t.stop}
	l.plain = t.manual
	options(t, l)
	if l.dir, err = os.MkdirTemp(t.dir, t.name); err == nil {
		err = os.Chmod(l.dir, 0o711) //nolint:gosec // PostgreSQL runs as another user
	}
	l.undo = append(l.undo, func() { _, _ = l.do("remove") })
	if err == nil {
		_, err = l.do("build")
	}
	for _, step := range []func() error{l.open, l.buildEnds, l.buildNodes} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// command is one of scripts/takeover-lab.
func (l *lab) command(args ...string) *exec.Cmd {
	c := exec.CommandContext(context.Background(), l.script, args...)
	c.Env = append(os.Environ(), "LAB="+l.dir)
	return c
}

// do runs a command of scripts/takeover-lab, and returns what it says.
func (l *lab) do(args ...string) (string, error) {
	file, err := os.CreateTemp(l.dir, "said") // not a pipe: what goes on in the background would keep it open
	if err != nil {
		return "", err
	}
	defer func() { _ = errors.Join(file.Close(), os.Remove(file.Name())) }()
	c := l.command(args...)
	c.Stdout, c.Stderr = file, file
	failed := c.Run()
	text, err := os.ReadFile(file.Name())
	if failed != nil {
		err = fmt.Errorf("takeover-lab %s: %w: %s", strings.Join(args, " "), failed, text)
	}
	return strings.TrimSpace(string(text)), err
}

// ask is a query of the database, whose one value is a number; -1: it fails.
func (l *lab) ask(query string) int {
	text, err := l.do("query", query)
	n := -1
	if _, wrong := fmt.Sscan(text, &n); err != nil || wrong != nil {
		l.figure("a query fails", "%v, %v", err, wrong)
	}
	return n
}

func (l *lab) close() {
	for _, n := range l.nodes {
		n.kill()
		n.keepLog()
	}
	for _, f := range slices.Backward(l.undo) {
		f()
	}
	_ = os.RemoveAll(l.dir)
}

// open opens the namespaces of those that run here or are started from here.
func (l *lab) open() error {
	for _, name := range []string{"carrier", "agent", "a", "b", "c"} {
		fd, err := unix.Open(filepath.Join(runDir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("open "+name, err)
		}
		l.in[name] = namespace.Namespace(fd)
		l.undo = append(l.undo, func() { _ = unix.Close(fd) })
	}
	return nil
}

func (l *lab) buildEnds() (err error) {
	w := &l.world
	w.begun = time.Now()
	w.audio, err = newAudio([2]namespace.Namespace{l.in["carrier"], l.in["agent"]}, [2]netip.Addr{labCarrier, labAgent})
	if err != nil {
		return err
	}
	l.undo = append(l.undo, w.audio.close)
	peer := netip.AddrPortFrom(seatAddr, 5060)
	err = errors.Join(
		w.addEnd(&w.carrier, "carrier", l.in["carrier"], netip.AddrPortFrom(labCarrier, 5060), peer, 0),
		w.addEnd(&w.first, "first", l.in["agent"], netip.AddrPortFrom(labAgent, 5060), peer, 1),
		w.addEnd(&w.second, "second", l.in["agent"], netip.AddrPortFrom(labAgent, 5070), peer, 1))
	l.undo = append(l.undo, w.close)
	if err != nil {
		return err
	}
	w.first.arrive, w.second.arrive = taker(false), taker(true)
	for _, e := range w.ends() {
		e.heard = l.heard
		go e.read()
	}
	return nil
}

// listen counts from now on what a node sends by UDP, and notes it in the end.
func (l *lab) listen(name string) (note func(), err error) {
	log := filepath.Join(l.dir, "wire.log")
	c, err := process.Start(namespace.Here, log, l.command("listen", name))
	if err == nil {
		err = process.Until(10*time.Second, func() error {
			if text := process.Tail(log); !strings.Contains(text, "File: ") {
				return errors.New(text)
			}
			return nil
		})
	}
	return func() {
		c.Stop()
		text, err := l.do("heard")
		lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
		l.is("datagrams of the former owner after the takeover", 0, len(lines))
		if len(lines) > 0 || err != nil {
			lines = append(lines[:min(3, len(lines))], lines[len(lines)-min(1, len(lines)):]...)
			l.figure("the first of them, and the last", "%v %s", err, strings.Join(lines, "\n      "))
		}
	}, err
}

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/internal/handover"
	"flowbridge/store"
)

// successorMode has this test's program be the new process of an upgrade, and says how it fails.
const successorMode = "FLOWBRIDGE_TEST_SUCCESSOR"

// succeed is a new process that fails.
func succeed(mode string) {
	conn, err := handover.Inherited()
	if err != nil || conn == nil {
		os.Exit(3)
	}
	before := &Predecessor{conn: conn, files: map[string][]int{}}
	switch mode {
	case "hangs":
		for { // until the other one has gone
			if _, err := conn.Receive(); err != nil {
				break
			}
		}
	case "ends":
		os.Exit(4)
	case "refuses":
		_ = before.Refuse(errors.New("a.yaml:3: trunks[0].soures: unknown key"))
	case "speaks another language":
		_ = before.receive()
		_ = conn.Send(handover.Ready, nil)
		_, _ = conn.Receive()
	case "writes calls in another form":
		_ = before.receive()
		_ = conn.Send(handover.Loaded, loaded{Version: "1.0.0", Format: snapshot.Format - 1})
		_, _ = conn.Receive()
	case "ends with all it was given":
		if takeAll(before) == nil {
			os.Exit(5)
		}
	case "hangs with all it was given":
		_ = takeAll(before)
		_, _ = conn.Receive()
	case "is ready when it is told":
		_ = takeAll(before)
		file := os.Getenv(successorMode + "_FILE")
		_ = os.WriteFile(file+".taken", nil, 0o600)
		_, _ = os.ReadFile(file + ".told") // a pipe
		_ = conn.Send(handover.Ready, nil)
		_, _ = conn.Receive()
	case "takes the store, and ends":
		if takeAll(before) != nil {
			return
		}
		cfg, err := config.Load(os.Getenv(successorMode + "_FILE"))
		if err == nil {
			n := &Node{Options: Options{before: before}}
			err = n.openStore(context.Background(), cfg)
		}
		if err != nil {
			_ = before.Refuse(fmt.Errorf("the test: %w", err))
		}
		os.Exit(6)
	}
}

// A process that writes calls in another form, or in one from before forms had numbers, is not replaced.
func TestPredecessorOfAnotherForm(t *testing.T) {
	for name, begin := range map[string][]byte{
		"none": {0x46, 0x42, 0x48, 1, byte(handover.Begin), 0, 0, 0, 0, 0, 0, 0},
		"old":  {0x46, 0x42, 0x48, 1, byte(handover.Begin), 0, 0, 0, 0, 0, 0, 3, 0xa1, 1, snapshot.Format - 1},
	} {
		conn, old, err := handover.Pair()
		must(t, err)
		_, err = old.Write(begin)
		must(t, err)
		if err := (&Predecessor{conn: conn}).receive(); !errors.Is(err, errFormat) {
			t.Errorf("%s: %v", name, err)
		}
		must(t, errors.Join(conn.Close(), old.Close()))
	}
}

// takeAll takes all that the old process gives.
func takeAll(before *Predecessor) error {
	if err := before.receive(); err != nil {
		return err
	}
	return before.loaded()
}

// TestFailedUpgrade: whatever a new process does short of being ready, the old one goes on: it answers what came meanwhile, and its
// store, API and configuration are its own again.
func TestFailedUpgrade(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	s := newReloadStage(t)
	s.left = make(chan struct{})
	plain := filepath.Join(s.dir, "plain")
	must(t, os.WriteFile(plain, []byte("no program"), 0o600))
	t.Setenv(successorMode+"_FILE", s.file)
	for _, tt := range []struct {
		mode, path string
		patience   time.Duration
		want       string
	}{
		{"is not there", filepath.Join(s.dir, "nothing"), time.Minute, "no such file"},
		{"is no program", plain, time.Minute, "permission denied"},
		{"ends", self, time.Minute, "exit status 4"},
		{"refuses", self, time.Minute, "unknown key"},
		{"speaks another language", self, time.Minute, "not a frame"},
		{"writes calls in another form", self, time.Minute, errFormat.Error()},
		{"ends with all it was given", self, time.Minute, "exit status 5"},
		{"takes the store, and ends", self, time.Minute, "exit status 6"},
		{"hangs", self, 100 * time.Millisecond, errTooLate.Error()},
		{"hangs with all it was given", self, 2 * time.Second, errTooLate.Error()},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			t.Setenv(successorMode, tt.mode)
			s.program, s.patience = handover.Program{Path: tt.path, Args: []string{tt.path}}, tt.patience
			phone := newOptionsPhone(t, s.node.SIPAddr().String())
			phone.asks()
			if done, err := s.Upgrade(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %+v, %v; want %q", done, err, tt.want)
			}
			phone.answered()
			phone.asks()
			phone.answered()
			if err := s.node.store.Alive(t.Context(), time.Now()); err != nil {
				t.Errorf("the store: %v", err)
			}
			res, err := http.Get("http://" + s.node.APIAddr().String() + "/readyz")
			must(t, err)
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("/readyz says %d", res.StatusCode)
			}
			if _, err := s.Reload(t.Context()); err != nil {
				t.Errorf("reload: %v", err)
			}
			if all := s.told.all(); !strings.HasPrefix(all[len(all)-1], "READY=1\n") {
				t.Errorf("the supervisor heard %q", all)
			}
		})
	}
	select {
	case <-s.left:
		t.Error("the old process would end")
	default:
	}
}

// TestOneUpgradeAtATime: an upgrade and a reload don't run at the same time, and a process that drains is not replaced.
func TestOneUpgradeAtATime(t *testing.T) {
	s := newReloadStage(t)
	s.left, s.patience = make(chan struct{}), time.Minute
	s.reloads.Lock()
	if _, err := s.Upgrade(t.Context()); !errors.Is(err, errUpgrading) {
		t.Errorf("beside a reload: %v", err)
	}
	s.reloads.Unlock()
	if _, err := s.Drain(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Upgrade(t.Context()); !errors.Is(err, errDraining) {
		t.Errorf("while draining: %v", err)
	}
}

// optionsPhone sends OPTIONS and INVITE from a trunk's address.
type optionsPhone struct {
	t    *testing.T
	conn *net.UDPConn
	n    int
}

func newOptionsPhone(t *testing.T, to string) *optionsPhone {
	t.Helper()
	at, err := net.ResolveUDPAddr("udp4", to)
	must(t, err)
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}, at)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &optionsPhone{t: t, conn: conn}
}

func (p *optionsPhone) asks() { p.sends("OPTIONS") }

// calls sends an INVITE without a session.
func (p *optionsPhone) calls() { p.sends("INVITE") }

func (p *optionsPhone) sends(method string) {
	p.t.Helper()
	p.n++
	from := p.conn.LocalAddr().String()
	if _, err := fmt.Fprintf(p.conn, "%[1]s sip:%[2]s SIP/2.0\r\nVia: SIP/2.0/UDP %[3]s;branch=z9hG4bK%[4]s-%[5]d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:a@%[3]s>;tag=1\r\nTo: <sip:b@b.test>\r\nCall-ID: %[5]d@%[3]s\r\nContact: <sip:a@%[3]s>\r\nCSeq: 1 %[1]s\r\nContent-Length: 0\r\n\r\n",
		method, p.conn.RemoteAddr(), from, strings.ReplaceAll(from, ":", "-"), p.n); err != nil {
		p.t.Fatal(err)
	}
}

func (p *optionsPhone) answered() {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(time.Minute))
	answer := make([]byte, 4096)
	n, err := p.conn.Read(answer)
	must(p.t, err)
	if got := string(answer[:n]); !strings.HasPrefix(got, "SIP/2.0 200 ") || !strings.Contains(got, fmt.Sprintf("-%d", p.n)) {
		p.t.Errorf("got %s", got)
	}
}

// TestUpgradeBelowAnInit: the init of a container ends with the process that it has started, and the container with it. So that
// process can't be replaced. Others below it can, and so can a machine's.
func TestUpgradeBelowAnInit(t *testing.T) {
	for _, tt := range []struct {
		pid, parent int
		first       string
		ends        bool
	}{
		{1, 0, "flowbridge\n", true},
		{7, 1, "docker-init\n", true},
		{7, 1, "catatonit\n", true},
		{9, 7, "docker-init\n", false},
		{700, 1, "systemd\n", false},
		{7, 1, "bash\n", false},
		{7, 1, "", false},
	} {
		if got := endsAll(tt.pid, tt.parent, tt.first); got != tt.ends {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// TestUpgradeWithoutARecord: where records can't be written, no other process is begun, and nothing stands still: the refusal says why.
func TestUpgradeWithoutARecord(t *testing.T) {
	s := newReloadStage(t)
	s.left, s.patience, s.program = make(chan struct{}), time.Minute, handover.Program{Path: filepath.Join(s.dir, "nothing")}
	path, aside := filepath.Join(s.dir, "calls.db"), filepath.Join(s.dir, "aside.db")
	other, err := store.Open(t.Context(), filepath.Join(s.dir, "other.db"))
	if err == nil {
		err = other.Close()
	}
	if err == nil {
		err = os.Rename(path, aside)
	}
	if err == nil {
		err = os.Rename(filepath.Join(s.dir, "other.db"), path)
	}
	must(t, err)
	if _, err := s.Upgrade(t.Context()); err == nil || !strings.Contains(err.Error(), "another file is in the place of the database") {
		t.Errorf("error %v; want that another file is in the place of the database", err)
	}
	h := &standstill{server: s.node.server, engine: s.node.rtp.engine, store: s.node.store}
	if err := h.still(t.Context()); err == nil || !h.frozen.IsZero() || !strings.Contains(err.Error(), "another file is in the place of the database") {
		t.Errorf("%v, frozen at %v", err, h.frozen)
	}
	s.node.server.Thaw()
	must(t, os.Rename(aside, path))
	must(t, s.node.store.Flush(t.Context()))
	if _, err := s.Upgrade(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("when they are written: %v", err)
	}
}

// TestDrainInAnUpgrade: who is told to drain before the last word is not replaced: the drain would be lost with it.
func TestDrainInAnUpgrade(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	s := newReloadStage(t)
	s.left, s.patience, s.program = make(chan struct{}), time.Minute, handover.Program{Path: self, Args: []string{self}}
	t.Setenv(successorMode+"_FILE", s.file)
	t.Setenv(successorMode, "is ready when it is told")
	must(t, unix.Mkfifo(s.file+".told", 0o600))
	failed := make(chan error, 1)
	go func() {
		_, err := s.Upgrade(t.Context())
		failed <- err
	}()
	waitFor(t, "the new process has taken all", func() bool {
		_, err := os.Stat(s.file + ".taken")
		return err == nil
	})
	if _, err := s.Drain(); err != nil {
		t.Error(err)
	}
	must(t, os.WriteFile(s.file+".told", []byte("go on"), 0o600))
	if err := <-failed; !errors.Is(err, errDraining) && !strings.Contains(err.Error(), errDraining.Error()) {
		t.Errorf("upgraded: %v", err)
	}
}

// TestGiveWay: the supervisor hears of the process that goes on when this one ends, and not if that has ended before: then this one
// fails, so that another one is started. Who is told to drain after the last word tells the other one.
func TestGiveWay(t *testing.T) {
	s := newReloadStage(t)
	ended := make(chan error, 1)
	s.left, s.heir = make(chan struct{}), &handover.Process{PID: 1 << 22, Ended: ended} // of nobody
	must(t, s.giveUp())
	close(s.left)
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	if _, replaced := s.untilTold(signals); !replaced {
		t.Error("it drains")
	}
	told := len(s.told.all())
	if err := s.giveWay(); err != nil || len(s.told.all()) != told+1 {
		t.Errorf("%v, the supervisor heard %q", err, s.told.all())
	}
	ended <- nil
	if err := s.giveWay(); !errors.Is(err, errHeirEnded) || len(s.told.all()) != told+1 {
		t.Errorf("%v, the supervisor heard %q", err, s.told.all())
	}
}

// TestOtherKernel: a process that would not know of the flows which the kernel relays for the one before is refused.
func TestOtherKernel(t *testing.T) {
	fd, err := unix.Open(t.TempDir(), unix.O_RDONLY, 0)
	must(t, err)
	before := &Predecessor{files: map[string][]int{partKernel: {fd}}}
	if err := new(rtp).open(&config.Media{Engine: config.EngineUserspace}, before); !errors.Is(err, errOtherKernel) {
		t.Errorf("got %v", err)
	}
}

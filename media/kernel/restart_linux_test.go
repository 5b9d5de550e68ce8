//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asChild is set for a child process, in which TestMain only opens a relay.
const asChild = "FLOWBRIDGE_KERNEL_CHILD"

// childOptions has the options of a child's relay, and its flows.
type childOptions struct {
	Options
	Clsact bool
	Flows  []childFlow
}

// childFlow has the fields of a Flow that JSON can encode.
type childFlow struct {
	In, Source, Out, Dest netip.AddrPort
	SSRC                  uint32
}

func (f *Flow) child() childFlow {
	return childFlow{In: f.In, Source: f.Source, Out: f.Out, Dest: f.Dest, SSRC: f.SSRC}
}

func TestMain(m *testing.M) {
	if arg := os.Getenv(asChild); arg != "" {
		os.Exit(child(arg))
	}
	os.Exit(m.Run())
}

// child prints how its relay is attached, or the error, and ends when its input ends.
func child(arg string) int {
	var o childOptions
	if err := json.Unmarshal([]byte(arg), &o); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	o.noTCX = o.Clsact
	if err := CheckDir(o.Dir, o.OldDir); err != nil && o.Dir != "" {
		fmt.Println("error:", err)
		return 1
	}
	r, err := Open(o.Options)
	if err != nil {
		fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", " "))
		return 1
	}
	for _, f := range o.Flows {
		if err := put(r, Flow{In: f.In, Source: f.Source, Out: f.Out, Dest: f.Dest, SSRC: f.SSRC}, State{}); err != nil {
			fmt.Println("error:", err)
			return 1
		}
	}
	fmt.Println(r.Path())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// process is a running child. It is in the network namespace of the thread that started it.
type process struct {
	cmd  *exec.Cmd
	said string
}

func startChild(t *testing.T, o childOptions, change ...func(*exec.Cmd)) *process {
	t.Helper()
	arg, err := json.Marshal(o)
	must(t, err)
	self, err := os.Open("/proc/self/exe")
	must(t, err)
	defer self.Close()
	p := &process{cmd: exec.Command("/proc/self/fd/3")} // a user other than root may not reach the file by its path
	p.cmd.Env = append(os.Environ(), asChild+"="+string(arg))
	p.cmd.ExtraFiles = []*os.File{self}
	for _, c := range change {
		c(p.cmd)
	}
	in, err1 := p.cmd.StdinPipe()
	out, err2 := p.cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	must(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = p.cmd.Wait()
	})
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child said nothing: %v", err)
	}
	p.said = strings.TrimSpace(said)
	return p
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	must(t, p.cmd.Process.Signal(syscall.SIGKILL))
	_ = p.cmd.Wait()
}

// A process is killed in mid-call, and a later one adopts its flows. No packet is lost.
func TestOutlivesItsProcess(t *testing.T) {
	for _, way := range []string{"tcx", "clsact"} {
		t.Run(way, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				dir := filepath.Join(bpffs(t), "flowbridge-1")
				o := childOptions{Options: Options{Dir: dir, Capacity: 64}, Clsact: way == "clsact"}
				a, b := l.a.phone("10.81.1.2:4000"), l.b.phone("10.81.2.2:5000")
				there := Flow{In: ap("10.81.1.1:20000"), Source: a.addr, Out: ap("10.81.2.1:20002"), Dest: b.addr, SSRC: 7}
				back := Flow{In: there.Out, Source: b.addr, Out: there.In, Dest: a.addr, SSRC: 8}
				stream := newStream(l)
				o.Flows = []childFlow{there.child(), back.child(), stream.child()}
				p := startChild(t, o)
				if way == "tcx" && strings.HasPrefix(p.said, "clsact") {
					t.Skip("needs tcx (Linux 6.6)")
				}
				if want := way + " on left, lo, right"; p.said != want {
					t.Fatalf("the child said %q; want %q", p.said, want)
				}
				seq := uint16(0)
				talk := func(n int) {
					t.Helper()
					for range n {
						seq++
						pkt, answer := rtp(seq, 160*uint32(seq), 7, 0, "there"), rtp(seq, 160*uint32(seq), 8, 0, "back")
						a.send(there.In, pkt)
						b.expect(there.Out, pkt)
						b.send(back.In, answer)
						a.expect(back.Out, answer)
					}
				}
				// an RTP stream that never pauses, whatever happens
				stream.begin()
				talk(10)
				p.kill(t)
				talk(100)

				adopting := Options{Dir: dir, Capacity: 64, Timeout: time.Second, noTCX: way == "clsact"}
				r, err := Open(adopting)
				must(t, err)
				talk(100)
				if r.Adopted() != 3 || !r.Uses(20000) || !r.Uses(20002) || r.Uses(20001) {
					t.Errorf("%d flows are adopted", r.Adopted())
				}
				if err := put(r, there, State{}); err == nil {
					t.Error("the port of an adopted flow is used again")
				}
				r.Leave() // an orderly end this time
				talk(100)
				r, err = Open(adopting)
				must(t, err)
				t.Cleanup(r.Close)
				talk(100)
				stream.end(t)
				if r.Adopted() != 3 {
					t.Errorf("%d flows are adopted", r.Adopted())
				}
				// Packets in one direction keep both flows.
				await(t, "the stream to be removed", func() bool {
					seq++
					a.reaches(b, there, rtp(seq, 160*uint32(seq), 7, 0, "there"))
					return r.Adopted() == 2
				})
				await(t, "silent flows to be removed", func() bool { return r.Adopted() == 0 })
				if r.Uses(20000) {
					t.Error("the port is still used")
				}
				must(t, put(r, there, State{}))
				r.Close()
				if _, err := os.Stat(dir); !os.IsNotExist(err) {
					t.Errorf("the directory is still there: %v", err)
				}
				for _, i := range []string{"lo", "left", "right"} {
					if out, err := exec.Command("tc", "filter", "show", "dev", i, "ingress").CombinedOutput(); err == nil && len(out) > 0 {
						t.Errorf("%s still has a filter: %s", i, out)
					}
				}
				socket := newPhone(t, there.In.String())
				a.send(there.In, []byte("up"))
				socket.expect(a.addr, []byte("up"))
			})
		})
	}
}

// stream is an RTP stream that never pauses, in parallel with the rest of a test.
type stream struct {
	Flow
	from, to *phone
	stop     chan struct{}
	sent     chan int
	came     atomic.Int64 // number of different packets that arrived
	ended    chan struct{}
}

func newStream(l *lab) *stream {
	l.t.Helper()
	s := &stream{from: l.a.phone("10.81.1.2:4002"), to: l.b.phone("10.81.2.2:5002"), stop: make(chan struct{}), sent: make(chan int, 1), ended: make(chan struct{})}
	s.Flow = Flow{In: ap("10.81.1.1:20010"), Source: s.from.addr, Out: ap("10.81.2.1:20012"), Dest: s.to.addr, SSRC: 9}
	return s
}

func (s *stream) begin() {
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-s.stop:
				s.sent <- n
				return
			case <-time.After(time.Millisecond):
			}
			_, _ = s.from.conn.WriteToUDPAddrPort(rtp(uint16(n), uint32(n), 9, 0, ""), s.In)
		}
	}()
	go func() { // reads at once, because a socket has little room
		all := -1
		for seen := map[uint32]bool{}; len(seen) != all; {
			got, _, ok := s.to.hear(patience)
			if !ok || len(got) < 12 {
				break
			}
			n := binary.BigEndian.Uint32(got[4:])
			if len(got) > 12 { // the last packet, which says how many were sent
				all = int(n)
				continue
			}
			if seen[n] {
				s.to.t.Errorf("packet %d of the stream came twice", n)
			}
			seen[n] = true
			s.came.Store(int64(len(seen)))
		}
		close(s.ended)
	}()
}

// end stops the stream and checks that every packet has arrived.
func (s *stream) end(t *testing.T) {
	t.Helper()
	close(s.stop)
	sent := <-s.sent
	s.from.send(s.In, rtp(0, uint32(sent), 9, 0, "the end"))
	<-s.ended
	if came := s.came.Load(); came != int64(sent) {
		t.Errorf("%d packets of the stream came; %d were sent", came, sent)
	}
	t.Logf("%d packets of the stream", sent)
}

// Flows of another version continue beside ours until they are silent.
func TestOtherLayout(t *testing.T) {
	for _, way := range []string{"tcx", "clsact"} {
		t.Run(way, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				dir := filepath.Join(bpffs(t), "flowbridge-1")
				o := Options{Dir: dir, Capacity: 64, Timeout: time.Second, noTCX: way == "clsact"}
				before, err := Open(o)
				must(t, err)
				a, b, f := l.relays(before, false)
				pkt := rtp(1, 160, 7, 0, "hello")
				before.Leave()
				o.Capacity = 128 // treated like another layout
				r, err := Open(o)
				must(t, err)
				defer r.Close()
				other := newStream(l)
				must(t, put(r, other.Flow, State{}))
				other.begin()
				for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
					a.send(f.In, pkt)
					b.expect(f.Out, pkt)
				}
				r.DismissAll()
				if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
					t.Errorf("the directory has %v, %v", entries, err)
				}
				socket := newPhone(t, f.In.String())
				await(t, "its program to be gone", func() bool {
					a.send(f.In, pkt)
					_, _, up := socket.hear(20 * time.Millisecond)
					return up
				})
				other.end(t)
			})
		})
	}
}

func TestOneProcessAtATime(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		o := Options{Dir: filepath.Join(bpffs(t), "flowbridge-1"), Capacity: 64}
		startChild(t, childOptions{Options: o})
		if r, err := Open(o); err == nil || !strings.Contains(err.Error(), "another process") {
			t.Errorf("opened: %v, %v", r, err)
		}
	})
}

func TestDirectories(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		base := bpffs(t)
		for dir, why := range map[string]string{
			filepath.Join(t.TempDir(), "pins"):      "not in a BPF file system",
			filepath.Join(base, "a.b"):              "no dots",
			filepath.Join(base, "missing", "child"): "no such file",
		} {
			if r, err := Open(Options{Dir: dir, Capacity: 64}); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v, %v; want %s", dir, r, err, why)
			}
			if err := CheckDir(dir, ""); err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "mount") { // DirRemedy says it
				t.Errorf("%s is looked at: %v; want %s", dir, err, why)
			}
		}
		for _, dir := range []string{base, filepath.Join(base, "not-yet")} {
			if err := CheckDir(dir, ""); err != nil {
				t.Errorf("%s: %v", dir, err)
			}
		}
		// A directory that others could have filled is not used.
		others, open := filepath.Join(base, "others"), filepath.Join(base, "open")
		must(t, errors.Join(os.Mkdir(others, 0o700), os.Chown(others, 65534, 65534), os.Mkdir(open, 0o700), os.Chmod(open, 0o770)))
		for dir, why := range map[string]string{others: "belongs to user 65534", open: "others may write"} {
			if r, err := Open(Options{Dir: dir, Capacity: 64}); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %v, %v; want %s", dir, r, err, why)
			}
			if err := CheckDir(dir, ""); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s is looked at: %v; want %s", dir, err, why)
			}
		}
		// A directory that was left by a process that died while it started.
		half := filepath.Join(base, "half")
		must(t, os.MkdirAll(filepath.Join(half, fmt.Sprintf("v%d-64", layout)), 0o700))
		r, err := Open(Options{Dir: half, Capacity: 64})
		must(t, err)
		r.Close()
	})
}

// A process without root needs both CAP_BPF and CAP_NET_ADMIN, and a directory of its own.
func TestWithoutRoot(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		dir := filepath.Join(bpffs(t), "flowbridge-1")
		const nobody = 65534
		must(t, errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, nobody, nobody)))
		a, b := l.a.phone("10.81.1.2:4000"), l.b.phone("10.81.2.2:5000")
		f := Flow{In: ap("10.81.1.1:20000"), Source: a.addr, Out: ap("10.81.2.1:20002"), Dest: b.addr, SSRC: 7}
		for _, tt := range []struct {
			name string
			caps []uintptr
			want string
		}{
			{"neither", nil, "needs CAP_BPF and CAP_NET_ADMIN"},
			{"CAP_BPF", []uintptr{unix.CAP_BPF}, "needs CAP_BPF and CAP_NET_ADMIN"},
			{"CAP_NET_ADMIN", []uintptr{unix.CAP_NET_ADMIN}, "needs CAP_BPF and CAP_NET_ADMIN"},
			{"both", []uintptr{unix.CAP_BPF, unix.CAP_NET_ADMIN}, "on left, lo, right; " + errNoPerfmon.Error()},
			{"all three", []uintptr{unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_PERFMON}, "on left, lo, right\n"},
		} {
			for _, d := range []string{"", dir} {
				p := startChild(t, childOptions{Options: Options{Dir: d, Capacity: 64}, Flows: []childFlow{f.child()}}, func(c *exec.Cmd) {
					c.SysProcAttr = &syscall.SysProcAttr{
						Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: tt.caps,
					}
				})
				if d == "" && strings.Contains(p.said, "before Linux 6.6") {
					continue
				}
				if !strings.Contains(p.said+"\n", tt.want) {
					t.Errorf("%s, directory %q: the child said %q; want %q", tt.name, d, p.said, tt.want)
					continue
				}
				if tt.name == "both" || tt.name == "all three" {
					a.reaches(b, f, rtp(1, 160, 7, 0, "hello"))
				}
				p.kill(t)
				clearPins(filepath.Join(dir, fmt.Sprintf("v%d-64", layout))) // removes the flow of the child
			}
		}
	})
}

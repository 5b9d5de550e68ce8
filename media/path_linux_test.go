package media

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"flowbridge/media/kernel"
)

// paths are what sessions may be carried by. All tests run once for each, with
// engines whose sessions it carries: what they expect of media is so expected of
// every path. The tests that are the worker themselves, as they turn its clock,
// are of the userspace path whatever the path under test is.
//
// On the kernel path a flow is offloaded with the first packet that it may be offloaded with.
var paths = []struct {
	name   string
	path   func(*worker) flowPath // nil: the worker
	kernel *kernel.Relay          // opened where the name is kernel
}{
	{name: "userspace"},
	{name: "audited", path: func(w *worker) flowPath { return newAudit(w) }},
	{name: "kernel", path: func(w *worker) flowPath {
		o := w.offloader
		o.after, o.age = 0, 0
		o.look = func(f kernel.Flow) bool {
			o.relay.Look(f)
			return true
		}
		return newAudit(w)
	}},
}

// path is the one of paths under test.
var path = paths[0]

var only = flag.String("path", "", "test this path alone")

func TestMain(m *testing.M) {
	flag.Parse()
	for _, once := range []string{"test.fuzz", "test.bench", "test.list"} {
		if f := flag.Lookup(once); f != nil && f.Value.String() != "" {
			paths = paths[:1]
		}
	}
	os.Exit(runPaths(m))
}

func runPaths(m *testing.M) (code int) {
	for _, path = range paths {
		if *only != "" && *only != path.name {
			continue
		}
		if path.name == "kernel" {
			unmount := mountBPF()
			defer unmount()
			relay, err := openKernel()
			if err != nil {
				fmt.Fprintln(os.Stderr, "the kernel path is not tested:", err)
				continue
			}
			path.kernel = relay
		}
		if code = m.Run(); code != 0 {
			fmt.Fprintln(os.Stderr, "path under test:", path.name)
			break
		}
		if path.kernel != nil {
			path.kernel.Close()
		}
	}
	return code
}

// kernelDir is where the flows of the kernel path outlive an engine. Empty: they do not.
var kernelDir string

// mountBPF mounts a BPF file system, where that is allowed.
func mountBPF() (unmount func()) {
	dir, err := os.MkdirTemp("", "flowbridge-media-")
	if err != nil {
		return func() {}
	}
	if unix.Mount("bpf", dir, "bpf", 0, "mode=0700") == nil {
		kernelDir = dir
	}
	return func() {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		_ = os.Remove(dir)
	}
}

func openKernel() (*kernel.Relay, error) { return openHeir(nil) }

func openHeir(of *os.File) (*kernel.Relay, error) {
	o := kernel.Options{Capacity: 4096, Heir: of}
	if kernelDir != "" {
		o.Dir = filepath.Join(kernelDir, "flows")
	}
	return kernel.Open(o)
}

// nextKernel is the kernel's relay of the next process: flows go on.
func nextKernel(tb testing.TB) {
	tb.Helper()
	if path.kernel == nil {
		return
	}
	path.kernel.Leave()
	var err error
	path.kernel, err = openKernel()
	must(tb, err)
}

// heirOfKernel is the kernel's relay of a process that replaces this one. Take has it inherit the flows.
func heirOfKernel(tb testing.TB) (take func()) {
	tb.Helper()
	old := path.kernel
	if old == nil {
		return func() {}
	}
	fd, err := unix.Dup(int(old.Directory().Fd()))
	must(tb, err)
	heir, err := openHeir(os.NewFile(uintptr(fd), "heir"))
	must(tb, err)
	return func() {
		must(tb, heir.Inherit())
		path.kernel = heir
		tb.Cleanup(old.Leave)
	}
}

// needsNextKernel skips a test of the kernel path where flows do not outlive a process.
func needsNextKernel(tb testing.TB) {
	tb.Helper()
	if path.kernel != nil && kernelDir == "" {
		tb.Skip("needs a BPF file system")
	}
}

// audit is the userspace path with an eye on how it is called: as flowPath says, and
// so that nothing stays attached. What it finds is a fault of the caller, which
// a path that keeps flows outside the process would pay for.
type audit struct {
	*worker

	mu    sync.Mutex // guards what follows
	flows map[flowID]*counters
	count map[flowID]*counters // as it was attached first
	wrong []string
}

// audits has the running test's audits.
var audits struct {
	mu  sync.Mutex
	all []*audit
}

func newAudit(w *worker) *audit {
	a := &audit{worker: w, flows: map[flowID]*counters{}, count: map[flowID]*counters{}}
	audits.mu.Lock()
	defer audits.mu.Unlock()
	audits.all = append(audits.all, a)
	return a
}

func (a *audit) Attach(f flow, c *counters) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if first := a.count[f.ID]; c == nil || (first != nil && first != c) {
		a.wrong = append(a.wrong, fmt.Sprintf("%+v is attached with other counters than before", f.ID))
	}
	if _, over := a.flows[f.ID]; a.count[f.ID] != nil && !over {
		a.wrong = append(a.wrong, fmt.Sprintf("%+v is attached again after it was detached", f.ID))
	}
	if f.Source.IsValid() && f.Source == f.In {
		a.wrong = append(a.wrong, fmt.Sprintf("%+v comes from where it goes to", f.ID))
	}
	a.count[f.ID], a.flows[f.ID] = c, c
	return a.worker.Attach(f, c)
}

func (a *audit) Detach(id flowID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.flows, id)
	a.worker.Detach(id)
}

// checkAudits reports what the audits have found. Their engine is closed.
func checkAudits(tb testing.TB) {
	tb.Helper()
	audits.mu.Lock()
	defer audits.mu.Unlock()
	for _, a := range audits.all {
		a.mu.Lock()
		for _, w := range a.wrong {
			tb.Error(w)
		}
		for id := range a.flows {
			tb.Errorf("%+v is still attached", id)
		}
		a.mu.Unlock()
	}
	audits.all = nil
}

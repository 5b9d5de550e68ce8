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

// paths lists the ways in which sessions can be carried. All tests run once for each of them, so every
// path must do what the tests expect of media. Tests that act as the worker, because they set its clock,
// always use the userspace path.
//
// On the kernel path of the tests, a flow is offloaded with the first packet that allows it.
var paths = []struct {
	name   string
	path   func(*worker) flowPath // nil means the worker
	kernel *kernel.Relay          // opened for the path named kernel
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

// path is the path under test.
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

// kernelDir is the directory in which the kernel path's flows outlive an engine. If it is empty, they
// end with the engine.
var kernelDir string

// mountBPF mounts a BPF file system, if that is allowed.
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

// nextKernel replaces the kernel relay, as the next process would. The flows continue.
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

// heirOfKernel opens the kernel relay of a process that replaces this one. take makes it inherit the
// flows.
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

// needsNextKernel skips a test of the kernel path if flows can't outlive a process.
func needsNextKernel(tb testing.TB) {
	tb.Helper()
	if path.kernel != nil && kernelDir == "" {
		tb.Skip("needs a BPF file system")
	}
}

// audit is the userspace path. It also checks that its methods are called as flowPath demands, and that
// every flow is detached. A fault that it finds is the caller's, and would do harm on a path that keeps
// flows outside the process.
type audit struct {
	*worker

	mu    sync.Mutex // guards the fields below
	flows map[flowID]*counters
	count map[flowID]*counters // counters with which each flow was first attached
	wrong []string
}

// audits has the audits of the running test.
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

// checkAudits reports the faults that the audits have found. Their engine must be closed.
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

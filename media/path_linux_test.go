package media

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

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
	code := 0
	for _, path = range paths {
		if *only != "" && *only != path.name {
			continue
		}
		if path.name == "kernel" {
			relay, err := kernel.Open(kernel.Options{Capacity: 4096})
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
	os.Exit(code)
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

// audits are those of the test that is running.
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

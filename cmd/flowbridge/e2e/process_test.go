//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test started. It does not outlive the test.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended, once done is closed

	quiet bool // do not show its output when the test fails

	heir int // the process that continues after an upgrade, in the same group; 0 if there is none

	mu    sync.Mutex
	lines []string // lines of its output
}

// spawn starts a program on a thread that lives as long as the tests do. The kernel kills a program when the thread
// that has started it ends (prctl(2), PR_SET_PDEATHSIG). If the test has its own network, its thread is used, which
// ends with the test (ownNetwork).
func spawn(t *testing.T, begin func()) {
	if _, own := networks.Load(t); own {
		begin()
		return
	}
	done := make(chan struct{})
	spawner() <- func() { begin(); close(done) }
	<-done
}

var spawner = sync.OnceValue(func() chan<- func() {
	all := make(chan func())
	go func() {
		runtime.LockOSThread()
		for begin := range all {
			begin()
		}
	}()
	return all
})

// networks are the tests with their own network.
var networks sync.Map

// start runs a program and collects its output.
func start(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, done: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	out, in, err := os.Pipe()
	must(t, err)
	cmd.Stdout, cmd.Stderr = in, in
	spawn(t, func() { err = cmd.Start() })
	must(t, err)
	in.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer out.Close()
		p.read(out)
	}()
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
		<-read
	}()
	t.Cleanup(p.cleanup)
	return p
}

func (p *process) read(out io.Reader) {
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, scanner.Text())
		p.mu.Unlock()
	}
}

func (p *process) cleanup() {
	ended := p.ended()
	if !ended {
		p.kill()
	}
	if p.t.Failed() && !p.quiet {
		p.t.Logf("%s (ended before: %v, %v) printed:\n%s", p.name, ended, p.cmd.ProcessState, strings.Join(p.output(), "\n"))
	}
}

// output returns its output so far.
func (p *process) output() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

// find returns the text that follows after in the first line of the output that contains after.
func (p *process) find(after string) (string, bool) {
	for _, line := range p.output() {
		if _, rest, ok := strings.Cut(line, after); ok {
			return rest, true
		}
	}
	return "", false
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if p.heir != 0 {
		_ = syscall.Kill(p.heir, sig)
		return
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("%s: %v", p.name, err)
	}
}

// pid returns the id of the process that currently runs.
func (p *process) pid() int {
	if p.heir != 0 {
		return p.heir
	}
	return p.cmd.Process.Pid
}

// waited returns how long the process's threads were ready and had no processor, by the kernel's account.
func (p *process) waited() (sum time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.pid())) // fails only for a bad pattern
	for _, file := range files {
		text, _ := os.ReadFile(file) // the thread may have ended
		var ran, waited time.Duration
		if _, err := fmt.Sscan(string(text), &ran, &waited); err == nil {
			sum += waited
		}
	}
	return sum
}

// kill kills the process and waits for its end.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// exit waits until the process has ended, and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended after %v", p.name, patience)
		return -1
	}
}

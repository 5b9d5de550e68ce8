package process

import (
	"os"
	"os/exec"
	"syscall"
	"time"

	"flowbridge/scripts/internal/namespace"
)

// Child is a process that we have started. It ends when we end.
type Child struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// Start starts a command in a namespace. Its output is appended to a file. The thread that starts it lives as long as
// the process, because the end of the thread would also end the process (PR_SET_PDEATHSIG).
func Start(in namespace.Namespace, log string, c *exec.Cmd) (*Child, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	c.Stderr = out
	if c.Stdout == nil {
		c.Stdout = out
	}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	child, started := &Child{cmd: c, ended: make(chan struct{})}, make(chan error, 1)
	go func() {
		defer close(child.ended)
		defer func() { _ = out.Close() }()
		err := in.Do(func() error {
			if err := c.Start(); err != nil {
				return err
			}
			started <- nil
			_ = c.Wait()
			return nil
		})
		started <- err // not read if the process has started
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return child, nil
}

// PID returns the number of the process.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Kill kills the process, and returns when it is gone.
func (c *Child) Kill() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// Wait waits for the end of the process, and reports whether it ended well.
func (c *Child) Wait() bool {
	<-c.ended
	return c.cmd.ProcessState.Success()
}

// Stop ends the process in the way that an operator would: the second signal makes Flowbridge end its calls. After 5 s
// the process is killed.
func (c *Child) Stop() {
	terminate := func() { _ = c.cmd.Process.Signal(syscall.SIGTERM) }
	terminate()
	again := time.AfterFunc(2*time.Second, terminate)
	last := time.AfterFunc(5*time.Second, func() { _ = c.cmd.Process.Kill() })
	<-c.ended
	again.Stop()
	last.Stop()
}

// Until calls ready repeatedly until it succeeds or the time is up, and returns its last error.
func Until(within time.Duration, ready func() error) error {
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		err := ready()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

package handover

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// inherited is the name of the environment variable that tells a new process which of its files is the socket.
const inherited = "FLOWBRIDGE_HANDOVER"

// Program says how this process was started. The file is looked up by name when a new process starts, so if the file
// was replaced, the new one is used.
type Program struct {
	Path string
	Args []string // arguments; the first is the program's name
}

// ThisProgram returns how this process was started. Call it before the working directory changes.
func ThisProgram() (Program, error) {
	name := os.Args[0]
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return Program{}, fmt.Errorf("the program's file: %w", err)
	}
	return Program{Path: path, Args: slices.Clone(os.Args)}, nil
}

// Process is a new process that was started.
type Process struct {
	*Conn

	PID   int
	Ended <-chan error // receives the exit status, once
}

// Start starts a program in the way this process was started, with a socket to it.
func Start(p Program) (*Process, error) {
	ours, theirs, err := Pair()
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirs.Close() }()
	cmd := &exec.Cmd{
		Path: p.Path, Args: p.Args, Env: append(environment(), inherited+"=3"),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true}, // for Kill
	}
	if err := cmd.Start(); err != nil {
		_ = ours.Close()
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return &Process{Conn: ours, PID: cmd.Process.Pid, Ended: ended}, nil
}

// environment returns this process's environment without the variables that are meant only for this process.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, inherited+"=") || strings.HasPrefix(v, "WATCHDOG_PID=")
	})
}

// killPatience is how long a killed process may take to end. If it waits for a disk, it takes longer.
const killPatience = time.Second

// Kill kills the process and everything that it has started, for example if it is a script. It waits for the process
// to end, and closes the socket.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.PID, syscall.SIGKILL) // the process has its own process group
	select {
	case <-p.Ended:
	case <-time.After(killPatience):
	}
	_ = p.Close()
}

// Inherited returns the socket to the process that this one replaces, or nil if there is none. Programs that this
// process starts don't inherit it.
func Inherited() (*Conn, error) {
	value := os.Getenv(inherited)
	if value == "" {
		return nil, nil
	}
	_ = os.Unsetenv(inherited)
	fd, err := strconv.Atoi(value)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s=%s: %w", inherited, value, errForm)
	}
	return connOf(os.NewFile(uintptr(fd), "handover"))
}

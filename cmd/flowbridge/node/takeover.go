package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/sys/unix"

	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transport"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/handover"
	"flowbridge/media"
	"flowbridge/store/record"
)

// The new process's side of an upgrade.

// Predecessor is the process that this one replaces.
type Predecessor struct {
	conn *handover.Conn

	mu    sync.Mutex       // guards the fields below
	files map[string][]int // received, but not taken yet

	states  []transport.State // states of the SIP stack
	streams []stream
	calls   []record.Saved
	sockets map[string]*media.Sockets // sockets of the calls' media, by call
}

type stream struct {
	state transport.StreamState
	fd    int
}

// FindPredecessor returns the process that started this one as its replacement, or nil.
func FindPredecessor() (*Predecessor, error) {
	conn, err := handover.Inherited()
	if conn == nil || err != nil {
		return nil, err
	}
	return &Predecessor{conn: conn, files: map[string][]int{}}, nil
}

// Refuse tells the old process why this one can't take over, and returns that error.
func (p *Predecessor) Refuse(err error) error {
	if p != nil && err != nil {
		_ = p.conn.Send(handover.Refused, handover.Refusal{Why: err.Error()}) // if this fails, the end of this process tells
	}
	return err
}

// errAbandoned means that the old process continues by itself.
var errAbandoned = errors.New("the process that was to be replaced goes on, or has ended")

// loaded reports that this process is ready to receive, and receives what the old process sends in return.
func (p *Predecessor) loaded() error {
	if err := p.conn.Send(handover.Loaded, loaded{Version: cli.Version(), Format: snapshot.Format}); err != nil {
		return abandoned(err)
	}
	return p.receive()
}

// file returns a file of the old process, or nil if it had none of this name.
func (p *Predecessor) file(name string) *os.File {
	if fd, ok := p.Take(name); ok {
		return os.NewFile(uintptr(fd), name)
	}
	return nil
}

// receive receives everything from the old process: some parts while it still serves, and the rest after it has
// stopped.
func (p *Predecessor) receive() error {
	f, err := p.conn.Expect(handover.Begin)
	if err != nil {
		return abandoned(err)
	}
	var is begins
	if len(f.Data) > 0 { // otherwise the old process's version is older than formats
		err = f.Decode(&is)
	}
	if err != nil || is.Format != snapshot.Format {
		return errors.Join(errFormat, err)
	}
	for {
		f, err := p.conn.Receive()
		if err != nil {
			return abandoned(err)
		}
		if f.Kind == handover.End {
			return nil
		}
		var given handedPart
		if err := f.Decode(&given); err != nil {
			f.Close()
			return err
		}
		if err := p.keep(given, &f); err != nil {
			f.Close()
			return err
		}
	}
}

func abandoned(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) {
		return errAbandoned
	}
	return err
}

// keep keeps a received part until it is taken.
func (p *Predecessor) keep(given handedPart, f *handover.Frame) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch given.Name {
	case partState:
		var st transport.State
		p.states = append(p.states, st)
		return cbor.Unmarshal(given.Data, &p.states[len(p.states)-1])
	case partStream:
		if len(f.Files) != 1 {
			return errPart
		}
		p.streams = append(p.streams, stream{fd: f.Files[0]})
		return cbor.Unmarshal(given.Data, &p.streams[len(p.streams)-1].state)
	case partCall:
		return p.keepCall(given.Data, f.Files)
	}
	p.files[given.Name] = append(p.files[given.Name], f.Files...)
	return nil
}

func (p *Predecessor) keepCall(data []byte, files []int) error {
	var given handedCall
	if err := cbor.Unmarshal(data, &given); err != nil {
		return err
	}
	c := record.Saved{State: given.State, Owed: given.Owed}
	if err := json.Unmarshal(given.Record, &c.Record); err != nil {
		return err
	}
	var sockets *media.Sockets
	if given.Media {
		sockets = &media.Sockets{{-1, -1}, {-1, -1}}
		if p.sockets == nil {
			p.sockets = map[string]*media.Sockets{}
		}
		p.sockets[c.Record.ID] = sockets
	}
	for side, pair := range given.Sockets {
		for kind, there := range pair {
			if !there {
				continue
			}
			if len(files) == 0 || sockets == nil {
				return errPart
			}
			sockets[side][kind], files = files[0], files[1:]
		}
	}
	p.calls = append(p.calls, c)
	return nil
}

// Calls returns the calls of the old process.
func (p *Predecessor) Calls() []record.Saved { return p.calls }

// Sockets returns the sockets of a call's media, or nil if there are none.
func (p *Predecessor) Sockets(call string) *media.Sockets { return p.sockets[call] }

var errPart = errors.New("a part of the hand-over has not what it should have")

// Take returns a file of the old process, once.
func (p *Predecessor) Take(name string) (fd int, ok bool) {
	if p == nil {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.files[name]
	if len(all) == 0 {
		return 0, false
	}
	p.files[name] = all[1:]
	return all[0], true
}

// listener returns a listener of the old process, or nil if it had none of this name.
func (p *Predecessor) listener(name string) (net.Listener, error) {
	f := p.file(name)
	if f == nil {
		return nil, nil
	}
	defer func() { _ = f.Close() }()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// hookListener returns the old process's listener of a hook, or nil. If it is nil, the hook opens a listener.
func (p *Predecessor) hookListener(at string) net.Listener {
	l, _ := p.listener(partHook + at)
	return l
}

// ready reports that this process could take over, and waits until it should. It closes files that were not taken
// because this process's configuration does not need them.
func (p *Predecessor) ready() error {
	p.mu.Lock()
	for _, files := range p.files {
		for _, fd := range files {
			_ = unix.Close(fd)
		}
	}
	p.files = nil
	p.mu.Unlock()
	if err := p.conn.Send(handover.Ready, nil); err != nil {
		return abandoned(err)
	}
	if _, err := p.conn.Expect(handover.Go); err != nil {
		return abandoned(err)
	}
	return p.conn.Close()
}

// Restore gives the SIP stack the state of the old process's stack, except its sockets.
func (p *Predecessor) Restore(stack *transport.Stack) error {
	for _, s := range p.streams {
		if err := stack.AddStream(&s.state, s.fd); err != nil {
			return err
		}
	}
	for i := range p.states {
		stack.Restore(&p.states[i])
	}
	p.streams, p.states = nil, nil
	return nil
}

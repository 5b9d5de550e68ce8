package handover

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/sys/unix"
)

// Conn is one end of the socket. One goroutine may send while another receives.
type Conn struct {
	unix *net.UnixConn

	// Owned by the receiver.
	in        assembler
	text, oob []byte
}

// Pair creates a pair of connected sockets. It returns our end, and the other process's end as a
// file.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("handover: %w", err)
	}
	ours, err := connOf(os.NewFile(uintptr(fds[0]), "handover"))
	if err != nil {
		_ = unix.Close(fds[1])
		return nil, nil, err
	}
	return ours, os.NewFile(uintptr(fds[1]), "handover"), nil
}

// connOf makes a Conn from a file, which it closes.
func connOf(f *os.File) (*Conn, error) {
	conn, err := net.FileConn(f)
	_ = f.Close() // conn has a copy
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("handover: %w", errForm)
	}
	return &Conn{unix: u, text: make([]byte, messageSize), oob: make([]byte, unix.CmsgSpace(4*maxFiles))}, nil
}

// Close closes the socket. It ends a Receive in progress.
func (c *Conn) Close() error { return c.unix.Close() }

// SetDeadline bounds sending and receiving from now on.
func (c *Conn) SetDeadline(at time.Time) { _ = c.unix.SetDeadline(at) }

// Send sends a frame. v is nil if the kind has no data. The sender keeps the files.
func (c *Conn) Send(kind Kind, v any, files ...int) error {
	var data []byte
	if v != nil {
		var err error
		if data, err = cbor.Marshal(v); err != nil {
			return fmt.Errorf("handover: %w", err)
		}
	}
	all, err := messages(kind, len(files), data)
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	for _, m := range all {
		if _, _, err := c.unix.WriteMsgUnix(m, rights, nil); err != nil {
			return fmt.Errorf("handover: %w", err)
		}
		rights = nil
	}
	return nil
}

// Receive returns the next frame, or io.EOF if the other process has gone.
func (c *Conn) Receive() (Frame, error) {
	for {
		b, files, err := c.message()
		if err != nil {
			c.in.frame.Close()
			return Frame{}, err
		}
		f, done, err := c.in.take(b, files)
		if done || err != nil {
			return f, err
		}
	}
}

// Expect is like Receive, for one kind of frame. If it gets a Refused frame, it returns its reason
// as an error.
func (c *Conn) Expect(kind Kind) (Frame, error) {
	f, err := c.Receive()
	switch {
	case err != nil:
		return f, err
	case f.Kind == kind:
		return f, nil
	case f.Kind == Refused:
		var why Refusal
		if err := f.Decode(&why); err != nil {
			return Frame{}, err
		}
		return Frame{}, &RefusedError{Why: why.Why}
	}
	f.Close()
	return Frame{}, fmt.Errorf("%w: kind %d instead of %d", errForm, f.Kind, kind)
}

// RefusedError means that the other process has refused.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return e.Why }

// message reads one message with its files.
func (c *Conn) message() (b []byte, files []int, err error) {
	n, rights, flags, _, err := c.unix.ReadMsgUnix(c.text, c.oob)
	if errors.Is(err, unix.ECONNRESET) { // it ended without reading our message; its own messages come after this error
		n, rights, flags, _, err = c.unix.ReadMsgUnix(c.text, c.oob)
	}
	if err != nil {
		return nil, nil, err
	}
	if files, err = filesIn(c.oob[:rights]); err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errLarge
	}
	if err == nil && n == 0 {
		err = io.EOF // messages are never empty
	}
	if err != nil {
		closeAll(files)
		return nil, nil, err
	}
	return c.text[:n], files, nil
}

// filesIn returns the files that came with a message.
func filesIn(oob []byte) (files []int, err error) {
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	for _, m := range all {
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // not files
		}
		files = append(files, got...)
	}
	return files, nil
}

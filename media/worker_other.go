//go:build !linux

package media

import (
	"errors"
	"net/netip"
	"syscall"
	"time"
)

const errAddrInUse = syscall.EADDRINUSE

// There is no path for other systems: Open fails, the package compiles.

type sockaddr struct{}

type worker struct{}

func newWorker(time.Time, time.Duration) (*worker, error) { return nil, errors.ErrUnsupported }

func (*worker) do(command) error { return ErrClosed }

func (*worker) stop() {}

func openSocket(netip.AddrPort) (int, error) { return 0, errors.ErrUnsupported }

func closeSocket(int) {}

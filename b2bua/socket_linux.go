package b2bua

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// setReceiveBuffer makes the socket's receive buffer this large, beyond the
// system's limit (net.core.rmem_max) where we may.
func setReceiveBuffer(conn *net.UDPConn, bytes int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("receive buffer: %w", err)
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) == nil {
			return
		}
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	})
	if err == nil {
		err = set
	}
	if err != nil {
		return fmt.Errorf("receive buffer: %w", err)
	}
	return nil
}

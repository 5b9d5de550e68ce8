package transport

// Gone is closed when the connection is; nil: there is no connection, and it never is.
func (c *Stream) Gone() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.closed
}

// Ping sends the double CRLF that keeps the way to a peer open (RFC 5626 section 3.5.1), without waiting for the peer to read. The
// kernel ends a connection whose peer is gone: its bytes stay unacknowledged.
func (c *Stream) Ping() {
	c.hub.group.Go(func() { _ = c.write([]byte("\r\n\r\n")) })
}

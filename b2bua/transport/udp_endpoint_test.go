package transport

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// refusingSocket is a socket to which no datagram can be written.
type refusingSocket struct {
	Socket
	err error
}

func (s refusingSocket) WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error) { return 0, s.err }

// If the kernel does not accept a datagram, the message counts as lost, as the network
// might lose it. The only exception is an INVITE that begins a call and is refused for
// another reason than a lack of room: it fails at once.
func TestUnsentMessages(t *testing.T) {
	const request, response, ack = "INVITE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\n", "SIP/2.0 200 OK\r\n", "ACK sip:a@b SIP/2.0\r\n"
	const again, bye = "INVITE sip:a@b SIP/2.0\r\nTo: <sip:a@b>;tag=1\r\n\r\n", "BYE sip:a@b SIP/2.0\r\n"
	to := netip.MustParseAddrPort("192.0.2.1:5060")
	for _, tt := range []struct {
		text string
		err  error
		lost bool
	}{
		{request, unix.ENOBUFS, true},
		{request, unix.EAGAIN, true},
		{request, unix.EHOSTUNREACH, false},
		{response, unix.EHOSTUNREACH, true},
		{ack, unix.EHOSTUNREACH, true},
		{again, unix.ENETUNREACH, true},
		{bye, unix.ENETUNREACH, true},
		{"CANCEL sip:a@b SIP/2.0\r\n", unix.ENETUNREACH, true},
	} {
		g := &udpEndpoint{
			Socket: refusingSocket{err: tt.err},
			screen: &screen{passed: &Messages{}, rejectionLog: newRejectionLog(zerolog.Nop())},
		}
		switch err := g.Send([]byte(tt.text), to); {
		case tt.lost && err != nil:
			t.Errorf("%.8s after %v: %v; want it to count as sent", tt.text, tt.err, err)
		case !tt.lost && !errors.Is(err, tt.err):
			t.Errorf("%.8s after %v: %v", tt.text, tt.err, err)
		}
	}
}

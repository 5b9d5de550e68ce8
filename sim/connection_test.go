package sim

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// callOne calls a peer that the test plays and returns the call's result.
func callOne(t *testing.T, to Peer, tap func(Datagram), silence time.Duration) (CarrierResult, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := StartCarrier(ctx, CarrierOptions{To: &to, Tap: tap, Log: zerolog.Nop()})
	if err != nil {
		return CarrierResult{}, err
	}
	defer func() { _ = c.Close() }()
	uri := "sip:100@" + to.Addr.String()
	if to.Network != "UDP" {
		uri += ";transport=" + strings.ToLower(to.Network)
	}
	return c.Call(ctx, CarrierCall{To: uri, Dest: to.Addr, Silence: silence})
}

// If nothing listens at the address, the call ends with the first ICMP error, not after 32 s.
func TestICMPEndsTheCall(t *testing.T) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	must(t, err)
	nobody, _ := netip.ParseAddrPort(conn.LocalAddr().String())
	_ = conn.Close()
	for _, network := range []string{"UDP", "TCP", "TLS"} {
		if _, err := callOne(t, Peer{Network: network, Addr: nobody}, nil, 0); !errors.Is(err, ErrUnreachable) || err.Error() != "unreachable: nothing listens there" {
			t.Errorf("%s: got %v", network, err)
		}
	}
}

// The call ends if the peer sends nothing for the allowed time.
func TestSilenceEndsTheCall(t *testing.T) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	must(t, err)
	defer conn.Close()
	silent, _ := netip.ParseAddrPort(conn.LocalAddr().String())
	if _, err := callOne(t, Peer{Network: "UDP", Addr: silent}, nil, 50*time.Millisecond); !errors.Is(err, errSilent) {
		t.Errorf("got %v", err)
	}
}

// A call over TCP uses one connection in both directions, and its tap gets whole messages. The call ends when
// the peer closes the connection.
func TestConnection(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	at, _ := netip.ParseAddrPort(l.Addr().String())
	var invite string
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		b := make([]byte, 65536)
		n, err := conn.Read(b)
		if err != nil {
			return
		}
		invite = string(b[:n])
		answer := "SIP/2.0 180 Ringing\r\n"
		for line := range strings.SplitSeq(invite, "\r\n") {
			switch name, _, _ := strings.Cut(line, ":"); name {
			case "Via", "From", "To", "Call-ID", "CSeq":
				answer += line + "\r\n"
			}
		}
		answer += "Content-Length: 3\r\n\r\nabc"
		for i := range 3 { // in pieces, with a keep-alive between two messages
			part := len(answer) / 3
			end := (i + 1) * part
			if i == 2 {
				end = len(answer)
			}
			_, _ = conn.Write([]byte(answer[i*part : end]))
		}
		_, _ = conn.Write([]byte("\r\n\r\n" + answer))
	}()
	var mu sync.Mutex
	var seen []string
	r, err := callOne(t, Peer{Network: "TCP", Addr: at}, func(d Datagram) {
		mu.Lock()
		defer mu.Unlock()
		line, _, _ := bytes.Cut(d.Data, []byte("\r\n"))
		if d.Received && !bytes.HasSuffix(d.Data, []byte("\r\n\r\nabc")) {
			t.Errorf("a piece of a message: %q", d.Data)
		}
		seen = append(seen, string(line))
	}, 0)
	<-done
	if err == nil || !strings.Contains(err.Error(), "closed the connection") || len(r.Provisional) == 0 {
		t.Errorf("got %+v, %v", r.Provisional, err)
	}
	if !strings.Contains(invite, "Via: SIP/2.0/TCP 127.0.0.1:") || !strings.Contains(invite, ";transport=tcp>") {
		t.Errorf("sent\n%s", invite)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) < 3 || !strings.HasPrefix(seen[0], "INVITE ") || seen[1] != "SIP/2.0 180 Ringing" || seen[2] != seen[1] {
		t.Errorf("shown: %q", seen)
	}
}

// A message with a huge Content-Length stays incomplete. A negative length counts as 0.
func TestAbsurdContentLength(t *testing.T) {
	for _, length := range []string{"9223372036854775807", "99999999999999999999", "-5"} {
		got := 0
		left := wholeMessages([]byte("BYE sip:a SIP/2.0\r\nContent-Length: "+length+"\r\n\r\n"), func([]byte) { got++ })
		if whole := length == "-5"; (got == 1) != whole || (len(left) == 0) != whole {
			t.Errorf("%s: %d messages, %d bytes left", length, got, len(left))
		}
	}
}

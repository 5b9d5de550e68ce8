package sim

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// exchange sends a datagram from a new socket and returns the first answer.
func exchange(t *testing.T, s *openHouse, message string) string {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "udp", s.SIPAddr().String())
	must(t, err)
	defer func() { _ = conn.Close() }()
	message = strings.ReplaceAll(message, "\n", "\r\n")
	message = strings.ReplaceAll(message, "HERE", conn.LocalAddr().String())
	if _, err := conn.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	must(t, err)
	return string(b[:n])
}

func TestOptionsAndStrayRequests(t *testing.T) {
	s := start(t, AgentOptions{})
	for method, want := range map[string]string{
		"OPTIONS": "SIP/2.0 200 OK\r\n",
		"BYE":     "SIP/2.0 481 ",
		"CANCEL":  "SIP/2.0 481 ",
		"INFO":    "SIP/2.0 481 ",
		"PUBLISH": "SIP/2.0 405 ",
	} {
		got := exchange(t, s, method+" sip:x@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP HERE;branch=z9hG4bK"+method+
			"\nFrom: <sip:a@127.0.0.1>;tag=1\nTo: <sip:x@127.0.0.1>;tag=2\nCall-ID: "+method+"\nCSeq: 1 "+method+"\nMax-Forwards: 70\nContent-Length: 0\n\n")
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q; want %q", method, got, want)
		}
	}
}

// The first ACK of the answer is lost. The agent repeats the answer until an ACK arrives, and then
// sends audio.
func TestLostACK(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var acks []time.Time
	h, c := start(t, AgentOptions{RingFor: -1}, func(h *openHouse) {
		h.sip.sock.drop = func(b []byte) bool {
			if !strings.HasPrefix(string(b), "ACK ") {
				return false
			}
			mu.Lock()
			defer mu.Unlock()
			acks = append(acks, time.Now())
			return len(acks) == 1
		}
	}), startCarrier(t)
	cc := h.call(number)
	cc.Heard = 1
	r := place(t, c, cc)
	a := h.ended(t)
	if r.Status != 200 || !a.AckReceived || a.EndedBy != SideCaller {
		t.Fatalf("got %d, ack %v, ended by %s", r.Status, a.AckReceived, a.EndedBy)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(acks) < 2 || r.RTP.FirstAt.Before(acks[1]) {
		t.Errorf("ACKs at %v, media at %v", acks, r.RTP.FirstAt)
	}
}

func TestReInvite(t *testing.T) {
	t.Parallel()
	h, c := start(t, AgentOptions{RingFor: -1}), startCarrier(t)
	r := placeUntil(t, c, h.call(number), func(o *outgoing) bool {
		again := o.req.Clone()
		again.RemoveHeader("Via")
		again.RemoveHeader("CSeq")
		again.RemoveHeader("To")
		again.AppendHeader(&sip.CSeqHeader{SeqNo: 2, MethodName: sip.INVITE})
		to := o.ack.To()
		again.AppendHeader(&sip.ToHeader{Address: to.Address, Params: to.Params.Clone()})
		again.SetBody(o.offer)
		if code := c.sip.ask(again); code != 200 {
			t.Errorf("re-INVITE: %d", code)
		}
		return true
	})
	if r.EndedBy != SideCaller {
		t.Fatalf("got %+v", r)
	}
	if a := h.ended(t); a.ReInvites != 1 || a.Status != 200 {
		t.Errorf("agent: %d re-INVITEs, status %d", a.ReInvites, a.Status)
	}
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	if l, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback}); err != nil {
		t.Skipf("needs IPv6 on loopback: %v", err)
	} else {
		_ = l.Close()
	}
	h := start(t, AgentOptions{Listen: "[::1]:0", RingFor: -1})
	c, err := StartCarrier(t.Context(), CarrierOptions{Listen: "[::1]:0"})
	must(t, err)
	defer func() { _ = c.Close() }()
	cc := h.call(number)
	cc.Heard = 1
	if r := place(t, c, cc); r.Status != 200 || r.ByeStatus != 200 || r.RTP.Received == 0 {
		t.Errorf("got %d, bye %d, %+v", r.Status, r.ByeStatus, r.RTP)
	}
}

func TestWildcardListener(t *testing.T) {
	t.Parallel()
	h, c := start(t, AgentOptions{Listen: "0.0.0.0:0", RingFor: -1}), startCarrier(t)
	cc := h.call(number)
	cc.To = strings.Replace(cc.To, "0.0.0.0", "127.0.0.1", 1)
	r := place(t, c, cc)
	if r.Status != 200 || r.ByeStatus != 200 || r.RTP.Remote.Addr().String() != "127.0.0.1" {
		t.Errorf("got %d, bye %d, remote %s", r.Status, r.ByeStatus, r.RTP.Remote)
	}
}

// If nothing listens at the address, the caller's own time limit ends the call before the
// transaction times out after half a minute.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	c := startCarrier(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	r, err := c.Call(ctx, CarrierCall{To: "sip:1@127.0.0.1:9"})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sip.ErrTransactionTimeout) || r.Status != 0 {
		t.Errorf("got %v, %d after %v", err, r.Status, r.EndedAt.Sub(r.InvitedAt))
	}
	if _, err := c.Call(t.Context(), CarrierCall{To: "no uri"}); err == nil {
		t.Error("accepted what is no URI")
	}
	if _, err := c.Call(t.Context(), CarrierCall{To: "sip:1@127.0.0.1:9", Headers: []Header{{"X-A", "b\r\nc"}}}); err == nil {
		t.Error("accepted a line break")
	}
}

package sim

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// exchange sends a datagram from a socket of its own and returns what comes
// back first.
func exchange(t *testing.T, s *Synthflow, message string) string {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "udp", s.SIPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	message = strings.ReplaceAll(message, "\n", "\r\n")
	message = strings.ReplaceAll(message, "HERE", conn.LocalAddr().String())
	if _, err := conn.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestOptionsAndStrayRequests(t *testing.T) {
	s := startPlatform(t, SynthflowOptions{})
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

// The ACK of the answer is lost until the answer has been repeated.
func TestLostACK(t *testing.T) {
	t.Parallel()
	s, c := startPlatform(t, SynthflowOptions{RingFor: 300 * time.Millisecond}), startCarrier(t)
	id := prepareCall(t, s)
	cc := withXEI(s, "S."+id+";")
	cc.Hold = 2500 * time.Millisecond
	cc.OnAnswer = func(string) {
		time.AfterFunc(700*time.Millisecond, func() { s.SetFault(Fault{}) })
	}
	time.AfterFunc(100*time.Millisecond, func() { s.SetFault(Fault{Kind: FaultSilent}) })
	r := place(t, c, cc)
	a := ended(t, s, id)
	if r.Status != 200 || !a.AckReceived || a.EndedBy != SideCaller {
		t.Fatalf("got %d, ack %v, ended by %s", r.Status, a.AckReceived, a.EndedBy)
	}
	// The agent speaks from the ACK on, which answers the second repetition.
	if r.MediaDelay < time.Second || r.RTP.Received == 0 {
		t.Errorf("media after %v, %d packets", r.MediaDelay, r.RTP.Received)
	}
}

func TestReInvite(t *testing.T) {
	t.Parallel()
	s, c := startPlatform(t, SynthflowOptions{RingFor: -1}), startCarrier(t)
	id := prepareCall(t, s)
	cc := withXEI(s, "S."+id+";")
	cc.Hold = 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cc.OnAnswer = func(string) {
		go func() {
			defer cancel()
			o := onlyCall(c)
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
		}()
	}
	r, err := c.Call(ctx, cc)
	if err != nil || r.EndedBy != SideCaller {
		t.Fatalf("got %v, %+v", err, r)
	}
	if a := ended(t, s, id); a.ReInvites != 1 || a.Status != 200 {
		t.Errorf("agent: %d re-INVITEs, status %d", a.ReInvites, a.Status)
	}
}

func onlyCall(c *Carrier) *outgoing {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.calls {
		return o
	}
	return nil
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	s, err := StartSynthflow(t.Context(), SynthflowOptions{SIPListen: "[::1]:0", RingFor: -1})
	if err != nil {
		t.Skipf("needs IPv6 on loopback: %v", err)
	}
	defer func() { _ = s.Close() }()
	c, err := StartCarrier(t.Context(), CarrierOptions{Listen: "[::1]:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	r := place(t, c, withXEI(s, "S."+prepareCall(t, s)+";"))
	if r.Status != 200 || r.ByeStatus != 200 || r.RTP.Received == 0 {
		t.Errorf("got %d, bye %d, %+v", r.Status, r.ByeStatus, r.RTP)
	}
}

func TestWildcardListener(t *testing.T) {
	t.Parallel()
	s, c := startPlatform(t, SynthflowOptions{SIPListen: "0.0.0.0:0", RingFor: -1}), startCarrier(t)
	cc := withXEI(s, "S."+prepareCall(t, s)+";")
	cc.To = strings.Replace(cc.To, "0.0.0.0", "127.0.0.1", 1)
	r := place(t, c, cc)
	if r.Status != 200 || r.ByeStatus != 200 || r.RTP.Remote.Addr().String() != "127.0.0.1" {
		t.Errorf("got %d, bye %d, remote %s", r.Status, r.ByeStatus, r.RTP.Remote)
	}
}

// Nobody is at the address: the error of the network must not take long.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	c := startCarrier(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	r, err := c.Call(ctx, CarrierCall{To: "sip:1@127.0.0.1:9"})
	if err == nil || r.Status != 0 || r.EndedAt.Sub(r.InvitedAt) > 3*time.Second {
		t.Errorf("got %v, %d after %v", err, r.Status, r.EndedAt.Sub(r.InvitedAt))
	}
	if _, err := c.Call(t.Context(), CarrierCall{To: "no uri"}); err == nil {
		t.Error("accepted what is no URI")
	}
	if _, err := c.Call(t.Context(), CarrierCall{To: "sip:1@127.0.0.1:9", Headers: []Header{{"X-A", "b\r\nc"}}}); err == nil {
		t.Error("accepted a line break")
	}
}

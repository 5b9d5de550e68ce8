package transaction

import (
	"errors"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

func TestInviteClient(t *testing.T) {
	inNetwork(t, func(n *network) {
		req := request("INVITE", "1")
		_, w := n.sends(req, false)
		time.Sleep(2 * time.Second)
		n.wants("0s INVITE", "500ms INVITE", "1.5s INVITE")
		for _, code := range []int{100, 180, 180} {
			if !n.table.Answer(response(req, code), false) {
				t.Errorf("nobody waits for %d", code)
			}
		}
		time.Sleep(time.Hour) // in state Proceeding, Timer B does not run
		n.table.Answer(response(req, 486), false)
		n.wants("1h0m2s ACK")
		w.wants(t, "100, 180, 180, 486")
		n.left(0, 0)
		if n.table.Answer(response(req, 486), false) || n.table.Answer(response(req, 200), false) {
			t.Error("somebody waits for a second final answer")
		}
		n.wants()
	})
}

// The ACK of a refusal has the headers of the INVITE, except To and the method (RFC 3261
// section 17.1.1.3).
func TestACKOfRefusal(t *testing.T) {
	invite := request("INVITE", "1")
	invite.AppendHeader(sip.NewHeader("Route", "<sip:p;lr>"))
	invite.AppendHeader(sip.NewHeader("Contact", "<sip:b@192.0.2.10>"))
	refusal := response(invite, 486)
	refusal.To().Params = sip.HeaderParams{{K: "tag", V: "theirs"}}
	const want = "ACK sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1\r\nRoute: <sip:p;lr>\r\nMax-Forwards: 70\r\n" +
		"From: <sip:b@h>;tag=b\r\nTo: <sip:a@h>;tag=theirs\r\nCall-ID: c\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
	if got := newACK(invite, refusal).String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSilentPeer(t *testing.T) {
	for _, tt := range []struct {
		method   string
		reliable bool
		sent     int
	}{{"INVITE", false, 7}, {"OPTIONS", false, 11}, {"INVITE", true, 1}, {"OPTIONS", true, 1}} {
		inNetwork(t, func(n *network) {
			_, w := n.sends(request(tt.method, "1"), tt.reliable)
			time.Sleep(Patience - time.Millisecond)
			w.wants(t, "")
			time.Sleep(time.Millisecond)
			w.wants(t, ErrTimeout.Error())
			if len(n.sent) != tt.sent {
				t.Errorf("%s: sent at %v", tt.method, n.sent)
			}
			n.left(0, 0)
		})
	}
}

// A request that can't be sent fails at once. If only a retransmission can't be sent, the request continues, because
// the peer may have the first copy, and its answer may come.
func TestUnsentRequest(t *testing.T) {
	inNetwork(t, func(n *network) {
		n.fails(errors.New("no route"))
		w := &waiting{}
		if err := n.table.Send(&Client{}, request("INVITE", "1"), n.way(false), w); err == nil {
			t.Error("a request that can't be sent gives no error")
		}
		n.left(0, 0)
		n.fails(nil)
		_, later := n.sends(request("INVITE", "1"), false)
		n.fails(errors.New("no route any more"))
		time.Sleep(Patience - time.Millisecond)
		w.wants(t, "")
		later.wants(t, "")
		time.Sleep(time.Millisecond)
		later.wants(t, ErrTimeout.Error())
		n.left(0, 0)
	})
}

// A second request with the branch of a running one is refused.
func TestSameBranch(t *testing.T) {
	inNetwork(t, func(n *network) {
		n.sends(request("INVITE", "1"), false)
		n.sends(request("CANCEL", "1"), false)
		if err := n.table.Send(&Client{}, request("INVITE", "1"), n.way(false), &waiting{}); !errors.Is(err, ErrExists) {
			t.Errorf("the second INVITE: %v; want %v", err, ErrExists)
		}
		n.left(2, 0)
	})
}

// If the connection of a request breaks, the request can be sent another way. The ACK then goes that way, too.
func TestResend(t *testing.T) {
	inNetwork(t, func(n *network) {
		req := request("INVITE", "1")
		c, w := n.sends(req, true)
		n.wants("0s INVITE")
		other := &network{t: t, begun: time.Now()}
		if err := c.Resend(Way{Over: other, Reliable: true}); err != nil {
			t.Error(err)
		}
		n.table.Answer(response(req, 603), true)
		n.wants()
		other.wants("0s INVITE", "0s ACK")
		w.wants(t, "603")
		if err := c.Resend(n.way(true)); err != nil || c.Terminate() {
			t.Errorf("sent again after its answer: %v; want it to be over, without an error", err)
		}
		n.wants()
	})
}

// A request over a connection ignores an answer in a datagram. Otherwise the reader of the UDP socket would have to
// write the ACK to the connection.
func TestAnswerTheOtherWay(t *testing.T) {
	for _, stream := range []bool{true, false} {
		inNetwork(t, func(n *network) {
			req := request("INVITE", "1")
			_, w := n.sends(req, stream)
			if n.table.Answer(response(req, 486), !stream) || !n.table.Answer(response(req, 486), stream) {
				t.Errorf("over a connection %v: the wrong answer is taken", stream)
			}
			n.wants("0s INVITE", "0s ACK")
			w.wants(t, "486")
		})
	}
}

// After a user has terminated its request, it gets no more calls about it.
func TestTerminatedClient(t *testing.T) {
	inNetwork(t, func(n *network) {
		req := request("INFO", "1")
		c, w := n.sends(req, false)
		if !c.Terminate() || c.Terminate() || !c.IsOver() {
			t.Error("a transaction ends once")
		}
		if n.table.Answer(response(req, 200), false) {
			t.Error("it gets an answer")
		}
		time.Sleep(time.Minute)
		w.wants(t, "")
		n.wants("0s INFO")
	})
}

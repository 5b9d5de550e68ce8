package transaction

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// The refusal of an INVITE is repeated until its ACK comes, and each time the INVITE is repeated.
func TestRefusedInvite(t *testing.T) {
	inNetwork(t, func(n *network) {
		req := request("INVITE", "1")
		tx, _ := n.receives(req, false)
		n.responds(tx, req, 100)
		if again, _ := n.receives(req, false); again != nil {
			t.Error("a copy counts as new")
		}
		n.responds(tx, req, 486)
		if err := tx.Respond(response(req, 200)); !errors.Is(err, ErrAnswered) {
			t.Errorf("a second final answer: %v", err)
		}
		time.Sleep(600 * time.Millisecond)
		n.receives(req, false)
		n.wants("0s 100 Request Failure", "0s 100 Request Failure", "0s 486 Busy Here", "500ms 486 Busy Here", "600ms 486 Busy Here")
		for range 2 {
			if !n.acks("1") {
				t.Error("the ACK is not done with")
			}
		}
		n.receives(req, false) // a retransmission, which gets no answer now
		time.Sleep(4900 * time.Millisecond)
		n.left(0, 1)
		time.Sleep(400 * time.Millisecond) // Timer I, rounded up to lingerGrain
		synctest.Wait()
		n.wants()
		n.left(0, 0)
	})
}

// Timer H: if the refusal of an INVITE gets no ACK, the transaction ends.
func TestRefusalWithoutACK(t *testing.T) {
	inNetwork(t, func(n *network) {
		req := request("INVITE", "1")
		tx, _ := n.receives(req, false)
		n.responds(tx, req, 486)
		time.Sleep(Patience)
		synctest.Wait()
		if len(n.sent) != 11 {
			t.Errorf("sent %v", n.sent)
		}
		n.left(0, 0)
		if again, _ := n.receives(req, false); again == nil {
			t.Error("it still counts as a copy")
		}
	})
}

// RFC 6026 section 7.1: after a 2xx, the transaction absorbs copies of the INVITE. Its user repeats the 2xx and gets
// the ACK.
func TestAcceptedInvite(t *testing.T) {
	inNetwork(t, func(n *network) {
		req := request("INVITE", "1")
		tx, _ := n.receives(req, false)
		n.responds(tx, req, 200)
		n.receives(req, false)
		time.Sleep(time.Second)
		n.responds(tx, req, 200)
		n.wants("0s 200 OK", "1s 200 OK")
		time.Sleep(Patience - time.Second - time.Millisecond)
		n.left(0, 1)
		if n.acks("1") {
			t.Error("the ACK of a 2xx is kept from its user")
		}
		time.Sleep(T4 + time.Second)
		n.left(0, 0)
	})
}

// After the dialog got the ACK, copies of the INVITE are absorbed as long as they may still arrive. A copy that comes
// minutes later gets no answer and leaves no state.
func TestAcknowledgedInvite(t *testing.T) {
	inNetwork(t, func(n *network) {
		req := request("INVITE", "1")
		tx, _ := n.receives(req, false)
		n.responds(tx, req, 200)
		tx.Acknowledged()
		time.Sleep(T4 - time.Millisecond)
		n.left(0, 1)
		time.Sleep(time.Second)
		n.left(0, 0)
		late, _ := n.receives(req, false)
		late.Acknowledged()
		n.left(0, 0)
		n.wants("0s 200 OK")
	})
}

// If an answer is lost, it is sent again for 64*T1 (Timer J). Over TCP the transaction ends at once.
func TestOtherServer(t *testing.T) {
	for _, tt := range []struct {
		method   string
		reliable bool
		last     time.Duration
	}{{"OPTIONS", false, Patience}, {"BYE", false, T4}, {"OPTIONS", true, 0}} {
		inNetwork(t, func(n *network) {
			req := request(tt.method, "1")
			tx, _ := n.receives(req, tt.reliable)
			n.receives(req, tt.reliable) // there is no answer to repeat yet
			n.responds(tx, req, 200)
			if tt.last > 0 {
				time.Sleep(tt.last - time.Millisecond)
				n.receives(req, tt.reliable)
				if err := tx.Respond(response(req, 500)); !errors.Is(err, ErrAnswered) {
					t.Errorf("a second answer: %v", err)
				}
				if len(n.sent) != 2 {
					t.Errorf("%s: sent %v", tt.method, n.sent)
				}
				time.Sleep(time.Second)
			}
			n.left(0, 0)
		})
	}
}

// A request that its user never answers is forgotten in the end.
func TestForgottenRequest(t *testing.T) {
	inNetwork(t, func(n *network) {
		n.receives(request("INFO", "1"), false)
		time.Sleep(2*Patience - time.Millisecond)
		n.left(0, 1)
		time.Sleep(2 * time.Millisecond)
		n.left(0, 0)
	})
}

// A CANCEL ends its INVITE once. A later answer to the INVITE returns an error.
func TestCancel(t *testing.T) {
	inNetwork(t, func(n *network) {
		req, cancel := request("INVITE", "1"), request("CANCEL", "1")
		tx, _ := n.receives(req, false)
		n.responds(tx, req, 180)
		told := 0
		tx.OnCancel(func(*sip.Request) { told++ })
		ctx, invite := n.receives(cancel, false)
		if invite != tx {
			t.Fatal("the CANCEL does not find its INVITE")
		}
		n.responds(ctx, cancel, 200)
		invite.Cancel(cancel)
		invite.Cancel(cancel)
		for _, code := range []int{183, 200, 486} {
			if err := tx.Respond(response(req, code)); !errors.Is(err, ErrCancelled) {
				t.Errorf("%d after the CANCEL: %v", code, err)
			}
		}
		if tx.OnCancel(func(*sip.Request) { told++ }); told != 1 {
			t.Errorf("told %d times", told)
		}
		n.acks("1")
		n.wants("0s 180 Ringing", "0s 200 OK", "0s 487 Request Terminated")
		time.Sleep(time.Minute)
		n.left(0, 0)
	})
}

// If an INVITE is taken after its CANCEL has come, the user is told of the CANCEL at once, and only once.
func TestTakenWhenCancelled(t *testing.T) {
	inNetwork(t, func(n *network) {
		req, cancel := request("INVITE", "1"), request("CANCEL", "1")
		tx, _ := n.receives(req, false)
		tx.Cancel(cancel)
		if err := tx.Trying(req); !errors.Is(err, ErrCancelled) {
			t.Errorf("100 after the CANCEL: %v", err)
		}
		var told []*sip.Request
		for range 2 {
			tx.OnCancel(func(c *sip.Request) { told = append(told, c) })
		}
		if len(told) != 1 || told[0] != cancel {
			t.Errorf("told of %d", len(told))
		}
		n.acks("1")
		n.wants("0s 487 Request Terminated")
	})
}

// The function given to OnTaken is called once, when the INVITE is taken, after the user can be told of a CANCEL.
func TestTaken(t *testing.T) {
	inNetwork(t, func(n *network) {
		req, cancel := request("INVITE", "1"), request("CANCEL", "1")
		tx, _ := n.receives(req, false)
		tx.OnTaken(func() { tx.Cancel(cancel) })
		n.wants()
		told := 0
		for range 2 {
			tx.OnCancel(func(*sip.Request) { told++ })
		}
		n.wants("0s 487 Request Terminated")
		n.acks("1")
		if told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

// A CANCEL after the final answer has no effect (RFC 3261 section 9.2).
func TestCancelAfterAnswer(t *testing.T) {
	for _, code := range []int{200, 486} {
		inNetwork(t, func(n *network) {
			req, cancel := request("INVITE", "1"), request("CANCEL", "1")
			tx, _ := n.receives(req, false)
			tx.OnCancel(func(*sip.Request) { t.Error("the user is told") })
			n.responds(tx, req, code)
			_, invite := n.receives(cancel, false)
			if invite != tx {
				t.Fatal("the CANCEL does not find its INVITE")
			}
			invite.Cancel(cancel)
			n.wants(fmt.Sprintf("0s %d %s", code, message.StatusText(code)))
		})
	}
}

// If a CANCEL and a final answer come at the same moment, one of them wins.
func TestCancelAndAnswerAtOnce(t *testing.T) {
	for range 50 {
		inNetwork(t, func(n *network) {
			req, cancel := request("INVITE", "1"), request("CANCEL", "1")
			tx, _ := n.receives(req, true)
			lost := make(chan bool, 1)
			go tx.Cancel(cancel)
			go func() { lost <- errors.Is(tx.Respond(response(req, 200)), ErrCancelled) }()
			want := "0s 200 OK"
			if <-lost {
				want = "0s 487 Request Terminated"
			}
			n.wants(want)
		})
	}
}

// Calls on a transaction that has ended do not affect a later transaction with the same key.
func TestLaterOfTheSameKey(t *testing.T) {
	inNetwork(t, func(n *network) {
		req := request("OPTIONS", "1")
		first, _ := n.receives(req, false)
		first.Terminate()
		second, _ := n.receives(req, false)
		first.Terminate()
		n.table.fail(first, errors.New("too late"))
		if err := first.Respond(response(req, 200)); !errors.Is(err, ErrAnswered) {
			t.Errorf("an answer of the first: %v; want %v", err, ErrAnswered)
		}
		n.left(0, 1)
		n.responds(second, req, 200)
		n.wants("0s 200 OK")
	})
}

// If a peer reuses a branch, the ACK to its first refusal may come after its second INVITE (RFC 3261 section 8.1.1.7).
func TestACKOfTheBranchBefore(t *testing.T) {
	inNetwork(t, func(n *network) {
		first, second := request("INVITE", "1"), request("INVITE", "1")
		second.CSeq().SeqNo = 2
		for _, req := range []*sip.Request{first, second} {
			tx, _ := n.receives(req, false)
			n.responds(tx, req, 486)
		}
		n.acks("1")
		time.Sleep(T1)
		n.wants("0s 486 Busy Here", "0s 486 Busy Here", "500ms 486 Busy Here")
		key, _ := KeyOf(second, peer.Addr(), false)
		n.table.Acknowledge(key, 2)
		time.Sleep(2 * T4)
		n.wants()
		n.left(0, 0)
	})
}

// A CANCEL is matched to its INVITE even if it comes from the same sender over another transport.
func TestCancelTheOtherWay(t *testing.T) {
	inNetwork(t, func(n *network) {
		tx, _ := n.receives(request("INVITE", "1"), false)
		key, _ := KeyOf(request("CANCEL", "1"), peer.Addr(), true)
		if _, invite := n.table.Receive(request("CANCEL", "1"), key, n.way(true)); invite != tx {
			t.Error("the CANCEL does not find its INVITE")
		}
	})
}

// If a CANCEL comes before its INVITE, it waits, and ends the INVITE when that comes.
func TestCancelFirst(t *testing.T) {
	inNetwork(t, func(n *network) {
		cancel := request("CANCEL", "1")
		ctx, invite := n.receives(cancel, false)
		if invite != nil || ctx.Request() != cancel {
			t.Fatal("a CANCEL without INVITE finds one")
		}
		tx, early := n.receives(request("INVITE", "1"), false)
		if early != ctx {
			t.Fatal("the INVITE does not find its CANCEL")
		}
		tx.Terminate()
		n.responds(ctx, cancel, 481)
		if ctx.Request() != nil {
			t.Error("an answered CANCEL waits")
		}
		if _, early = n.receives(request("INVITE", "1"), false); early != nil {
			t.Error("an answered CANCEL is found")
		}
	})
}

// A transaction that was answered stores only its answer: neither the request nor unused capacity.
func TestLingeringIsSmall(t *testing.T) {
	inNetwork(t, func(n *network) {
		for _, tt := range []struct {
			method string
			code   int
			text   bool
		}{{"OPTIONS", 200, true}, {"INVITE", 200, false}, {"INVITE", 486, true}, {"CANCEL", 200, true}} {
			req := request(tt.method, fmt.Sprint(tt.method, tt.code))
			tx, _ := n.receives(req, false)
			tx.OnCancel(func(*sip.Request) {})
			if tt.method == "INVITE" {
				n.responds(tx, req, 100)
			}
			n.responds(tx, req, tt.code)
			if tx.req != nil || tx.onCancel != nil || (len(tx.text) > 0) != tt.text || cap(tx.text) > len(tx.text)+len(tx.text)/4 {
				t.Errorf("%s %d keeps %v, %d bytes of %d", tt.method, tt.code, tx.req != nil, len(tx.text), cap(tx.text))
			}
		}
	})
}

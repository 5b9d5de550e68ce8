package transaction

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// TestRestore: a table that restores another one's state answers copies of a request, repeats a refusal until its ACK,
// and forgets both in time.
func TestRestore(t *testing.T) {
	inNetwork(t, func(n *network) {
		bye, invite := request("BYE", "1"), request("INVITE", "2")
		tx, _ := n.receives(bye, false)
		n.responds(tx, bye, 200)
		tx, _ = n.receives(invite, false)
		n.responds(tx, invite, 486)
		waiting, _ := n.receives(request("INFO", "3"), false) // not handed over, because it has no answer yet
		n.table.Freeze()
		time.Sleep(300 * time.Millisecond)
		all := n.table.Answered(func(Sender) string { return "udp" })
		if len(all) != 2 || waiting == nil {
			t.Fatalf("%d answered requests", len(all))
		}
		was := n.table
		n.table = NewTable()
		defer was.Close()
		for i := range all {
			text, err := cbor.Marshal(&all[i])
			var a AnsweredState
			if err == nil {
				err = cbor.Unmarshal(text, &a)
			}
			if err != nil || n.table.Restore(&a, n) == nil {
				t.Fatalf("%v: %s is not taken up", err, a.Answer)
			}
			if n.table.Restore(&a, n) != nil {
				t.Error("it is taken up twice")
			}
		}
		sent := func() int {
			n.mu.Lock()
			defer n.mu.Unlock()
			return len(n.sent)
		}
		before := sent()
		for _, req := range []string{"BYE", "INVITE"} {
			if again, _ := n.receives(request(req, map[string]string{"BYE": "1", "INVITE": "2"}[req]), false); again != nil {
				t.Errorf("a copy of %s counts as new", req)
			}
		}
		synctest.Wait()
		if sent() != before+2 {
			t.Errorf("sent %d", sent()-before)
		}
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if sent() != before+3 { // sent again by Timer G
			t.Errorf("sent %d", sent()-before)
		}
		if !n.acks("2") {
			t.Error("the ACK finds no INVITE")
		}
		time.Sleep(T4 + time.Second)
		synctest.Wait()
		n.left(0, 0)
	})
}

// FuzzRestore checks that restoring any state, even a damaged one, does no harm.
func FuzzRestore(f *testing.F) {
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 BYE\r\n\r\n"), "127.0.0.1", "127.0.0.1:5060", uint8(2), int64(1), int64(-1))
	f.Fuzz(func(t *testing.T, answer []byte, source, to string, was uint8, again, end int64) {
		table := NewTable()
		defer table.Close()
		a := AnsweredState{Answer: answer, Source: source, To: to, State: was, Again: time.Duration(again), End: time.Duration(end)}
		if table.Restore(&a, nowhere{}) != nil {
			if _, servers := table.Len(); servers > 1 { // it may have expired already
				t.Errorf("%d transactions", servers)
			}
		}
	})
}

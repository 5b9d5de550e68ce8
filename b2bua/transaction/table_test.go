package transaction

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

var peer = netip.MustParseAddrPort("192.0.2.10:5060")

// network records sent messages with their times.
type network struct {
	t     *testing.T
	table *Table
	begun time.Time

	mu   sync.Mutex
	sent []string
	fail error
}

// inNetwork runs a test with a table and its network in a bubble. When the test ends, no
// goroutine may be left.
func inNetwork(t *testing.T, test func(n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &network{t: t, table: NewTable(), begun: time.Now()}
		defer n.table.Close()
		test(n)
	})
}

func (n *network) Send(text []byte, _ netip.AddrPort) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	line, _, _ := strings.Cut(string(text), "\r\n")
	line = strings.TrimSuffix(strings.TrimPrefix(line, "SIP/2.0 "), " sip:a@h SIP/2.0")
	n.sent = append(n.sent, fmt.Sprintf("%v %s", time.Since(n.begun).Truncate(100*time.Millisecond), line))
	return n.fail
}

// fails makes each later attempt to send return err.
func (n *network) fails(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail = err
}

// wants checks which messages were sent since the last check.
func (n *network) wants(want ...string) {
	n.t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := strings.Join(n.sent, ", "); got != strings.Join(want, ", ") {
		n.t.Errorf("sent: %s\nwant: %s", got, strings.Join(want, ", "))
	}
	n.sent = nil
}

// left checks how many transactions the table has.
func (n *network) left(clients, servers int) {
	n.t.Helper()
	synctest.Wait()
	if c, s := n.table.Len(); c != clients || s != servers {
		n.t.Errorf("%d clients and %d servers are left; want %d and %d", c, s, clients, servers)
	}
	n.table.mu.Lock()
	defer n.table.mu.Unlock()
	if q := len(n.table.queue.members); q > clients+servers {
		n.t.Errorf("%d deadlines of %d transactions", q, clients+servers)
	}
}

func (n *network) way(reliable bool) Way { return Way{Over: n, To: peer, Reliable: reliable} }

// request returns the request with this method and branch.
func request(method, branch string) *sip.Request {
	text := fmt.Sprintf("%s sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\n"+
		"From: <sip:b@h>;tag=b\r\nTo: <sip:a@h>;tag=a\r\nCall-ID: c\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n", method, branch, method)
	msg, err := message.Parse([]byte(text))
	if err != nil {
		panic(err)
	}
	req, ok := msg.(*sip.Request)
	if !ok {
		panic("no request")
	}
	req.SetSource(peer.String())
	return req
}

func response(req *sip.Request, code int) *sip.Response {
	return sip.NewResponseFromRequest(req, code, message.StatusText(code), nil)
}

// receives gives the table a request as if it came from the network.
func (n *network) receives(req *sip.Request, reliable bool) (tx, twin *Server) {
	n.t.Helper()
	key, ok := KeyOf(req, peer.Addr(), false)
	if !ok {
		n.t.Fatal("no key")
	}
	return n.table.Receive(req, key, n.way(reliable))
}

// acks gives the table an ACK, and reports whether a transaction took it.
func (n *network) acks(branch string) bool {
	n.t.Helper()
	key, ok := KeyOf(request("ACK", branch), peer.Addr(), false)
	if !ok {
		n.t.Fatal("no key")
	}
	return n.table.Acknowledge(key, 1)
}

func (n *network) responds(tx *Server, req *sip.Request, code int) {
	n.t.Helper()
	if err := tx.Respond(response(req, code)); err != nil {
		n.t.Errorf("%d: %v", code, err)
	}
}

// waiting is a user of a client transaction that records the outcome.
type waiting struct {
	mu  sync.Mutex
	got []string
}

func (w *waiting) Answered(res *sip.Response) { w.note(fmt.Sprint(res.StatusCode)) }
func (w *waiting) Failed(err error)           { w.note(err.Error()) }

func (w *waiting) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, what)
}

func (w *waiting) wants(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.got, ", "); got != want {
		t.Errorf("the user got %q; want %q", got, want)
	}
}

// sends starts a client transaction for this request.
func (n *network) sends(req *sip.Request, reliable bool) (*Client, *waiting) {
	n.t.Helper()
	c, w := &Client{}, &waiting{}
	if err := n.table.Send(c, req, n.way(reliable), w); err != nil {
		n.t.Fatal(err)
	}
	return c, w
}

// A closed table drops all transactions and accepts no more.
func TestClose(t *testing.T) {
	inNetwork(t, func(n *network) {
		c, w := n.sends(request("INVITE", "1"), false)
		tx, _ := n.receives(request("OPTIONS", "2"), false)
		n.table.Close()
		n.left(0, 0)
		if err := n.table.Send(&Client{}, request("INVITE", "3"), n.way(false), w); !errors.Is(err, ErrClosed) {
			t.Errorf("a request: %v; want %v", err, ErrClosed)
		}
		if late, _ := n.receives(request("OPTIONS", "4"), false); late != nil {
			t.Error("a request is taken")
		}
		if err := tx.Respond(response(request("OPTIONS", "2"), 200)); !errors.Is(err, ErrAnswered) {
			t.Errorf("an answer: %v; want %v", err, ErrAnswered)
		}
		time.Sleep(time.Minute)
		w.wants(t, "")
		n.wants("0s INVITE")
		if !c.IsOver() {
			t.Error("the client lives")
		}
	})
}

// If a flood has made its maps large, a table drops them when it is empty, and continues to
// work.
func TestTableShrinks(t *testing.T) {
	inNetwork(t, func(n *network) {
		open := make([]*Server, crowd+1)
		for i := range open {
			open[i], _ = n.receives(request("OPTIONS", fmt.Sprint(i)), false)
		}
		for i, tx := range open {
			n.responds(tx, request("OPTIONS", fmt.Sprint(i)), 200)
		}
		time.Sleep(time.Minute)
		n.left(0, 0)
		n.table.mu.Lock()
		if n.table.most != 0 || n.table.queue.members != nil || n.table.spare != nil {
			t.Errorf("%d transactions at most, room for %d deadlines, %d buffers", n.table.most, cap(n.table.queue.members), len(n.table.spare))
		}
		n.table.mu.Unlock()
		n.sends(request("INVITE", "1"), false)
		n.left(1, 0)
	})
}

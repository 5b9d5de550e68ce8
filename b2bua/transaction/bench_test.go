package transaction

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// nowhere is a network that discards messages.
type nowhere struct{}

func (nowhere) Send([]byte, netip.AddrPort) error { return nil }

// nobody is a user of transactions that ignores answers.
type nobody struct{}

func (nobody) Answered(*sip.Response) {}
func (nobody) Failed(error)           {}

// exchange is a request with its key and its answer. Each exchange has its own branch.
type exchange struct {
	req   *sip.Request
	key   Key
	ring  *sip.Response
	final *sip.Response
}

func exchanges(method string, n int) []exchange {
	all := make([]exchange, n)
	for i := range all {
		req := request(method, strconv.Itoa(i))
		key, _ := KeyOf(req, peer.Addr(), false)
		all[i] = exchange{req, key, response(req, 180), response(req, 200)}
	}
	return all
}

// asks runs a client transaction from the request to the final answer.
func (e *exchange) asks(t *Table, c *Client) {
	*c = Client{}
	if err := t.Send(c, e.req, Way{Over: nowhere{}, To: peer}, nobody{}); err != nil {
		panic(err)
	}
	t.Answer(e.ring, false)
	t.Answer(e.final, false)
}

// serves runs a server transaction until its answer only has to be stored for
// retransmissions, or until it is acknowledged.
func (e *exchange) serves(t *Table) {
	tx, _ := t.Receive(e.req, e.key, Way{Over: nowhere{}, To: peer})
	if tx == nil {
		panic("a copy")
	}
	if e.req.Method == sip.INVITE {
		_ = tx.Trying(e.req)
		_ = tx.Respond(e.ring)
	}
	_ = tx.Respond(e.final)
	tx.Acknowledged()
}

// BenchmarkTransactions measures each of the four machines, from its first message to its
// last.
func BenchmarkTransactions(b *testing.B) {
	for _, method := range []string{"INVITE", "BYE"} {
		all := exchanges(method, 1000)
		b.Run("client "+method, func(b *testing.B) {
			b.ReportAllocs()
			t, c := NewTable(), &Client{}
			defer t.Close()
			for i := 0; b.Loop(); i++ {
				all[i%len(all)].asks(t, c)
			}
		})
		b.Run("server "+method, func(b *testing.B) {
			b.ReportAllocs()
			t := NewTable()
			for i := 0; b.Loop(); i++ {
				if i%len(all) == 0 { // so that transactions that only linger are forgotten
					t.Close()
					t = NewTable()
				}
				all[i%len(all)].serves(t)
			}
			t.Close()
		})
	}
}

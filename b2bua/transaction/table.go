package transaction

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// Sender sends messages: a socket, or a connection.
type Sender interface {
	// Send sends a message; a connection ignores the address. It must not keep text. An
	// error means that retrying is useless.
	Send(text []byte, to netip.AddrPort) error
}

// Way is the socket or connection, with the address, over which a transaction's messages reach its peer.
type Way struct {
	Over     Sender
	To       netip.AddrPort
	Reliable bool // messages can't be lost on it
}

// Send sends a message.
func (w Way) Send(msg sip.Message) error {
	b := message.TakeBuffer()
	defer b.Release()
	b.Append(msg)
	return w.Over.Send(b.Bytes, w.To)
}

// Table holds the live transactions. Its lock is held only while memory is read or
// written, never while a message is sent or a user is called. Its methods may be called
// from any goroutine.
type Table struct {
	begun time.Time // constant; slightly early, so that no instant is 0

	mu      sync.Mutex // guards the fields below, and the transactions
	clients map[clientKey]*Client
	servers map[Key]*Server
	queue   queue
	timer   *time.Timer // runs expire
	armed   instant     // when the timer fires; 0 if it is not set
	firing  bool        // expire is running
	frozen  bool        // deadlines are not handled
	closed  bool
	spare   [][]byte // buffers of finished transactions
	most    int      // the most live transactions since the tables were made

	expiring sync.WaitGroup
}

// The reasons that a message is not sent, or that a request gets no answer.
var (
	ErrClosed    = errors.New("the table of transactions is closed")
	ErrExists    = errors.New("a request with this branch is under way")
	ErrTimeout   = errors.New("no answer in time")
	ErrCancelled = errors.New("the request was cancelled")
	ErrAnswered  = errors.New("the request has its final answer")
)

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{begun: time.Now().Add(-1), clients: map[clientKey]*Client{}, servers: map[Key]*Server{}}
	t.timer = time.AfterFunc(time.Hour, t.expire)
	t.timer.Stop()
	return t
}

// Len returns the numbers of live transactions.
func (t *Table) Len() (clients, servers int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.clients), len(t.servers)
}

// Close forgets all transactions, and waits for the end of a retransmission that is being sent. After that no
// transaction can begin.
func (t *Table) Close() {
	t.mu.Lock()
	t.closed = true
	t.timer.Stop()
	for _, c := range t.clients {
		t.remove(c)
	}
	for _, s := range t.servers {
		t.remove(s)
	}
	t.mu.Unlock()
	t.expiring.Wait()
}

func (t *Table) now() instant { return instant(time.Since(t.begun)) }

// transaction is what clients and servers have in common.
type transaction struct {
	machine
	table *Table
	way   Way
	text  []byte  // the message, in case it must be sent again; nil if none
	at    instant // deadline in the queue; 0 if it is not there
	place int     // index in the queue
}

// member is a transaction in the table.
type member interface {
	common() *transaction
	forget() // removes it from the table's maps
}

// settle updates a transaction's deadline after a step, or removes it if it is over. The lock is held.
func (t *Table) settle(m member) {
	c := m.common()
	if c.state == terminated {
		t.remove(m)
		return
	}
	if at := c.deadline(); at != c.at {
		t.queue.move(m, at)
		t.arm()
	}
}

// remove forgets a transaction. The lock is held.
func (t *Table) remove(m member) {
	c := m.common()
	c.terminate(0)
	t.queue.move(m, 0)
	m.forget()
	t.reuse(c.text)
	c.text = nil
	t.shrink()
}

// crowd is the number of simultaneous transactions from which the maps of a Table are replaced once it is empty.
const crowd = 4096

// shrink releases maps that a flood has made large, because a map never shrinks. The lock is held.
func (t *Table) shrink() {
	if t.most = max(t.most, len(t.queue.members)); t.most >= crowd && len(t.clients)+len(t.servers) == 0 {
		t.clients, t.servers, t.queue, t.spare, t.most = map[clientKey]*Client{}, map[Key]*Server{}, queue{}, nil, 0
	}
}

// The limits of spare buffers: their number and their size.
const (
	maxSpare     = 512
	minSpareSize = 1024
	maxSpareSize = 4096
)

// keep stores a copy of b as a transaction's text. The lock is held. If the transaction only lingers, the copy is no
// larger than necessary.
func (t *Table) keep(c *transaction, b []byte) {
	if c.state >= completed {
		t.reuse(c.text)
		c.text = slices.Clone(b)
		return
	}
	if n := len(t.spare); c.text == nil && n > 0 {
		c.text, t.spare = t.spare[n-1], t.spare[:n-1]
	} else if c.text == nil {
		c.text = make([]byte, 0, max(len(b), minSpareSize))
	}
	c.text = append(c.text[:0], b...)
}

func (t *Table) reuse(b []byte) {
	if cap(b) >= minSpareSize && cap(b) <= maxSpareSize && len(t.spare) < maxSpare {
		t.spare = append(t.spare, b)
	}
}

// arm makes expire run at the earliest deadline. The lock is held. It does not change the
// timer because of a deadline that is gone.
func (t *Table) arm() {
	if next := t.queue.first(); next != 0 && !t.firing && !t.closed && !t.frozen && (t.armed == 0 || next < t.armed) {
		t.armed = next
		t.timer.Reset(time.Duration(next - t.now()))
	}
}

// expire handles the deadlines that have passed, one transaction at a time.
func (t *Table) expire() {
	t.mu.Lock()
	if t.closed || t.firing || t.frozen {
		t.mu.Unlock()
		return
	}
	t.expiring.Add(1)
	defer t.expiring.Done()
	t.firing, t.armed = true, 0
	copied := message.TakeBuffer()
	defer copied.Release()
	for {
		now := t.now()
		if next := t.queue.first(); t.closed || t.frozen || next == 0 || next > now {
			break
		}
		m := t.queue.members[0]
		c := m.common()
		do := c.step(now, due)
		if copied.Bytes = copied.Bytes[:0]; do&resend != 0 {
			copied.Bytes = append(copied.Bytes, c.text...)
		}
		way := c.way
		t.settle(m)
		settled := settledOf(m)
		t.mu.Unlock()
		if settled != nil {
			settled()
		}
		if do&resend != 0 && len(copied.Bytes) > 0 {
			// An error counts as a loss on the way: the peer may have the first copy, which must not remain unanswered.
			_ = way.Over.Send(copied.Bytes, way.To)
		}
		if client, ok := m.(*Client); ok && do&expired != 0 {
			client.user.Failed(ErrTimeout)
		}
		t.mu.Lock()
	}
	t.firing = false
	t.arm()
	t.mu.Unlock()
}

// Freeze stops the handling of deadlines until Thaw, and waits for the deadline that is being handled. Until Thaw, no
// message may be sent or received.
func (t *Table) Freeze() {
	t.mu.Lock()
	t.frozen, t.armed = true, 0
	t.timer.Stop()
	t.mu.Unlock()
	t.expiring.Wait()
}

// Thaw undoes Freeze.
func (t *Table) Thaw() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frozen = false
	t.arm()
}

// fail ends a transaction whose message finally can't be sent.
func (t *Table) fail(m member, err error) {
	t.mu.Lock()
	do := m.common().step(t.now(), unsent)
	t.settle(m)
	settled := settledOf(m)
	t.mu.Unlock()
	if settled != nil {
		settled()
	}
	if client, ok := m.(*Client); ok && do&over != 0 {
		client.user.Failed(err)
	}
}

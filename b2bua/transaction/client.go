package transaction

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// User gets the answers to a request. Its methods are called without a lock, and must not
// block.
type User interface {
	// Answered takes a response: each provisional one and the first final one, which is
	// the last call.
	Answered(res *sip.Response)
	// Failed reports that there will be no final response. err is ErrTimeout, or the reason
	// that the request could not be sent again. It is the last call.
	Failed(err error)
}

// Client is a request of ours until its final response. Its zero value is ready for
// Table.Send.
type Client struct {
	transaction
	key  clientKey
	req  *sip.Request
	user User
}

// Send sends a request. Its answers go to user. After an error, user gets no answers, and
// c may be used again.
func (t *Table) Send(c *Client, req *sip.Request, way Way, user User) error {
	b := message.TakeBuffer()
	defer b.Release()
	b.Append(req)
	c.key = clientKey{message.BranchOf(req), way.Reliable, req.Method}
	c.req, c.user, c.way, c.table = req, user, way, t
	c.machine = machine{kind: otherClient, reliable: way.Reliable}
	if req.Method == sip.INVITE {
		c.kind = inviteClient
	}
	if err := t.enter(c, b.Bytes); err != nil {
		return err
	}
	err := way.Over.Send(b.Bytes, way.To)
	if err != nil {
		c.Terminate()
	}
	return err
}

func (t *Table) enter(c *Client, text []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return ErrClosed
	case t.clients[c.key] != nil:
		return ErrExists
	}
	c.begin(t.now())
	t.clients[c.key] = c
	if !c.reliable {
		t.keep(&c.transaction, text)
	}
	t.settle(c)
	return nil
}

// Answer passes a response to the transaction that waits for it, and reports whether
// there is one. It acknowledges a refusal (RFC 3261 section 17.1.1.3). stream says that
// the response came over a connection.
func (t *Table) Answer(res *sip.Response, stream bool) bool {
	cseq := res.CSeq()
	if cseq == nil {
		return false
	}
	t.mu.Lock()
	c := t.clients[clientKey{message.BranchOf(res), stream, cseq.MethodName}]
	if c == nil {
		t.mu.Unlock()
		return false
	}
	do, way := c.step(t.now(), inputOf(res)), c.way
	t.settle(c)
	t.mu.Unlock()
	if do&acknowledge != 0 {
		_ = way.Send(newACK(c.req, res)) // if the ACK is lost, the refusal comes again
	}
	if do&pass != 0 {
		c.user.Answered(res)
	}
	return true
}

func inputOf(res *sip.Response) input {
	switch {
	case res.StatusCode < 200:
		return provisional
	case res.StatusCode < 300:
		return success
	default:
		return refusal
	}
}

// Terminate ends a transaction without telling its user. It reports whether the
// transaction was still live.
func (c *Client) Terminate() bool {
	if c.table == nil {
		return false
	}
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	live := c.state != terminated
	if live {
		c.table.remove(c)
	}
	return live
}

// IsOver reports whether a transaction has ended.
func (c *Client) IsOver() bool {
	c.table.mu.Lock()
	defer c.table.mu.Unlock()
	return c.state == terminated
}

// Resend sends the request another way, unless the transaction has ended. The transaction
// uses that way from then on.
func (c *Client) Resend(way Way) error {
	c.table.mu.Lock()
	live := c.state != terminated
	if live {
		c.forget()
		c.way, c.key.stream = way, way.Reliable
		c.table.clients[c.key] = c
	}
	c.table.mu.Unlock()
	if !live {
		return nil
	}
	return way.Send(c.req)
}

func (c *Client) common() *transaction { return &c.transaction }

func (c *Client) forget() {
	if c.table.clients[c.key] == c {
		delete(c.table.clients, c.key)
	}
}

// newACK returns the ACK of a refusal (section 17.1.1.3).
func newACK(invite *sip.Request, refusal *sip.Response) *sip.Request {
	ack := sip.NewRequest(sip.ACK, *invite.Recipient.Clone())
	ack.SipVersion = invite.SipVersion
	ack.AppendHeader(invite.Via())
	for _, h := range invite.GetHeaders("Route") {
		ack.AppendHeader(h)
	}
	maxForwards := sip.MaxForwardsHeader(70)
	ack.AppendHeader(&maxForwards)
	ack.AppendHeader(invite.From())
	if to := refusal.To(); to != nil {
		ack.AppendHeader(to)
	}
	ack.AppendHeader(invite.CallID())
	ack.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: sip.ACK})
	ack.SetBody(nil)
	return ack
}

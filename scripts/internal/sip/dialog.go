package sip

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Dialog is a call of an end, starting with the INVITE.
type Dialog struct {
	End      *End
	Of       any // for the user of the package
	CallID   string
	Answered bool // a 200 was sent or received

	local, remote  string // From and To of our requests, From without its tag
	tag            string
	target, routes string
	cseq, theirs   int
	over, gone     bool // over: it has ended; gone: all knowledge of it is lost
	clients        []*Client
	servers        []*Server
}

func (d *Dialog) saw(sent bool, m Message) {
	if d.End.Saw != nil {
		d.End.Saw(d, sent, m)
	}
}

func (d *Dialog) send(text string, to netip.AddrPort) {
	d.saw(true, Message(text))
	d.End.Send(text, to)
}

// Finish records that the call is over. Repeated messages are still answered for as long as they may come.
func (d *Dialog) Finish() {
	if d.over {
		return
	}
	d.over = true
	d.End.After(Patience+T2, d.Forget)
}

// Forget drops the dialog, as an end does that dies and restarts.
func (d *Dialog) Forget() {
	d.over, d.gone, d.clients, d.servers = true, true, nil, nil
	delete(d.End.dialogs, d.CallID)
}

// Text returns a request of the dialog. more has further headers, perhaps including a Contact, and the body.
func (d *Dialog) Text(method, branch string, cseq int, more string) string {
	at := d.End.Addr.String()
	if method != "ACK" && method != "BYE" && method != "CANCEL" && !strings.HasPrefix(more, "Contact: ") {
		more = "Contact: <sip:" + at + ">\r\n" + more
	}
	return method + " " + d.target + " SIP/2.0\r\nVia: SIP/2.0/UDP " + at + ";branch=" + branch + d.End.Via + "\r\n" +
		"Max-Forwards: 70\r\n" + d.routes + "From: " + d.local + ";tag=" + d.tag + "\r\nTo: " + d.remote +
		"\r\nCall-ID: " + d.CallID + "\r\nCSeq: " + strconv.Itoa(cseq) + " " + method +
		"\r\n" + more
}

// Client is a client transaction.
type Client struct {
	d         *Dialog
	branch    string
	method    string
	text, ack string
	cseq      int
	wait, so  time.Duration
	heard     bool // got a provisional answer
	settled   bool
	done      func(Message)
}

// Ask sends a request within the dialog, or its INVITE. done receives the final answer, or "" if there was none. done
// receives the 200 of an INVITE even if the INVITE had been given up.
func (d *Dialog) Ask(method, more string, done func(Message)) *Client {
	d.cseq++
	branch := "z9hG4bK" + d.End.Unique()
	return d.begin(method, branch, d.cseq, more, done)
}

func (d *Dialog) begin(method, branch string, cseq int, more string, done func(Message)) *Client {
	c := &Client{d: d, branch: branch, method: method, cseq: cseq, wait: T1, done: done}
	c.text = d.Text(method, branch, cseq, more)
	d.clients = append(d.clients, c)
	d.send(c.text, d.End.Peer)
	c.again()
	return c
}

// again repeats the request: timers A, B, E and F of RFC 3261 17.1.
func (c *Client) again() {
	wait := min(c.wait, Patience-c.so)
	c.d.End.After(wait, func() {
		if c.settled || c.d.gone {
			return
		}
		invite := c.method == "INVITE"
		rings := invite && c.heard
		c.so += wait
		if c.so >= Patience && (!rings || c.d.End.Impatient) {
			c.settle("")
			return
		}
		if rings && !c.d.End.Impatient {
			return
		}
		c.wait *= 2
		if !invite {
			c.wait = min(c.wait, T2)
			if c.heard {
				c.wait = T2
			}
		}
		if !rings {
			c.d.End.Repeats++
			c.d.send(c.text, c.d.End.Peer)
		}
		c.again()
	})
}

func (c *Client) settle(m Message) {
	c.settled, c.text = true, ""
	if c.method != "INVITE" {
		c.d.clients = slices.DeleteFunc(c.d.clients, func(o *Client) bool { return o == c })
	}
	c.done(m)
}

func (d *Dialog) response(m Message, method string, status int) {
	branch := m.Branch()
	for _, c := range d.clients {
		if c.branch == branch && c.method == method {
			c.answered(m, status)
			return
		}
	}
}

func (c *Client) answered(m Message, status int) {
	if status < 200 {
		c.heard = true
		return
	}
	late := c.settled && c.method == "INVITE" && status < 300 && !c.d.Answered // the INVITE was given up, or refused
	if c.method == "INVITE" {
		c.acknowledge(m, status, late)
	}
	if late {
		c.d.over = false
	}
	if !c.settled || late {
		c.d.Answered = c.d.Answered || c.method == "INVITE" && status < 300
		c.settle(m)
	}
}

// acknowledge sends the ACK of a final answer, and of each repeat of it.
func (c *Client) acknowledge(m Message, status int, late bool) {
	d := c.d
	switch remote := d.remote; {
	case c.ack != "" && !late:
		if status < 300 {
			d.End.Repeats200++
		}
	case status < 300:
		d.remote = strings.Clone(m.Header("To"))
		if at := m.Contact(); at != "" {
			d.target = strings.Clone(at)
		}
		if !d.Answered {
			d.routes = m.routes(true)
		}
		c.ack = d.Text("ACK", "z9hG4bK"+d.End.Unique(), c.cseq, Empty)
	default:
		d.remote = m.Header("To")
		c.ack = d.Text("ACK", c.branch, c.cseq, Empty)
		d.remote = remote
	}
	d.send(c.ack, d.End.Peer)
}

// Cancel cancels the INVITE.
func (c *Client) Cancel() {
	if c.settled {
		return
	}
	c.d.begin("CANCEL", c.branch, c.cseq, Empty, func(Message) {})
	c.d.End.After(Patience, func() { // RFC 3261 9.1
		if !c.settled {
			c.settle("")
		}
	})
}

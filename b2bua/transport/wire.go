package transport

import (
	"errors"
	"slices"
	"sync"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transaction"
	"flowbridge/config"
)

// Wire holds one leg's live transactions and performs its effects in order. Looking up a
// name, opening a connection and writing may take a while, so a goroutine performs the
// effects that need them.
type Wire struct {
	// constant
	stack *Stack
	local *leg.Local
	tls   *config.TargetTLS // TLS settings for connections opened for the leg
	post  func(leg.Input) bool

	mu        sync.Mutex // guards the fields below
	queue     []leg.Effect
	room      [1]leg.Effect // initial memory of queue
	next      int           // index of the next effect in queue
	servers   []serverTx
	invite    *request   // our INVITE, until it has a final answer
	others    []*request // our other requests within the dialog, except BYE, until their final answer
	invited   string     // Request-URI of the last INVITE
	flow      *Stream    // the connection to the peer; nil if none yet, or UDP
	latest    *Stream    // the connection of the peer's last request; nil if it came by flow
	sending   bool
	uncounted bool // the wire never counts as a user of its connection
	closed    bool // the wire no longer counts as a user of its connection

	refused *transaction.Server // the last INVITE of the peer that we refused; nil if none
}

// serverTx is a request of the peer that may still be answered.
type serverTx struct {
	method sip.RequestMethod
	seq    uint32
	branch string // needed because two requests may have the same CSeq
	tx     *transaction.Server
}

// Open sets up a zero wire for a leg. post delivers the leg's inputs. flow is the
// connection to the peer, opened by either side, or nil over UDP.
func (w *Wire) Open(s *Stack, local *leg.Local, tls *config.TargetTLS, flow *Stream, post func(leg.Input) bool) {
	w.stack, w.local, w.tls, w.post = s, local, tls, post
	w.queue = w.room[:0]
	w.setFlow(flow)
}

// Serve keeps the transaction of the peer's request until the leg answers it. An INVITE that is repeated after
// its transaction's end gets a new transaction, which replaces the first.
func (w *Wire) Serve(req *sip.Request, tx *transaction.Server) {
	s := serverTx{req.Method, req.CSeq().SeqNo, message.BranchOf(req), tx}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, o := range w.servers {
		if o.method == s.method && o.seq == s.seq && o.branch == s.branch {
			w.servers[i] = s
			return
		}
	}
	w.servers = append(w.servers, s)
}

// IsIdle reports whether no request, the peer's or ours, waits for an answer. A 200 may still wait for its ACK.
func (w *Wire) IsIdle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.sending && w.invite == nil && len(w.others) == 0 &&
		!slices.ContainsFunc(w.servers, func(s serverTx) bool { return s.method != sip.INVITE })
}

// Trying answers the peer's INVITE with 100, because the final answer will take a while.
func (w *Wire) Trying() {
	waiting := make([]*transaction.Server, 0, 4)
	w.mu.Lock()
	for _, s := range w.servers {
		if s.method == sip.INVITE {
			waiting = append(waiting, s.tx)
		}
	}
	w.mu.Unlock()
	for _, tx := range waiting {
		if req := tx.Request(); req != nil {
			_ = tx.Trying(req) // fails if the INVITE was cancelled: then it has its answer
		}
	}
}

// Forget undoes Serve, because the leg does not get the request after all.
func (w *Wire) Forget(tx *transaction.Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers = slices.DeleteFunc(w.servers, func(s serverTx) bool { return s.tx == tx })
}

// forget removes a transaction with its request. The caller holds w.mu.
func (w *Wire) forget(i int) {
	w.servers = slices.Delete(w.servers, i, i+1)
	if len(w.servers) == 0 {
		w.servers = nil
	}
}

// Perform sends effects: at once if they are datagrams to known addresses, otherwise by a
// goroutine that lives until all effects are sent.
func (w *Wire) Perform(effects []leg.Effect) {
	if len(effects) == 0 {
		return
	}
	w.mu.Lock()
	w.queue = append(w.queue, effects...)
	start := !w.sending
	w.sending = true
	w.mu.Unlock()
	switch {
	case start && !slices.ContainsFunc(effects, w.mayBlock):
		w.send()
	case start:
		w.stack.writing.Add(1)
		w.stack.group.Go(func() {
			defer w.stack.writing.Add(-1)
			w.send()
		})
	}
}

// mayBlock reports whether an effect may wait for a name server or a connection.
func (w *Wire) mayBlock(e leg.Effect) bool {
	far := func(to leg.Hop) bool { return message.IsStream(to.Transport) || !to.Addr.IsValid() }
	switch e := e.(type) {
	case leg.SendRequest:
		return far(e.To)
	case leg.SendACK:
		return far(e.To)
	case leg.SendResponse:
		return message.IsStream(w.local.Transport)
	case leg.Acknowledged, leg.Forgotten:
		return false
	}
	return true
}

func (w *Wire) send() {
	for {
		w.mu.Lock()
		if w.next == len(w.queue) {
			w.queue, w.next, w.sending = w.room[:0], 0, false
			w.mu.Unlock()
			return
		}
		e := w.queue[w.next]
		w.queue[w.next] = nil
		w.next++
		w.mu.Unlock()
		w.sendOne(e)
	}
}

func (w *Wire) sendOne(e leg.Effect) {
	defer w.stack.recovered("wire")
	switch e := e.(type) {
	case leg.SendRequest:
		w.request(e)
	case leg.SendACK:
		w.acknowledge(e)
	case leg.SendResponse:
		w.respond(e)
	case leg.Acknowledged:
		if tx := w.release(e.Seq); tx != nil {
			tx.Acknowledged()
		}
	case leg.Forgotten:
		w.release(e.Seq)
	}
}

// Send performs effects for a message whose leg is gone.
func (s *Stack) Send(local leg.Local, flow *Stream, effects []leg.Effect) {
	w := &Wire{uncounted: true}
	w.Open(s, &local, &config.TargetTLS{}, flow, func(leg.Input) bool { return false })
	w.Perform(effects)
}

// RetireFlow keeps the connection of a silent target from being used by other calls.
func (w *Wire) RetireFlow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flow != nil && w.flow.peer != nil {
		w.stack.streams.retire(w.flow)
	}
}

// setFlow makes the wire a user of a connection, so that an idle connection stays open.
func (w *Wire) setFlow(c *Stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swapFlow(c)
}

// Follow makes the wire use the connection of the peer's request if the wire's own is
// gone. We can't connect to a peer behind NAT.
func (w *Wire) Follow(c *Stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.flow
	switch {
	case c == nil || old == nil || old.transport != c.transport || old.remote.Addr() != c.remote.Addr():
	case old.isClosed():
		w.swapFlow(c)
	default:
		w.latest = c
	}
}

// carries reports whether a connection belongs to the leg's peer.
func (w *Wire) carries(c *Stream) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return c != nil && w.flow == c
}

func (w *Wire) swapFlow(c *Stream) {
	if w.closed {
		return
	}
	old := w.flow
	w.flow = c
	if w.uncounted {
		return
	}
	if c != nil {
		c.users.Add(1)
	}
	if old != nil {
		old.users.Add(-1)
	}
}

func (w *Wire) respond(e leg.SendResponse) {
	tx := w.serverTx(e)
	if tx == nil {
		return
	}
	switch err := tx.Respond(e.Res); {
	case errors.Is(err, transaction.ErrCancelled) && e.Method == sip.INVITE && e.Res.StatusCode >= 200:
		w.post(leg.FinalLost{Seq: e.Seq})
	case err != nil:
		w.stack.log.Debug().Err(err).Msg("response not sent")
	case e.Method == sip.INVITE && e.Res.StatusCode >= 300:
		w.mu.Lock()
		w.refused = tx
		w.mu.Unlock()
	}
}

// serverTx finds the transaction of a response. The transaction of an INVITE stays until
// the INVITE is refused, because its 200 may be sent again.
func (w *Wire) serverTx(e leg.SendResponse) *transaction.Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.servers {
		if s.method != e.Method || s.seq != e.Seq || s.branch != message.BranchOf(e.Res) {
			continue
		}
		if e.Method != sip.INVITE || e.Res.StatusCode >= 300 {
			w.forget(i)
		}
		return s.tx
	}
	return nil
}

// release removes and returns the transaction of a peer's INVITE. After the ACK the
// server's table recognises a late copy of the INVITE.
func (w *Wire) release(seq uint32) *transaction.Server {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.servers {
		if s.method == sip.INVITE && s.seq == seq {
			w.forget(i)
			return s.tx
		}
	}
	return nil
}

// Close ends the wire's transactions. Otherwise an INVITE with a provisional answer would
// wait for ever, as it has no timer.
func (w *Wire) Close() {
	w.mu.Lock()
	invite := w.invite
	w.invite = nil
	others := w.others
	w.others = nil
	w.swapFlow(nil)
	w.closed = true
	w.mu.Unlock()
	if invite != nil {
		invite.end()
	}
	for _, r := range others {
		r.end()
	}
}

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

// Wire sends the messages of one leg: it holds the leg's live transactions and performs the leg's effects in
// order. Looking up a name, opening a connection and writing to one may take a while, so it uses a goroutine
// for effects that need them.
type Wire struct {
	// constant
	stack *Stack
	local *leg.Local
	tls   *config.TargetTLS // TLS settings for connections that are opened for the leg
	post  func(leg.Input) bool

	mu        sync.Mutex // guards the fields below
	queue     []leg.Effect
	room      [1]leg.Effect // initial memory of queue
	next      int           // index of the next effect in queue
	servers   []serverTx
	invite    *request   // our INVITE, until its final response
	others    []*request // our other requests, except CANCEL and BYE, until their final response
	invited   string     // Request-URI of our last INVITE
	flow      *Stream    // the connection to the peer; nil over UDP, and before there is one
	latest    *Stream    // the connection of the peer's last request; nil if that is flow
	sending   bool
	uncounted bool // the wire does not count as a user of its connections
	closed    bool // the wire no longer counts as a user of its connections

	refused *transaction.Server // the last INVITE of the peer that we refused; nil if there is none
}

// serverTx is a request of the peer that may still be answered.
type serverTx struct {
	method sip.RequestMethod
	seq    uint32
	branch string // needed, because two requests may have the same CSeq
	tx     *transaction.Server
}

// Open initializes a zero wire for a leg. post delivers inputs to the leg. flow is the connection to the peer,
// or nil over UDP.
func (w *Wire) Open(s *Stack, local *leg.Local, tls *config.TargetTLS, flow *Stream, post func(leg.Input) bool) {
	w.stack, w.local, w.tls, w.post = s, local, tls, post
	w.queue = w.room[:0]
	w.setFlow(flow)
}

// Serve stores the transaction of the peer's request until the leg answers it. If an INVITE is repeated after
// the end of its transaction, its new transaction replaces the old one.
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

// IsIdle reports whether all requests of the peer and of the leg are answered. A 200 may still wait for its
// ACK.
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
			_ = tx.Trying(req) // fails if the INVITE was cancelled, because then it has its answer
		}
	}
}

// Forget undoes Serve, because the leg will not get the request.
func (w *Wire) Forget(tx *transaction.Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers = slices.DeleteFunc(w.servers, func(s serverTx) bool { return s.tx == tx })
}

// forget removes the transaction with this index. The caller must hold w.mu.
func (w *Wire) forget(i int) {
	w.servers = slices.Delete(w.servers, i, i+1)
	if len(w.servers) == 0 {
		w.servers = nil
	}
}

// Perform performs effects: at once if they need only datagrams to known addresses, and otherwise on a
// goroutine that runs until all effects are performed.
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

// mayBlock reports whether an effect may have to wait for a name server or a connection.
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

// Send performs effects that belong to no leg.
func (s *Stack) Send(local leg.Local, flow *Stream, effects []leg.Effect) {
	w := &Wire{uncounted: true}
	w.Open(s, &local, &config.TargetTLS{}, flow, func(leg.Input) bool { return false })
	w.Perform(effects)
}

// RetireFlow keeps new calls from using the connection to a target that does not respond.
func (w *Wire) RetireFlow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flow != nil && w.flow.peer != nil {
		w.stack.streams.retire(w.flow)
	}
}

// setFlow sets the wire's connection, and counts the wire as its user, so that the connection stays open while
// it is idle.
func (w *Wire) setFlow(c *Stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swapFlow(c)
}

// Follow notes the connection that the peer's request came over. The wire uses it when its own connection has
// ended, because we can't connect to a peer behind NAT.
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

// carries reports whether a connection is the wire's own.
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

// serverTx returns the transaction for a response, or nil. The transaction of an INVITE is kept until the
// INVITE is refused, because its 200 may be sent again.
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

// release removes and returns the transaction of the peer's INVITE, or returns nil. After the ACK, the server's
// table recognises a late copy of the INVITE.
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

// Close ends the wire's transactions. Otherwise an INVITE with a provisional response would wait forever,
// because it has no timer.
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

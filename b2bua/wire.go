package b2bua

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// wire holds one leg's live transactions and performs its effects in order.
// It is never written down: after a restart a leg gets a new one. The SIP
// library resolves, dials and writes synchronously; where that may take a while
// effects are performed by a goroutine.
type wire struct {
	stack *stack
	local leg.Local
	post  func(leg.Input) bool
	tls   config.TargetTLS // for connections that the leg opens

	mu      sync.Mutex
	queue   []leg.Effect
	sending bool
	servers []serverTx
	invite  *sip.ClientTx   // our INVITE, until it has a final answer
	others  []*sip.ClientTx // our requests within the dialog without one, but for BYE
	invited sip.Uri         // where the last one went
	flow    *stream         // the connection that the peer is spoken to over; nil: none yet, or UDP
	brief   bool            // it is not counted as a user of its connection
	closed  bool            // nor is it any more
}

// serverTx is a request of the peer that may still be answered.
type serverTx struct {
	method sip.RequestMethod
	seq    uint32
	branch string // two requests may have the same CSeq
	tx     *sip.ServerTx
}

// NewWire makes the wire of a leg, whose inputs it posts. flow is the connection
// that the peer has opened, or that was opened to it; nil over UDP.
func (s *stack) NewWire(local leg.Local, flow *stream, post func(leg.Input) bool) *wire {
	w := &wire{stack: s, local: local, post: post}
	w.setFlow(flow)
	return w
}

// serve keeps the transaction of a request until it is answered. That of an
// INVITE which comes again after Timer L takes the place of the first.
func (w *wire) serve(req *sip.Request, tx *sip.ServerTx) {
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

// forget is the undoing of serve, for a request that the leg will not see.
func (w *wire) forget(tx *sip.ServerTx) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers = slices.DeleteFunc(w.servers, func(s serverTx) bool { return s.tx == tx })
}

// perform has effects sent: at once where that is a datagram to a known
// address, otherwise by a goroutine that exists while there are any.
func (w *wire) perform(effects []leg.Effect) {
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
		w.stack.group.Go(w.send)
	}
}

// mayBlock says whether an effect may wait for a name server or a connection.
func (w *wire) mayBlock(e leg.Effect) bool {
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

func (w *wire) send() {
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.queue, w.sending = nil, false
			w.mu.Unlock()
			return
		}
		e := w.queue[0]
		w.queue = w.queue[1:]
		w.mu.Unlock()
		w.sendOne(e)
	}
}

func (w *wire) sendOne(e leg.Effect) {
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
			tx.Terminate()
		}
	case leg.Forgotten:
		w.release(e.Seq)
	}
}

// Send performs effects that no leg waits for: the answer to a message whose
// leg is gone.
func (s *stack) Send(local leg.Local, flow *stream, effects []leg.Effect) {
	w := &wire{stack: s, local: local, flow: flow, brief: true, post: func(leg.Input) bool { return false }}
	w.perform(effects)
}

// distrust keeps the connection of a target that said nothing from being used
// for another call.
func (w *wire) distrust() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flow != nil && w.flow.peer != nil {
		w.stack.streams.retire(w.flow)
	}
}

// setFlow keeps a connection, so that it is not closed for being quiet.
func (w *wire) setFlow(c *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swapFlow(c)
}

// follow has the leg speak over the connection that a request of its peer came
// by, where its own is gone: a peer behind NAT can't be connected to.
func (w *wire) follow(c *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.flow; c != nil && old != nil && old.isClosed() && old.transport == c.transport && old.remote.Addr() == c.remote.Addr() {
		w.swapFlow(c)
	}
}

func (w *wire) swapFlow(c *stream) {
	if w.closed {
		return
	}
	old := w.flow
	w.flow = c
	if w.brief {
		return
	}
	if c != nil {
		c.users.Add(1)
	}
	if old != nil {
		old.users.Add(-1)
	}
}

func (w *wire) request(e leg.SendRequest) {
	method, seq := e.Req.Method, e.Req.CSeq().SeqNo
	over, tx, err := w.start(e)
	if err != nil {
		w.post(leg.RequestFailed{Method: method, Seq: seq, Cause: CauseOf(err), Err: err})
		return
	}
	if method == sip.INVITE {
		// RFC 6026: further 2xx reach us this way until the transaction ends.
		tx.OnRetransmission(func(res *sip.Response) { w.post(responseIn(res)) })
		w.mu.Lock()
		w.invite, w.invited = tx, e.Req.Recipient
		w.mu.Unlock()
	}
	switch method {
	case sip.INVITE, sip.CANCEL:
	case sip.BYE: // nobody waits for the others' answers any more
		w.stopOthers()
	default:
		w.mu.Lock()
		w.others = append(w.others, tx)
		w.mu.Unlock()
	}
	w.stack.group.Go(func() { w.read(tx, over, e, method, seq) })
}

// start begins the transaction of a request. A connection that breaks between
// being found and being used is replaced, once.
func (w *wire) start(e leg.SendRequest) (over *stream, tx *sip.ClientTx, err error) {
	for range 2 {
		if over, err = w.aim(e.Req, e.To); err != nil {
			return nil, nil, err
		}
		tx, err = w.begin(e.Req, over)
		if err == nil || over == nil {
			break
		}
	}
	return over, tx, err
}

// begin begins a transaction. Over UDP the listener must not be on its way from
// the library and back (renewal); a connection may take its time.
func (w *wire) begin(req *sip.Request, over *stream) (*sip.ClientTx, error) {
	if over == nil {
		w.stack.swap.RLock()
		defer w.stack.swap.RUnlock()
	}
	return w.stack.tx.Request(w.stack.ctx, req)
}

const (
	// maxReconnects bounds how often the connection of one request is replaced.
	maxReconnects = 3
	// streamSettle is how long after a connection broke it is replaced: a peer
	// may have closed it because it had answered.
	streamSettle = 100 * time.Millisecond
)

// read hands on what answers a request of ours. Somebody has to read until
// the final answer: the library blocks on a response that nobody takes. Where
// its connection breaks meanwhile, the request goes over another one: to the
// peer that is a retransmission.
func (w *wire) read(tx *sip.ClientTx, over *stream, e leg.SendRequest, method sip.RequestMethod, seq uint32) {
	defer w.stack.recovered("wire")
	broken := over.done()
	var settled <-chan time.Time
	for reconnects := 0; ; {
		select {
		case res := <-tx.Responses():
			w.post(responseIn(res))
			if res.StatusCode < 200 {
				continue
			}
			w.finished(tx, method)
			return
		case <-broken: // what came right before that may be on its way here
			broken, settled = nil, time.After(streamSettle)
		case <-settled:
			settled = nil
			if reconnects++; reconnects > maxReconnects {
				continue // its timer, or the call's, ends it
			}
			if over = w.again(tx, e); over == nil {
				w.finished(tx, method)
				w.post(leg.RequestFailed{Method: method, Seq: seq, Cause: cause.TargetUnreachable, Err: errBroken})
				return
			}
			broken = over.done()
		case <-tx.Done():
			why := cause.TargetUnreachable
			if errors.Is(tx.Err(), sip.ErrTransactionTimeout) {
				why = cause.TargetSilent
			}
			w.finished(tx, method)
			w.post(leg.RequestFailed{Method: method, Seq: seq, Cause: why, Err: tx.Err()})
			return
		}
	}
}

// errBroken means that a connection broke and there is no other way.
var errBroken = errors.New("the connection broke and could not be replaced")

// again sends a request that has no answer over another connection; nil where
// there is none.
func (w *wire) again(tx *sip.ClientTx, e leg.SendRequest) *stream {
	w.stack.log.Info().Str("method", string(e.Req.Method)).Msg("connection broke: the request goes over another")
	over, err := w.aim(e.Req.Clone(), e.To)
	if err != nil {
		return nil
	}
	if _, err := over.Write([]byte(tx.Origin().String())); err != nil {
		return nil
	}
	return over
}

// finished lets a client transaction go. What the peer repeats finds its leg
// through the server's table, or is acknowledged without state: the library
// would hold a goroutine for seconds for each refusal that is repeated.
func (w *wire) finished(tx *sip.ClientTx, method sip.RequestMethod) {
	if method == sip.INVITE {
		w.mu.Lock()
		if w.invite == tx { // it may be that of the next INVITE, which answers a challenge
			w.invite = nil
		}
		w.mu.Unlock()
	}
	w.mu.Lock()
	w.others = slices.DeleteFunc(w.others, func(o *sip.ClientTx) bool { return o == tx })
	w.mu.Unlock()
	tx.Terminate()
}

// stopOthers has what the peer has not answered not be sent again.
func (w *wire) stopOthers() {
	w.mu.Lock()
	others := w.others
	w.others = nil
	w.mu.Unlock()
	for _, tx := range others {
		tx.Terminate()
	}
}

// lastInvited is the Request-URI of the leg's last INVITE.
func (w *wire) lastInvited() sip.Uri {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.invited
}

func responseIn(res *sip.Response) leg.ResponseIn {
	return leg.ResponseIn{Res: res, Source: message.ParseSource(res.Source())}
}

func (w *wire) acknowledge(e leg.SendACK) {
	over, err := w.aim(e.Req, e.To)
	if err != nil {
		w.stack.log.Warn().Err(err).Msg("ack not sent")
		return
	}
	if over == nil {
		w.stack.swap.RLock()
		defer w.stack.swap.RUnlock()
	}
	if err := w.stack.tp.WriteMsg(e.Req); err != nil {
		w.stack.log.Warn().Err(err).Msg("ack not sent")
	}
}

func (w *wire) respond(e leg.SendResponse) {
	tx := w.serverTx(e)
	if tx == nil {
		return
	}
	select {
	case <-tx.Done(): // an INVITE's, which Timer L has ended: its 200 is sent again all the same
		if err := tx.Connection().WriteMsg(e.Res); err != nil {
			w.stack.log.Debug().Err(err).Msg("response not sent again")
		}
		return
	default:
	}
	lost := respondInvite(tx, e.Res)
	if e.Method != sip.INVITE {
		return
	}
	final := e.Res.StatusCode >= 200
	switch {
	case final && lost:
		w.post(leg.FinalLost{Seq: e.Seq})
	case final && e.Res.StatusCode < 300:
		// The ACK of a peer that uses the INVITE's branch for it ends up here.
		select {
		case ack := <-tx.Acks():
			w.post(leg.RequestIn{Req: ack, Source: message.ParseSource(ack.Source())})
		default:
		}
	}
}

// respondInvite gives a transaction a response, and says whether that was lost
// to a CANCEL: then the transaction has answered 487, but keeps the response
// it was given last for its retransmissions. It gets the 487 back.
func respondInvite(tx *sip.ServerTx, res *sip.Response) (lost bool) {
	if err := tx.Respond(res); !errors.Is(err, sip.ErrTransactionCanceled) {
		return false
	}
	_ = tx.Respond(sip.NewResponseFromRequest(tx.Origin(), 487, message.StatusText(487), nil))
	return true
}

// serverTx finds the transaction that a response belongs to. That of an
// INVITE stays until it is refused, for the 200 to be sent again.
func (w *wire) serverTx(e leg.SendResponse) *sip.ServerTx {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.servers {
		if s.method != e.Method || s.seq != e.Seq || s.branch != message.BranchOf(e.Res) {
			continue
		}
		if e.Method != sip.INVITE || e.Res.StatusCode >= 300 {
			w.servers = append(w.servers[:i], w.servers[i+1:]...)
		}
		return s.tx
	}
	return nil
}

// release gives up the transaction of an INVITE of the peer. Where its 200 is
// acknowledged the server's table recognises an INVITE that comes late.
func (w *wire) release(seq uint32) *sip.ServerTx {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.servers {
		if s.method == sip.INVITE && s.seq == seq {
			w.servers = append(w.servers[:i], w.servers[i+1:]...)
			return s.tx
		}
	}
	return nil
}

// close ends what would wait for ever: an INVITE that got a provisional
// answer has no timer of its own.
func (w *wire) close() {
	w.mu.Lock()
	invite := w.invite
	w.invite = nil
	w.swapFlow(nil)
	w.closed = true
	w.mu.Unlock()
	if invite != nil {
		invite.Terminate()
	}
	w.stopOthers()
}

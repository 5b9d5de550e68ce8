package b2bua

import (
	"errors"
	"net/netip"
	"slices"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// wire holds one leg's live transactions and performs its effects in order.
// It is never written down: after a restart a leg gets a new one. The SIP
// library resolves, dials and writes synchronously, so effects are performed
// by a goroutine that exists while there are any.
type wire struct {
	stack *stack
	local Local
	post  func(Input) bool

	mu      sync.Mutex
	queue   []Effect
	sending bool
	servers []serverTx
	invite  *sip.ClientTx // our INVITE, until it has a final answer
}

// serverTx is a request of the peer that may still be answered.
type serverTx struct {
	method sip.RequestMethod
	seq    uint32
	tx     *sip.ServerTx
}

func newWire(s *stack, local Local, post func(Input) bool) *wire {
	return &wire{stack: s, local: local, post: post}
}

// serve keeps the transaction of a request until it is answered.
func (w *wire) serve(req *sip.Request, tx *sip.ServerTx) {
	w.mu.Lock()
	w.servers = append(w.servers, serverTx{req.Method, req.CSeq().SeqNo, tx})
	w.mu.Unlock()
}

// forget is the undoing of serve, for a request that the leg will not see.
func (w *wire) forget(tx *sip.ServerTx) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.servers = slices.DeleteFunc(w.servers, func(s serverTx) bool { return s.tx == tx })
}

// perform queues effects and sees to it that somebody sends them.
func (w *wire) perform(effects []Effect) {
	if len(effects) == 0 {
		return
	}
	w.mu.Lock()
	w.queue = append(w.queue, effects...)
	start := !w.sending
	w.sending = true
	w.mu.Unlock()
	if start {
		w.stack.group.Go(w.send)
	}
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

func (w *wire) sendOne(e Effect) {
	defer w.stack.recovered("wire")
	switch e := e.(type) {
	case SendRequest:
		w.request(e)
	case SendACK:
		w.acknowledge(e)
	case SendResponse:
		w.respond(e)
	}
}

// aim sets where a request goes and which socket it leaves from.
func (w *wire) aim(req *sip.Request, to hop) error {
	addr := to.addr
	if !addr.IsValid() {
		found, err := w.stack.resolve(w.stack.ctx, to.host)
		if err != nil {
			return err
		}
		addr = netip.AddrPortFrom(found, to.port)
	}
	req.SetTransport("UDP")
	req.SetDestination(addr.String())
	req.Laddr = sip.Addr{
		IP:       w.local.Listen.Addr().AsSlice(),
		Port:     int(w.local.Listen.Port()),
		Hostname: w.local.Listen.Addr().String(),
	}
	return nil
}

func (w *wire) request(e SendRequest) {
	method, seq := e.Req.Method, e.Req.CSeq().SeqNo
	if err := w.aim(e.Req, e.To); err != nil {
		w.post(RequestFailed{Method: method, Seq: seq, Cause: CauseDNSFailed, Err: err})
		return
	}
	w.stack.swap.RLock()
	tx, err := w.stack.tx.Request(w.stack.ctx, e.Req)
	w.stack.swap.RUnlock()
	if err != nil {
		w.post(RequestFailed{Method: method, Seq: seq, Cause: CauseTargetUnreachable, Err: err})
		return
	}
	if method == sip.INVITE {
		// RFC 6026: further 2xx reach us this way until the transaction ends.
		tx.OnRetransmission(func(res *sip.Response) { w.post(responseIn(res)) })
		w.mu.Lock()
		w.invite = tx
		w.mu.Unlock()
	}
	w.stack.group.Go(func() { w.read(tx, method, seq) })
}

// read hands on what answers a request of ours. Somebody has to read until
// the final answer: the library blocks on a response that nobody takes.
func (w *wire) read(tx *sip.ClientTx, method sip.RequestMethod, seq uint32) {
	defer w.stack.recovered("wire")
	for {
		select {
		case res := <-tx.Responses():
			w.post(responseIn(res))
			if res.StatusCode < 200 {
				continue
			}
			w.finished(tx, method)
			return
		case <-tx.Done():
			cause := CauseTargetUnreachable
			if errors.Is(tx.Err(), sip.ErrTransactionTimeout) {
				cause = CauseTargetSilent
			}
			w.finished(tx, method)
			w.post(RequestFailed{Method: method, Seq: seq, Cause: cause, Err: tx.Err()})
			return
		}
	}
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
	tx.Terminate()
}

func responseIn(res *sip.Response) ResponseIn {
	return ResponseIn{Res: res, Source: parseSource(res.Source())}
}

func (w *wire) acknowledge(e SendACK) {
	if err := w.aim(e.Req, e.To); err != nil {
		w.stack.log.Warn().Err(err).Msg("ack not sent")
		return
	}
	w.stack.swap.RLock()
	defer w.stack.swap.RUnlock()
	if err := w.stack.tp.WriteMsg(e.Req); err != nil {
		w.stack.log.Warn().Err(err).Msg("ack not sent")
	}
}

func (w *wire) respond(e SendResponse) {
	tx := w.serverTx(e)
	if tx == nil {
		return
	}
	lost := respondInvite(tx, e.Res)
	if e.Method != sip.INVITE {
		return
	}
	final := e.Res.StatusCode >= 200
	switch {
	case final && lost:
		w.post(FinalLost{})
	case final && e.Res.StatusCode < 300:
		// The ACK of a peer that uses the INVITE's branch for it ends up here.
		select {
		case ack := <-tx.Acks():
			w.post(RequestIn{Req: ack, Source: parseSource(ack.Source())})
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
	_ = tx.Respond(sip.NewResponseFromRequest(tx.Origin(), 487, statusText(487), nil))
	return true
}

// serverTx finds the transaction that a response belongs to. That of an
// INVITE stays until it is refused, for the 200 to be sent again.
func (w *wire) serverTx(e SendResponse) *sip.ServerTx {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.servers {
		if s.method != e.Method || s.seq != e.Seq {
			continue
		}
		if e.Method != sip.INVITE || e.Res.StatusCode >= 300 {
			w.servers = append(w.servers[:i], w.servers[i+1:]...)
		}
		return s.tx
	}
	return nil
}

// confirmed lets the INVITE's transaction go once its 200 is acknowledged:
// the server's table recognises an INVITE that comes late.
func (w *wire) confirmed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, s := range w.servers {
		if s.method == sip.INVITE {
			w.servers = append(w.servers[:i], w.servers[i+1:]...)
			s.tx.Terminate()
			return
		}
	}
}

// close ends what would wait for ever: an INVITE that got a provisional
// answer has no timer of its own.
func (w *wire) close() {
	w.mu.Lock()
	invite := w.invite
	w.invite = nil
	w.mu.Unlock()
	if invite != nil {
		invite.Terminate()
	}
}

package transport

import (
	"errors"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transaction"
)

// request is a request of a wire until its final response. It gets the results of its transaction.
type request struct {
	tx     transaction.Client
	wire   *Wire
	sent   leg.SendRequest
	method sip.RequestMethod
	seq    uint32

	over       *Stream // nil over UDP; guarded by Wire.mu
	reconnects int     // how many times its connection was replaced; only the goroutine in broken uses it
}

func (w *Wire) request(e leg.SendRequest) {
	r := &request{wire: w, sent: e, method: e.Req.Method, seq: e.Req.CSeq().SeqNo}
	w.keep(r)
	if err := r.start(); err != nil {
		r.failed(CauseOf(err), err)
		return
	}
	if r.method == sip.BYE { // responses to other requests no longer matter
		w.stopOthers()
	}
}

// keep stores a request that the wire may have to end. A CANCEL or BYE is not stored.
func (w *Wire) keep(r *request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch r.method {
	case sip.INVITE:
		w.invite, w.invited = r, message.URIText(&r.sent.Req.Recipient)
	case sip.CANCEL, sip.BYE:
	default:
		w.others = append(w.others, r)
	}
}

// start sends the request in a new transaction. If its connection breaks before that, start
// replaces the connection and tries one more time.
func (r *request) start() (err error) {
	for range 2 {
		var way transaction.Way
		if way, err = r.wire.route(r.sent.Req, r.sent.To); err != nil {
			return err
		}
		if err = r.wire.stack.transactions.Send(&r.tx, r.sent.Req, way, r); err == nil {
			r.watchConnection(way)
			return nil
		}
		if !way.Reliable {
			break
		}
	}
	return err
}

// watchConnection makes the request's connection call broken when the connection breaks.
func (r *request) watchConnection(way transaction.Way) {
	c, ok := way.Over.(*Stream)
	if !ok {
		return
	}
	r.wire.mu.Lock()
	r.over = c
	r.wire.mu.Unlock()
	switch {
	case !c.hub.subscribe(c, r):
		r.broken()
	case r.tx.IsOver(): // the final response came first
		c.hub.unsubscribe(c, r)
	}
}

const (
	// maxReconnects bounds the replacements of one request's connection.
	maxReconnects = 3
	// streamSettle is how long to wait before a broken connection is replaced: the peer may have
	// closed it right after its response.
	streamSettle = 100 * time.Millisecond
)

// Answered posts a response to the leg.
func (r *request) Answered(res *sip.Response) {
	if res.StatusCode >= 200 {
		r.finished()
	}
	r.wire.post(responseIn(res))
}

// Failed tells the leg that no final response will come.
func (r *request) Failed(err error) {
	if errors.Is(err, transaction.ErrTimeout) {
		r.failed(cause.TargetSilent, err)
	} else {
		r.failed(cause.TargetUnreachable, err)
	}
}

func (r *request) failed(why cause.Cause, err error) {
	r.finished()
	r.wire.post(leg.RequestFailed{Method: r.method, Seq: r.seq, Cause: why, Err: err})
}

// finished removes a request from its wire. A repeated response then finds the leg through the
// server's table, or is acknowledged without keeping state.
func (r *request) finished() {
	w := r.wire
	w.mu.Lock()
	if w.invite == r { // else w.invite is already the next INVITE, which answers a challenge
		w.invite = nil
	}
	w.others = slices.DeleteFunc(w.others, func(o *request) bool { return o == r })
	w.mu.Unlock()
	r.unsubscribe()
}

// unsubscribe undoes watchConnection.
func (r *request) unsubscribe() {
	r.wire.mu.Lock()
	c := r.over
	r.wire.mu.Unlock()
	if c != nil {
		c.hub.unsubscribe(c, r)
	}
}

// end ends a request without telling the leg. It reports whether the request was still waiting for
// its final response.
func (r *request) end() bool {
	r.unsubscribe()
	return r.tx.Terminate()
}

// errBroken means that a connection broke and could not be replaced.
var errBroken = errors.New("the connection broke and could not be replaced")

// errEnded means that the call has sent BYE, so it does not wait for the response any more.
var errEnded = errors.New("the dialog is being ended")

// broken is called when the connection of the request breaks. It sends the request over another
// connection, as a retransmission.
func (r *request) broken() {
	stack := r.wire.stack
	if stack.ctx.Err() != nil {
		return
	}
	stack.group.Go(func() {
		defer stack.recovered("wire")
		settled := time.NewTimer(streamSettle)
		defer settled.Stop()
		select {
		case <-settled.C: // by now, a response that came just before the break has been handled
		case <-stack.ctx.Done():
			return
		}
		if r.reconnects++; r.reconnects > maxReconnects || r.tx.IsOver() {
			return // the timer of the request or of the call will end it
		}
		stack.log.Info().Str("method", string(r.method)).Msg("connection broke: sending the request over another")
		if err := r.resend(); err != nil && r.tx.Terminate() {
			r.failed(cause.TargetUnreachable, errBroken)
		}
	})
}

// resend sends the request over another connection, in the same transaction.
func (r *request) resend() error {
	way, err := r.wire.route(r.sent.Req.Clone(), r.sent.To)
	if err != nil {
		return err
	}
	if err := r.tx.Resend(way); err != nil {
		return err
	}
	r.watchConnection(way)
	return nil
}

// stopOthers ends the wire's requests that have no final response, and tells the leg.
func (w *Wire) stopOthers() {
	w.mu.Lock()
	others := w.others
	w.others = nil
	w.mu.Unlock()
	for _, r := range others {
		if r.end() {
			r.failed(cause.TargetUnreachable, errEnded)
		}
	}
}

// LastInvited returns the Request-URI of the leg's last INVITE.
func (w *Wire) LastInvited() sip.Uri {
	w.mu.Lock()
	defer w.mu.Unlock()
	return message.ParseURI(w.invited)
}

func responseIn(res *sip.Response) leg.ResponseIn {
	return leg.ResponseIn{Res: res, Source: message.ParseSource(res.Source())}
}

func (w *Wire) acknowledge(e leg.SendACK) {
	way, err := w.route(e.Req, e.To)
	if err == nil {
		err = way.Send(e.Req)
	}
	if err != nil {
		w.stack.log.Warn().Err(err).Msg("ack not sent")
	}
}

package transport

import (
	"errors"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
)

func (w *Wire) request(e leg.SendRequest) {
	method, seq := e.Req.Method, e.Req.CSeq().SeqNo
	over, tx, err := w.start(e)
	if err != nil {
		w.post(leg.RequestFailed{Method: method, Seq: seq, Cause: CauseOf(err), Err: err})
		return
	}
	switch method {
	case sip.INVITE:
		// RFC 6026: further 2xx reach us this way until the transaction ends.
		tx.OnRetransmission(func(res *sip.Response) { w.post(responseIn(res)) })
		w.mu.Lock()
		w.invite, w.invited = tx, e.Req.Recipient
		w.mu.Unlock()
	case sip.CANCEL:
	case sip.BYE: // nobody waits for the others' answers any more
		w.stopOthers()
	default:
		w.mu.Lock()
		w.others = append(w.others, tx)
		w.mu.Unlock()
	}
	w.stack.group.Go(func() { w.read(tx, over, e, method, seq) })
}

// start begins the transaction of a request. A connection that breaks before it is
// used is replaced, once.
func (w *Wire) start(e leg.SendRequest) (over *Stream, tx *sip.ClientTx, err error) {
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

// begin begins a transaction. Over UDP no renewal of the listener may be under way.
func (w *Wire) begin(req *sip.Request, over *Stream) (*sip.ClientTx, error) {
	if over == nil {
		w.stack.swap.RLock()
		defer w.stack.swap.RUnlock()
	}
	return w.stack.tx.Request(w.stack.ctx, req)
}

const (
	// maxReconnects bounds how often the connection of one request is replaced.
	maxReconnects = 3
	// streamSettle is how long after its break a connection is replaced: the peer may
	// have closed it right after its answer.
	streamSettle = 100 * time.Millisecond
)

// read posts the answers to our request. It has to read until the final answer,
// because the library blocks on each response. If the connection breaks meanwhile,
// the request goes over another one: to the peer that is a retransmission.
func (w *Wire) read(tx *sip.ClientTx, over *Stream, e leg.SendRequest, method sip.RequestMethod, seq uint32) {
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
			w.finished(tx)
			return
		case <-broken: // an answer that came right before may be on its way here
			broken, settled = nil, time.After(streamSettle)
		case <-settled:
			settled = nil
			if reconnects++; reconnects > maxReconnects {
				continue // its timer, or the call's, ends it
			}
			if over = w.again(tx, e); over == nil {
				w.finished(tx)
				w.post(leg.RequestFailed{Method: method, Seq: seq, Cause: cause.TargetUnreachable, Err: errBroken})
				return
			}
			broken = over.done()
		case <-tx.Done():
			why := cause.TargetUnreachable
			if errors.Is(tx.Err(), sip.ErrTransactionTimeout) {
				why = cause.TargetSilent
			}
			w.finished(tx)
			w.post(leg.RequestFailed{Method: method, Seq: seq, Cause: why, Err: tx.Err()})
			return
		}
	}
}

// errBroken means that a connection broke and could not be replaced.
var errBroken = errors.New("the connection broke and could not be replaced")

// again sends a request without an answer over another connection; nil: there is none.
func (w *Wire) again(tx *sip.ClientTx, e leg.SendRequest) *Stream {
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

// finished ends a client transaction. A repeated answer finds its leg through the
// server's table, or is acknowledged without state. The library would hold a goroutine
// for seconds for each repeated refusal.
func (w *Wire) finished(tx *sip.ClientTx) {
	w.mu.Lock()
	if w.invite == tx { // it may be that of the next INVITE, which answers a challenge
		w.invite = nil
	}
	w.others = slices.DeleteFunc(w.others, func(o *sip.ClientTx) bool { return o == tx })
	w.mu.Unlock()
	tx.Terminate()
}

// stopOthers ends the retransmission of requests without an answer.
func (w *Wire) stopOthers() {
	w.mu.Lock()
	others := w.others
	w.others = nil
	w.mu.Unlock()
	for _, tx := range others {
		tx.Terminate()
	}
}

// LastInvited is the Request-URI of the leg's last INVITE.
func (w *Wire) LastInvited() sip.Uri {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.invited
}

func responseIn(res *sip.Response) leg.ResponseIn {
	return leg.ResponseIn{Res: res, Source: message.ParseSource(res.Source())}
}

func (w *Wire) acknowledge(e leg.SendACK) {
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

package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

const (
	// cancelTimeout is the time limit for the final response after a CANCEL.
	cancelTimeout = 10 * time.Second
	// lastWords is how long responses may still take through sipgo after the peer is lost.
	lastWords      = 100 * time.Millisecond
	maxProvisional = 32
	maxRefers      = 4 // transfers of one call that may wait for the call's goroutine
)

// errSilent means that no response came within CarrierCall.Silence.
var errSilent = errors.New("nothing came back")

// outgoing is a call of a carrier. The goroutine that called Call owns it. Handlers use only bye, refers, stream and
// update.
type outgoing struct {
	// Constant.
	carrier *Carrier
	cc      CarrierCall
	req     *sip.Request
	stream  *stream // nil with a terminal
	offer   []byte
	tag     string
	key     string
	bye     *signal
	refers  chan string // targets of the transfers that the agent requested

	mu  sync.Mutex // guards the fields below
	res CarrierResult
	ack *sip.Request // kept in case the answer is repeated
}

func (o *outgoing) update(f func(*CarrierResult)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(&o.res)
}

func (o *outgoing) run(ctx context.Context) error {
	defer o.silence()
	defer o.update(func(r *CarrierResult) { r.EndedAt = time.Now() })
	o.update(func(r *CarrierResult) { r.InvitedAt = time.Now() })
	tx, err := o.carrier.sip.client.TransactionRequest(ctx, o.req)
	if err != nil {
		return err
	}
	tx.OnRetransmission(o.onRepeated)
	final, err := o.await(ctx, tx)
	if err == nil && o.challenged(final) {
		if tx, err = o.authorize(ctx, final); err != nil {
			o.finished(final)
			return err
		}
		final, err = o.await(ctx, tx)
	}
	switch {
	case final == nil:
		tx.Terminate()
		if errors.Is(err, sip.ErrTransactionTimeout) {
			o.update(func(r *CarrierResult) { r.Status, r.Reason = sip.StatusRequestTimeout, "no response" })
			return nil
		}
		return err
	case !final.IsSuccess():
		// The transaction stays, because sipgo acknowledges repeated responses with it. It has a timer but no goroutine.
		o.finished(final)
		return err
	}
	o.finished(final)
	d := clientDialog(o.req, final)
	o.acknowledge(d)
	sdpErr := o.connect(final.Body())
	if err != nil || sdpErr != nil {
		o.hangup(d, SideCaller) // the answer came too late, or without usable media
		return errors.Join(err, sdpErr)
	}
	o.update(func(r *CarrierResult) { r.AnsweredAt = time.Now() })
	o.talk(ctx, d)
	return nil
}

// challenged reports whether a response is a challenge that the call can answer.
func (o *outgoing) challenged(res *sip.Response) bool {
	return res != nil && o.cc.Username != "" &&
		(res.StatusCode == sip.StatusUnauthorized || res.StatusCode == sip.StatusProxyAuthRequired)
}

// authorize repeats the INVITE with credentials (RFC 3261 §22.2).
func (o *outgoing) authorize(ctx context.Context, res *sip.Response) (sip.ClientTransaction, error) {
	again := o.req.Clone() // the first request belongs to its transaction
	again.SetTransport(o.req.Transport())
	again.SetDestination(o.req.Destination())
	o.req = again
	tx, err := o.carrier.sip.client.TransactionDigestAuth(ctx, o.req, res,
		sipgo.DigestAuth{Username: o.cc.Username, Password: o.cc.Password})
	if err != nil {
		return nil, fmt.Errorf("answer the challenge: %w", err)
	}
	tx.OnRetransmission(o.onRepeated)
	return tx, nil
}

// await reads responses up to the final one, and sends the CANCEL when it is due. If ctx has ended, it returns ctx's
// error even if there is a final response.
func (o *outgoing) await(ctx context.Context, tx sip.ClientTransaction) (*sip.Response, error) {
	giveUp, silence := afterSome(o.cc.CancelAfter), afterSome(o.cc.Silence)
	var limit <-chan time.Time
	var over <-chan time.Time // fires when the peer is lost and no more responses will come
	var lost error
	done := ctx.Done()
	proceeding, wanted, sent := false, false, false
	var cause error
	for {
		if wanted && proceeding && !sent { // RFC 3261 §9.1: not before a provisional response
			sent = true
			o.cancel()
		}
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return res, cause
			}
			proceeding, silence = true, nil
			o.progress(res)
			continue
		case lost = <-o.carrier.sip.lost:
			over = time.After(lastWords)
			continue
		case <-over:
			return nil, lost
		case <-silence:
			return nil, errSilent
		case <-tx.Done():
			return nil, errors.Join(cause, tx.Err())
		case <-giveUp:
		case <-done:
			done, cause = nil, context.Cause(ctx)
		case <-limit:
			return nil, errors.Join(cause, errors.New("no final response after CANCEL"))
		}
		if o.carrier.sip.ctx.Err() != nil && !proceeding {
			return nil, cause
		}
		wanted = true
		if limit == nil || cause != nil {
			limit = time.After(o.patience(cause != nil && !proceeding))
		}
	}
}

// afterSome is like time.After, but never fires for 0.
func afterSome(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

// patience returns how long a final response may take after the call is given up. A silent far end gets less time.
func (o *outgoing) patience(silent bool) time.Duration {
	if silent || o.carrier.sip.ctx.Err() != nil {
		return timerT1
	}
	return cancelTimeout
}

// cancel sends a CANCEL with the same Via as the INVITE (RFC 3261 §9.1).
func (o *outgoing) cancel() {
	o.update(func(r *CarrierResult) { r.Cancelled = true })
	req := sip.NewRequest(sip.CANCEL, o.req.Recipient)
	req.AppendHeader(sip.HeaderClone(o.req.Via()))
	for _, name := range []string{"From", "To", "Call-ID", "Max-Forwards"} {
		sip.CopyHeaders(name, o.req, req)
	}
	req.AppendHeader(&sip.CSeqHeader{SeqNo: o.req.CSeq().SeqNo, MethodName: sip.CANCEL})
	req.SetTransport(o.req.Transport())
	req.SetDestination(o.req.Destination())
	e := o.carrier.sip
	if !e.enter() { // closing: don't wait for the response
		_ = e.client.WriteRequest(req)
		return
	}
	go func() {
		defer e.leave()
		e.ask(req)
	}()
}

func (o *outgoing) progress(res *sip.Response) {
	now := time.Now()
	o.update(func(r *CarrierResult) {
		if len(r.Provisional) < maxProvisional {
			r.Provisional = append(r.Provisional, res.StatusCode)
		}
		if res.StatusCode >= 180 && r.RingingAt.IsZero() {
			r.RingingAt = now
		}
	})
	if len(res.Body()) > 0 {
		_ = o.connect(res.Body()) // of early media; the answer must have it too
	}
}

func (o *outgoing) finished(res *sip.Response) {
	now := time.Now()
	o.update(func(r *CarrierResult) {
		r.Status, r.Reason = res.StatusCode, res.Reason
		for _, h := range res.Headers() {
			r.Headers = append(r.Headers, h.String())
		}
		ringing := r.RingingAt
		if ringing.IsZero() {
			ringing = now
		}
		r.PostDialDelay = ringing.Sub(r.InvitedAt)
	})
}

// acknowledge sends the ACK for the answer (RFC 3261 §13.2.2.4).
func (o *outgoing) acknowledge(d *dialog) {
	ack := d.request(sip.ACK)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ack, o.res.AckTo = ack, ack.Destination()
	_ = o.carrier.sip.client.WriteRequest(ack)
}

// onRepeated handles every further 2xx for the INVITE. If the ACK was lost, the answer is repeated and gets the ACK
// again. The answer of another fork gets a BYE.
func (o *outgoing) onRepeated(res *sip.Response) {
	o.mu.Lock()
	ack := o.ack
	if ack != nil && tagOf(ack.To().Params) == tagOf(res.To().Params) {
		o.res.Repeated++
		_ = o.carrier.sip.client.WriteRequest(ack)
	}
	o.mu.Unlock()
	if ack == nil || tagOf(ack.To().Params) == tagOf(res.To().Params) || !o.carrier.sip.enter() {
		return
	}
	go func() {
		defer o.carrier.sip.leave()
		fork := clientDialog(o.req, res)
		_ = o.carrier.sip.client.WriteRequest(fork.request(sip.ACK))
		o.carrier.sip.ask(fork.request(sip.BYE))
	}()
}

// talk plays the caller's words until the call ends.
func (o *outgoing) talk(ctx context.Context, d *dialog) {
	quiet := o.speak()
	if o.cc.OnAnswer != nil {
		o.cc.OnAnswer(o.res.SIPCallID)
	}
	by := o.lasts(ctx, d, afterSome(o.cc.Hold))
	quiet()
	o.hangup(d, by)
}

// lasts waits for the end of an answered call and returns the side that ended it.
func (o *outgoing) lasts(ctx context.Context, d *dialog, hold <-chan time.Time) Side {
	for {
		select {
		case <-o.bye.ch:
			return SideAgent
		case to := <-o.refers:
			o.transferred(d, o.cc.OnRefer(to))
			continue
		case <-hold:
			if rtp := o.media(false).RTP; min(rtp.Sent, rtp.Received) < uint64(o.cc.Heard) {
				hold = time.After(frameTime)
				continue
			}
		case <-o.givesUp():
		case <-ctx.Done():
		}
		return SideCaller
	}
}

// transferred reports the outcome of a transfer to the agent (RFC 3515 §2.4.5).
func (o *outgoing) transferred(d *dialog, code int) {
	req := d.request(sip.NOTIFY)
	req.AppendHeader(o.carrier.sip.contact(o.req.Destination()))
	req.AppendHeader(sip.NewHeader("Event", "refer"))
	req.AppendHeader(sip.NewHeader("Subscription-State", "terminated;reason=noresource"))
	req.AppendHeader(sip.NewHeader("Content-Type", "message/sipfrag;version=2.0"))
	req.SetBody(fmt.Appendf(nil, "SIP/2.0 %d Result\r\n", code))
	o.carrier.sip.ask(req)
}

func (o *outgoing) hangup(d *dialog, by Side) {
	o.update(func(r *CarrierResult) { r.EndedBy = by })
	if by != SideCaller {
		return
	}
	var more []Header
	if id := o.cc.Identity; id != nil && id.Bye != nil {
		more = id.Bye(time.Since(o.res.AnsweredAt))
	}
	status := o.carrier.sip.hangUp(d, more...)
	o.update(func(r *CarrierResult) { r.ByeStatus = status })
}

// result returns the result. It is complete after run has returned.
func (o *outgoing) result() CarrierResult {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.res
	r.Media = o.media(true)
	if !r.AnsweredAt.IsZero() && !r.RTP.FirstAt.IsZero() {
		r.MediaDelay = r.RTP.FirstAt.Sub(r.AnsweredAt)
	}
	return r
}

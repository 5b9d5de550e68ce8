package call

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// attempt is one try at one target. It belongs to its call's goroutine. The goroutine that prepares the attempt
// works on copies.
type attempt struct {
	number  int            // number of the attempt within the call, from 1
	plan    *outbound.Plan // the plan that chose the target
	target  *peers.Target
	offer   *sdp.Description   // the SDP that the offer in its INVITE is made from
	formats []sdp.Format       // formats that the target is offered
	crypto  *sdp.LegCrypto     // SRTP state of its leg
	line    *LegOnWire         // the leg to the target; nil until it is dialled
	cancel  context.CancelFunc // cancels the attempt's preparation; nil if none is running
	parties peers.Parties      // the caller and callee that count against the target's limits
	try     circuit.Try        // counts as a try in the target's circuit breaker until the outcome is known
	dest    netip.AddrPort
	// reached is the preparation that found dest; nil before it is complete, and once it is no longer needed.
	reached  *reach.Reached
	started  time.Time
	answered time.Time     // zero if it is not answered, or if an old process received the answer
	answer   *leg.Answered // an answer that waits for SRTP keys or for a decision; nil if none waits

	// endTrial reports the outcome of a trial (trial.go) whose caller has moved on; nil otherwise.
	endTrial func(why cause.Cause, code int)

	mediaName netip.Addr // our address in the target's SDP
	dropped   []string   // headers left out of its INVITE because of the INVITE's size

	transport     string // transport of its INVITE; empty if none was sent
	prepareMS     int64
	prepareStatus int

	shared   bool              // the target was chosen by the route's split
	placed   bool              // counts against the target's limits
	recorded bool              // its entry is in the record
	entry    [1]record.Attempt // backing array for the record's first entry
}

// side returns the side of the media that the called party is on.
func (a *attempt) side() media.Side {
	if a.plan.Reason == record.ReasonCustomer {
		return media.SideA
	}
	return media.SideB
}

// noteAnswerTime notes how long the target took to answer.
func (a *attempt) noteAnswerTime() { a.target.AnsweredAfter(time.Since(a.started)) }

// stop cancels the attempt's preparation.
func (a *attempt) stop() {
	if a != nil && a.cancel != nil {
		a.cancel()
		a.cancel = nil
	}
}

// status returns 200 if the target has answered, but the answer waits for keys or for a decision, and 0 otherwise.
func (a *attempt) status() int {
	if a.answer != nil {
		return 200
	}
	return 0
}

// callID returns the Call-ID of the attempt's INVITE, or an empty string if none was sent.
func (a *attempt) callID() string {
	if a.line == nil {
		return ""
	}
	return a.line.callID
}

// tried returns the addresses of the target that failed, each with the reason.
func (a *attempt) tried() []string {
	if a.reached == nil {
		return nil
	}
	return a.reached.Tried
}

// recordOf returns the attempt's entry for the record, with the attempt's cause and the target's final status.
func (a *attempt) recordOf(why cause.Cause, code int) record.Attempt {
	reason := a.plan.Reason
	if a.shared {
		reason = record.ReasonSplit
	}
	return record.Attempt{
		StartedAt: record.TimeOf(a.started),
		Target:    a.target.Dial.Name, Reason: reason, By: a.plan.By, PrepareMS: a.prepareMS, PrepareStatus: a.prepareStatus,
		SIPStatus: code, Cause: string(why), MS: time.Since(a.started).Milliseconds(), Transport: a.transport,
		DroppedHeaders: a.dropped,
		SIPCallID:      a.callID(), Tried: a.tried(),
	}
}

// maxReason bounds the reason for a failed attempt in a record, in bytes.
const maxReason = 200

// reasonOf says in words why an attempt failed, where the cause does not say it all. What a platform's API has answered
// is not in it.
func reasonOf(why cause.Cause, err error) string {
	switch why {
	case cause.TLSFailed:
		return clipped(transport.TLSReason(err))
	case cause.BadAnswer, cause.SRTPRefused, cause.DNSFailed, cause.TargetUnreachable:
		if err != nil {
			return clipped(err.Error())
		}
	default:
	}
	return ""
}

func clipped(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxReason)], "") }

func (a *attempt) save(c *Call) snapshot.Attempt {
	k := snapshot.Attempt{
		Number: a.number, Target: a.target.Dial.Name, Transport: a.transport, Split: a.shared,
		By: a.plan.By, Reason: a.plan.Reason, From: a.parties.From, To: a.parties.To,
		Dest: message.KeptAddr{AddrPort: a.dest}, Started: leg.InstantOf(a.started), Dropped: a.dropped,
		PrepareMS: a.prepareMS,
		Prepared:  a.prepareStatus, Placed: a.placed, MediaName: a.mediaName,
	}
	if c.peers.CalleeNamed(k.Target) != a.target { // the agent has named this target in its REFER
		k.Agent = c.record.Target
	}
	return k
}

// restoreAttempt makes an attempt from its saved state. target is the configured target, and line its leg.
func restoreAttempt(k *snapshot.Attempt, target *peers.Target, line *LegOnWire) *attempt {
	a := &attempt{
		number: k.Number, plan: &outbound.Plan{By: k.By, Reason: k.Reason}, target: target,
		shared: k.Split, placed: k.Placed,
		parties: peers.Parties{From: k.From, To: k.To}, started: leg.TimeOf(k.Started), dropped: k.Dropped,
		transport: k.Transport, prepareMS: k.PrepareMS, prepareStatus: k.Prepared,
		dest: k.Dest.AddrPort, mediaName: k.MediaName,
	}
	if line != nil {
		a.crypto, a.line = line.Crypto, line
	}
	return a
}

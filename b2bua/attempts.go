package b2bua

import (
	"context"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/store"
)

// plan is the targets that a call is tried at, one after the other, and what
// their INVITEs are made of: those of its route, or of a transfer.
type plan struct {
	targets    []*peers.Target // not tried yet
	failoverOn []int           // statuses besides the usual ones that are the next target's turn

	reason  string           // of the attempts in the record: "" for the route, or reasonTransfer
	vars    *config.Vars     // of its templates; nil: the call's
	source  *sip.Request     // whose headers pass on; nil: the caller's INVITE
	headers []outbound.Field // that its INVITEs have besides
}

// isTransfer says whether a plan is not for the route.
func (p *plan) isTransfer() bool { return p.reason == reasonTransfer }

// attempts are those of a call, by whatever plan.
type attempts struct {
	tried   int                    // so far
	current *attempt               // nil: none
	last    attemptEnd             // of the last attempt
	plain   map[*peers.Target]bool // targets that have not taken SRTP, and are offered RTP
}

// next begins an attempt at the plan's next target; nil: none is left.
func (all *attempts) next(p *plan) *attempt {
	if all.current = nil; len(p.targets) == 0 {
		return nil
	}
	all.tried++
	all.current = &attempt{number: all.tried, plan: p, target: p.targets[0], started: time.Now()}
	p.targets = p.targets[1:]
	return all.current
}

// againPlain has the current attempt's target tried once more, with RTP after SRTP
// that is optional. False: there is no reason for that.
func (all *attempts) againPlain() bool {
	a := all.current
	if a.target.Dial.Media.SRTP != config.SRTPOptional || a.crypto == nil || all.plain[a.target] {
		return false
	}
	if all.plain == nil {
		all.plain = map[*peers.Target]bool{}
	}
	all.plain[a.target] = true
	a.plan.targets = append([]*peers.Target{a.target}, a.plan.targets...)
	return true
}

// cryptoFor is the part in SRTP of the leg to a target.
func (all *attempts) cryptoFor(t *peers.Target) *sdp.LegCrypto {
	m := t.Dial.Media
	return sdp.NewLegCrypto(m, m.SRTP == config.SRTPRequired || (m.SRTP == config.SRTPOptional && !all.plain[t]))
}

// attempt is one try at one target. It belongs to its call's goroutine: what
// runs beside it, prepare, is told everything that it needs.
type attempt struct {
	number  int   // from 1
	plan    *plan // that it belongs to
	target  *peers.Target
	offer   *sdp.Description // that its INVITE is made of
	formats []string         // of that, that the target may use
	crypto  *sdp.LegCrypto   // its leg's part in SRTP
	line    *legOnWire       // once it is dialled
	cancel  context.CancelFunc
	placed  bool // has a place at its target
	dest    netip.AddrPort
	started time.Time

	mediaName netip.Addr // our address in the SDP that its target gets

	dropped []string // headers that were left out of its INVITE

	transport     string // that it was dialled by; empty: not dialled
	prepareMS     int64
	prepareStatus int
}

// offered are the formats that the target is offered.
func (a *attempt) offered() []sdp.Format { return a.offer.Pick(a.formats) }

// callID is the Call-ID of an attempt's INVITE, empty where none went out.
func (a *attempt) callID() string {
	if a.line == nil {
		return ""
	}
	return a.line.callID
}

// recordOf is an attempt as the record has it.
func (a *attempt) recordOf(why cause.Cause, code int) store.Attempt {
	return store.Attempt{
		StartedAt: store.TimeOf(a.started),
		Target:    a.target.Dial.Name, Reason: a.plan.reason, PrepareMS: a.prepareMS, PrepareStatus: a.prepareStatus,
		SIPStatus: code, Cause: string(why), MS: time.Since(a.started).Milliseconds(), Transport: a.transport, DroppedHeaders: a.dropped,
		SIPCallID: a.callID(),
	}
}

package leg

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// The early dialogs of a leg that calls: one for each To tag of its INVITE's
// provisional answers (RFC 3261 section 12.1), and the PRACKs within them
// (RFC 3262 section 4).

// earlyDialog is one of them.
type earlyDialog struct {
	dialog Dialog
	rseq   uint32 // of the last reliable answer; 0: none yet
	pracks int
	answer []byte // SDP
	fixed  bool   // it was given reliably: no other one counts
}

// maxPRACKs bounds the PRACKs in one early dialog.
const maxPRACKs = 64

// earlyOf gives the early dialog of a provisional answer, which may make it;
// nil: it has no tag, or there are too many.
func (l *Leg) earlyOf(in ResponseIn) *earlyDialog {
	tag := message.TagOf(in.Res.To().Params)
	if e := l.early[tag]; e != nil || tag == "" || len(l.early) >= maxForks {
		return e
	}
	e := &earlyDialog{dialog: l.dialog}
	e.dialog.LocalSeq = l.InviteSeq
	e.dialog.establish(in)
	if l.early == nil {
		l.early = map[string]*earlyDialog{}
	}
	l.early[tag] = e
	return e
}

// early100rel sees to a provisional answer that was sent reliably, and says
// whether it counts: those that come out of their order don't, nor those that
// come again.
func (l *Leg) early100rel(in ResponseIn) bool {
	if !message.HasOption(in.Res, "Require", "100rel") {
		return true
	}
	number, err := message.ParseRSeq(FirstHeader(in.Res, "rseq"))
	e := l.earlyOf(in)
	if err != nil || e == nil || e.pracks >= maxPRACKs || (e.rseq != 0 && number != e.rseq+1) {
		return false
	}
	e.rseq = number
	e.pracks++
	if c := in.Res.Contact(); c != nil && c.Address.Host != "" {
		e.dialog.RemoteTarget = c.Address.String()
	}
	req, to := e.dialog.request(sip.PRACK, 0)
	req.AppendHeader(sip.NewHeader("RAck", message.RAck{RSeq: number, CSeq: l.InviteSeq, Method: string(sip.INVITE)}.String()))
	l.send(req, to)
	return true
}

// earlySDP is the session description of a provisional answer. In an early
// dialog where one was given reliably, that is the one that counts.
func (l *Leg) earlySDP(in ResponseIn) []byte {
	sdp := message.SDPBody(in.Res)
	if sdp == nil {
		return nil
	}
	e := l.earlyOf(in)
	if e == nil {
		return sdp
	}
	if !e.fixed {
		e.answer, e.fixed = sdp, message.HasOption(in.Res, "Require", "100rel")
	}
	return e.answer
}

// answerIn is the answer that comes with a 200: its own, or that of its early
// dialog.
func (l *Leg) answerIn(res *sip.Response) []byte {
	sdp := message.SDPBody(res)
	if e := l.early[message.TagOf(res.To().Params)]; e != nil && (e.fixed || sdp == nil) && e.answer != nil {
		return e.answer
	}
	return sdp
}

// agreedEarly: in an early dialog whose provisional answer had the answer
// reliably, the offer of our INVITE is answered, so that the peer may make one
// (RFC 3311 section 5.1).
func (l *Leg) agreedEarly(req *sip.Request) {
	e := l.early[message.TagOf(req.From().Params)]
	if e != nil && e.fixed && l.session.state == offerOurs && (l.state == legCalling || l.state == legProceeding) {
		l.session.state = offerAgreed
	}
}

// keepEarly notes what the peer offered in an early dialog, and has our answer
// to: it stands for the answer of a 200 that has none.
func (l *Leg) keepEarly(req *sip.Request) {
	if e := l.early[message.TagOf(req.From().Params)]; e != nil {
		e.answer = message.SDPBody(req)
	}
}

// dialogOf is the dialog that a request of the peer belongs to, which may be an
// early one; nil: none. Before the 200 to an INVITE of ours the peer's tag may
// be any.
func (l *Leg) dialogOf(req *sip.Request) *Dialog {
	tag := message.TagOf(req.From().Params)
	if l.UAS || l.dialog.RemoteTag != "" {
		if tag == l.dialog.RemoteTag {
			return &l.dialog
		}
		return nil
	}
	if e := l.early[tag]; e != nil {
		return &e.dialog
	}
	return &Dialog{} // it was not heard of
}

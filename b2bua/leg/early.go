package leg

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// earlyDialog is an early dialog of a UAC. Each To tag in the INVITE's provisional answers has one
// (RFC 3261 section 12.1), with PRACKs of its own (RFC 3262 section 4).
type earlyDialog struct {
	dialog Dialog
	rseq   uint32 // RSeq of the last reliable answer; 0 if there was none
	pracks int
	answer []byte // the peer's SDP answer
	fixed  bool   // answer came in a reliable response, so later SDP is ignored
}

// maxPRACKs bounds the PRACKs in one early dialog.
const maxPRACKs = 64

// earlyOf returns the early dialog of a provisional answer, and creates it if necessary. It returns
// nil if the answer has no tag, or if there are too many early dialogs.
func (l *Leg) earlyOf(in ResponseIn) *earlyDialog {
	tag := message.TagOf(in.Res.To().Params)
	if e := l.early[tag]; e != nil || tag == "" || len(l.early) >= maxForks {
		return e
	}
	e := &earlyDialog{dialog: l.dialog}
	e.dialog.establish(in)
	l.addEarly(e.dialog.remoteTag, e)
	return e
}

func (l *Leg) addEarly(tag string, e *earlyDialog) {
	if l.early == nil {
		l.early = map[string]*earlyDialog{}
	}
	l.early[tag] = e
}

// early100rel acknowledges a provisional answer if it is reliable. It returns false if the answer
// must be ignored, because it is repeated or out of order.
func (l *Leg) early100rel(in ResponseIn) bool {
	if !message.HasOption(in.Res, "Require", "100rel") {
		return true
	}
	number, err := message.ParseRSeq(message.FirstHeader(in.Res, "rseq"))
	e := l.earlyOf(in)
	if err != nil || e == nil || e.pracks >= maxPRACKs || (e.rseq != 0 && number != e.rseq+1) {
		return false
	}
	e.rseq = number
	e.pracks++
	e.dialog.retarget(in.Res.Contact())
	rack := message.RAck{RSeq: number, CSeq: l.InviteSeq, Method: string(sip.INVITE)}.String()
	l.send(l.request(&e.dialog, sip.PRACK, sip.NewHeader("RAck", rack)))
	return true
}

// earlySDP returns the SDP that a provisional answer stands for: the first SDP that came reliably
// in the same early dialog, or else the SDP in the answer. It returns nil if the answer has none.
func (l *Leg) earlySDP(in ResponseIn) []byte {
	sdp := l.answerSDP(in.Res)
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

// answerSDP returns the SDP in a message of the peer, or nil.
func (l *Leg) answerSDP(msg sip.Message) []byte {
	sdp, untyped := message.AnswerSDP(msg)
	l.Untyped = l.Untyped || untyped
	return sdp
}

// answerIn returns the peer's SDP answer when a 200 comes: that of the early dialog if it came
// reliably or the 200 has none, otherwise that of the 200.
func (l *Leg) answerIn(res *sip.Response) []byte {
	sdp := l.answerSDP(res)
	if e := l.early[message.TagOf(res.To().Params)]; e != nil && (e.fixed || sdp == nil) && e.answer != nil {
		return e.answer
	}
	if sdp == nil {
		return l.answeredEarly
	}
	return sdp
}

// agreedEarly notes, before the peer's UPDATE is handled, that a reliable answer in the UPDATE's
// early dialog has answered our offer. Then the peer may make an offer (RFC 3311 section 5.1).
func (l *Leg) agreedEarly(req *sip.Request) {
	e := l.early[message.TagOf(req.From().Params)]
	if e != nil && e.fixed && l.session.state == offerOurs && (l.state == legCalling || l.state == legProceeding) {
		l.session.state = offerAgreed
	}
}

// keepEarly stores an accepted offer of the peer in its early dialog. It counts as the SDP answer
// if the 200 has no SDP.
func (l *Leg) keepEarly(req *sip.Request) {
	if e := l.early[message.TagOf(req.From().Params)]; e != nil {
		e.answer = message.SDPBody(req)
	}
}

// dialogOf returns the dialog that the peer's request belongs to, which may be an early one, or nil
// if there is none. Before the 200 to the leg's INVITE, the peer may use any tag.
func (l *Leg) dialogOf(req *sip.Request) *Dialog {
	tag := message.TagOf(req.From().Params)
	if l.UAS || l.dialog.remoteTag != "" {
		if tag == l.dialog.remoteTag {
			return &l.dialog
		}
		return nil
	}
	if e := l.early[tag]; e != nil {
		return &e.dialog
	}
	return &Dialog{} // a dialog that we have no response of yet
}

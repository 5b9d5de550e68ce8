package calltest

import (
	"strconv"
	"strings"
	"time"

	"flowbridge/b2bua/leg"
)

// lateAnswer is the longest time that the server may take for the final answer to a
// request. A request that the server passes on and that the other side challenges takes two
// transactions. UPDATE is not bound by it, nor are requests that the server answers itself.
const lateAnswer = 66 * time.Second

func (r *theirRequest) patience() time.Duration {
	switch r.msg.method {
	case "INFO", "MESSAGE", "NOTIFY", "SUBSCRIBE", "REFER":
		return lateAnswer
	default:
		return leg.GiveUp
	}
}

// seeOurResponse checks the server's answer to a request of a peer.
func (m *callModel) seeOurResponse(e modelEvent, msg wireMsg) {
	r := m.theirs[msg.branch+" "+msg.method]
	if r == nil {
		m.fail("an answer to nothing that we got: %s", msg.short())
		return
	}
	if msg.code > 100 && r.tag != "" && msg.toTag != r.tag && !r.loose {
		m.fail("an answer with another tag than %s: %s", r.tag, msg.short())
	}
	if msg.code > 100 {
		r.tag = msg.toTag
	}
	if msg.seq != r.msg.seq || msg.callID != r.msg.callID || msg.fromTag != r.msg.fromTag || msg.toTag == "" && msg.code > 100 {
		m.fail("an answer that does not fit its request: %s", msg.short())
	}
	if msg.code < 200 {
		m.checkProvisional(e, r, msg)
		return
	}
	if r.code > 0 {
		if r.code != msg.code && !r.loose && msg.method != "CANCEL" { // except CANCEL, whose INVITE may be forgotten by then

			m.wrong("another final answer than %d: %s", r.code, msg.short())
		}
		return
	}
	r.code, r.codeAt = msg.code, e.at
	if msg.method != "INVITE" && e.at.Sub(r.at) > r.patience() {
		m.wrong("an answer after %v: %s", e.at.Sub(r.at), msg.short())
	}
	leg := m.leg(msg.callID, msg.toTag)
	switch {
	case msg.method == "BYE" && msg.code == 200:
		if d := m.half(msg.callID, msg.toTag, msg.fromTag); d.ended == "" && !m.isRinging(msg) {
			d.ended, d.endedAt = "the peer's BYE", e.at
		}
	case msg.method == "INVITE" && msg.code >= 300 && r.msg.toTag == "":
		leg.over = "the INVITE was refused"
	case msg.method == "INVITE" && msg.code < 300, msg.method == "UPDATE" && msg.code < 300, msg.method == "PRACK" && msg.code < 300:
		m.checkAnswer(r, leg, msg)
	}
}

// checkAnswer checks the session in a 2xx.
func (m *callModel) checkAnswer(r *theirRequest, leg *ourLeg, msg wireMsg) {
	m.checkSDP(leg, msg)
	if msg.method != "PRACK" && msg.get("contact") == "" {
		m.fail("no Contact: %s", msg.short())
	}
	offered := r.msg.sdp != "" && (msg.method != "PRACK" || msg.sdp != "") // the SDP of a PRACK may be an answer
	wants := offered || msg.method == "INVITE"
	switch {
	case wants && msg.sdp == "" && !r.said:
		m.fail("no session description: %s", msg.short())
	case !wants && msg.sdp != "":
		m.fail("a session description that nobody asked for: %s", msg.short())
	case offered && msg.sdp != "" && strings.Count(msg.sdp, "\r\nm=") != strings.Count(r.msg.sdp, "\r\nm="):
		m.fail("an answer of other streams than its offer:\n%s\n%s", r.msg.sdp, msg.sdp)
	}
	if offered && r.msg.toTag != "" {
		if o := m.pendingOffer(msg.callID, msg.toTag); o != nil {
			m.wrong("%s is accepted, although %s has no answer", r.msg.short(), o.msg.short())
		}
	}
	if msg.method == "INVITE" && r.msg.toTag == "" {
		for _, p := range r.reliable {
			if p.sdp && !p.pracked {
				m.wrong("200 before the PRACK of %s", p.rseq)
			}
		}
	}
}

// checkProvisional checks a provisional answer by RFC 3262.
func (m *callModel) checkProvisional(e modelEvent, r *theirRequest, msg wireMsg) {
	if msg.code == 100 {
		r.trying = true
		return
	}
	if r.code > 0 {
		m.wrong("a provisional answer after %d: %s", r.code, msg.short())
	}
	leg := m.leg(msg.callID, msg.toTag)
	reliable := msg.has("require", "100rel")
	able := r.msg.has("supported", "100rel") || r.msg.has("require", "100rel")
	switch {
	case reliable && !able:
		m.fail("a reliable answer to who can't take it: %s", msg.short())
	case !reliable && r.msg.has("require", "100rel"):
		m.fail("no reliable answer to who demands it: %s", msg.short())
	case !reliable && r.msg.sdp == "" && msg.sdp != "":
		m.fail("an offer that is not sent reliably: %s", msg.short())
	}
	if !reliable {
		m.checkSDP(leg, msg)
		return
	}
	for _, p := range r.reliable {
		if p.raw == msg.raw {
			if p.pracked && !r.copyAt.Equal(e.at) { // the transaction answers a copy of the INVITE, even after the PRACK

				m.wrong("repeated after its PRACK: %s", msg.short())
			}
			return
		}
		if !p.pracked {
			m.wrong("another reliable answer before the PRACK of %s: %s", p.rseq, msg.short())
		}
	}
	m.checkSDP(leg, msg)
	n, err := strconv.Atoi(msg.get("rseq"))
	if err != nil || n < 1 || (r.rseq > 0 && n != r.rseq+1) {
		m.fail("RSeq after %d: %s", r.rseq, msg.short())
	}
	r.rseq = n
	r.said = r.said || msg.sdp != ""
	r.reliable = append(r.reliable, &reliableSent{raw: msg.raw, rseq: msg.get("rseq"), sdp: msg.sdp != ""})
}

// isRinging reports whether a peer has sent BYE before it answered, which is not allowed:
// its INVITE continues.
func (m *callModel) isRinging(bye wireMsg) bool {
	called := false
	for _, o := range m.ours {
		if o.msg.method == "INVITE" && o.msg.toTag == "" && o.msg.callID == bye.callID && o.msg.fromTag == bye.toTag {
			if called = true; o.tags[bye.fromTag] {
				return false
			}
		}
	}
	return called
}

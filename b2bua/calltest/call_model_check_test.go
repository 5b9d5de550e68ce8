package calltest

import (
	"maps"
	"slices"
	"strings"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
)

// This file has the rules that all messages of the server must follow in a call model, whatever its peers do.

// ledger has all that the model knows about the messages so far.
type ledger struct {
	theirs map[string]*theirRequest // key: branch and method
	ours   map[string]*ourRequest   // key: branch and method
	legs   map[string]*ourLeg       // key: Call-ID and our tag
	halves map[string]*ourDialog    // key: Call-ID and both tags
	due    map[string]ackDue        // 2xx answers that we must acknowledge now
	strays map[string]time.Time     // arrival of 2xx answers; key: Call-ID and the peer's tag
	order  []*theirRequest
	set    map[string]map[string]string // variables that were set; key: the call's id
}

func newLedger() ledger {
	return ledger{
		theirs: map[string]*theirRequest{}, ours: map[string]*ourRequest{}, legs: map[string]*ourLeg{},
		halves: map[string]*ourDialog{}, due: map[string]ackDue{}, strays: map[string]time.Time{}, set: map[string]map[string]string{},
	}
}

// theirRequest is a request that a peer sent to the server.
type theirRequest struct {
	msg       wireMsg
	at        time.Time // time at which the first copy reached us
	copyAt    time.Time // time at which the last copy reached us
	delivered int
	over      bool // its dialog was over when it came
	loose     bool // a copy came so late that it may count as a new request
	code      int
	codeAt    time.Time
	acked     bool
	tag       string // our tag in the answer
	trying    bool
	said      bool // a reliable answer had a session description
	rseq      int
	reliable  []*reliableSent
}

// reliableSent is our provisional answer that waits for a PRACK.
type reliableSent struct {
	raw     string
	rseq    string
	sdp     bool
	pracked bool
}

// ourRequest is a request that the server sent to a peer.
type ourRequest struct {
	msg         wireMsg
	at, lastAt  time.Time // lastAt is the time of the last message that keeps it alive
	provisional bool
	cancelled   bool
	code        int
	tags        map[string]bool // tags of the 2xx answers to it
}

// ourLeg has the state that all dialogs of a leg share.
type ourLeg struct {
	version, rest string
	over          string
	again         bool // the last INVITE was challenged
	seq           int  // CSeq of the last INVITE that begins the dialog
}

type ourDialog struct {
	seq        int
	ended      string
	endedAt    time.Time
	challenged bool
	offered    map[string]bool // PRACKs that we must send, by RAck
}

type ackDue struct {
	callID, tag string
	seq         int
}

func (m *ledger) leg(callID, tag string) *ourLeg {
	return entry(m.legs, callID+" "+tag, func() *ourLeg { return &ourLeg{} })
}

func (m *ledger) half(callID, our, their string) *ourDialog {
	return entry(m.halves, callID+" "+our+" "+their, func() *ourDialog { return &ourDialog{offered: map[string]bool{}} })
}

func entry[T any](in map[string]*T, key string, make func() *T) *T {
	if in[key] == nil {
		in[key] = make()
	}
	return in[key]
}

// see checks one datagram, which a peer or the server has sent, and updates the ledger. It is called in the order of
// sending.
func (m *callModel) see(e modelEvent) {
	msg, err := parseWire(e.raw)
	arrow, lost := "   "+e.peer.name+" <- ", ""
	if e.toServer {
		arrow = "   " + e.peer.name + " -> "
	}
	if e.lost {
		lost = " LOST"
	}
	m.mu.Lock()
	m.trace = append(m.trace, "    "+e.at.Sub(m.start).String()+arrow+msg.short()+lost)
	m.mu.Unlock()
	if err != nil {
		m.fail("a message that can't be read: %v\n%s", err, e.raw)
		return
	}
	switch {
	case !e.toServer && msg.code == 0:
		m.seeOurRequest(e, msg)
	case !e.toServer:
		m.seeOurResponse(e, msg)
	case e.lost:
	case msg.code == 0:
		m.seeTheirRequest(e, msg)
	default:
		m.seeTheirResponse(e, msg)
	}
}

func (m *callModel) seeTheirRequest(e modelEvent, msg wireMsg) {
	if msg.method == "ACK" {
		for _, r := range m.theirs {
			if r.msg.method == "INVITE" && r.msg.callID == msg.callID && r.msg.seq == msg.seq && r.msg.fromTag == msg.fromTag {
				r.acked = true
			}
		}
		return
	}
	r := m.theirs[msg.branch+" "+msg.method]
	if r == nil {
		r = &theirRequest{msg: msg, at: e.at}
		m.theirs[msg.branch+" "+msg.method] = r
		m.order = append(m.order, r)
		r.over = m.isOver(e, msg)
	}
	r.copyAt = e.at
	if r.delivered++; r.code > 0 && (e.at.Sub(r.codeAt) > 4*time.Second || m.isOver(e, msg)) {
		r.loose = true
	}
	for _, o := range m.theirs {
		if o.msg.callID == msg.callID && o.msg.method == "INVITE" && o.msg.fromTag == msg.fromTag && o.msg.seq > msg.seq && r.code > 0 {
			r.loose = true // a leg remembers only its last INVITE
		}
	}
	if msg.method == "PRACK" && !m.overtaken(msg) {
		for _, i := range m.theirs {
			for _, p := range i.reliable {
				if i.tag == msg.toTag && strings.HasPrefix(msg.get("rack"), p.rseq+" ") {
					p.pracked = true
				}
			}
		}
	}
}

// overtaken reports whether a later request of the same dialog came first, so that this one is refused (RFC 3261
// section 12.2.2).
func (m *callModel) overtaken(msg wireMsg) bool {
	return slices.ContainsFunc(m.order, func(r *theirRequest) bool {
		return r.msg.callID == msg.callID && r.msg.fromTag == msg.fromTag && r.msg.toTag != "" && r.msg.seq > msg.seq
	})
}

func (m *callModel) seeTheirResponse(e modelEvent, msg wireMsg) {
	o := m.ours[msg.branch+" "+msg.method]
	if o == nil {
		m.fail("the model answers what it was not asked: %s", msg.short())
		return
	}
	d := m.half(msg.callID, msg.fromTag, msg.toTag)
	if msg.method == "BYE" && (msg.code == 401 || msg.code == 407) {
		d.challenged = true
	}
	if msg.code < 200 {
		if msg.has("require", "100rel") {
			d.offered[msg.get("rseq")+" "+msg.get("cseq")] = true
		}
		if o.code == 0 && !o.cancelled && (o.provisional || e.at.Sub(o.at) < leg.GiveUp) {
			o.provisional, o.lastAt = true, e.at
		}
		return
	}
	if msg.method != "INVITE" {
		if msg.method == "PRACK" && (msg.code == 401 || msg.code == 407) {
			d.offered[o.msg.get("rack")] = true // the answer came again, so another PRACK is allowed
		}
		if o.code == 0 {
			o.code = msg.code
		}
		return
	}
	alive := o.alive(e.at)
	if msg.code < 300 {
		m.strays[msg.callID+" "+msg.toTag] = e.at
		inside := o.msg.toTag != ""
		if known := o.tags[msg.toTag]; (inside && o.code == 0 && (d.ended == "" || e.at.Sub(d.endedAt) <= 31*time.Second)) || (!inside && !known && alive) {
			m.due[msg.branch+" "+msg.toTag] = ackDue{msg.callID, msg.toTag, msg.seq}
			if !inside {
				o.tags[msg.toTag] = true
			}
		}
	}
	if o.code > 0 {
		return
	}
	known := e.at.Sub(o.at) < leg.GiveUp || o.provisional && (!o.cancelled || e.at.Sub(o.lastAt) < leg.GiveUp)
	if o.code = msg.code; known { // from now on the leg remembers the dialog
		o.lastAt = e.at
	}
	if leg := m.leg(msg.callID, msg.fromTag); o.msg.toTag == "" && msg.code >= 300 {
		leg.over = "its INVITE was refused"
		leg.again = msg.code == 401 || msg.code == 407 || msg.code == 422
	}
}

func (m *callModel) seeOurRequest(e modelEvent, msg wireMsg) {
	key := msg.branch + " " + msg.method
	if o := m.ours[key]; o != nil {
		if o.msg.raw != msg.raw && (!m.died || msg.method != "CANCEL") { // a new process may give another reason
			m.fail("a request is repeated otherwise:\n%s\n%s", o.msg.raw, msg.raw)
		}
		o.lastAt = e.at
		return
	}
	o := &ourRequest{msg: msg, at: e.at, lastAt: e.at, tags: map[string]bool{}}
	leg := m.leg(msg.callID, msg.fromTag)
	m.checkSDP(leg, msg)
	if msg.get("max-forwards") == "" {
		m.fail("no Max-Forwards: %s", msg.short())
	}
	switch {
	case msg.method == "ACK":
		m.seeOurACK(msg)
		return
	case msg.method == "CANCEL":
		m.checkCancel(e, msg)
	case msg.toTag == "":
		m.checkFirstInvite(leg, msg)
	default:
		m.checkInDialog(e, leg, msg)
	}
	m.ours[key] = o
}

func (m *callModel) seeOurACK(msg wireMsg) {
	for key, d := range m.due {
		if d.callID == msg.callID && d.tag == msg.toTag && d.seq == msg.seq {
			delete(m.due, key)
		}
	}
	for _, o := range m.ours {
		if o.msg.method == "INVITE" && o.msg.callID == msg.callID && o.msg.fromTag == msg.fromTag && o.msg.seq == msg.seq && o.code >= 200 {
			return
		}
	}
	m.wrong("ACK of nothing: %s", msg.short())
}

// checkCancel checks a CANCEL by RFC 3261 section 9.1.
func (m *callModel) checkCancel(e modelEvent, msg wireMsg) {
	o := m.ours[msg.branch+" INVITE"]
	switch {
	case o == nil:
		m.fail("CANCEL of no INVITE: %s", msg.short())
	case !o.provisional && !m.died: // after a kill, the model can't tell whether there was one
		m.wrong("CANCEL before any answer: %s", msg.short())
	case o.code > 0:
		m.wrong("CANCEL after the final answer: %s", msg.short())
	default:
		o.lastAt, o.cancelled = e.at, true
	}
}

func (m *callModel) checkFirstInvite(leg *ourLeg, msg wireMsg) {
	if msg.method != "INVITE" {
		m.fail("%s without a dialog", msg.short())
	}
	if leg.over != "" && !leg.again {
		m.wrong("another INVITE although %s: %s", leg.over, msg.short())
	}
	if msg.seq <= leg.seq {
		m.fail("CSeq does not grow: %s", msg.short())
	}
	leg.over, leg.again, leg.seq = "", false, msg.seq
}

// checkInDialog checks a request within a dialog by RFC 3261 sections 12.2.1.1, 14.1 and 15.
func (m *callModel) checkInDialog(e modelEvent, l *ourLeg, msg wireMsg) {
	d := m.half(msg.callID, msg.fromTag, msg.toTag)
	bye := msg.method == "BYE"
	stray := bye && m.strays[msg.callID+" "+msg.toTag].Equal(e.at) // a BYE for a 2xx that came after the call's end
	switch {
	case d.ended != "" && !stray && (!bye || !d.challenged):
		m.wrong("%s although the dialog has ended: %s", msg.short(), d.ended)
	case l.over != "" && !stray:
		m.wrong("%s although %s", msg.short(), l.over)
	case msg.seq <= max(d.seq, l.seq) && !stray:
		m.fail("CSeq does not grow from %d: %s", max(d.seq, l.seq), msg.short())
	}
	d.seq = max(d.seq, msg.seq)
	if bye {
		d.ended, d.endedAt, d.challenged = "our BYE", e.at, false
	}
	if rack := msg.get("rack"); msg.method == "PRACK" && !d.offered[rack] {
		m.wrong("PRACK of nothing: %s", msg.short())
	} else {
		delete(d.offered, rack)
	}
	for _, r := range m.theirs {
		if r.msg.method != "INVITE" && r.msg.method != "UPDATE" || r.msg.callID != msg.callID || r.msg.fromTag != msg.toTag {
			continue
		}
		begins := r.msg.toTag == ""
		waits := r.code == 0 && !r.over && (r.msg.method == "INVITE" || r.msg.sdp != "") &&
			(r.msg.toTag == "" || e.at.Sub(r.at) > 40*time.Millisecond) // before, the leg may not have seen it
		unacked := r.msg.method == "INVITE" && r.code >= 200 && r.code < 300 && !r.acked && !m.reinvited(r) && e.at.Sub(r.codeAt) < leg.GiveUp
		if begins && bye && (waits || unacked) {
			m.wrong("BYE before the ACK: %s", msg.short())
		}
		if msg.method == "INVITE" && (waits || unacked) {
			m.wrong("%s although the peer's %s is not finished", msg.short(), r.msg.short())
		}
	}
	if msg.method == "INVITE" && m.pendingOffer(msg.callID, msg.fromTag) != nil {
		m.wrong("%s although another one has no answer", msg.short())
	}
}

// reinvited reports whether the peer has sent another INVITE after the 200 to this one,
// which implies its ACK.
func (m *callModel) reinvited(r *theirRequest) bool {
	for _, o := range m.theirs {
		if o.msg.method == "INVITE" && o.msg.callID == r.msg.callID && o.msg.fromTag == r.msg.fromTag && o.msg.seq > r.msg.seq {
			return true
		}
	}
	return false
}

// alive reports whether the server must still acknowledge a 2xx to this INVITE.
func (o *ourRequest) alive(at time.Time) bool {
	return at.Sub(o.lastAt) <= 31*time.Second || (o.code == 0 && o.provisional && !o.cancelled)
}

// isOver reports whether a request belongs to a dialog that is over, so that it needs no answer.
func (m *callModel) isOver(e modelEvent, msg wireMsg) bool {
	if msg.toTag == "" {
		return false
	}
	for _, o := range m.ours {
		if o.msg.method == "INVITE" && o.msg.toTag == "" && o.msg.callID == msg.callID && o.msg.fromTag == msg.toTag && len(o.tags) == 0 && !o.alive(e.at) {
			return true
		}
	}
	for key, d := range m.halves { // a BYE ends the dialogs of other forks as well
		if d.ended != "" && strings.HasPrefix(key, msg.callID+" "+msg.toTag+" ") {
			return true
		}
	}
	return m.leg(msg.callID, msg.toTag).over != ""
}

// pendingOffer returns a re-INVITE of ours on a leg that has no final answer.
func (m *callModel) pendingOffer(callID, tag string) *ourRequest {
	for _, o := range m.ours {
		if o.msg.method == "INVITE" && o.msg.toTag != "" && o.msg.callID == callID && o.msg.fromTag == tag && o.code == 0 {
			return o
		}
	}
	return nil
}

// checkSDP checks the version in o= by RFC 3264 section 8.
func (m *callModel) checkSDP(leg *ourLeg, msg wireMsg) {
	if msg.sdp == "" {
		return
	}
	version, rest := originVersion(msg.sdp)
	switch {
	case leg.version == "":
	case rest == leg.rest && version != leg.version:
		m.fail("version %s after %s of the same description: %s", version, leg.version, msg.short())
	case rest != leg.rest && (len(version) < len(leg.version) || len(version) == len(leg.version) && version <= leg.version):
		m.fail("version %s after %s of another description: %s\nbefore:\n%s\nnow:\n%s", version, leg.version, msg.short(), leg.rest, rest)
	}
	leg.version, leg.rest = version, rest
}

// settled checks that the server has done everything that it must do at once.
func (m *callModel) settled() {
	for key, d := range m.due {
		m.fail("no ACK of the 2xx to %s, CSeq %d, tag %s", d.callID, d.seq, d.tag)
		delete(m.due, key)
	}
}

// closing checks the messages of all calls after the last one has ended.
func (m *callModel) closing() {
	calls, maybe := m.placed, 0
	for _, r := range m.order {
		first := r.msg.method == "INVITE" && r.msg.toTag == ""
		switch {
		case first && r.trying && r.code != 482:
			calls++
		case first && r.code == 487: // the CANCEL came before the 100
			maybe++
		}
		switch {
		case r.code == 0 && m.died && !r.trying: // the peer would have repeated it after the restart
		case r.code == 0 && !r.over:
			m.fail("no final answer: %s", r.msg.short())
		case first && r.code < 300 && m.half(r.msg.callID, r.tag, r.msg.fromTag).ended == "":
			m.fail("the dialog was never ended: %s", r.msg.short())
		}
	}
	for _, o := range m.ours {
		for tag := range o.tags {
			if m.half(o.msg.callID, o.msg.fromTag, tag).ended == "" {
				m.fail("the dialog of tag %s was never ended: %s", tag, o.msg.short())
			}
		}
	}
	m.w.sink.mu.Lock()
	defer m.w.sink.mu.Unlock()
	ids, causes := map[string]bool{}, cause.All()
	for _, r := range m.w.sink.done {
		if ids[r.ID] {
			m.fail("two records of %s", r.ID)
		}
		ids[r.ID] = true
		if !maps.Equal(r.Variables, m.set[r.ID]) {
			m.fail("a record with the variables %v; %v were set", r.Variables, m.set[r.ID])
		}
		if !slices.ContainsFunc(causes, func(e cause.Entry) bool { return string(e.Name) == r.Cause }) {
			m.fail("a record with the cause %q", r.Cause)
		}
	}
	if len(ids) < calls || len(ids) > calls+maybe {
		m.fail("%d records of %d calls", len(ids), calls)
	}
}

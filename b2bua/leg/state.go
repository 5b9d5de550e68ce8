package leg

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
)

// This file saves and restores a leg. The saved state includes the text of messages that we or the peer still wait for.

// State holds everything that a leg needs to continue. Times are Unix times in nanoseconds; 0 means none.
type State struct {
	UAS       bool        `cbor:"1,keyasint,omitempty"`
	Phase     int         `cbor:"2,keyasint,omitempty"`
	Local     LocalState  `cbor:"3,keyasint,omitempty"`
	Dialog    DialogState `cbor:"4,keyasint,omitempty"`
	InviteSeq uint32      `cbor:"5,keyasint,omitempty"`

	Invite    message.Kept `cbor:"6,keyasint,omitzero"`  // our INVITE, until its final response
	Hop       HopState     `cbor:"7,keyasint,omitempty"` // hop of Invite
	Cancelled bool         `cbor:"8,keyasint,omitempty"`

	URI         string        `cbor:"9,keyasint,omitempty"`
	Credentials []HeaderState `cbor:"10,keyasint,omitempty"`

	Negotiation int          `cbor:"11,keyasint,omitempty"`
	Described   []byte       `cbor:"12,keyasint,omitempty"` // if empty, use Dialog.Origin.Last
	Sending     bool         `cbor:"13,keyasint,omitempty"`
	Pending     message.Kept `cbor:"14,keyasint,omitzero"`  // the peer's INVITE, until its final response
	Asked       bool         `cbor:"15,keyasint,omitempty"` // the call has made an offer that is not answered yet
	Updates     bool         `cbor:"16,keyasint,omitempty"`
	OK          message.Kept `cbor:"17,keyasint,omitzero"` // the 200 that waits for its ACK
	OKSeq       uint32       `cbor:"18,keyasint,omitempty"`
	OKOffers    bool         `cbor:"19,keyasint,omitempty"`
	Hangup      string       `cbor:"20,keyasint,omitempty"` // the cause in a BYE that is still to be sent
	HangupQ850  int          `cbor:"21,keyasint,omitempty"`
	ACKs        []ACK        `cbor:"22,keyasint,omitempty"`
	AnsweredBye string       `cbor:"23,keyasint,omitempty"`
	Acked       string       `cbor:"24,keyasint,omitempty"`
	Timer       Timings      `cbor:"25,keyasint,omitempty"`
	Why         string       `cbor:"26,keyasint,omitempty"` // why the INVITE was given up
	RSeq        uint32       `cbor:"27,keyasint,omitempty"` // RSeq of the last reliable provisional answer
	Early       []byte       `cbor:"28,keyasint,omitempty"` // the SDP in a reliable provisional response to Invite
	Rings       []RingState  `cbor:"29,keyasint,omitempty"` // early dialogs of Invite, by tag
}

// RingState is the saved form of an early dialog (RFC 3261 section 12.1.2).
type RingState struct {
	Tag    string   `cbor:"1,keyasint,omitempty"` // the peer's
	Target string   `cbor:"2,keyasint,omitempty"`
	Routes []string `cbor:"3,keyasint,omitempty"`
	Seq    uint32   `cbor:"4,keyasint,omitempty"` // our last CSeq
}

// At returns our address on the leg.
func (s *State) At() Local {
	return Local{s.Local.Transport, s.Local.Listen.AddrPort, s.Local.Host, s.Local.Port, s.Local.Secure}
}

// LocalState is the saved form of a Local.
type LocalState struct {
	Transport string           `cbor:"1,keyasint,omitempty"`
	Listen    message.KeptAddr `cbor:"2,keyasint,omitzero"`
	Host      string           `cbor:"3,keyasint,omitempty"`
	Port      uint16           `cbor:"4,keyasint,omitempty"`
	Secure    bool             `cbor:"5,keyasint,omitempty"`
}

// DialogState is the saved form of a Dialog.
type DialogState struct {
	CallID       string           `cbor:"1,keyasint,omitempty"`
	LocalTag     string           `cbor:"2,keyasint,omitempty"`
	RemoteTag    string           `cbor:"3,keyasint,omitempty"`
	LocalParty   string           `cbor:"4,keyasint,omitempty"`
	RemoteParty  string           `cbor:"5,keyasint,omitempty"`
	LocalSeq     uint32           `cbor:"6,keyasint,omitempty"`
	RemoteSeq    uint32           `cbor:"7,keyasint,omitempty"`
	Heard        bool             `cbor:"8,keyasint,omitempty"`
	RemoteTarget string           `cbor:"9,keyasint,omitempty"`
	RouteSet     []string         `cbor:"10,keyasint,omitempty"`
	Source       message.KeptAddr `cbor:"11,keyasint,omitzero"`
	Transport    string           `cbor:"12,keyasint,omitempty"`
	Own          netip.Addr       `cbor:"13,keyasint,omitzero"`
	Origin       sdp.OriginState  `cbor:"14,keyasint,omitempty"`
}

// HopState is the saved form of a Hop that has an address.
type HopState struct {
	Transport string           `cbor:"1,keyasint,omitempty"`
	Addr      message.KeptAddr `cbor:"2,keyasint,omitzero"`
}

// HeaderState is the saved form of a header.
type HeaderState struct {
	Name  string `cbor:"1,keyasint,omitempty"`
	Value string `cbor:"2,keyasint,omitempty"`
}

// ACK identifies an ACK that must be sent again if its 200 is repeated.
type ACK struct {
	Seq    uint32 `cbor:"1,keyasint,omitempty"`
	Branch string `cbor:"2,keyasint,omitempty"`
}

// Timings is the saved form of a sessionTimer.
type Timings struct {
	Interval time.Duration `cbor:"1,keyasint,omitempty"`
	Ours     bool          `cbor:"2,keyasint,omitempty"`
	Least    time.Duration `cbor:"3,keyasint,omitempty"`
	Refresh  Instant       `cbor:"4,keyasint,omitempty"`
	Expire   Instant       `cbor:"5,keyasint,omitempty"`
}

// Instant is a time as a state has it: in nanoseconds of Unix time, by the wall clock's setting when it was written. 0
// means no time. A later process moves all Instants of a state if the clock was set since then.
type Instant int64

// InstantOf returns a time by the wall clock's present setting.
func InstantOf(t time.Time) Instant {
	if t.IsZero() {
		return 0
	}
	now := time.Now()
	//nolint:forbidigo // another process has no part of this one's monotonic clock
	return Instant(now.UnixNano() + int64(t.Sub(now)))
}

// TimeOf returns the time for an Instant. A later change of the wall clock does not move the result.
func TimeOf(at Instant) time.Time {
	if at == 0 {
		return time.Time{}
	}
	now := time.Now()
	return now.Add(time.Duration(int64(at) - now.UnixNano())) //nolint:forbidigo // as in InstantOf
}

// State returns the leg's state for a new process. Requests of the peer that have no answer count as not received,
// because the peer will repeat them.
func (l *Leg) State() State {
	d, n := &l.dialog, &l.session
	s := State{
		UAS: l.UAS, Phase: int(l.state), InviteSeq: l.InviteSeq, Updates: l.updates,
		Local: LocalState{
			l.Local.Transport,
			message.KeptAddr{AddrPort: l.Local.Listen},
			l.Local.Host, l.Local.Port,
			l.Local.secure,
		},
		Dialog: DialogState{
			CallID: d.CallID, LocalTag: d.LocalTag, RemoteTag: d.remoteTag, LocalParty: d.localParty, RemoteParty: d.RemoteParty,
			LocalSeq: d.localSeq, RemoteSeq: l.answeredSeq(), Heard: d.requestSeen,
			RemoteTarget: d.RemoteTarget, RouteSet: d.routeSet,
			Source: message.KeptAddr{AddrPort: d.Source}, Transport: d.transport, Own: d.own, Origin: d.origin.State(),
		},
		URI: l.invited.uri, Negotiation: int(n.state), Described: n.local, Sending: n.sending, Asked: n.wanted != nil,
		AnsweredBye: l.AnsweredBye, Acked: l.acked, ACKs: l.acks, RSeq: l.awaited().last,
		Timer: Timings{
			l.timer.interval, l.timer.ours, l.timer.least, InstantOf(l.timer.refreshAt), InstantOf(l.timer.expireAt),
		},
	}
	if bytes.Equal(s.Described, s.Dialog.Origin.Last) {
		s.Described = nil
	}
	for _, h := range l.invited.credentials {
		s.Credentials = append(s.Credentials, HeaderState{h.Name(), h.Value()})
	}
	if l.ok.res != nil {
		s.OK.Msg, s.OKSeq, s.OKOffers = l.ok.res, l.ok.seq, l.ok.offers
	}
	if n.pending != nil && n.pending.Method == sip.INVITE {
		s.Pending.Msg = n.pending
	}
	if l.hangupDeferred != nil {
		s.Hangup, s.HangupQ850 = string(l.hangupDeferred.in.Why), l.hangupDeferred.in.Q850
	}
	if l.setup != nil && !l.UAS && l.invite != nil {
		s.Invite.Msg, s.Hop = l.invite, HopState{l.inviteHop.Transport, message.KeptAddr{AddrPort: l.inviteHop.Addr}}
		s.Cancelled, s.Why, s.Early = l.cancelled, string(l.why), l.answeredEarly
		for _, tag := range slices.Sorted(maps.Keys(l.early)) {
			e := l.early[tag]
			if e.fixed {
				s.Early = e.answer
			}
			s.Rings = append(s.Rings, RingState{tag, e.dialog.RemoteTarget, e.dialog.routeSet, e.dialog.localSeq})
		}
	}
	return s
}

// ContinueFrom is for a leg whose INVITE is handled again from the start. It makes the leg continue after the responses
// that another process has sent. s is the state in that process, with the last RSeq (RFC 3262 section 3) and the
// description that the peer already has.
func (l *Leg) ContinueFrom(s *State) {
	l.dialog = restoreDialog(&s.Dialog, l.Peer.NAT)
	l.updates = s.Updates
	if l.session.state = offerState(s.Negotiation); l.session.state == offerAgreed {
		l.session.local = s.described()
	}
	if s.RSeq > 0 {
		l.reliable = &reliable{last: s.RSeq}
	}
}

// described returns this side's description that the peer has agreed to.
func (s *State) described() []byte {
	if s.Described == nil {
		return s.Dialog.Origin.Last
	}
	return s.Described
}

// answeredSeq returns the highest CSeq up to which all requests of the peer are answered.
func (l *Leg) answeredSeq() uint32 {
	seq := l.dialog.remoteSeq
	if p := l.session.pending; p != nil && p.Method != sip.INVITE {
		seq = min(seq, p.CSeq().SeqNo-1)
	}
	for _, req := range l.asked {
		seq = min(seq, req.CSeq().SeqNo-1)
	}
	return seq
}

// Asks reports whether a change that the peer wants waits for Accept or Reject.
func (l *Leg) Asks() bool { return l.session.pending != nil }

const (
	// checkpointGap bounds how many requests a leg sends between two checkpoints of its state. A restored leg skips this
	// many CSeqs.
	checkpointGap = 100
	// CheckpointEvery says how often requests need a checkpoint: each request whose CSeq is a multiple of it.
	CheckpointEvery = checkpointGap / 2
)

// Restored is a restored leg, with the messages that its transactions need.
type Restored struct {
	*Leg
	Invite  *sip.Request  // the INVITE of a UAC leg if it has no final response, or nil
	Pending *sip.Request  // the peer's re-INVITE that must be rejected; nil if there is none
	OK      *sip.Response // the 200 that waits for its ACK; nil if none does
	// Unanswered means that this is a UAS leg whose INVITE has no final response.
	Unanswered bool
	Sending    bool // a re-INVITE or an offer of the leg has no answer yet
}

// Restore returns a leg with a saved state. invite is the INVITE that created a UAS leg, or nil if its 200 is
// acknowledged. auth has the credentials for a UAC leg's peer, or is nil. If the state is inconsistent, the returned
// leg is done.
func Restore(now time.Time, o Options, s *State, invite *sip.Request, auth *config.Auth) Restored {
	l := &Leg{
		side: o.Side, UAS: s.UAS, mint: o.Minter, Peer: o.Peer, state: legState(s.Phase),
		Local: s.At(), ok: &acknowledgedAll,
		InviteSeq: s.InviteSeq, updates: s.Updates, AnsweredBye: s.AnsweredBye, acked: s.Acked,
		acks:    slices.Clone(s.ACKs),
		invited: invited{uri: s.URI}, digest: Digest{auth: auth},
		dialog:  restoreDialog(&s.Dialog, o.Peer.NAT),
		session: negotiation{state: offerAgreed, local: s.described()},
		timer: sessionTimer{
			interval: s.Timer.Interval, ours: s.Timer.Ours, least: s.Timer.Least,
			refreshAt: TimeOf(s.Timer.Refresh), expireAt: TimeOf(s.Timer.Expire),
		},
	}
	for _, h := range s.Credentials {
		l.invited.credentials = append(l.invited.credentials, sip.NewHeader(h.Name, h.Value))
	}
	if s.Hangup != "" {
		l.hangupDeferred = &deferredHangup{in: Hangup{Why: cause.Cause(s.Hangup), Q850: s.HangupQ850}}
	}
	l.timer.restore(now)
	if !l.restore(now, s, invite) {
		l.state = legDone
	}
	r := Restored{Leg: l, OK: l.ok.res, Unanswered: l.UAS && l.state == legProceeding, Sending: s.Sending || s.Asked}
	if l.setup != nil && !l.UAS {
		r.Invite = l.invite
	}
	if req, ok := parsed[*sip.Request](s.Pending.Text); ok && req.Via() != nil && req.CSeq() != nil &&
		l.state == legConfirmed && l.ok.res == nil {
		r.Pending, l.session.pending = req, req
	}
	return r
}

// restore adjusts the timer that another process had started. Our refresh, or its answer, may have been lost, and the
// peer may be repeating its own refresh. So the session gets at least 64*T1 more.
func (t *sessionTimer) restore(now time.Time) {
	if t.interval == 0 {
		return
	}
	t.expireAt = now.Add(max(t.expireAt.Sub(now), GiveUp))
	if t.ours && (t.refreshAt.IsZero() || t.refreshAt.Before(now)) {
		t.refreshAt = now
	}
}

func restoreDialog(s *DialogState, nat config.NATMode) Dialog {
	return Dialog{
		CallID: s.CallID, LocalTag: s.LocalTag, remoteTag: s.RemoteTag, localParty: s.LocalParty, RemoteParty: s.RemoteParty,
		localSeq: s.LocalSeq + checkpointGap, remoteSeq: s.RemoteSeq, requestSeen: s.Heard, unsure: s.Heard,
		RemoteTarget: s.RemoteTarget,
		routeSet:     slices.Clone(s.RouteSet), Source: s.Source.AddrPort, transport: s.Transport, nat: nat, own: s.Own,
		origin: sdp.RestoreOrigin(&s.Origin),
	}
}

// restore restores the state of a leg except its dialog. It returns false if the state is inconsistent.
func (l *Leg) restore(now time.Time, s *State, invite *sip.Request) bool {
	switch l.state {
	case legCalling, legProceeding, legAbandoned:
		return l.restoreSetup(s, invite)
	case legAccepted:
		if !l.restoreAnswer(now, s) {
			return false
		}
		l.setup = &setup{invite: invite}
		return l.UAS && invite != nil
	case legConfirmed:
		return l.restoreAnswer(now, s) || len(s.OK.Text) == 0
	case legEnding: // the BYE may have been lost, so the call sends another
		l.state = legConfirmed
		return true
	case legIdle, legDone:
	}
	return false
}

// restoreSetup restores a leg whose INVITE has no final response, so that the call can refuse or cancel the INVITE. It
// returns false if the state is inconsistent. Provisional responses may have come since the state was saved, so a
// CANCEL does not wait for one.
func (l *Leg) restoreSetup(s *State, invite *sip.Request) bool {
	if l.UAS {
		l.setup = &setup{invite: invite}
		return l.state == legProceeding && invite != nil
	}
	sent, ok := parsed[*sip.Request](s.Invite.Text)
	if !ok || sent.Via() == nil || sent.From() == nil || sent.To() == nil || sent.CallID() == nil || sent.CSeq() == nil {
		return false
	}
	noResponse := l.state == legCalling
	l.state = legProceeding
	l.session.state = offerOurs
	l.setup = &setup{
		invite: sent, inviteHop: Hop{Transport: s.Hop.Transport, Addr: s.Hop.Addr.AddrPort},
		why: cause.Cause(s.Why), answeredEarly: s.Early, noResponse: noResponse, restored: true,
	}
	for _, k := range s.Rings[:min(len(s.Rings), maxForks)] {
		e := &earlyDialog{dialog: l.dialog}
		e.dialog.remoteTag, e.dialog.RemoteTarget, e.dialog.routeSet = k.Tag, k.Target, slices.Clone(k.Routes)
		e.dialog.localSeq = k.Seq + checkpointGap
		l.addEarly(k.Tag, e)
	}
	return true
}

// restoreAnswer restores the 200 that waits for its ACK, and schedules its retransmission at once. It returns false if
// the 200 is missing or malformed.
func (l *Leg) restoreAnswer(now time.Time, s *State) bool {
	res, ok := parsed[*sip.Response](s.OK.Text)
	if !ok || res.Via() == nil || res.CSeq() == nil {
		return false
	}
	l.awaitACK(now, res, s.OKSeq, s.OKOffers)
	l.ok.resendAt = now
	if s.OKOffers {
		l.session.state = offerOurs
	}
	return true
}

// parsed parses a message that was stored as text. It returns false if there is none, or if it is malformed.
func parsed[M sip.Message](text []byte) (m M, ok bool) {
	if len(text) == 0 {
		return m, false
	}
	msg, err := message.Parse(text)
	if err != nil {
		return m, false
	}
	m, ok = msg.(M)
	return m, ok
}

// NeedsCheckpoint reports whether the leg's state must be saved before these effects are performed, because they tell
// the peer something that a new process must know. An answer to an INVITE or UPDATE may change the session, an INVITE
// or UPDATE of ours starts an exchange, and an ACK ends one. The ACK of the first 200 is saved when the call is
// settled. Other requests only raise the CSeq. A restored leg skips some CSeqs, so only every CheckpointEvery-th of
// these is saved.
func (l *Leg) NeedsCheckpoint(effects []Effect) bool {
	return slices.ContainsFunc(effects, func(e Effect) bool {
		switch e := e.(type) {
		case SendResponse:
			return e.Res.IsSuccess() && (e.Method == sip.INVITE || e.Method == sip.UPDATE)
		case SendRequest:
			return e.Req.Method == sip.INVITE || e.Req.Method == sip.UPDATE || e.Req.CSeq().SeqNo%CheckpointEvery == 0
		case Acknowledged:
			return !l.UAS || e.Seq != l.InviteSeq
		case SendACK, Forgotten:
		}
		return false
	})
}

// AnswersCall reports whether effects include the 200 to the INVITE that created the leg.
func (l *Leg) AnswersCall(effects []Effect) bool {
	return slices.ContainsFunc(effects, func(e Effect) bool {
		res, is := e.(SendResponse)
		return is && l.UAS && res.Res.IsSuccess() && res.Method == sip.INVITE && res.Seq == l.InviteSeq
	})
}

package b2bua

import (
	"errors"
	"fmt"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/kept"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/internal/parallel"
	"flowbridge/media"
	"flowbridge/store/record"
)

// Calls of a killed process. One that was answered goes on: its dialogs, its media on the
// same ports, its timers. One that was not is refused and cancelled. What can't be read,
// or has lost its trunk, target or ports, costs only its call.

var (
	errUnanswered = errors.New("the call was not answered yet")
	errGoneTrunk  = errors.New("its trunk or target is not configured any more")
	errGoneSocket = errors.New("its SIP address is not listened on any more")
	errNoLeg      = errors.New("a leg of it was over")
)

// restore takes up the calls of a killed process. Nothing is read from the sockets yet, and no call has a turn: its
// audio comes first, and so does the audio of all others. SRTP begins with the turn, because its numbers are on file
// first.
func (su *successor) restore(all []record.Left) {
	if len(all) == 0 || su.server.stack.Freeze(su.server.ctx, nil) != nil {
		return // the server ends
	}
	on := make([]int, len(all)) // 1: the call goes on
	_ = parallel.Do(len(all), func(i int) error {
		if su.restoreCall(&all[i]) {
			on[i] = 1
		}
		return nil
	})
	calls := 0
	for _, one := range on {
		calls += one
	}
	text := "calls of a killed process go on"
	if calls == 0 {
		text = "no call of a killed process goes on"
	}
	su.server.log.Info().Int("calls", calls).Int("of", len(all)).Msg(text)
}

// restoreCall takes up one call, and says whether it goes on.
func (su *successor) restoreCall(l *record.Left) (on bool) {
	k, err := kept.DecodeNow(l.State, su.server.machine)
	if err == nil && k.Refused != nil {
		su.server.stack.RefuseAgain(k.Refused, func() { su.server.sink.Owe(k.ID, nil) })
		return false
	}
	if err == nil && k.Ended != "" && !l.Owed { // its recordings were being finished
		l.Interrupted = l.Record
		l.Interrupted.Killed()
		su.keepInterrupted(l)
		return false
	}
	if err == nil {
		err = su.server.safely(func() error { return su.goOn(k, l, nil) })
	}
	if err == nil {
		return true
	}
	if !errors.Is(err, errUnanswered) && !l.Owed {
		su.server.log.Warn().Err(err).Str("call", l.Record.ID).Msg("call of a killed process can't go on")
	}
	if k == nil || su.server.safely(func() error { return su.finishLeft(k, l) }) != nil {
		su.keepInterrupted(l)
	}
	return false
}

// safely does a part of the restoration, of which a panic costs one call.
func (s *Server) safely(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.panicked(s.log.Error(), "restore", v)
			err = fmt.Errorf("panic: %v", v) //nolint:err113 // it has been logged
		}
	}()
	return do()
}

// goOn takes up a call that was answered.
func (su *successor) goOn(k *kept.Call, l *record.Left, sockets *media.Sockets) (err error) {
	if k.Answered == 0 && len(k.Agents) == 0 || k.Ended != "" {
		return errUnanswered
	}
	p := su.server.admission.Peers.Load()
	t, known := p.CallerNamed(k.Trunk)
	switch {
	case !known:
		return errGoneTrunk
	case k.Bridge == nil || k.Media == nil: // of a call that we were placing
		return errUnanswered
	}
	if up, boot := su.server.machine(); boot != 0 && !l.Alive.IsZero() {
		k.Media.Died = up - time.Since(l.Alive)
	}
	v, err := su.newReviving(k, t, p)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			v.discard()
		}
	}()
	if err = v.takeUp(l, sockets); err != nil {
		return err
	}
	var callee *peers.Target
	own := peers.PartiesOf(&v.vars)
	parties := own
	if a := v.connected; v.customer != nil {
		callee = v.customer.reserved
	} else if parties = a.parties; a.placed {
		callee = a.target
	}
	su.server.admission.Resume(t, own, v.times.answered.IsZero(), callee, parties)
	su.server.resume(v.Call, true)
	return nil
}

// finishLeft tells the legs of a call that does not go on, and writes its record.
func (su *successor) finishLeft(k *kept.Call, l *record.Left) error {
	p := su.server.admission.Peers.Load()
	t, _ := p.CallerNamed(k.Trunk)
	v, err := su.newReviving(k, t, p)
	if err != nil {
		return err
	}
	v.ladder.Discard()
	r := &l.Interrupted
	if v.waits && !l.Owed { // it is told now
		r.EndedAt, r.SIPStatus, r.Q850 = record.TimeOf(time.Now()), 500, cause.Q850Of(500)
		r.AnsweredAt, r.SetupMS, r.DurationMS = record.Time{}, 0, 0
	}
	if !l.Owed && (v.waits || v.a != nil && !v.a.Leg.UAS && k.Media == nil) {
		v.closeAttempt(r)
	}
	v.ladder, v.ended, v.finished, v.now = nil, &l.Interrupted, true, (*Call).closing
	if v.why = cause.ProcessRestart; k.Ended != "" {
		v.why = cause.Cause(k.Ended)
	}
	v.notes.owe(v.notes.oweOnly)
	if !l.Owed || len(v.legs) == 0 {
		su.keepInterrupted(l)
	}
	su.server.resume(v.Call, false)
	return nil
}

// closeAttempt writes the attempt under way of a call without an answer into its record.
func (v *reviving) closeAttempt(r *record.Record) {
	if v.k.Bridge == nil {
		return
	}
	if target := v.target(v.k.Bridge.Target); target != nil {
		a := v.attempt(target).recordOf(cause.ProcessRestart, 0)
		if a.SIPCallID = r.TargetSIPCallID; v.k.Bridge.Customer {
			a.SIPCallID = r.SIPCallID
		}
		r.Attempts = append(r.Attempts, a)
	}
}

// resume begins the turns of a call that was taken up or is placed.
func (s *Server) resume(c *Call, live bool) {
	s.registry.Resume(c.id, c, c.legs, live)
	s.calls.Add(1)
	c.mailbox.Begin()
}

// keepInterrupted writes the record of a call that does not go on.
func (su *successor) keepInterrupted(l *record.Left) {
	if l.Owed {
		su.server.sink.Owe(l.Record.ID, nil)
		return
	}
	r := l.Interrupted
	if r.Disposition == record.DispositionInterrupted { // else its own process has logged it
		su.server.log.Warn().Str("call", r.ID).Str("trunk", r.Trunk).EmbedObject(bridge.Ended{Record: &r}).Msg("call ended")
	}
	if su.server.bridges.Archive != nil {
		r.SettleRecordings(su.server.bridges.Archive.Finished)
	}
	su.server.unwritten.Add(1)
	su.server.keep(&r, nil, func() {})
}

// reviving is a call that is taken up.
type reviving struct {
	*Call
	k       *kept.Call
	invite  *sip.Request
	sending []*legOnWire // whose peer has an offer without an answer
	waits   bool         // the caller has no final answer; ours may wait for a PRACK
}

// newReviving makes the call of a state, with its legs.
func (su *successor) newReviving(k *kept.Call, t *peers.Trunk, p *peers.Snapshot) (reviving, error) {
	req := message.HeaderText(k.Invite).Request()
	source := k.Source.AddrPort
	if req.From() == nil || req.To() == nil || req.CallID() == nil || req.CSeq() == nil || req.Via() == nil {
		return reviving{}, errNoLeg
	}
	req.SetSource(source.String())
	v := reviving{k: k, invite: req, Call: su.server.newCall(k.ID, leg.TimeOf(k.Started), req, p, t, source)}
	v.ladder.GoOn(k.Ladder)
	if k.Settled {
		v.caller = message.HeaderText(k.Invite)
		v.Call.invite, v.vars.HeaderFunc = nil, v.caller.Value
	}
	for i := range k.Legs {
		v.restoreLeg(&k.Legs[i])
	}
	return v, nil
}

func (v *reviving) restoreLeg(k *kept.Leg) {
	s, p, caller := v.server, v.peers, k.State.UAS
	side, options, tls, settings := media.SideA, v.trunk.Options(p), v.trunk.CallerTLS(&s.callerTLS), v.trunk.Caller.Media
	peer := &v.trunk.Caller.Peer
	var target *peers.Target
	var auth *config.Auth
	if !caller {
		if k.Role != kept.RoleCaller { // else it is a customer, whom we have called
			side = media.SideB
		}
		if target = v.target(k.Target); target == nil {
			target = peers.NewReferred(k.Target, nil, "", &peers.Dial{})
		}
		peer = &target.Dial.Peer
		options, tls, auth, settings = target.Options(), &target.Dial.TLS, target.Dial.Auth, target.Dial.Media
	}
	var invite *sip.Request
	if !v.k.Settled {
		invite = v.invite
	}
	r := leg.Restore(time.Now(), s.legOptions(side, leg.Local{}, options), &k.State, invite, auth)
	if r.Done() {
		return
	}
	flow := s.stack.Lost(&k.Flow, *tls)
	l := v.putOnWire(r.Leg, side, peer, tls, flow)
	l.Confirmed, l.Crypto = k.Confirmed, sdp.RestoreLegCrypto(settings, s.bridges.Identity.Fingerprint(), &k.Crypto)
	l.senders = peers.Senders{Peers: p, Caller: v.trunk, Callee: target, From: k.From.AddrPort}
	if caller {
		l.senders.Shown = peers.CredentialsIn(v.invite)
		l.Branch, l.Merged = message.BranchOf(v.invite), v.trunk.MergeKey(v.invite)
	} else {
		v.ladder.Join(l.callID, l.Tag, k.Target, side == media.SideA)
	}
	v.waits = v.waits || r.Unanswered
	v.readmit(l, r, invite, flow)
	if v.legs = append(v.legs, l); r.Sending || r.Pending != nil {
		v.sending = append(v.sending, l)
	}
	switch k.Role {
	case kept.RoleCaller:
		v.a = l
	case kept.RoleBridge:
		v.b = l
	}
}

// readmit gives the wire of a leg the transactions that somebody waits for.
func (v *reviving) readmit(l *legOnWire, r leg.Restored, invite *sip.Request, flow *transport.Stream) {
	source := r.Leg.Dialog().Source
	switch {
	case r.OK != nil:
		l.wire.Answered(r.OK, source, flow)
	case r.Unanswered:
		l.wire.Readmit(invite, source, flow)
	case r.Invite != nil:
		l.wire.Invited(r.Invite)
	}
	if r.Pending != nil {
		l.wire.Readmit(r.Pending, source, flow)
	}
}

// target finds a target by its name, also one that an agent has named.
func (v *reviving) target(name string) *peers.Target {
	if t := v.peers.CalleeNamed(name); t != nil || v.k.Bridge == nil || v.k.Bridge.Target != name ||
		v.k.Bridge.Agent == "" {
		return t
	}
	if agent := v.peers.CalleeNamed(v.k.Bridge.Agent); agent != nil {
		return peers.NewReferred(name, nil, v.k.Bridge.Transport, agent.Dial)
	}
	return nil
}

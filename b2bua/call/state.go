package call

import (
	"cmp"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file saves and restores the state of a call. TestStateIsRestored checks that everything that is saved is
// restored.

// isUp reports whether the call is answered, and an agent is or was connected.
func (c *Call) isUp() bool {
	return c.connected != nil && !c.times.answered.IsZero() && c.bridge.Media.IsOpen()
}

// goesOn reports whether the call continues after a kill: it is up, or its caller is told something first.
func (c *Call) goesOn() bool {
	return c.isUp() || c.customer.placement != nil && c.telling.hasInboundCaller()
}

// save writes the state of the call into a sheet. If the call is not answered, or has had no agent yet, its media
// is saved only for a process that replaces this one.
func (c *Call) save(k *snapshot.Sheet) {
	c.saveOrigin(&k.Call)
	k.Restored = c.record.Restored
	k.Note(leg.InstantOf(time.Now()), c.host.Machine)
	c.times.save(&k.Times)
	c.asking.save(&k.Times)
	c.saveLegs(&k.Call)
	c.saveRoute(&k.Route)
	c.attempts.save(k)
	for _, p := range c.all() {
		p.save(k)
	}
	whole := k.Handed || c.goesOn()
	if whole {
		c.bridge.Save(k)
	}
	switch {
	case !whole || c.ladder == nil || c.restarts():
	case time.Since(c.times.answered) < flushDelay && !k.Handed: // another checkpoint usually follows soon
		k.Ladder = c.ladder.Plain(k.Ladder)
	default:
		k.Ladder = c.ladder.Encode(k.Ladder)
	}
}

// restore restores the state of a call whose legs are already restored. It sends nothing yet.
func (v *restoring) restore(l *record.Saved, sockets *media.Sockets) error {
	k := v.k
	v.restoreRoute(&k.Route)
	v.times.restore(&k.Times)
	v.asking.restore(&k.Times)
	v.phase, v.counted = "bridged", true
	v.attempts.tried = k.Attempts.Tried
	if !k.IsPlaced() { // else there is no agent yet
		target := v.target(k.Attempts.Current.Target)
		if target == nil {
			return errGoneTrunk
		}
		v.connected = restoreAttempt(k.Attempts.Current, target, v.b)
		v.attempts.current = v.connected
	}
	v.restoreRecord(&l.Record)
	for _, p := range v.all() {
		if err := p.restore(k, &l.Record); err != nil {
			return err
		}
	}
	complete, err := v.bridge.Restore(&k.Bridge, sockets, !k.IsPlaced())
	switch {
	case err != nil:
		return err
	case !complete:
		return ErrNoLeg
	}
	if k.Invite.Settled {
		v.compact()
	}
	return nil
}

// saveOrigin saves how the call started: its id, its trunk and the caller's INVITE.
func (c *Call) saveOrigin(k *snapshot.Call) {
	k.ID, k.Trunk, k.Source = c.id, c.trunk.KindAndName(), message.KeptAddr{AddrPort: c.source}
	k.Invite.Settled = c.invite == nil
	if k.Invite.Settled {
		k.Invite.Text = string(c.caller)
		return
	}
	k.Invite.Text = c.checkpoint.inviteOf(c.invite)
}

// restoring is a call of an earlier process during its restoration.
type restoring struct {
	*Call
	k        *snapshot.Call
	invite   *sip.Request
	sending  []*LegOnWire // legs that have an offer without an answer
	replaces bool         // the old process is replaced by this one, so no message was missed; false if it was killed
	waits    bool         // the caller has no final response yet; a 200 may be waiting for its PRACK
}

// restoreOrigin creates a call, with its legs, from a saved state.
func restoreOrigin(h *Host, k *snapshot.Call, t *peers.Trunk, p *peers.Snapshot) (restoring, error) {
	req := message.HeaderText(k.Invite.Text).Request()
	source := k.Source.AddrPort
	if req.From() == nil || req.To() == nil || req.CallID() == nil || req.CSeq() == nil || req.Via() == nil {
		return restoring{}, ErrNoLeg
	}
	req.SetSource(source.String())
	v := restoring{k: k, invite: req, Call: New(h, k.ID, leg.TimeOf(k.Times.Started), req, p, t, source)}
	v.ladder.Continue(k.Ladder)
	if k.Invite.Settled {
		v.keepHeaders(message.HeaderText(k.Invite.Text))
	}
	for i := range k.Legs {
		v.restoreLeg(&k.Legs[i])
	}
	return v, nil
}

func (c *Call) saveRoute(k *snapshot.Route) {
	if i := c.peers.IndexOf(c.route); i >= 0 {
		k.Place, k.Mark = i+1, c.peers.Marks[i]
	}
}

// restoreRoute finds the call's route. If the route is no longer configured, the call continues without its
// options.
func (v *restoring) restoreRoute(k *snapshot.Route) {
	if v.a != nil && !v.a.Leg.UAS { // a placed call: its route has this direction, or there is none
		v.vars.Direction, v.vars.Row = template.DirectionOutbound, v.peers.RowOf(v.vars.From.Number)
	}
	v.route = config.Unrouted()
	if k.Place == 0 {
		return
	}
	if index := v.peers.RouteMarked(k.Mark, k.Place-1); index >= 0 && index < len(v.peers.Routes) {
		v.takeRoute(index)
		return
	}
	v.log.Warn().Msg("route is no longer configured: the call continues without its options")
}

// saveLegs appends the legs that are not done to a saved call.
func (c *Call) saveLegs(k *snapshot.Call) {
	agent := cmp.Or(c.replacements.waiting(), c.b)
	for _, l := range c.legs {
		if l.Leg.Done() {
			continue
		}
		leg := snapshot.Leg{
			State: l.Leg.State(), Crypto: l.Crypto.State(), Confirmed: l.Confirmed,
			From: message.KeptAddr{AddrPort: l.senders.From}, Flow: l.wire.Flow(),
		}
		switch l {
		case c.a:
			leg.Role = snapshot.RoleCaller
		case agent:
			leg.Role = snapshot.RoleBridge
		}
		if l.senders.Callee != nil {
			leg.Target = l.senders.Callee.Dial.Name
		}
		k.Legs = append(k.Legs, leg)
	}
}

func (v *restoring) restoreLeg(k *snapshot.Leg) {
	h, p, caller := v.host, v.peers, k.State.UAS
	side, options, tls, settings := media.SideA, v.trunk.Options(p), v.trunk.CallerTLS(&h.CallerTLS), v.trunk.Caller.Media
	peer := &v.trunk.Caller.Peer
	var target *peers.Target
	var auth *config.Auth
	if !caller {
		if k.Role != snapshot.RoleCaller { // else it is the first party of a placed call
			side = media.SideB
		}
		target = v.target(k.Target)
		if target == nil {
			target = peers.NewReferred(k.Target, nil, "", &peers.Dial{})
		}
		peer = &target.Dial.Peer
		options, tls, auth, settings = target.Options(), &target.Dial.TLS, target.Dial.Auth, target.Dial.Media
	}
	var invite *sip.Request
	if !v.k.Invite.Settled {
		invite = v.invite
	}
	r := leg.Restore(time.Now(), h.legOptions(side, leg.Local{}, options), &k.State, invite, auth)
	if r.Done() {
		return
	}
	flow := h.Stack.RestoreFlow(&k.Flow, *tls)
	l := v.putOnWire(r.Leg, side, peer, tls, flow)
	l.Confirmed, l.Crypto = k.Confirmed, sdp.RestoreLegCrypto(settings, h.Bridges.Identity.Fingerprint(), &k.Crypto)
	l.senders = peers.Senders{Peers: p, Caller: v.trunk, Callee: target, From: k.From.AddrPort}
	if caller {
		l.senders.Shown = peers.CredentialsIn(v.invite)
		l.Branch, l.Merged = message.BranchOf(v.invite), v.trunk.MergeKey(v.invite)
	} else {
		v.ladder.Join(l.callID, l.Tag, k.Target, side == media.SideA)
	}
	v.waits = v.waits || r.Unanswered
	v.readmit(l, r, invite, flow)
	v.join(l)
	if r.Sending || r.Pending != nil {
		v.sending = append(v.sending, l)
	}
	switch k.Role {
	case snapshot.RoleCaller:
		v.a = l
	case snapshot.RoleBridge:
		v.b = l
	}
}

// readmit restores the transactions that a leg or its peer waits for.
func (v *restoring) readmit(l *LegOnWire, r leg.Restored, invite *sip.Request, flow *transport.Stream) {
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

// target returns the target with this name, or nil. It also finds a target that an agent has named in its REFER.
func (v *restoring) target(name string) *peers.Target {
	k := v.k.Attempts.Current
	if t := v.peers.CalleeNamed(name); t != nil || k == nil || k.Target != name || k.Agent == "" {
		return t
	}
	if agent := v.peers.CalleeNamed(k.Agent); agent != nil {
		return peers.NewReferred(name, nil, k.Transport, agent.Dial)
	}
	return nil
}

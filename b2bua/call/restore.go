package call

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file restores a call from an earlier process.

// Why a call of an earlier process can't continue.
var (
	ErrUnanswered = errors.New("the call was not answered yet")
	ErrGoneSocket = errors.New("its SIP address is not listened on any more")
	ErrNoLeg      = errors.New("a leg of it was over")
	errGoneTrunk  = errors.New("its trunk or target is not configured any more")
)

// Resume restores a call that was answered or placed, and starts it. sockets carry its media. replaces says that the
// old process is replaced by this one, and was not killed. It returns an error if the call can't continue.
func Resume(h *Host, k *snapshot.Call, l *record.Saved, sockets *media.Sockets, replaces bool) (err error) {
	p := h.Admission.Peers.Load()
	t, known := p.CallerNamed(k.Trunk)
	switch {
	case k.Times.Answered == 0 && !k.IsPlaced(), k.Ended != "":
		return ErrUnanswered
	case !known:
		return errGoneTrunk
	case k.Bridge.Session == nil: // a placed call whose first party had not answered
		return ErrUnanswered
	}
	if up, boot := h.Machine(); boot != 0 && !l.Alive.IsZero() {
		k.Bridge.Session.Died = up - time.Since(l.Alive)
	}
	v, err := restoreOrigin(h, k, t, p)
	if err != nil {
		return err
	}
	v.replaces = replaces
	defer func() {
		if err != nil {
			v.discard()
		}
	}()
	if err = v.check(); err == nil {
		err = v.restore(l, sockets)
	}
	if err != nil {
		return err
	}
	first := func(*Call) phase { return v.revived() }
	if replaces {
		first = func(*Call) phase { return v.handed() }
		v.checkpoint.write() // the journal of this process must have the call
	}
	own := peers.PartiesOf(&v.vars)
	var callee *peers.Target
	var parties peers.Parties
	if a := cmp.Or(v.connected, v.kept); a != nil && a.placed {
		callee, parties = a.target, a.parties
	}
	h.Admission.Resume(t, own, v.times.answered.IsZero(), callee, parties)
	v.start(first, true)
	return nil
}

// check returns the reason why a call can't continue, or nil if it can.
func (v *restoring) check() error {
	switch {
	case v.waits:
		return ErrUnanswered
	case v.a == nil || !v.k.IsPlaced() &&
		(v.b == nil && !v.k.Replacement.Rescues() || v.k.Attempts.Current == nil):
		return ErrNoLeg
	}
	for _, l := range v.legs {
		if !v.host.Stack.Bound(l.Leg.Local) {
			return ErrGoneSocket
		}
	}
	return nil
}

// End hangs up the legs of a call that does not continue, and writes the call's record.
func End(h *Host, k *snapshot.Call, l *record.Saved) error {
	p := h.Admission.Peers.Load()
	t, _ := p.CallerNamed(k.Trunk)
	v, err := restoreOrigin(h, k, t, p)
	if err != nil {
		return err
	}
	v.ladder.Discard()
	r := &l.Interrupted
	if v.waits && !l.Owed { // the caller has no final response, and is refused now
		r.EndedAt, r.SIPStatus, r.Q850 = record.TimeOf(time.Now()), 500, cause.Q850Of(500)
		r.AnsweredAt, r.SetupMS, r.DurationMS = record.Time{}, 0, 0
	}
	if !l.Owed && (v.waits || v.a != nil && !v.a.Leg.UAS && k.Bridge.Session == nil) {
		v.closeAttempt(r)
	}
	v.ladder, v.ended, v.finished = nil, &l.Interrupted, true
	v.why = cause.ProcessRestart
	if k.Ended != "" {
		v.why = cause.Cause(k.Ended)
	}
	v.checkpoint.saveOutstanding(v.checkpoint.writeOutstanding)
	if !l.Owed || len(v.legs) == 0 {
		h.KeepInterrupted(l)
	}
	v.start((*Call).closing, false)
	return nil
}

// closeAttempt adds to the record the unfinished attempt of a call that was not answered.
func (v *restoring) closeAttempt(r *record.Record) {
	k := v.k.Attempts.Current
	if k == nil {
		return
	}
	if target := v.target(k.Target); target != nil {
		a := restoreAttempt(k, target, v.b).recordOf(cause.ProcessRestart, 0)
		a.SIPCallID = r.TargetSIPCallID
		if k.Reason == record.ReasonCustomer {
			a.SIPCallID = r.SIPCallID
		}
		r.Attempts = append(r.Attempts, a)
	}
}

// Left is a call that an old process was setting up, until its INVITE is read here.
type Left struct {
	State  *snapshot.Call
	Record record.Record
	Media  bridge.RelaySession // the session whose address the caller knows; nil if there is none
}

// restart gives a call that restarts the state that its caller knows: the waiting time continues, the leg's answers
// follow the earlier answers, and the sound uses the same ports and keys. It must be called before the call starts.
func (c *Call) restart(left *Left) {
	k, r := left.State, &left.Record
	for _, p := range c.all() {
		_ = p.restore(k, r) // can't fail: what is restored does not depend on the configuration
	}
	c.record.RingingAt = r.RingingAt
	// The attempt that was in progress is made again.
	c.record.Attempts = slices.DeleteFunc(slices.Clone(r.Attempts),
		func(a record.Attempt) bool { return a.SIPCallID == "" })
	c.readmitted, c.hadPlace = true, k.Attempts.Current != nil && k.Attempts.Current.Placed
	for i := range k.Legs { // only the caller's leg is saved
		l := &k.Legs[i]
		c.a.Leg.ContinueFrom(&l.State)
		c.a.sequence.Next = max(c.a.sequence.Next, l.State.Dialog.RemoteSeq+1)
		c.a.Confirmed = c.a.Confirmed || l.Confirmed
		c.a.Crypto = sdp.RestoreLegCrypto(c.trunk.Caller.Media, c.host.Bridges.Identity.Fingerprint(), &l.Crypto)
	}
	c.bridge.Restart(&k.Bridge, left.Media)
	if left.Media != nil {
		c.progressSent = progressSent{ringing: true, earlyMedia: true}
	}
}

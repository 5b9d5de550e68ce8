package call

import (
	"encoding/json"
	"slices"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/store/record"
)

// restoreRecord restores the call's record so far. If the old process was killed, its recordings are marked as ended.
func (v *restoring) restoreRecord(r *record.Record) {
	v.record = recorded{record.LiveOf(r)}
	v.record.Restored = v.k.Restored
	if !v.replaces {
		v.record.Restored++
		var try record.Attempt
		if json.Unmarshal(v.k.Attempts.Beside, &try) == nil {
			v.record.Attempts = append(v.record.Attempts, try)
		}
		r.Killed()
		v.host.Bridges.Settle(r)
	}
	v.bridge.RestoreRecord(r)
}

// discard undoes the restoration of a call that can't continue.
func (v *restoring) discard() {
	v.bridge.Discard()
	for _, l := range v.legs {
		l.wire.Discard()
	}
	v.ladder.Discard()
}

// revived is the first turn of a call that continues after a crash. It refuses or repeats offers that had no answer,
// ends attempts that were not finished, and restarts activities that are not part of the media's state.
func (v *restoring) revived() phase {
	c := v.Call
	c.now = (*Call).bridged
	c.log.Info().Int("restored", c.record.Restored).Msg("call resumed")
	c.ladder.Decide("the process was ended, and another one goes on with the call")
	v.nameAgain()
	if r := c.replacements.takeOut(); r != nil && r.Waiting != nil {
		v.takeBack(r.Waiting)
	}
	for _, l := range v.sending {
		if l.Leg.Asks() {
			c.step(l, bridge.Rejection(500, leg.RetryAfter()))
		} else {
			c.bridge.Exchanges.Restore(&l.Half)
		}
	}
	v.abandonOthers()
	for _, p := range c.all() {
		if next := p.begin(v); next != nil {
			return next
		}
	}
	if c.finished {
		return (*Call).linger
	}
	v.bridge.GoOn()
	c.hasAgent()
	c.resumeAgent()
	c.asking.later(c)
	c.checkpoint.flush(true)
	return (*Call).bridged
}

// handed is the first turn of a call that another process has handed over.
func (v *restoring) handed() phase {
	c := v.Call
	c.ladder.Decide("the process was replaced, and another one goes on with the call")
	v.nameAgain()
	for _, p := range c.all() {
		if next := p.begin(v); next != nil {
			return next
		}
	}
	v.bridge.GoOn()
	c.checkpoint.flush(v.bridge.Settled() != nil) // true if a new recording has started, which the record must show
	c.hasAgent()
	c.resumeAgent()
	if !c.asking.at.IsZero() {
		c.asking.later(c)
	}
	return (*Call).bridged
}

// abandonOthers ends the legs of attempts that were not finished.
func (v *restoring) abandonOthers() {
	for _, l := range slices.Clone(v.legs) {
		if l != v.a && l != v.b {
			v.step(l, leg.Abandon{Why: cause.ProcessRestart})
			v.step(l, leg.Hangup{Why: cause.ProcessRestart})
		}
	}
}

// takeBack reconnects the caller and the agent that waited for its transfer. In the restored media, side B still
// belongs to the called party.
func (v *restoring) takeBack(k *snapshot.Waiting) {
	v.bridge.Media.Unplug()
	v.bridge.Plug(k.SentTo, sdp.RestoreDescription(&k.Description))
	if !slices.Contains(v.sending, v.b) {
		v.sending = append(v.sending, v.b)
	}
}

// nameAgain registers the ids by which hooks find the call.
func (v *restoring) nameAgain() {
	v.nameByIDs()
	v.name(v.record.TargetSIPCallID, registry.Given)
	v.name(v.record.SynthflowCallID, registry.Given)
	v.name(v.record.ExternalID, registry.Written)
}

// closing ends the legs of a call that does not continue. We don't know which of our responses the peers have missed,
// so it tries a refusal or CANCEL, and then BYE.
func (c *Call) closing() phase {
	c.enter("ending")
	c.hangupAll(c.why)
	if c.a != nil {
		c.checkpoint.saveRefusal()
	}
	return (*Call).linger
}

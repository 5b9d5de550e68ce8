package bridge

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
)

// Masking the keys that a caller presses, so that a card number reaches neither
// the platform nor a recording: routes[].mask_dtmf, and orders. The caller here is
// the side without the platform. Its keys are in RTP (media.Mask), in INFO, and in
// telephone-events that become INFO.

// Masking is the state of masking.
type Masking struct {
	bridge *Bridge
	snapshot.Masking
	applied bool // to the media session
}

func (m *Masking) save(k *snapshot.Masking) { *k = m.Masking }

// restore goes on with the masking of another process. Keys of before may come again.
func (m *Masking) restore(k *snapshot.Masking, open bool) {
	m.Masking, m.applied = *k, k.On && open
	if k.On || k.UpTo > 0 {
		m.bridge.Ladder.Mask(k.On)
	}
}

// Order begins or ends the masking of keys for an operator.
func (m *Masking) Order(on bool) error {
	switch mode := m.mode(); {
	case mode == config.WantedOff:
		return refused("keys of this route's calls are not masked", "write mask_dtmf: on_demand for the route")
	case mode == config.WantedAlways && !on:
		return refused("keys of this route's calls are always masked", "write mask_dtmf: on_demand for the route")
	}
	if on != m.On {
		m.set(on)
	}
	return nil
}

// mode is the route's mode; without a route nothing is masked.
func (m *Masking) mode() config.Wanted {
	if m.bridge.Call.Route() == nil {
		return config.WantedOff
	}
	return m.bridge.Call.Route().MaskDTMF
}

// set begins or ends the masking of keys.
func (m *Masking) set(on bool) {
	b := m.bridge
	m.On = on
	b.Ladder.Mask(on)
	m.apply()
	b.Log.Info().Bool("on", on).Msg("keys masked")
	b.Ladder.Decide("the caller's keys are masked: %t", on)
}

// SetIfWanted masks the keys if the route wants that for every call.
func (m *Masking) SetIfWanted() {
	if m.mode() == config.WantedAlways {
		m.set(true)
	}
}

// apply has the media session mask the keys in the caller's present formats.
func (m *Masking) apply() {
	b := m.bridge
	if b.Media.session == nil || (!m.On && !m.applied) {
		return
	}
	m.applied = true
	side := b.Platform().Other()
	mask := media.Mask{On: m.On, Always: !b.Agreement.SendsEvents(side)}
	for _, f := range b.Agreement.Sends(side) {
		switch {
		case f.Events():
			mask.Events.Add(f.Number)
		case f.Codec == sdp.PCMU:
			mask.ULaw.Add(f.Number)
		case f.Codec == sdp.PCMA:
			mask.ALaw.Add(f.Number)
		}
	}
	b.Media.session.SetMask(side, mask)
}

// isCaller says whether a leg is on the side whose keys are masked.
func (m *Masking) isCaller(l *Half) bool { return l.Side != m.bridge.Platform() }

// Note notes a request that came while keys were masked. Its key stays hidden,
// even if its turn comes later.
func (m *Masking) Note(l *Half, req *sip.Request) {
	if m.On && m.isCaller(l) {
		m.UpTo = max(m.UpTo, req.CSeq().SeqNo)
	}
}

// HidesKey says whether a request of the caller may reveal a masked key: an INFO with
// any body.
func (m *Masking) HidesKey(from *Half, req *sip.Request) bool {
	return req.Method == sip.INFO && m.isCaller(from) && (m.On || req.CSeq().SeqNo <= m.UpTo) && len(req.Body()) > 0
}

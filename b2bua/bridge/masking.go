package bridge

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
)

// This file masks the keys that a caller presses, so that a card number reaches neither the platform
// nor a recording. routes[].mask_dtmf or an operator's command starts it. The caller here means the
// side without the platform. Keys are hidden in RTP (media.Mask), in INFO, and in telephone-events
// that become INFO.

// Masking is the state of key masking: whether it is on, and which requests stay masked.
type Masking struct {
	idle
	snapshot.Masking
	applied bool // the media session has the mask
}

// maskSession has the methods of the media session that Masking uses.
type maskSession interface {
	SetMask(media.Side, media.Mask)
}

func (m *Masking) save(k *snapshot.Sheet)       { k.Bridge.Masking = m.Masking }
func (m *Masking) show(live *registry.LiveCall) { live.Masked = m.On }

// restore continues the masking of an old process. Requests with keys that the old process handled
// may be retransmitted, and stay masked.
func (m *Masking) restore(k *snapshot.Bridge) {
	m.Masking, m.applied = k.Masking, k.Masking.On && m.bridge.Media.session != nil
	if m.On || m.UpTo > 0 {
		m.bridge.Ladder.Mask(m.On)
	}
}

func (m *Masking) on(e Event) (handled bool) {
	switch e := e.(type) {
	case Routed:
		if m.mode() == config.WantedAlways {
			m.set(true)
		}
	case describing:
		m.apply()
	case media.EventDigit:
		return m.On && e.Side != m.bridge.Platform()
	}
	return false
}

// obey starts or stops masking for an operator, unless the route forbids it.
func (m *Masking) obey(o Order) (handled bool, err error) {
	on := o == OrderMask
	switch mode := m.mode(); {
	case o != OrderMask && o != OrderUnmask:
		return false, nil
	case mode == config.WantedOff:
		return true, refused("keys of this route's calls are not masked", "write mask_dtmf: on_demand for the route")
	case mode == config.WantedAlways && !on:
		return true, refused("keys of this route's calls are always masked", "write mask_dtmf: on_demand for the route")
	case on != m.On:
		m.set(on)
	}
	return true, nil
}

// mode returns the route's mask_dtmf. Without a route, keys are not masked.
func (m *Masking) mode() config.Wanted {
	if m.bridge.Call.Route() == nil {
		return config.WantedOff
	}
	return m.bridge.Call.Route().MaskDTMF
}

// set starts or stops masking.
func (m *Masking) set(on bool) {
	b := m.bridge
	m.On = on
	b.Ladder.Mask(on)
	m.apply()
	b.Log.Info().Bool("on", on).Msg("keys masked")
	b.Ladder.Decide("the caller's keys are masked: %t", on)
}

// apply tells the media session which payload types of the caller to mask.
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

// isCaller reports whether a leg is on the side without the platform, whose keys may be masked.
func (m *Masking) isCaller(l *Half) bool { return l.Side != m.bridge.Platform() }

// came notes the number of a request that arrives during masking. Its key stays hidden even if the
// request is handled after masking has ended.
func (m *Masking) came(l *Half, req *sip.Request) {
	if m.On && m.isCaller(l) {
		m.UpTo = max(m.UpTo, req.CSeq().SeqNo)
	}
}

// asked answers, instead of passing on, each INFO of the caller that may contain a masked key: any
// INFO with a body.
func (m *Masking) asked(from *Half, req *sip.Request) (handled bool) {
	handled = req.Method == sip.INFO && m.isCaller(from) && (m.On || req.CSeq().SeqNo <= m.UpTo) && len(req.Body()) > 0
	if handled {
		m.bridge.Reply(from, req, 200)
	}
	return handled
}

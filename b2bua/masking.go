package b2bua

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/media"
)

// Masking the keys that a caller presses, so that a card number reaches neither
// the platform nor a recording: routes[].mask_dtmf, and orders. The caller here is
// the side without the platform. Its keys are in RTP (media.Mask), in INFO, and in
// telephone-events that become INFO.

// masking is the state of masking.
type masking struct {
	call    *Call
	on      bool
	applied bool   // to the media session
	upTo    uint32 // CSeq of the caller's last request that came while keys were masked
}

func (m *masking) order(on bool) error {
	switch mode := m.mode(); {
	case mode == config.WantedOff:
		return &OrderError{"keys of this route's calls are not masked", "write mask_dtmf: on_demand for the route"}
	case mode == config.WantedAlways && !on:
		return &OrderError{"keys of this route's calls are always masked", "write mask_dtmf: on_demand for the route"}
	}
	if on != m.on {
		m.set(on)
	}
	return nil
}

// mode is the route's mode; without a route nothing is masked.
func (m *masking) mode() config.Wanted {
	if m.call.route == nil {
		return config.WantedOff
	}
	return m.call.route.MaskDTMF
}

// set begins or ends the masking of keys.
func (m *masking) set(on bool) {
	c := m.call
	m.on = on
	c.ladder.Mask(on)
	m.apply()
	c.log.Info().Bool("on", on).Msg("keys masked")
	c.ladder.Decide("the caller's keys are masked: %t", on)
}

// setIfWanted masks the keys if the route wants that for every call.
func (m *masking) setIfWanted() {
	if m.mode() == config.WantedAlways {
		m.set(true)
	}
}

// apply has the media session mask the keys in the caller's present formats.
func (m *masking) apply() {
	c := m.call
	if c.media.session == nil || (!m.on && !m.applied) {
		return
	}
	m.applied = true
	side := c.platform().Other()
	mask := media.Mask{On: m.on, Always: !c.agreement.SendsEvents(side)}
	for _, f := range c.agreement.Sends(side) {
		switch {
		case f.Events():
			mask.Events.Add(f.Number)
		case f.Codec == sdp.PCMU:
			mask.ULaw.Add(f.Number)
		case f.Codec == sdp.PCMA:
			mask.ALaw.Add(f.Number)
		}
	}
	c.media.session.SetMask(side, mask)
}

// isCaller says whether a leg is on the side whose keys are masked.
func (m *masking) isCaller(l *legOnWire) bool { return m.call.side(l) != m.call.platform() }

// note notes a request that came while keys were masked. Its key stays hidden,
// even if its turn comes later.
func (m *masking) note(l *legOnWire, req *sip.Request) {
	if m.on && m.isCaller(l) {
		m.upTo = max(m.upTo, req.CSeq().SeqNo)
	}
}

// hidesKey says whether a request of the caller may reveal a masked key: an INFO with
// any body.
func (m *masking) hidesKey(from *legOnWire, req *sip.Request) bool {
	return req.Method == sip.INFO && m.isCaller(from) && (m.on || req.CSeq().SeqNo <= m.upTo) && len(req.Body()) > 0
}

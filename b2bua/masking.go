package b2bua

import (
	"strings"

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
	on      bool
	applied bool   // to the media session
	upTo    uint32 // CSeq of the caller's last request that came while keys were masked
}

func (c *Call) orderedToMask(on bool) error {
	switch mode := c.maskMode(); {
	case mode == config.WantedOff:
		return &OrderError{"keys of this route's calls are not masked", "write mask_dtmf: on_demand for the route"}
	case mode == config.WantedAlways && !on:
		return &OrderError{"keys of this route's calls are always masked", "write mask_dtmf: on_demand for the route"}
	}
	if on != c.masking.on {
		c.mask(on)
	}
	return nil
}

// maskMode is the route's mode; without a route nothing is masked.
func (c *Call) maskMode() config.Wanted {
	if c.route == nil {
		return config.WantedOff
	}
	return c.route.MaskDTMF
}

// mask begins or ends the masking of keys.
func (c *Call) mask(on bool) {
	c.masking.on = on
	c.ladder.Mask(on)
	c.applyMask()
	c.log.Info().Bool("on", on).Msg("keys masked")
	c.ladder.Decide("the caller's keys are masked: %t", on)
}

// maskIfWanted masks the keys if the route wants that for every call.
func (c *Call) maskIfWanted() {
	if c.maskMode() == config.WantedAlways {
		c.mask(true)
	}
}

// applyMask has the media session mask the keys in the caller's present formats.
func (c *Call) applyMask() {
	if c.media.session == nil || (!c.masking.on && !c.masking.applied) {
		return
	}
	c.masking.applied = true
	side := c.platform().Other()
	m := media.Mask{On: c.masking.on, Always: !c.agreement.SendsEvents(side)}
	for _, f := range c.agreement.Sends(side) {
		switch {
		case f.Events():
			m.Events.Add(f.Number)
		case f.Codec == sdp.PCMU:
			m.ULaw.Add(f.Number)
		case f.Codec == sdp.PCMA:
			m.ALaw.Add(f.Number)
		}
	}
	c.media.session.SetMask(side, m)
}

// isCaller says whether a leg is on the side whose keys are masked.
func (c *Call) isCaller(l *legOnWire) bool { return c.side(l) != c.platform() }

// noteMasked notes a request that came while keys were masked. Its key stays hidden,
// even if its turn comes later.
func (c *Call) noteMasked(l *legOnWire, req *sip.Request) {
	if c.masking.on && c.isCaller(l) {
		c.masking.upTo = max(c.masking.upTo, req.CSeq().SeqNo)
	}
}

// hidesKey says whether a request of the caller may reveal a masked key: an INFO with
// any body, or a report of keys (RFC 4730).
func (c *Call) hidesKey(from *legOnWire, req *sip.Request) bool {
	if !c.isCaller(from) || (!c.masking.on && req.CSeq().SeqNo > c.masking.upTo) || len(req.Body()) == 0 {
		return false
	}
	return req.Method == sip.INFO || strings.Contains(strings.ToLower(contentOf(req).ContentType), "kpml")
}

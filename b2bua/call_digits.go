package b2bua

import (
	"slices"
	"strconv"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
	"flowbridge/media"
)

// DTMF that one side sends as INFO and the other wants as telephone-events (RFC
// 4733), or the other way round: targets[].dtmf.

// platform is the side of the media that the platform is on.
func (c *Call) platform() media.Side {
	if c.trunk.caller != nil {
		return media.SideA
	}
	return media.SideB
}

// eventsFor is the side that has telephone-events which end here, whatever the
// other one has, in a call to this target; -1: none.
func (c *Call) eventsFor(t *target) media.Side {
	mode := t.cfg.DTMF
	if c.trunk.caller != nil {
		mode = c.trunk.caller.DTMF
	}
	switch mode {
	case config.DTMFRFC4733:
		return c.platform()
	case config.DTMFInfo:
		return c.platform().Other()
	case config.DTMFRelay:
	}
	return -1
}

// takesDigit takes a digit out of an INFO where the other side wants it as
// telephone-events, and can have that.
func (c *Call) takesDigit(from *legOnWire, req *sip.Request) bool {
	mode := c.policy().DTMF
	toPlatform := c.side(from) != c.platform()
	if (mode != config.DTMFRFC4733 || !toPlatform) && (mode != config.DTMFInfo || toPlatform) {
		return false
	}
	content := contentOf(req)
	digit, duration, ok := parseDTMFInfo(content.ContentType, content.Body)
	if !ok {
		return false
	}
	side := c.side(from).Other()
	number, clock, ok := c.events(side)
	if !ok {
		return false
	}
	err := c.session.SendDigit(side, media.Digit{Digit: digit, Duration: duration, PayloadType: number, ClockRate: clock})
	if err != nil {
		c.peerLog.Warn().Err(err).Stringer("side", side).Msg("digit not sent")
		c.reply(from, req, 480)
		return true
	}
	c.reply(from, req, 200)
	return true
}

// events are the telephone-events that a side wants: payload type and clock.
func (c *Call) events(side media.Side) (number uint8, clock uint32, ok bool) {
	d := c.description[side]
	if d == nil {
		return 0, 0, false
	}
	_, speech := d.speech()
	return eventsAmong(d.formats(), speech)
}

// eventsAmong are the telephone-events among formats, rather those of the clock
// of speech.
func eventsAmong(formats []format, speech uint32) (number uint8, clock uint32, ok bool) {
	for _, f := range formats {
		n, valid := decimal(f.number, 127)
		if !valid || !f.events() || (ok && f.clock != speech) {
			continue
		}
		number, clock, ok = uint8(n), f.clock, true
	}
	return number, clock, ok
}

// listenForDigits has the caller's telephone-events reported, and kept, where
// the platform wants them as INFO.
func (c *Call) listenForDigits() {
	side := c.platform().Other()
	number, clock, ok := eventsAmong(c.sentTo[side], c.codec[side].clock)
	on := ok && c.policy().DTMF == config.DTMFInfo
	if !on && !c.listening {
		return
	}
	c.listening = on
	c.session.SetTelephoneEvents(side, media.TelephoneEvents{On: on, PayloadType: number, ClockRate: clock, Divert: on})
}

// onKeyed gives the platform a digit as INFO.
func (c *Call) onKeyed(f Keyed) {
	to := c.a
	if c.platform() == media.SideB {
		to = c.b
	}
	if to == nil || f.Side == c.platform() || c.masked {
		return
	}
	content := Content{}
	content.ContentType, content.Body = dtmfInfo(f.Digit, f.Duration)
	c.step(to, Send{Method: sip.INFO, Content: content})
}

// withEvents is a description that has telephone-events besides: those of
// another one, or of our own choosing.
func (d *description) withEvents(other *description) *description {
	for _, f := range d.media().MediaName.Formats {
		if isEvents(d.codec(f)) {
			return d
		}
	}
	number, mapping := strconv.Itoa(eventsPayload), "telephone-event/8000"
	if other != nil {
		i := slices.IndexFunc(other.media().MediaName.Formats, func(f string) bool { return isEvents(other.codec(f)) })
		if i < 0 {
			return d
		}
		number = other.media().MediaName.Formats[i]
		mapping = other.rtpmap(number)
	}
	if slices.Contains(d.media().MediaName.Formats, number) {
		return d
	}
	return d.with(number, mapping, "0-15")
}

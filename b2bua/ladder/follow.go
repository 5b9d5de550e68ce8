package ladder

import (
	"net/netip"
	"time"

	"flowbridge/media"
)

// Follower gets each SIP message of each call. Messages from before the call was
// known follow as soon as it is. A Follower must neither block nor keep the text.
// The messages of one call come one at a time.
type Follower interface{ Message(m Followed) }

// Followed is a SIP message of a call.
type Followed struct {
	Call          string // Flowbridge's id
	Caller        bool   // on the caller's leg; false means on a leg to a target
	At            time.Time
	Received      bool // false means sent
	Transport     string
	Local, Remote netip.AddrPort
	Text          []byte // the full text, with secrets hidden
}

// MediaFollower is a Follower that also gets the figures of calls' media, every five
// seconds and at the end. It must not block.
type MediaFollower interface{ Media(m Measured) }

// Measured holds the figures of a call's media so far.
type Measured struct {
	Call  string // Flowbridge's id
	At    time.Time
	Local [2]netip.AddrPort // our RTP addresses by media.Side; invalid if not known
	Stats media.Stats
}

// follow passes a message to the followers.
func (c *Call) follow(e entry, at ends) {
	m := Followed{
		Call: c.id, Caller: e.lane == laneCaller, At: c.begin.Add(e.at), Received: e.received,
		Transport: at.transport, Local: at.local, Remote: at.remote, Text: e.text,
	}
	for _, f := range c.of.Followers {
		f.Message(m)
	}
}

// measured passes the media's figures to the followers. c.mu is held.
func (c *Call) measured(now time.Time, s media.Stats) {
	for _, f := range c.of.Followers {
		follower, ok := f.(MediaFollower)
		if !ok {
			continue
		}
		m := Measured{Call: c.id, At: now, Stats: s}
		if at, ok := c.figures.(interface {
			Local(side media.Side) netip.AddrPort
		}); ok {
			m.Local = [2]netip.AddrPort{at.Local(media.SideA), at.Local(media.SideB)}
		}
		follower.Media(m)
	}
}

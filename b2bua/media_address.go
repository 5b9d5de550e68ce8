package b2bua

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"flowbridge/config"
	"flowbridge/media"
)

var (
	// errNoFamily means that media can't be carried to a peer: no address in
	// media.listen is of its address family.
	errNoFamily = errors.New("no media address of the address family")

	// errBound means that a target names an address for its media, and the
	// call's is bound to another one: the caller has its answer.
	errBound = errors.New("the media of the call is bound to another address")
)

// mediaAddr is where media toward and from a peer is bound, and what it is
// called in SDP. wanted is the address that its configuration names, if any; one
// of the other address family is no use to it.
func (s *Server) mediaAddr(peer, wanted netip.Addr) (bind, name netip.Addr, err error) {
	for _, l := range s.cfg.Media.Listen {
		if l.Addr.Is4() == peer.Is4() && (l.Addr == wanted || !wanted.IsValid() || wanted.Is4() != peer.Is4()) {
			name, err = s.mediaName(l.Addr, peer)
			return l.Addr, name, err
		}
	}
	return bind, name, fmt.Errorf("%w, of %v", errNoFamily, peer)
}

// mediaName is what a bound media address is called toward a peer.
func (s *Server) mediaName(bind, peer netip.Addr) (netip.Addr, error) {
	if bind.Is4() != peer.Is4() {
		return netip.Addr{}, fmt.Errorf("%w, of %v", errNoFamily, peer)
	}
	public := s.cfg.Media.Advertise
	at := slices.IndexFunc(s.cfg.Media.Listen, func(l config.MediaListener) bool { return l.Addr == bind })
	if at >= 0 && s.cfg.Media.Listen[at].Advertise.IsValid() {
		public = s.cfg.Media.Listen[at].Advertise.String()
	}
	if s.stack.IsAdvertised(public, peer) {
		return netip.ParseAddr(public)
	}
	if bind.IsUnspecified() {
		return s.stack.SourceToward(peer)
	}
	return bind, nil
}

// mediaToward sees to it that media can flow to a target: where it needs
// another address of ours than was thought, ports of that are leased, unless
// the carrier has been told ours already.
func (c *Call) mediaToward(target netip.Addr) error {
	wanted := c.attempts.current.target.Dial.Media.Address
	if c.media.session == nil {
		return c.reopenMedia(target, wanted)
	}
	bound := c.media.session.Local(media.SideB).Addr()
	bind, name, err := c.server.mediaAddr(target, wanted)
	switch {
	case err != nil:
		return err
	case bind == bound:
	case c.agreement.answer == nil:
		c.media.session.Close()
		c.media.session = nil
		return c.reopenMedia(target, wanted)
	case bind == wanted:
		return fmt.Errorf("%w, not to %v", errBound, wanted)
	default: // it is as good as the default
		if name, err = c.server.mediaName(bound, target); err != nil {
			return err
		}
	}
	c.attempts.current.mediaName = name
	return nil
}

func (c *Call) reopenMedia(target, wanted netip.Addr) error {
	err := c.openMedia(target, wanted)
	c.attempts.current.mediaName = c.media.addr[media.SideB]
	return err
}

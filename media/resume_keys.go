package media

import (
	"slices"
	"time"

	"flowbridge/media/stream"
)

// crypto returns the last Crypto set for a side, or nil if none was set.
func (st *SessionState) crypto(side Side) *Crypto {
	if c := st.Sides[side].Crypto; c != nil {
		return c
	}
	if c := st.inUse(side); c != (Crypto{}) {
		return &c
	}
	return nil
}

// inUse returns the keys in use for a side.
func (st *SessionState) inUse(side Side) (c Crypto) {
	for i := range st.Keys {
		switch k := &st.Keys[i]; {
		case k.Side != side:
		case k.Use == keyReceive:
			c.Receive = &k.Keys
		case k.Use == keySend:
			c.Send = &k.Keys
		}
	}
	return c
}

// secure creates the SRTP state of both sides, with the packet numbers that may be used.
func (st *SessionState) secure(now, epoch time.Duration) (all [2]secure, err error) {
	c := stream.Clock{Now: now, Epoch: epoch}
	for i := range st.Keys {
		k := &st.Keys[i]
		if k.Side != SideA && k.Side != SideB {
			return all, errState
		}
		if err := k.check(); err != nil {
			return all, err
		}
		s := &all[k.Side]
		switch k.Use {
		case keyReceive:
			s.in, err = k.opener(st.Exact)
		case keyReceiveFormer:
			s.former, err = k.opener(st.Exact)
			s.formerUntil = never
			if k.Until != 0 {
				s.formerUntil = c.Until(k.Until, formerKeysFor)
			}
		case keySend:
			s.out, err = k.sealer(st)
		case keySendEarlier:
			s.earlier, err = k.sealer(st)
		default:
			return all, errState
		}
		if err != nil {
			return all, err
		}
	}
	for i := range all {
		s := &all[i]
		if s.in == nil {
			s.former = nil
		} else if s.former != nil {
			s.in.before = s.former.streams
		}
		if c := st.Sides[i].Crypto; c != nil {
			change, err := c.change()
			if err != nil {
				return all, err
			}
			if change.out != nil {
				change.out.reserve = st.reserve()
			}
			s.set(change)
		}
	}
	return all, nil
}

// reserve returns the reserve for the sealers of a resumed session.
func (st *SessionState) reserve() reserve {
	if st.Exact {
		return reserve{kept: st.Kept, paused: st.Paused, resumed: st.Resumed}
	}
	return reserve{kept: true, paused: true, resumed: min(st.Resumed, resumptionsMost) + 1}
}

// check reports an error if the packet numbers are impossible.
func (k *keyState) check() error {
	if err := k.Keys.check(); err != nil {
		return err
	}
	exceeds := func(all []numberState, end, reserved uint64) bool {
		return len(all) > maxSources || slices.ContainsFunc(all, func(n numberState) bool {
			return n.Top >= end-reserved || n.Bound > n.Top+reserved
		})
	}
	if exceeds(k.Streams, 1<<48, reservedRTP) || exceeds(k.Reports, srtcpEncrypted, reservedRTCP) {
		return errState
	}
	return nil
}

// opener creates an opener that knows the received numbers. A killed process may have received more after the state, so
// the opener accepts only numbers above the first one that arrives.
func (k *keyState) opener(exact bool) (*opener, error) {
	ctx, err := k.Keys.context()
	if err != nil {
		return nil, err
	}
	o := newOpener(k.Keys, ctx)
	fill := func(to map[uint32]*window, from []numberState) {
		for _, n := range from {
			w := &window{top: n.Top, seen: n.Seen, blind: n.Blind}
			if !exact {
				w.seen, w.blind = ^uint64(0), true
			}
			to[n.SSRC] = w
		}
	}
	fill(o.streams, k.Streams)
	fill(o.reports, k.Reports)
	return o, nil
}

// sealer creates a sealer that knows the sent numbers. Numbers sent after the state are within the state's reservation.
func (k *keyState) sealer(st *SessionState) (*sealer, error) {
	ctx, err := k.Keys.context()
	if err != nil {
		return nil, err
	}
	s := newSealer(k.Keys, ctx)
	s.reserve = st.reserve()
	for _, n := range k.Streams {
		is := &numbers{window: window{top: n.Top, seen: n.Seen}, bound: n.Bound, shift: n.Shift, follow: n.Blind}
		if !st.Exact {
			is.window, is.follow = window{top: n.Top + reservedRTP, seen: ^uint64(0)}, true
		}
		s.streams[n.SSRC] = is
	}
	for _, n := range k.Reports {
		index := n.Top
		if !st.Exact {
			index += reservedRTCP
		}
		ctx.SetIndex(n.SSRC, uint32(index))
		s.reports[n.SSRC] = n.Bound
	}
	return s, nil
}

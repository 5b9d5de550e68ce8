package b2bua

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/kept"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// The calls that a replaced process was setting up, and that begin again with the caller's INVITE.

// begun is a call that the old process was setting up, until its INVITE comes again.
type begun struct {
	record record.Record
	noted  *kept.Call
	invite []byte              // as the old process has given it
	media  bridge.RelaySession // the caller has its description; nil: it has none
}

// beginsAgain returns the call that the old process was setting up for this very INVITE, or nil. The whole INVITE
// counts: its To tag alone could be that of another one from the same address.
func (su *successor) beginsAgain(req *sip.Request) *begun {
	v, is := su.again.Load(message.TagOf(req.To().Params))
	if !is {
		return nil
	}
	b := v.(*begun)
	if message.ParseSource(req.Source()) != b.noted.Source.AddrPort || !bytes.Equal(transport.AsItCame(req), b.invite) {
		return nil
	}
	return b
}

// trunkOf returns the trunk whose INVITE begins again, or nil. It has shown its credentials to the old process, with a
// nonce that is too old by now.
func (su *successor) trunkOf(b *begun) (*peers.Snapshot, *peers.Trunk) {
	if b == nil {
		return nil, nil
	}
	p := su.server.admission.Peers.Load()
	if t, known := p.CallerNamed(b.noted.Trunk); known {
		return p, t
	}
	return nil, nil // the trunk is gone: the INVITE is judged as any other
}

// toBegin takes up a call that is to begin again, with its media.
func (su *successor) toBegin(h *kept.Handed) (err error) {
	b := &begun{record: h.Record, invite: h.Again.Text}
	if b.noted, err = kept.DecodeNow(h.Noted, su.server.machine); err != nil {
		return err
	}
	if h.Sockets != nil && b.noted.Media != nil {
		b.media, err = su.server.bridges.Relay.Resume(media.SessionConfig{Sockets: h.Sockets, OnEvent: func(e media.Event) {
			if l := su.server.registry.Leg(h.Tag); l != nil {
				l.call.bridge.Media.On(e)
			}
		}}, *b.noted.Media)
	}
	if err == nil {
		su.again.Store(h.Tag, b)
	}
	return err
}

// notBegun ends the media of a call that does not begin again, and writes its record: it is refused.
func (su *successor) notBegun(b *begun) {
	if b.media != nil {
		b.media.Close()
	}
	su.keepInterrupted(&record.Left{Interrupted: b.record.Interrupted(time.Now())})
}

// goOn has a call that begins again know what its caller was told: the waiting time counts on, the leg's answers follow
// those before, and the sound has the ports and keys that the caller knows. The call has not begun.
func (b *begun) goOn(c *Call) {
	if b == nil {
		return
	}
	if c.record.Queued = time.Duration(b.record.QueuedMS) * time.Millisecond; c.record.Queued > 0 {
		c.vars.Queue.Seconds = strconv.Itoa(int(c.waited().Seconds()))
	}
	c.record.RingingAt = b.record.RingingAt
	// which is made again
	c.record.Attempts = slices.DeleteFunc(slices.Clone(b.record.Attempts),
		func(a record.Attempt) bool { return a.SIPCallID == "" })
	c.again, c.placed = true, b.noted.Placed
	for i := range b.noted.Legs { // the caller's
		k := &b.noted.Legs[i]
		c.a.Leg.Succeed(&k.State)
		c.a.sequence.Next = max(c.a.sequence.Next, k.State.Dialog.RemoteSeq+1)
		c.a.Confirmed = c.a.Confirmed || k.Confirmed
		c.a.Crypto = sdp.RestoreLegCrypto(c.trunk.Caller.Media, c.server.bridges.Identity.Fingerprint(), &k.Crypto)
	}
	c.bridge.BeginAgain(b.noted, b.media)
	if b.media != nil {
		c.told = toldCaller{ringing: true, earlyMedia: true, sound: b.noted.Voices[media.SideA] != nil}
	}
}

// Begun ends the calls that the old process was setting up, and whose INVITE has not come again. The stack serves.
func (s *Server) Begun() {
	s.successor.again.Range(func(tag, v any) bool {
		if _, is := s.successor.again.LoadAndDelete(tag); is {
			s.successor.notBegun(v.(*begun))
		}
		return true
	})
}

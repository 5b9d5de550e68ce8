package bridge

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// Relay opens the media sessions of calls.
type Relay interface {
	Open(c media.SessionConfig) (RelaySession, error)
	// Resume continues the session of another process, on the same ports.
	Resume(c media.SessionConfig, s media.SessionState) (RelaySession, error)
}

// mediaSession has the methods of the media session that every call uses.
type mediaSession interface {
	Local(media.Side) netip.AddrPort
	SetPeer(media.Side, media.Peer)
	Confirm(media.Side)
	SetPayloads(from media.Side, changes []media.PayloadChange)
	SetTap(t media.Tap)
	Start()
	Stats() media.Stats
	Quiet() media.Quiet
	Reported(to media.Side) (lost int64, reports uint64)
	State() media.SessionState
	Close() media.Stats
}

// Media is the media of a call: its session in the relay, and our addresses in SDP.
type Media struct {
	service
	snapshot.Media
	session RelaySession // nil if not open
	taps    []tapOf      // in the order in which their parts have set them
}

// tapOf is a tap that a part has set.
type tapOf struct {
	media.Tap
	part part
}

// tap gives the packets of the session to these taps, which replace the earlier ones of the same part.
func (m *Media) tap(of part, taps ...media.Tap) {
	m.taps = slices.DeleteFunc(m.taps, func(t tapOf) bool { return t.part == of })
	for _, t := range taps {
		m.taps = append(m.taps, tapOf{t, of})
	}
	if m.session == nil {
		return
	}
	all := make(media.Taps, 0, len(m.taps))
	for _, t := range m.taps {
		all = append(all, t.Tap)
	}
	switch len(all) {
	case 0:
		m.session.SetTap(nil)
	case 1:
		m.session.SetTap(all[0])
	default:
		m.session.SetTap(all)
	}
}

func (m *Media) save(k *snapshot.Sheet) {
	k.Bridge.Media = m.Media
	if m.session != nil {
		k.SetSession(m.session.State())
	}
}

// restore continues the media of another process, if its session is open.
func (m *Media) restore(k *snapshot.Bridge) {
	if m.session != nil {
		m.Media = k.Media
		m.bridge.Ladder.Watch(m.session)
	}
}

func (m *Media) begin() { m.changed(record.AfterRestart) }

func (m *Media) on(e Event) (handled bool) {
	switch e := e.(type) {
	case media.EventOneWay:
		m.onOneWay(e.Side)
	case media.EventHeard:
		m.onHeard(e.Side)
	case media.EventSideSilent:
		m.onSilence(e)
	case media.EventWithheld:
		m.onWithheld()
	case media.EventLatched:
		m.bridge.Log.Debug().Stringer("side", e.Side).Stringer("source", e.Source).Msg("media source learned")
	default:
		return false
	}
	return true
}

// handOver hands the media session over to another process, and writes its state into the sheet. It returns the
// session's sockets, or nil if the session has none to hand over.
func (m *Media) handOver(k *snapshot.Sheet) *media.Sockets {
	s, can := m.session.(interface {
		HandOver() (media.SessionState, media.Sockets)
	})
	if !can {
		return nil
	}
	state, all := s.HandOver()
	k.SetSession(state)
	return &all
}

// Open leases ports for both sides. Side B's ports have the address family of target, and the address wanted if that is
// valid.
func (m *Media) Open(target, wanted netip.Addr) error {
	b := m.bridge
	caller := b.Source.Addr()
	if d := b.Agreement.Offer; d != nil && d.RTP().IsValid() && d.RTP().Addr().Is4() != caller.Is4() {
		caller = d.RTP().Addr()
	}
	bindA, nameA, err := b.Address(caller, b.Trunk.Caller.Media.Address)
	if err != nil {
		return err
	}
	bindB, nameB, err := b.Address(target, wanted)
	if err != nil {
		return err
	}
	session, err := b.Relay.Open(media.SessionConfig{
		Addr: [2]netip.Addr{bindA, bindB}, OnEvent: m.On,
	})
	if err != nil {
		return err
	}
	m.session = session
	b.Ladder.Watch(session)
	m.Addr = [2]netip.Addr{nameA, nameB}
	return nil
}

// accept limits a side's streams to the address family of our media. Before the media is open, it allows the families
// of media.listen.
func (m *Media) accept(side media.Side, a sdp.Accept) sdp.Accept {
	if m.session != nil {
		a.NoIP6 = m.session.Local(side).Addr().Is4()
		a.NoIP4 = !a.NoIP6
		return a
	}
	listens := func(is4 bool) bool {
		return slices.ContainsFunc(m.bridge.Config.Listen, func(l config.MediaListener) bool { return l.Addr.Is4() == is4 })
	}
	a.NoIP4, a.NoIP6 = !listens(true), !listens(false)
	return a
}

// OpenToward opens the media of a placed call before any agent is called. customer is the address of the person called.
// The agent's side gets the address family of the agent's configuration, or else customer's. OpenToward returns our
// address for the SDP to customer.
func (m *Media) OpenToward(customer netip.AddrPort, agent *peers.Dial) (netip.Addr, error) {
	m.bridge.Source = customer
	if m.session != nil { // it was opened for another address of the customer
		m.session.Close()
		m.session = nil
	}
	wanted, toward := agent.Media.Address, agent.Media.Address
	if host, constant := agent.URI.ConstantHost(); constant && !toward.IsValid() {
		toward, _ = netip.ParseAddr(strings.Trim(message.ParseURI("sip:"+host).Host, "[]"))
	}
	err := errNoFamily
	if toward.IsValid() {
		err = m.Open(toward, wanted)
	}
	if errors.Is(err, errNoFamily) {
		err = m.Open(customer.Addr(), wanted)
	}
	return m.Addr[media.SideA], err
}

// On posts an event of the media session to the call's inbox.
func (m *Media) On(e media.Event) { m.bridge.Call.Post(e) }

// CauseOf returns the cause to record for an error of Open or Toward.
func CauseOf(err error) cause.Cause {
	if errors.Is(err, errNoFamily) || errors.Is(err, errBound) {
		return cause.TargetUnreachable
	}
	return cause.NoPorts
}

// SetPeer puts a side's description into force: the media gets the keys, the address and the payload types in it.
func (m *Media) SetPeer(side media.Side, d *sdp.Description) {
	b := m.bridge
	if err := b.Keying.secure(side, d); err != nil { // no media is better than media without SRTP
		b.Log.Error().Err(err).Stringer("side", side).Msg("SRTP keys not usable")
		m.session.SetPeer(side, media.Peer{})
		return
	}
	if before := b.Agreement.Description[side]; before != nil && before.RTP() != d.RTP() {
		b.Tell(cut{side})
	}
	b.Agreement.Description[side] = d
	b.Tell(describing{})
	if side == media.SideA {
		b.Agreement.Offer = d
	}
	h := b.Call.Half(side)
	peer := agreement.PeerOf(d, b.Agreement.Codec[side], h.Leg.Dialog().Source.Addr(), h.Peer.MediaSources,
		h.Peer.Media.Latch)
	peer.Unconfirmed, peer.ICE = !h.Confirmed, h.Crypto.Checks(d)
	peer.Mux = d.Muxes() && (d.OverDTLS() || b.Agreement.StreamOrder[side].Muxes()) // with DTLS, we also offer rtcp-mux
	for _, f := range b.Agreement.Sends(side) {
		switch {
		case f.Events():
			peer.Events.Add(f.Number)
		case f.Comfort():
			peer.Comfort = f.Number
		}
	}
	speaks, other := b.Agreement.Codec[side], b.Agreement.Description[side.Other()]
	peer.DTX = d.MayPause(speaks) || other != nil && other.MayPause(speaks)
	m.session.SetPeer(side, peer)
	b.Keying.shakeHands(side)
	for _, from := range []media.Side{media.SideA, media.SideB} {
		if changes, changed := b.Agreement.PayloadChanges(from); changed {
			m.session.SetPayloads(from, changes)
		}
	}
	b.Tell(described{})
}

// Confirm notes that our messages reach the peer of a leg, because the peer has sent a request within the dialog, with
// our tag. The request must come from the INVITE's address or from the trunk's networks; otherwise Confirm ignores it.
func (m *Media) Confirm(l *Half, from netip.Addr) {
	known := func(s config.Source) bool { return s.Contains(from) }
	if l.Confirmed || (from != l.Leg.Dialog().
		Source.Addr() && !slices.ContainsFunc(m.bridge.Trunk.Caller.Sources, known)) {
		return
	}
	l.Confirmed = true
	if m.session != nil {
		m.session.Confirm(l.Side)
	}
}

// IsOpen reports whether the media is open.
func (m *Media) IsOpen() bool { return m.session != nil }

// Start starts the checks for silence and one-way audio, once the call is answered.
func (m *Media) Start() { m.session.Start() }

// Stats returns the counts of the media so far, or zero if it is not open.
func (m *Media) Stats() (s media.Stats) {
	if m.session != nil {
		s = m.session.Stats()
	}
	return s
}

// Reported returns how many packets a side reports as lost so far, and how many reports there were.
func (m *Media) Reported(by media.Side) (lost int64, reports uint64) {
	if m.session == nil {
		return 0, 0
	}
	return m.session.Reported(by)
}

// Port returns our port on a side.
func (m *Media) Port(side media.Side) uint16 { return m.session.Local(side).Port() }

// Detach stops the media to and from a target that did not take the call, and forgets its description.
func (m *Media) Detach() {
	b := m.bridge
	if m.session == nil || b.Agreement.Description[media.SideB] == nil {
		return
	}
	m.Unplug()
	b.Agreement.Description[media.SideB], b.Agreement.SentTo[media.SideB] = nil, nil
	b.Tell(cut{media.SideB})
}

// at returns our RTP address on a side as SDP names it.
func (m *Media) at(side media.Side) netip.AddrPort {
	return netip.AddrPortFrom(m.Addr[side], m.Port(side))
}

var (
	// errNoFamily means that media can't reach a peer, because media.listen has no address
	// of its address family.
	errNoFamily = errors.New("no media address of the address family")

	// errBound means that a target needs a media address other than the one that the call's media is bound to, and that
	// the caller already has our answer.
	errBound = errors.New("the media of the call is bound to another address")
)

// Toward makes sure that media can flow to a target, and returns our address for the SDP to the target. wanted is the
// media address configured for the target, if any. If the target needs a different local address, Toward leases ports
// there. That is impossible once the caller has our answer: then Toward returns errBound if the target requires wanted,
// and otherwise keeps the current address if it suits the target.
func (m *Media) Toward(target, wanted netip.Addr) (netip.Addr, error) {
	b := m.bridge
	if m.session == nil {
		return m.reopen(target, wanted)
	}
	bound := m.session.Local(media.SideB).Addr()
	bind, name, err := b.Address(target, wanted)
	switch {
	case err != nil:
		return name, err
	case bind == bound:
	case b.Agreement.Answer == nil:
		m.session.Close()
		m.session = nil
		return m.reopen(target, wanted)
	case bind == wanted:
		return name, fmt.Errorf("%w, not to %v", errBound, wanted)
	default: // the current address will do
		return b.nameOf(bound, target)
	}
	return name, nil
}

func (m *Media) reopen(target, wanted netip.Addr) (netip.Addr, error) {
	err := m.Open(target, wanted)
	return m.Addr[media.SideB], err
}

// answering returns the transport parameters of the media stream in our answer to a leg's offer.
func (m *Media) answering(l *Half, offer *sdp.Description) sdp.StreamTransport {
	before := m.bridge.Agreement.Description[l.Side]
	return l.Crypto.Answering(offer, before != nil && before.RTP() != offer.RTP())
}

// Unplug stops the media to and from side B and removes side B's keys, because the peer's port may already belong to
// another call.
func (m *Media) Unplug() {
	m.session.SetPeer(media.SideB, media.Peer{})
	_ = m.session.SetCrypto(media.SideB, media.Crypto{}) // can't fail without keys
	m.bridge.Keying.secured[media.SideB] = secured{plain: true}
}

// Plug directs side B's media to a party with this description, which was offered these formats.
func (b *Bridge) Plug(offered []sdp.Format, d *sdp.Description) {
	b.Agreement.Suit(d)
	b.Agreement.SentTo[media.SideB] = offered
	b.Media.SetPeer(media.SideB, d)
}

// Replace connects the caller to another party on side B. answer is that party's answer to an offer of these formats.
// addr is our address in the SDP to that party.
func (b *Bridge) Replace(addr netip.Addr, offered []sdp.Format, answer *sdp.Description) {
	b.Media.changed(record.AfterTransfer)
	b.Media.Addr[media.SideB] = addr
	b.Agreement.StreamOrder[media.SideB], b.Agreement.Before = nil, [2]*agreement.Before{}
	b.Agreement.Former[media.SideB] = sdp.Codec{}
	b.Agreement.Tell(media.SideB, answer.Formats())
	b.Plug(offered, answer)
}

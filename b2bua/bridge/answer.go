package bridge

import (
	"errors"
	"fmt"
	"slices"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/media"
)

// BadOffer logs what is wrong with a side's unusable offer. It returns the status and the header to refuse the offer
// with, and the cause for the call's record.
func (b *Bridge) BadOffer(from media.Side, err error) (code int, why cause.Cause, header sip.Header) {
	b.PeerLog.Warn().Err(err).Stringer("side", from).Msg("offer not usable")
	b.Ladder.Decide("the offer of side %v can't be used: %v", from, err)
	is := func(kinds ...error) bool {
		return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
	}
	code, why = 488, cause.NoCommonCodec
	warns := "304 "
	switch {
	case is(sdp.ErrNoAddress, sdp.ErrMalformed, sdp.ErrTooLong):
		code, why, warns = 400, cause.BadOffer, "399 "
	case is(sdp.ErrNeedsSRTP, sdp.ErrNoSuite, sdp.ErrNoKey, sdp.ErrKeying, sdp.ErrNoPrint):
		why = cause.SRTPRequired
	case is(sdp.ErrNetwork):
		warns = "300 "
	case is(sdp.ErrFamily):
		warns = "301 "
	case is(sdp.ErrTCP):
		warns = "302 "
	case is(sdp.ErrNoCodec):
		warns = "305 "
	}
	return code, why, message.Warning(warns + err.Error())
}

// ReadAnswer parses a leg's answer to our offer of these formats. The result has only formats that we offered.
func (b *Bridge) ReadAnswer(from *Half, body []byte, offered []sdp.Format) (*sdp.Description, error) {
	if len(body) > message.MaxSDP {
		return nil, sdp.ErrTooLong
	}
	answer, err := sdp.Read(body, b.Media.accept(from.Side, from.Crypto.AcceptAnswer()))
	if err != nil {
		return nil, err
	}
	from.Crypto.Answered(answer)
	kept, err := answer.KeepOffered(offered)
	if err != nil {
		return nil, fmt.Errorf("%w: it answered %s; offered were %s", err,
			sdp.Speeches(answer.Formats()), sdp.Speeches(offered))
	}
	return kept, nil
}

// TakeOffer parses and stores the caller's offer, before any answer.
func (b *Bridge) TakeOffer(body []byte) error {
	offer, err := sdp.Read(body, b.Media.accept(media.SideA, b.Call.Half(media.SideA).Crypto.Accept()))
	if err == nil {
		b.Agreement.Offer, b.Agreement.Description[media.SideA] = offer, offer
	}
	return err
}

// TakeAnswer puts into force the answer of a target that was offered these formats. It makes our answer to the caller
// only if the caller has none yet, because our address, port and codec must not change during the set-up.
func (b *Bridge) TakeAnswer(t *peers.Target, answer *sdp.Description, offered []sdp.Format) error {
	if err := b.Agreement.Turn(answer); err != nil {
		return err
	}
	near := b.Agreement.Offer
	if b.Agreement.Answer != nil {
		near = b.Agreement.OnlyAgreedCodec(media.SideA, near)
	}
	seen := agreement.WithEventsOf(b.EventsFor(t), media.SideA, answer.InNumbersOf(near), b.Agreement.Offer)
	if b.Agreement.Answer != nil && seen.Speaks() != b.Agreement.Codec[media.SideA] {
		return sdp.ErrNoCodec
	}
	if b.Agreement.Answer == nil {
		b.tellCaller(seen)
	}
	b.TakeTarget(answer, offered)
	return nil
}

// TakeTarget puts into force, on side B only, the answer of a target that was offered these formats.
func (b *Bridge) TakeTarget(answer *sdp.Description, offered []sdp.Format) {
	b.Agreement.SentTo[media.SideB] = offered
	b.Agreement.Tell(media.SideB, answer.Formats())
	b.Media.SetPeer(media.SideB, answer)
}

// TakeCustomer applies the answer of the person called in a placed call. offered are the formats of our offer. Agents
// are then offered the codec that this person chose.
func (b *Bridge) TakeCustomer(body []byte, offered []sdp.Format) error {
	customer := b.Call.Half(media.SideA)
	answer, err := b.ReadAnswer(customer, body, offered)
	if err != nil {
		return err
	}
	b.Agreement.Late, b.Agreement.Answer = false, customer.Leg.Described()
	b.Agreement.Tell(media.SideA, answer.Formats())
	b.Media.SetPeer(media.SideA, answer)
	return nil
}

// tellCaller makes the SDP for the caller from the target's answer. The SDP is an answer, or, if the caller made no
// offer, an offer of the codec that the target chose.
func (b *Bridge) tellCaller(answer *sdp.Description) {
	a := b.Call.Half(media.SideA)
	if b.Agreement.Late {
		answer = b.Agreement.LateOffer(answer)
		formats := answer.Formats()
		b.Agreement.Answer = answer.ForTarget(b.Media.at(media.SideA), a.Crypto.Offering(), formats, sdp.SendRecv)
		b.Agreement.SentTo[media.SideA] = formats
		b.Agreement.Tell(media.SideA, formats)
		return
	}
	formats := answer.Common(b.Agreement.Offer) // leaves out telephone-events that only the target was offered
	b.Agreement.StreamOrder[media.SideA] = b.Agreement.Offer
	b.Agreement.SentTo[media.SideA] = formats
	b.Agreement.Tell(media.SideA, formats)
	b.Agreement.Answer = answer.Answering(b.Agreement.Offer, b.Media.at(media.SideA),
		b.Media.answering(a, b.Agreement.Offer), formats, b.Agreement.Offer.Mirrored())
	b.Media.SetPeer(media.SideA, b.Agreement.Offer)
}

// CauseOfAnswer returns the cause that is recorded for an attempt whose answer was unusable.
func CauseOfAnswer(err error) cause.Cause {
	if errors.Is(err, sdp.ErrNotSecured) {
		return cause.SRTPRefused
	}
	return agreement.CauseOf(err, cause.BadAnswer)
}

// CauseOfOffer returns the cause that is recorded for an attempt for which we could make no offer.
func CauseOfOffer(err error) cause.Cause { return agreement.CauseOf(err, cause.NoCommonCodec) }

// Platform returns the side that the platform is on.
func (b *Bridge) Platform() media.Side {
	if b.Trunk.Platform != nil {
		return media.SideA
	}
	return media.SideB
}

// EventsFor returns the side whose telephone-events are not relayed in a call to this target, because the other
// side's DTMF goes another way, or noSide if they are relayed.
func (b *Bridge) EventsFor(t *peers.Target) media.Side {
	mode := t.Dial.DTMF
	if b.Trunk.Platform != nil {
		mode = b.Trunk.Platform.DTMF
	}
	switch mode {
	case config.DTMFRFC4733:
		return b.Platform()
	case config.DTMFInfo:
		return b.Platform().Other()
	case config.DTMFRelay:
	}
	return noSide
}

// noSide means neither side A nor side B.
const noSide media.Side = -1

package bridge

import (
	"errors"
	"slices"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// BadOffer says how an unusable offer is refused.
func BadOffer(err error) (code int, why cause.Cause, header sip.Header) {
	if errors.Is(err, sdp.ErrNoAddress) {
		return 400, cause.BadOffer, message.Warning("399 " + sdp.ErrNoAddress.Error())
	}
	if errors.Is(err, sdp.ErrMalformed) || errors.Is(err, sdp.ErrTooLong) {
		return 400, cause.BadOffer, message.Warning("399 " + sdp.ErrMalformed.Error())
	}
	if slices.ContainsFunc([]error{sdp.ErrNeedsSRTP, sdp.ErrNoSuite, sdp.ErrNoKey, sdp.ErrKeying, sdp.ErrNoPrint},
		func(e error) bool { return errors.Is(err, e) }) {
		return 488, cause.SRTPRequired, message.Warning("304 " + err.Error())
	}
	if errors.Is(err, sdp.ErrNoCodec) {
		return 488, cause.NoCommonCodec, message.Warning("305 " + err.Error())
	}
	return 488, cause.NoCommonCodec, message.Warning("304 " + err.Error())
}

// TakeOffer takes the caller's offer, before any answer.
func (b *Bridge) TakeOffer(body []byte) error {
	offer, err := sdp.Read(body, b.Call.Half(media.SideA).Crypto.Accept())
	if err == nil {
		b.Agreement.Offer, b.Agreement.Description[media.SideA] = offer, offer
	}
	return err
}

// TakeAnswer puts the answer of a target that was offered these formats into force. The carrier's first answer stays:
// its address, port and codec don't change during the set-up.
func (b *Bridge) TakeAnswer(t *peers.Target, answer *sdp.Description, offered []sdp.Format) error {
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

// TakeTarget has side B speak as a target has answered that was offered these formats.
func (b *Bridge) TakeTarget(answer *sdp.Description, offered []sdp.Format) {
	b.Agreement.SentTo[media.SideB] = offered
	b.Agreement.Tell(media.SideB, answer.Formats())
	b.Media.SetPeer(media.SideB, answer)
}

// TakeCustomer takes a called customer's answer to an offer of these formats. Agents are offered the codec it chose.
func (b *Bridge) TakeCustomer(body []byte, offered []sdp.Format) error {
	customer := b.Call.Half(media.SideA)
	answer, err := customer.ReadAnswer(body, offered)
	if err != nil {
		return err
	}
	b.Agreement.Late, b.Agreement.Answer = false, customer.Leg.Described()
	b.Agreement.SentTo[media.SideA] = offered
	b.Agreement.Tell(media.SideA, answer.Formats())
	b.Media.SetPeer(media.SideA, answer)
	return nil
}

// tellCaller makes the caller's description from the target's answer: an answer, or,
// if the caller made no offer, an offer of the codec that the target chose.
func (b *Bridge) tellCaller(answer *sdp.Description) {
	a := b.Call.Half(media.SideA)
	if b.Agreement.Late {
		answer = answer.Decided()
		formats := answer.Formats()
		b.Agreement.Answer = answer.ForTarget(b.Media.at(media.SideA), a.Crypto.Offering(), formats, sdp.AsIs)
		b.Agreement.SentTo[media.SideA] = formats
		b.Agreement.Tell(media.SideA, formats)
		return
	}
	formats := answer.Common(b.Agreement.Offer) // it may have events that only the target was offered
	b.Agreement.TakeStreams(media.SideA, b.Agreement.Offer)
	b.Agreement.SentTo[media.SideA] = formats
	b.Agreement.Tell(media.SideA, formats)
	b.Agreement.Answer = answer.Answering(b.Agreement.Offer, b.Media.at(media.SideA),
		b.Media.answering(a, b.Agreement.Offer), formats, sdp.AsIs)
	b.Media.SetPeer(media.SideA, b.Agreement.Offer)
}

// CauseOfAnswer is the cause of an attempt with an unusable answer.
func CauseOfAnswer(err error) cause.Cause {
	if errors.Is(err, sdp.ErrNotSecured) {
		return cause.SRTPRefused
	}
	return cause.BadAnswer
}

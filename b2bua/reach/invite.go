package reach

import (
	"errors"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config/template"
)

// Invitation is what the INVITE of an attempt is made of, beside what was reached for it.
type Invitation struct {
	Target      *peers.Target
	Vars        template.Vars // of its templates, without the platform's answer
	In          outbound.Inbound
	Offer       []byte
	Options     leg.Options // of its leg
	CallID      string
	RingTimeout time.Duration  // how long the target may take for its final answer; 0: the call limits that
	TriedTCP    bool           // it is over the budget, and no connection can be opened
	RetryOf     *leg.Leg       // dialled at another address; nil: none
	OnResponse  func(code int) // is told of each answer
	// OnDropped is told of the headers that are left out, and of the size without that.
	OnDropped  func(headers []string, whole int)
	OnTooLarge func(err error) // is told that credentials do not fit
}

// Invite makes the leg of an attempt and the input for its INVITE. It sends nothing.
func (r *Reached) Invite(in *Invitation) (*leg.Leg, leg.Invite, cause.Cause, error) {
	t := in.Target.Dial
	vars := in.Vars
	vars.Prepare = r.Answer() // which shorten must not keep
	in.In.Extra = append(in.In.Extra, outbound.RouteField(r.Route)...)
	out, err := outbound.Build(t, r.URI, vars, in.In, in.Options.Local, in.Options.Peer, in.Offer)
	if err != nil {
		return nil, leg.Invite{}, cause.TemplateFailed, err
	}
	l := leg.NewUAC(in.Options, in.CallID, out.LocalParty, out.RemoteParty)
	out.Offer = l.Describe(out.Offer)
	if in.RetryOf != nil {
		l.RetryOf(in.RetryOf)
	}
	req, whole, err := out.Fit(t, l, r.Flow != nil, in.TriedTCP)
	if !errors.Is(err, outbound.ErrWantsTCP) {
		in.OnDropped(out.Dropped, whole) // also what can't be passed on
	}
	if err != nil {
		return nil, leg.Invite{}, cause.InviteTooLarge, err
	}
	invite := leg.Invite{
		Request: req, Offer: out.Offer, Dest: r.Dest, Transport: in.Options.Local.Transport,
		FirstResponse: r.Turn(t), RingTimeout: in.RingTimeout, Auth: t.Auth, OnResponse: in.OnResponse,
	}
	if r.Flow == nil {
		invite.Shorten = func(more int) (*sip.Request, bool) { return in.shorten(&out, l, more) }
	}
	return l, invite, cause.None, nil
}

// shorten makes an INVITE that is sent again over UDP small enough for so many bytes more, as leg.Invite.Shorten says.
func (in *Invitation) shorten(out *outbound.Draft, l *leg.Leg, more int) (req *sip.Request, fits bool) {
	req, whole, err := out.Shorten(in.Target.Dial, l, more)
	if req != nil || err != nil {
		in.OnDropped(out.Dropped, whole)
	}
	if err != nil {
		in.OnTooLarge(err)
	}
	return req, err == nil
}

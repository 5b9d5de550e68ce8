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

// Invitation holds the data for an attempt's INVITE that Reached does not have.
type Invitation struct {
	Target      *peers.Target
	Vars        template.Vars // variables for the target's templates, without the platform's answer
	In          outbound.Inbound
	Offer       []byte
	Options     leg.Options // options of its leg
	CallID      string
	RingTimeout time.Duration  // time limit for the final response; 0 means that only the call has a limit
	TriedTCP    bool           // the INVITE exceeds the budget, and no connection could be opened
	RetryOf     *leg.Leg       // the leg that failed at another address; nil if none did
	OnResponse  func(code int) // called with the status of each response
	// OnDropped is called with the headers that are left out, and with the INVITE's size before that.
	OnDropped  func(headers []string, whole int)
	OnTooLarge func(err error) // called if there is no room for credentials
}

// Invite creates the leg of an attempt, and the input that makes the leg send its INVITE. It sends nothing.
func (r *Reached) Invite(in *Invitation) (*leg.Leg, leg.Invite, cause.Cause, error) {
	t := in.Target.Dial
	vars := in.Vars
	vars.Prepare = r.Answer() // a copy, because shorten must not keep the answer in memory
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
		in.OnDropped(out.Dropped, whole) // also reports headers that can't be passed on
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

// shorten implements leg.Invite.Shorten: it makes an INVITE that is repeated over UDP small enough for more bytes.
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

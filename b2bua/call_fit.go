package b2bua

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/outbound"
	"flowbridge/config"
)

// fit makes an INVITE that is small enough and notes the headers that were left out, or
// returns errWantsTCP.
func (all *attempts) fit(out *outbound.Draft, l *leg.Leg, f ready) (*sip.Request, error) {
	a := all.current
	req := out.Request()
	size := func() int {
		req = out.Request()
		return l.InviteSize(req) + outbound.CredentialsSize(a.target.Dial)
	}
	whole := l.InviteSize(req) + outbound.CredentialsSize(a.target.Dial)
	var err error
	switch over := f.Flow == nil && outbound.OverBudget(a.target.Dial, out.Measure(whole)); {
	case over && a.target.Dial.Overflow == config.OverflowTCP && !f.TriedTCP:
		return nil, errWantsTCP
	case over:
		err = out.Trim(outbound.BudgetOf(a.target.Dial), size)
	}
	all.noteDropped(a, out, whole) // also what can't be passed on
	return req, err
}

// shorten makes an INVITE that is sent again over UDP small enough for so many bytes more,
// as leg.Invite.Shorten says.
func (all *attempts) shorten(a *attempt, out *outbound.Draft, l *leg.Leg, more int) (req *sip.Request, fits bool) {
	size := func() int { return l.InviteSize(out.Request()) + more }
	whole := size()
	if !outbound.OverBudget(a.target.Dial, out.Measure(whole)) {
		return nil, true
	}
	err := out.Trim(outbound.BudgetOf(a.target.Dial), size)
	all.noteDropped(a, out, whole)
	if err != nil {
		all.call.log.Warn().Err(err).Str("target", a.target.Dial.Name).Int("attempt", a.number).Msg("no room for credentials")
		return nil, false
	}
	return out.Request(), true
}

// noteDropped notes what was left out of an INVITE of this size.
func (all *attempts) noteDropped(a *attempt, out *outbound.Draft, whole int) {
	if len(out.Dropped) > len(a.dropped) {
		all.call.log.Warn().Str("target", a.target.Dial.Name).Int("attempt", a.number).Strs("headers", out.Dropped).
			Int("size", whole).Msg("headers left out")
	}
	a.dropped = out.Dropped
}

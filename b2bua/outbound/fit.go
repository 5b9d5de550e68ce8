package outbound

import (
	"errors"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// ErrWantsTCP means that an INVITE exceeds the target's UDP budget and should go over
// TCP.
var ErrWantsTCP = errors.New("INVITE is over the UDP budget and goes over TCP")

// Fit returns the INVITE of a leg to a target, small enough for its transport. stream says that the INVITE goes over
// a connection, and tried that no connection could be opened. o.Dropped lists what was left out, even after an
// error, except after ErrWantsTCP. whole is the size before anything was left out.
func (o *Draft) Fit(t *peers.Dial, l *leg.Leg, stream, tried bool) (req *sip.Request, whole int, err error) {
	req = o.Request()
	size := func() int {
		req = o.Request()
		return l.InviteSize(req) + CredentialsSize(t)
	}
	whole = l.InviteSize(req) + CredentialsSize(t)
	switch over := !stream && OverBudget(t, o.Measure(whole)); {
	case over && t.Overflow == config.OverflowTCP && !tried:
		return nil, whole, ErrWantsTCP
	case over:
		err = o.Trim(BudgetOf(t), size)
	}
	return req, whole, err
}

// Shorten makes an INVITE that is repeated over UDP so short that this many bytes can be added. It returns a nil
// request and no error if the INVITE is short enough as it is.
func (o *Draft) Shorten(t *peers.Dial, l *leg.Leg, more int) (req *sip.Request, whole int, err error) {
	size := func() int { return l.InviteSize(o.Request()) + more }
	whole = size()
	if !OverBudget(t, o.Measure(whole)) {
		return nil, whole, nil
	}
	if err = o.Trim(BudgetOf(t), size); err != nil {
		return nil, whole, err
	}
	return o.Request(), whole, nil
}

package redirected

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

var errNotAllowed = errors.New("not a number or host that may be called")

// Transfers reports whether a target may transfer its callers.
func (r *Calls) Transfers(target string) bool {
	t := r.server.Peers().Targets[target]
	return t != nil && t.Dial.Transfer != config.TransferRefuse && t.Dial.Transfer != ""
}

// Refer returns the party to which the dialling party should connect a caller, because the agent of this target has
// sent it a REFER. value is the REFER's Refer-To, or a number. The permitted destinations are those of a REFER to
// us: hosts in transfer_hosts, and numbers that transfer_numbers matches, which the dialling party calls itself.
func (r *Calls) Refer(target, value string) (to Destination, number string, err error) {
	if !r.Transfers(target) {
		return to, "", fmt.Errorf("%w: target %s has no transfer", errNotAllowed, target)
	}
	if !strings.Contains(value, ":") {
		value = "tel:" + value
	} else if !strings.Contains(value, "<") {
		value = "<" + value + ">" // so that headers belong to the URI
	}
	referral, err := message.ParseReferTo(value)
	if err != nil {
		return to, "", err
	}
	dial, uri := r.server.Peers().Targets[target].Dial, message.ParseURI(referral.URI)
	replaces := slices.ContainsFunc(referral.Headers, func(h message.HeaderLine) bool { return h.Name == "Replaces" })
	switch party := message.PartyOf("", &uri, ""); {
	case replaces:
		return to, "", fmt.Errorf("%w: Replaces", errNotAllowed)
	case peers.MayRefer(dial.TransferHosts, referral):
		if uri, _, err = peers.ReferredURI(referral); err != nil {
			return to, "", err
		}
		to.URI = uri.String()
		for _, h := range referral.Headers {
			to.Headers = append(to.Headers, peers.Variable{Name: h.Name, Value: h.Value})
		}
		return to, "", nil
	case party.Number == "" || !peers.Named(dial.TransferNumbers, party.Number):
		return to, "", errNotAllowed
	default:
		return to, party.Number, nil
	}
}

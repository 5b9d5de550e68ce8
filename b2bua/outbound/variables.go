package outbound

import (
	"maps"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
)

// SetVariables sets variables of a call, as headers X-NAME of the caller's INVITE, so that templates and pass_headers
// of later legs can read them. An empty value removes a variable. before has the variables that were set earlier, and
// change those to set. The result has the new INVITE and all variables that are set now. The limits of standIn apply.
// The error is a *PlaceError.
func SetVariables(invite message.HeaderText, before, change map[string]string) (_ message.HeaderText,
	set map[string]string, err error,
) {
	set = map[string]string{}
	maps.Copy(set, before)
	replaced := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(change)) {
		if !headerName.MatchString("X-" + name) {
			return "", nil, errHeader("X-" + name)
		}
		replaced["x-"+strings.ToLower(name)] = true
		maps.DeleteFunc(set, func(n, _ string) bool { return strings.EqualFold(n, name) })
		if value := strings.TrimSpace(change[name]); value != "" {
			set[name] = value
		}
	}
	var headers []peers.Variable
	for _, name := range slices.Sorted(maps.Keys(set)) {
		replaced["x-"+strings.ToLower(name)] = true
		headers = append(headers, peers.Variable{Name: "X-" + name, Value: set[name]})
	}
	if _, err = standIn("0", "0", headers); err != nil {
		return "", nil, err
	}
	came := invite.Request()
	all := slices.DeleteFunc(slices.Clone(came.Headers()), func(h sip.Header) bool {
		return replaced[strings.ToLower(h.Name())]
	})
	for _, h := range headers {
		all = append(all, sip.NewHeader(h.Name, h.Value))
	}
	req := &sip.Request{Method: sip.INVITE, Recipient: came.Recipient}
	message.SetHeaders(req, all...)
	if len(set) == 0 {
		set = nil
	}
	return message.HeaderTextOf(req), set, nil
}

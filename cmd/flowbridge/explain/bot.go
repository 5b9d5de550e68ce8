package explain

import (
	"context"
	"slices"
	"strings"

	"flowbridge/b2bua/peers"
	"flowbridge/cmd/flowbridge/check"
	"flowbridge/config"
)

// unsentBot records what a bot would be sent, and answers like the gateway.
type unsentBot struct {
	to *unsentAPI
	of *config.Target
}

// Prepare shows the request that opens the bot's socket, and the first two messages.
func (u *unsentBot) Prepare(_ context.Context, r peers.PrepareRequest) (peers.Prepared, error) {
	access, err := check.BotAccess(u.of)
	if err != nil {
		return peers.Prepared{}, err
	}
	p := u.of.Prepare
	req := apiRequest{Method: r.Method, URL: redacted(r.URL.String(), p), Headers: []string{
		"Connection: Upgrade", "Upgrade: websocket", "Sec-Websocket-Version: 13", "Sec-Websocket-Key: (random)",
	}}
	hidden := p.Token.String()
	if u.of.HasToken {
		req.Headers = append(req.Headers, "Authorization: Bearer "+hidden)
	}
	if t := u.of.Twilio; t != nil && t.Signs {
		req.Headers = append(req.Headers, "X-Twilio-Signature: "+hidden)
	}
	for name, values := range access.Header(r.URL.String()) {
		if name == "User-Agent" {
			req.Headers = append(req.Headers, name+": "+strings.Join(values, ", "))
		}
	}
	slices.Sort(req.Headers)
	const zeros = "00000000000000000000000000000000"
	for _, m := range access.FirstMessages("MZ"+zeros, "CA"+zeros, r.Body) {
		req.Messages = append(req.Messages, redacted(m, p))
	}
	if u.to.requests == nil {
		u.to.requests = map[string]apiRequest{}
	}
	u.to.requests[u.of.Name] = req
	return peers.Prepared{CallID: "CA" + zeros, Body: p.Sample("")}, nil
}

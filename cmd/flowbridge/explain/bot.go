package explain

import (
	"context"
	"slices"
	"strings"

	"flowbridge/b2bua/peers"
	"flowbridge/cmd/flowbridge/check"
	"flowbridge/config"
	"flowbridge/config/template"
)

// unsentBot records what a bot would be sent, and answers like the gateway.
type unsentBot struct {
	to   *unsentAPI
	of   *config.Target
	asks peers.Preparer // shows the request before it; nil if there is none
}

// Prepare shows the request before the bot's, if there is one, the one that opens its socket, and the first two
// messages.
func (u *unsentBot) Prepare(ctx context.Context, r peers.PrepareRequest) (got peers.Prepared, err error) {
	access, err := check.BotAccess(u.of)
	if err != nil {
		return got, err
	}
	var first *apiRequest
	if u.asks != nil {
		if got, err = u.asks.Prepare(ctx, r); err != nil {
			return got, err
		}
		asked := u.to.requests[u.of.Name]
		first = &asked
		if r.Ask, err = r.Order(&template.PrepareVars{CallID: got.CallID, Body: got.Body}); err != nil {
			return got, err
		}
	}
	p := u.of.Order()
	req := apiRequest{First: first, Method: r.Method, URL: redacted(r.URL.String(), p), Headers: []string{
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
	got.CallID, got.Body = "CA"+zeros, p.Sample("")
	return got, nil
}

package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"github.com/coder/websocket"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/gateway"
)

// BotAccess returns how the bots of a target of kind websocket are reached.
func BotAccess(t *config.Target) (*gateway.Access, error) {
	trusted := &tls.Config{ServerName: t.TLS.ServerName, MinVersion: tls.VersionTLS12}
	if err := Trust(trusted, t.TLS); err != nil {
		return nil, fmt.Errorf("target %s: %w", t.Name, err)
	}
	o := gateway.AccessOptions{
		Token: t.Token.Reveal(), UserAgent: cli.UserAgent(), TLS: trusted, Origin: t.Order().Origin(),
	}
	if t.Twilio != nil {
		o.AccountSID, o.AuthToken = t.Twilio.AccountSID, t.Twilio.AuthToken.Reveal()
	}
	return gateway.NewAccess(o), nil
}

// bot opens a socket to a bot and closes it. It sends no message, because a bot would begin to speak, and be billed.
func (p prober) bot(ctx context.Context, t *config.Target) finding {
	f := finding{Step: "socket"}
	ask, err := t.SampleOrder()
	if err != nil {
		f.Detail, f.Remedy = err.Error(), "explain shows what a call would ask for"
		return f
	}
	access, err := BotAccess(t)
	if err != nil {
		f.Detail = err.Error()
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	at := t.Order().Origin()
	ws, err := access.Dial(ctx, ask.URL.String())
	if err == nil {
		_ = ws.Close(websocket.StatusNormalClosure, "check")
		f.OK, f.Detail = true, at+" opens a WebSocket"
		return f
	}
	f.Detail = fmt.Sprintf("%s opens no WebSocket: %v", at, err)
	f.Remedy = "does the bot run, and is there a firewall in the way?"
	switch refused, _ := errors.AsType[*gateway.RefusedError](err); {
	case refused.Status == http.StatusUnauthorized, refused.Status == http.StatusForbidden:
		f.Remedy = "check token_file, or twilio: the bot wants another token or signature"
	case refused.Status != 0:
		f.Remedy = "check the path of url: the server answers, but not with a WebSocket"
	case errors.Is(err, context.DeadlineExceeded):
		f.Detail = fmt.Sprintf("%s opens no WebSocket within %v", at, p.timeout)
	}
	return f
}

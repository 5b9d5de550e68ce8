package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/sim/bot"
)

func simulateWebsocketCommand() *cobra.Command {
	c := cli.Command("websocket", "A bot that speaks Twilio Media Streams, greets and answers",
		"A stand-in for a bot behind a target of kind websocket: it takes WebSockets, speaks Twilio Media Streams, plays a\n"+
			"greeting, and repeats what it heard when the caller pauses. It prints the messages of a call except audio.",
		"  flowbridge simulate websocket --http 127.0.0.1:8765\n"+
			"  flowbridge simulate websocket --token secret\n"+
			"  flowbridge simulate websocket --status 503")
	var o bot.Options
	var asJSON bool
	f := c.Flags()
	f.StringVar(&o.Listen, "http", "127.0.0.1:8765", "address that takes WebSockets")
	f.StringVar(&o.Token, "token", "", "bearer token that callers must have")
	f.IntVar(&o.Status, "status", 0, "refuse every WebSocket with this HTTP status")
	f.BoolVar(&asJSON, "json", false, "address and log lines as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		takeFreePorts(c.Flags())
		return standIn(c, asJSON, func(ctx context.Context, log zerolog.Logger) (*bot.Bot, error) {
			o.Log = log
			return bot.Start(ctx, o)
		}, func(out io.Writer, s *bot.Bot) error {
			if asJSON {
				return json.NewEncoder(out).Encode(map[string]string{"url": s.URL()})
			}
			_, err := fmt.Fprintf(out, "bot %s\n", s.URL())
			return err
		})
	}
	return c
}

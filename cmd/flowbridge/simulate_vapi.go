package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/config"
	"flowbridge/sim"
	"flowbridge/sim/vapi"
)

func simulateVapiCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "vapi",
		Short: "Assistants and phone numbers over HTTP, and a SIP agent that greets and echoes",
		Long: "A stand-in for Vapi: /assistant, /phone-number and /call as in its API reference, kept in memory, and a SIP agent\n" +
			"that takes INVITEs to the sipUri of a number. Headers that begin with x- fill the template variables of the\n" +
			"assistant's firstMessage. A number without an assistantId asks its server (assistant-request) while the call rings\n" +
			"and waits for 7.5 s. The agent plays a greeting that is different for every firstMessage and then echoes what it hears.\n\n" +
			"A number's sipUri has the host of the region, or the address of the agent; an INVITE is found by either.\n\n" +
			"--fault makes it misbehave; D is a duration such as 5s, N a SIP status:\n" +
			strings.Replace(sim.FaultUsage, "failed, ", "", 1) + ".",
		Example: "  flowbridge simulate vapi --http 127.0.0.1:8091 --sip 127.0.0.1:5070 --key sim-key\n" +
			"  flowbridge simulate vapi --region eu\n" +
			"  flowbridge simulate vapi --fault late:8s",
		Args: usage(cobra.NoArgs),
	}
	var o vapi.Options
	var fault string
	var asJSON bool
	f := c.Flags()
	f.StringVar(&o.HTTPListen, "http", "127.0.0.1:8091", "address of the HTTP API")
	f.StringVar(&o.SIPListen, "sip", "127.0.0.1:5070", "address of the SIP agent (UDP)")
	f.StringVar(&o.Key, "key", "sim-key", "private key that the API asks for as bearer token")
	f.StringVar(&o.Region, "region", "us", "us or eu: whose SIP host a sipUri may have")
	f.StringVar(&o.Host, "host", "", "a further host name that a sipUri may have")
	f.DurationVar(&o.EchoDelay, "echo", 0, "delay of the echo (default 600ms)")
	f.DurationVar(&o.RingFor, "ring", 0, "how long the agent rings (default 200ms)")
	f.StringVar(&fault, "fault", "", "how to misbehave")
	f.BoolVar(&asJSON, "json", false, "addresses and log lines as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var err error
		if o.Fault, err = sim.ParseFault(fault); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		if err = o.Validate(); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		o.Log = logger(config.Log{Level: "info", Format: config.FormatConsole}, os.Stderr)
		if asJSON {
			o.Log = zerolog.New(zerolog.SyncWriter(c.ErrOrStderr())).With().Timestamp().Logger()
		}
		s, err := vapi.Start(ctx, o)
		if err != nil {
			return err
		}
		if asJSON {
			err = json.NewEncoder(c.OutOrStdout()).Encode(map[string]string{"api": s.APIURL(), "key": s.Key(), "sip": s.SIPAddr().String()})
		} else {
			_, err = fmt.Fprintf(c.OutOrStdout(), "API   %s (key %s)\nagent sip:%s\n", s.APIURL(), s.Key(), s.SIPAddr())
		}
		if err != nil {
			return errors.Join(err, s.Close())
		}
		<-ctx.Done()
		return s.Close()
	}
	return c
}

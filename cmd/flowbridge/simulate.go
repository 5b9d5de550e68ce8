package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"flowbridge/config"
	"flowbridge/sim"
)

func simulateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "simulate",
		Short:   "Stand in for a platform: its HTTP API and its SIP agent",
		Example: "  flowbridge simulate synthflow --http 127.0.0.1:8090 --sip 127.0.0.1:32681",
		Args:    usage(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(simulateSynthflowCommand(), simulateVapiCommand())
	return c
}

func simulateSynthflowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "synthflow",
		Short: "POST /v2/prepare_inbound, and a SIP agent that greets and echoes",
		Long: "A stand-in for Synthflow. The agent takes an INVITE only with a known, unused call id in a well-formed\n" +
			"X-EI header, plays a greeting and then echoes what it hears.\n\n" +
			"--fault makes it misbehave; D is a duration such as 5s, N a SIP status:\n" +
			sim.FaultUsage + ".\n\n" +
			"With --sip-user and --sip-password the agent challenges every INVITE and checks the answer, as a platform does\n" +
			"that wants the credentials of a target's `auth`.",
		Example: "  flowbridge simulate synthflow --http 127.0.0.1:8090 --sip 127.0.0.1:32681 --token sim-token\n" +
			"  flowbridge simulate synthflow --fault late:8s\n" +
			"  flowbridge simulate synthflow --fault status:480\n" +
			"  flowbridge simulate synthflow --sip-user trunk --sip-password secret --sip-algorithm sha-256",
		Args: usage(cobra.NoArgs),
	}
	var o sim.SynthflowOptions
	var fault string
	f := c.Flags()
	f.StringVar(&o.HTTPListen, "http", "127.0.0.1:8090", "address of the HTTP API")
	f.StringVar(&o.SIPListen, "sip", "127.0.0.1:32681", "address of the SIP agent (UDP)")
	f.StringVar(&o.Token, "token", "sim-token", "bearer token that the API asks for")
	f.DurationVar(&o.EchoDelay, "echo", 0, "delay of the echo (default 600ms)")
	f.DurationVar(&o.RingFor, "ring", 0, "how long the agent rings (default 200ms)")
	f.StringVar(&o.Auth.User, "sip-user", "", "digest user that the agent asks for")
	f.StringVar(&o.Auth.Password, "sip-password", "", "and the password")
	f.StringVar(&o.Auth.Algorithm, "sip-algorithm", "", "md5 (default), sha-256 or sha-512-256")
	f.StringVar(&fault, "fault", "", "how to misbehave")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var err error
		if o.Fault, err = sim.ParseFault(fault); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		if err = o.Auth.Validate(); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		o.Log = logger(config.Log{Level: "info", Format: config.FormatConsole}, os.Stderr)
		s, err := sim.StartSynthflow(ctx, o)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "API   %s (token %s)\nagent sip:%s\n", s.APIURL(), s.Token(), s.SIPAddr())
		<-ctx.Done()
		return s.Close()
	}
	return c
}

package main

import (
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
)

func simulateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "simulate",
		Short:   "Stand in for a platform, or for Twilio in front of one",
		Example: "  flowbridge simulate synthflow --http 127.0.0.1:8090 --sip 127.0.0.1:32681",
		Args:    cli.Args(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(simulateSynthflowCommand(), simulateTwilioCommand(), simulateVapiCommand())
	return c
}

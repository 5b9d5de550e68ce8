package main

import (
	"github.com/spf13/cobra"
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

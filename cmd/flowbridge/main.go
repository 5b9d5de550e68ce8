// Command flowbridge is a SIP back-to-back user agent between carriers and voice-AI platforms.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/b2bua"
	"flowbridge/cmd/flowbridge/check"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/explain"
	"flowbridge/cmd/flowbridge/provision"
)

func main() {
	b2bua.SetProcessDefaults()
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	zerolog.ErrorFieldName = "err"
	os.Exit(cli.Run(context.Background(), command(), os.Args[1:], os.Stdout, os.Stderr))
}

// command is the root command with all subcommands.
func command() *cobra.Command {
	root := cli.Root()
	root.AddCommand(serveCommand(), check.Command(), explain.Command(), callCommand(), demoCommand(), simulateCommand(), provision.Synthflow(), provision.Vapi(), cdrCommand(), healthcheckCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  flowbridge version",
		Args:    cli.Args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), cli.Version())
			return err
		},
	}
}

func simulateCommand() *cobra.Command {
	return cli.Group("simulate", "Stand in for a platform, or for Twilio in front of one", "",
		"  flowbridge simulate synthflow --http 127.0.0.1:8090 --sip 127.0.0.1:32681",
		simulateSynthflowCommand(), simulateTwilioCommand(), simulateVapiCommand())
}

// Command flowbridge is a SIP back-to-back user agent between carriers and voice-AI platforms.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/b2bua/transport"
	"flowbridge/cmd/flowbridge/check"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/explain"
	"flowbridge/cmd/flowbridge/node"
	"flowbridge/cmd/flowbridge/operate"
	"flowbridge/cmd/flowbridge/provision"
	"flowbridge/config"
	"flowbridge/internal/httpd"
)

func main() {
	transport.SetProcessDefaults()
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	zerolog.ErrorFieldName = "err"
	os.Exit(cli.Run(context.Background(), command(), os.Args[1:], os.Stdout, os.Stderr))
}

// command returns the root command with all subcommands.
func command() *cobra.Command {
	root := cli.Root()
	root.AddCommand(serveCommand(), check.Command(), explain.Command(), callCommand(), testCommand(), demoCommand(),
		simulateCommand(), provision.Init(), provision.Synthflow(), provision.Vapi(), cdrCommand(), reportCommand(),
		fleetCommand(), backupCommand(), restoreCommand(), recordingsCommand(), toldCommand(),
		operate.Status(), operate.Calls(), operate.Targets(explain.Try()), operate.Trunks(), operate.Log(),
		operate.Drain(), operate.Reload(),
		operate.Upgrade(), operate.Seat(), operate.Healthcheck(), operate.Erase(), operate.Hold(),
		schemaCommand(), manCommand(), versionCommand())
	root.SetHelpCommand(helpCommand())
	return root
}

func versionCommand() *cobra.Command {
	c := cli.Command("version", "Print the version, and the revision that it was built from",
		"Print the version in the first line, and the revision that it was built from in the second.",
		"  flowbridge version\n  flowbridge version --json")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *asJSON {
			return cli.PrintJSON(c.OutOrStdout(), cli.BuildOf())
		}
		_, err := fmt.Fprintln(c.OutOrStdout(), cli.BuildOf())
		return err
	}
	return c
}

func serveCommand() *cobra.Command {
	c := cli.Command("serve", "Run the B2BUA",
		"Run the B2BUA until SIGTERM or SIGINT. The first signal refuses new calls and lets live ones go on for up to\n"+
			"sip.drain_timeout; a second one ends them at once, with their records written. SIGHUP reloads the configuration:\n"+
			"trunks, targets, routes and log take effect at once, the rest after a restart. Under systemd, Type=notify and\n"+
			"notify-reload are supported (flowbridge help operations).",
		"  flowbridge serve --config flowbridge.yaml")
	file := cli.ConfigFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		before, err := node.FindPredecessor()
		if err != nil {
			return err
		}
		cfg, err := config.Load(*file)
		if err != nil {
			return before.Refuse(err)
		}
		out := node.NewLog(cfg.Log, os.Stderr)
		log := out.Logger()
		httpd.TakeStandardLog(log)
		log.Info().Str("config", *file).Str("version", cli.Version()).Str("revision", cli.BuildOf().Revision).
			Int("trunks", len(cfg.Trunks)).
			Int("targets", len(cfg.Targets)).Int("routes", len(cfg.Routes)).Msg("configuration loaded")
		if len(cfg.Trunks) == 0 || len(cfg.Routes) == 0 {
			log.Warn().Msg("no trunks or no routes: no call can get through")
		}
		check.WarnOfPorts(cfg, log)
		if err := node.FindAddress(c.Context(), cfg, log); err != nil {
			return before.Refuse(err)
		}
		return node.Serve(c.Context(), cfg, *file, out, before)
	}
	return c
}

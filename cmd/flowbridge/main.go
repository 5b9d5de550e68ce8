// Command flowbridge is a SIP back-to-back user agent between carriers and
// voice-AI platforms.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/b2bua/transport"
	"flowbridge/config"
)

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// version is set when a release is built.
var version string

// programVersion is the release, or the commit that the program was built from.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 7 {
				return s.Value[:7]
			}
		}
	}
	return "dev"
}

// errUsage marks an error of whoever called the program: exit code 2.
var errUsage = errors.New("wrong usage")

func main() {
	transport.SetProcessDefaults()
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	zerolog.ErrorFieldName = "err"
	if err := command().ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "flowbridge:", err)
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	var bad config.Errors
	if errors.Is(err, errUsage) || errors.As(err, &bad) {
		return exitUsage
	}
	return exitFailed
}

// command is the tree of subcommands.
func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "flowbridge",
		Short:         "A SIP back-to-back user agent between carriers and voice-AI platforms",
		Version:       programVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usage(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.AddCommand(serveCommand(), checkCommand(), explainCommand(), callCommand(), demoCommand(), simulateCommand(), synthflowCommand(), vapiCommand(), cdrCommand(), healthcheckCommand(), versionCommand())
	return root
}

// usage makes a complaint about arguments an error of usage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, c.CommandPath())
		}
		return nil
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  flowbridge version",
		Args:    usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), programVersion())
			return err
		},
	}
}

// configFlag is the flag that most commands have.
func configFlag(c *cobra.Command) *string {
	return c.Flags().StringP("config", "c", "flowbridge.yaml", "configuration file")
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flowbridge/config"
)

func checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Validate a configuration",
		Long: "Validate a configuration as serve would read it, secrets included. All errors are shown at once; the exit\n" +
			"code is 2 if there are any. Nothing is opened or called.",
		Example: "  flowbridge check --config flowbridge.yaml",
		Args:    usage(cobra.NoArgs),
	}
	file := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := config.Load(*file)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d trunks, %d targets, %d routes: valid\n",
			*file, len(cfg.Trunks), len(cfg.Targets), len(cfg.Routes))
		return err
	}
	return c
}

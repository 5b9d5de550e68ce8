package main

import (
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
)

func schemaCommand() *cobra.Command {
	c := cli.Command("schema", "Print the JSON Schema of the configuration file",
		`Print the JSON Schema (draft 2020-12) of the configuration file. Editors complete and
check keys by it. With the YAML language server, the first line of the file names it:

  # yaml-language-server: $schema=flowbridge.schema.json`,
		"  flowbridge schema > flowbridge.schema.json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		text, err := config.Schema()
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(text)
		return err
	}
	return c
}

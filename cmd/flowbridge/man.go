package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/docs"
)

func manCommand() *cobra.Command {
	c := cli.Command("man DIR", "Write the man pages",
		"Write the man pages into a directory: one for each command, and flowbridge.yaml(5) with all keys of the configuration.\n"+
			"Their date is that of SOURCE_DATE_EPOCH, if the environment has it.",
		"  flowbridge man /usr/local/share/man/man1")
	c.Hidden, c.Args = true, cli.Args(cobra.ExactArgs(1))
	c.RunE = func(c *cobra.Command, args []string) error {
		date := time.Now().UTC()
		if epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
			date = time.Unix(epoch, 0).UTC()
		}
		return writeMan(c.Root(), args[0], date)
	}
	return c
}

func writeMan(root *cobra.Command, dir string, date time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root.DisableAutoGenTag = true
	root.SetHelpCommand(nil) // man pages show help like any other command
	root.Long = root.Short +
		".\n\nCommands read flowbridge.yaml of the working directory, or the file that --config names: see flowbridge.yaml(5). " +
		"check says what is wrong with it, explain what a call would send, and serve takes calls.\n"
	source := "Flowbridge " + cli.Version()
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &date, Source: source, Manual: "Flowbridge"},
		dir); err != nil {
		return fmt.Errorf("man pages: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "flowbridge.yaml.5"), md2man.Render([]byte(configPage(source, date))), 0o644)
}

// configPage returns flowbridge.yaml(5) in Markdown: the page of the documents, in the form that
// help shows.
func configPage(source string, date time.Time) string {
	text := docs.Find("docs/configuration.md")[0].Plain(72)
	return fmt.Sprintf("%% \"FLOWBRIDGE.YAML\" \"5\" %q %q \"Flowbridge\"\n\n", date.Format("Jan 2006"), source) +
		"# NAME\n\nflowbridge.yaml - configuration of Flowbridge\n\n# DESCRIPTION\n\n" +
		"    " + strings.ReplaceAll(text, "\n", "\n    ") + "\n\n" +
		"# SEE ALSO\n\n**flowbridge**(1), **flowbridge-check**(1), **flowbridge-schema**(1)\n"
}

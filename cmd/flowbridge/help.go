package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/docs"
)

// maxHelpWidth is the width of a text if the terminal's width is unknown, or is too wide to read. maxFound bounds
// the sections that help lists. maxQuestion bounds how many bytes of an unanswered question are compared with the
// known words.
const maxHelpWidth, maxFound, maxQuestion = 100, 12, 200

func helpCommand() *cobra.Command {
	c := cli.Command("help [WORD...]", "Explain a command, a cause, a log message or a setting, or search the documents",
		"Explain a command, a page of the documents, a cause, a message of the log or a setting; of anything else list the\n"+
			"sections of the documents that have the words. Without a word it lists commands and pages. The documents are those\n"+
			"of this version. The admin listener has them, too, at /docs/.",
		"  flowbridge help calls show\n  flowbridge help nat\n  flowbridge help no_route\n"+
			"  flowbridge help \"records can't be written\"\n  flowbridge help sip.drain_timeout\n  flowbridge help one-way audio")
	c.Args = cobra.ArbitraryArgs
	c.ValidArgsFunction = func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return helpWords(c.Root()), cobra.ShellCompDirectiveNoFileComp
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		width := min(cmp.Or(cli.Width(c.OutOrStdout()), maxHelpWidth), maxHelpWidth)
		about, rest, err := c.Root().Find(args)
		if err != nil || len(rest) > 0 {
			return explainWords(c, strings.Join(args, " "), width)
		}
		about.InitDefaultHelpFlag() // without this, help would be missing from the flags
		if err := about.Help(); len(args) > 0 || err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "\nPages:")
		for _, p := range docs.All() {
			fmt.Fprintf(c.OutOrStdout(), "  %-22s %.*s\n", p.Word(), max(width-25, 0), p.About())
		}
		return nil
	}
	return c
}

// explainWords prints the sections of the documents that answer a question.
func explainWords(c *cobra.Command, question string, width int) error {
	found, out := docs.Find(question), c.OutOrStdout()
	for i, p := range found {
		switch {
		case p.Answer:
			fmt.Fprintf(out, "%s: %s\n\n%s\n", p.Word(), p.Title, p.Plain(width))
		case i < 5 && found[0].Page == nil || i < maxFound && !found[0].Answer:
			fmt.Fprintf(out, "%s: %s\n    %.*s\n", p.Word(), p.Title, max(width-4, 0), p.About())
		}
	}
	if len(found) > 0 {
		return nil
	}
	question = question[:min(len(question), maxQuestion)]
	problem := []string{fmt.Sprintf("nothing here is about %q", question)}
	for w := range strings.FieldsSeq(question) {
		if n := config.Nearest(w, helpWords(c.Root())); n != "" {
			problem = append(problem, "did you mean "+n+"?")
		}
	}
	return cli.Usage("%s", strings.Join(problem, "; "))
}

// helpWords returns the words that the help command accepts: the commands, and the words for the documents.
func helpWords(root *cobra.Command) []string {
	words := docs.Words()
	for _, c := range root.Commands() {
		if !c.Hidden {
			words = append(words, c.Name())
		}
	}
	return words
}

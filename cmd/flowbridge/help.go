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

// The width of a text where the terminal's is not known, or is too wide to be read; and how many sections help lists.
const (
	maxHelpWidth = 100
	maxFound     = 12
)

func helpCommand() *cobra.Command {
	c := cli.Command("help [WORD...]", "Explain a command, a cause, a log message, a setting, or what the documents have on it",
		"Explain a command, a page of the documents, a cause, a log message or a part of it, a setting. Of anything else it\n"+
			"lists the sections of the documents that have the words. Without a word it lists commands and pages. The documents\n"+
			"are those of this version; the admin listener has them below /docs/.",
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
		about.InitDefaultHelpFlag() // or it would not be among the flags
		if err := about.Help(); len(args) > 0 || err != nil {
			return err
		}
		c.Print("\nPages:\n")
		for _, p := range docs.All() {
			c.Println(cut(fmt.Sprintf("  %-22s %s", p.Word(), p.About()), width))
		}
		return nil
	}
	return c
}

// explainWords prints what the documents and the reference of the configuration have on a question.
func explainWords(c *cobra.Command, question string, width int) error {
	out, found := c.OutOrStdout(), docs.Find(question)
	if len(found) == 0 || !found[0].Answer {
		found = append(keysNamed(question), found...)
	}
	for i, p := range found {
		switch {
		case p.Answer:
			fmt.Fprintf(out, "%s:\n\n%s\n", p.Word(), p.Plain(width))
		case i == maxFound || found[0].Answer:
			return nil
		default:
			fmt.Fprintf(out, "%s: %s\n    %s\n", p.Word(), p.Title, cut(p.About(), width-4))
		}
	}
	if len(found) > 0 {
		return nil
	}
	meant := ""
	for w := range strings.FieldsSeq(question) {
		if n := config.Nearest(w, helpWords(c.Root())); n != "" {
			meant += "; did you mean " + n + "?"
		}
	}
	return fmt.Errorf("nothing here is about %q%s", question, meant)
}

// keysNamed are the keys of the configuration that a word names: drain_timeout and sip.drain_timeout name one.
func keysNamed(word string) (keys []docs.Part) {
	for _, s := range config.Reference() {
		for _, k := range s.Keys {
			name := strings.TrimPrefix(strings.ReplaceAll(s.Paths[0], "[]", "")+"."+k.Name, ".")
			if strings.HasSuffix("."+name, "."+strings.ReplaceAll(word, "[]", "")) {
				keys = append(keys, docs.Part{Name: "docs/configuration.md", Answer: true, Text: fmt.Sprintf("%s: %s (default: %s)\n\n> %s\n",
					strings.Join(s.Paths, ", ")+"."+k.Name, k.Value, cmp.Or(k.Default, "none"), k.Meaning)})
			}
		}
	}
	return keys
}

// helpWords are commands and the words of the documents that help knows.
func helpWords(root *cobra.Command) (words []string) {
	for _, c := range root.Commands() {
		if !c.Hidden {
			words = append(words, c.Name())
		}
	}
	return append(words, docs.Words()...)
}

// cut is a line that fits into a width.
func cut(line string, width int) string {
	if r := []rune(line); len(r) > width {
		return string(r[:max(width-1, 0)]) + "…"
	}
	return line
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
	root.SetHelpCommand(nil) // man pages show help like any other command
	root.Long = root.Short +
		".\n\nCommands read flowbridge.yaml of the working directory, or the file that --config names: see flowbridge.yaml(5). " +
		"check says what is wrong with it, explain what a call would send, and serve takes calls.\n"
	if err := writeCommands(root, dir, date); err != nil {
		return fmt.Errorf("man pages: %w", err)
	}
	p := newManual("flowbridge.yaml", 5, date, "configuration of Flowbridge")
	p.section("DESCRIPTION")
	p.verbatim(docs.Find("docs/configuration.md")[0].Plain(72))
	p.seeAlso("flowbridge(1)", "flowbridge-check(1)", "flowbridge-schema(1)")
	return os.WriteFile(filepath.Join(dir, "flowbridge.yaml.5"), []byte(p.String()), 0o644)
}

// writeCommands writes the pages of a command and of those below it.
func writeCommands(c *cobra.Command, dir string, date time.Time) error {
	name := func(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }
	p := newManual(name(c), 1, date, c.Short)
	p.section("SYNOPSIS")
	p.line(".B " + roff(c.UseLine()))
	p.section("DESCRIPTION")
	p.text(c.Long)
	p.options("OPTIONS", c.NonInheritedFlags())
	p.options("OPTIONS OF ALL COMMANDS", c.InheritedFlags())
	if c.Example != "" {
		p.section("EXAMPLE")
		p.verbatim(c.Example)
	}
	var also []string
	if c.HasParent() {
		also = append(also, name(c.Parent())+"(1)")
	}
	for _, below := range c.Commands() {
		if !below.IsAvailableCommand() {
			continue
		}
		also = append(also, name(below)+"(1)")
		if err := writeCommands(below, dir, date); err != nil {
			return err
		}
	}
	p.seeAlso(also...)
	return os.WriteFile(filepath.Join(dir, name(c)+".1"), []byte(p.String()), 0o644)
}

// manual is a page in the language of man(7).
type manual struct{ strings.Builder }

func newManual(name string, section int, date time.Time, short string) *manual {
	p := &manual{}
	p.line(fmt.Sprintf(".TH %q \"%d\" %q %q \"Flowbridge\"", strings.ToUpper(name), section, date.Format("Jan 2006"),
		"Flowbridge "+cli.Version()))
	p.line(".nh") // words are not hyphenated
	p.section("NAME")
	p.line(roff(name) + ` \- ` + roff(short))
	return p
}

// roff protects what roff would take for a command of its own.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

func (p *manual) line(text string) { p.WriteString(text + "\n") }

func (p *manual) section(title string) { p.line(".SH " + title) }

// text writes paragraphs. Lines that are indented keep their form.
func (p *manual) text(text string) {
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			p.line(".PP")
		}
		if strings.HasPrefix(paragraph, " ") || strings.Contains(paragraph, "\n ") {
			p.verbatim(paragraph)
			continue
		}
		for line := range strings.SplitSeq(paragraph, "\n") {
			p.line(roff(line))
		}
	}
}

func (p *manual) verbatim(text string) {
	p.line(".EX")
	for line := range strings.SplitSeq(text, "\n") {
		p.line(roff(line))
	}
	p.line(".EE")
}

func (p *manual) options(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.section(title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		names := `\fB\-\-` + roff(f.Name) + `\fR`
		if f.Shorthand != "" {
			names = `\fB\-` + f.Shorthand + `\fR, ` + names
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			names += ` \fI` + roff(kind) + `\fR`
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		p.line(".TP")
		p.line(names)
		p.line(roff(usage))
	})
}

func (p *manual) seeAlso(pages ...string) {
	p.section("SEE ALSO")
	for i, page := range pages {
		name, section, _ := strings.Cut(page, "(")
		end := ","
		if i == len(pages)-1 {
			end = ""
		}
		p.line(".BR " + roff(name) + " (" + section + end)
	}
}

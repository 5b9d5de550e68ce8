package cli

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flowbridge/config"
)

// otherWords maps what people type to the command that does it.
var otherWords = map[string]string{
	"calls end": "calls hangup", "calls stop": "calls hangup", "calls kill": "calls hangup",
	"cdr show": "calls show", "cdr get": "calls show", "cdr ladder": "calls ladder", "records": "cdr list",
	"log debug": "log level debug", "log info": "log level info",
	"log warn": "log level warn", "log error": "log level error",
	"start": "serve", "run": "serve", "validate": "check", "dial": "call", "restart": "upgrade",
}

// Args makes errors of check errors of usage, which say what to write.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		err := check(c, args)
		if err == nil {
			return nil
		}
		text := err.Error()
		if !strings.Contains(text, "arg(s)") && !strings.HasPrefix(text, "unknown command") { // not cobra's
			return Usage("%w (see %s --help)", err, c.CommandPath())
		}
		if c.HasAvailableSubCommands() && len(args) > 0 {
			return unknownCommand(c, args[0])
		}
		_, wants, _ := strings.Cut(c.Use, " ")
		switch {
		case wants != "" && len(args) == 0:
			return Usage("%s: %s is missing (see %s --help)", c.CommandPath(), wants, c.CommandPath())
		case wants != "":
			return Usage("%s takes %s, not %s (see %s --help)", c.CommandPath(), wants, Count(len(args), "argument"),
				c.CommandPath())
		}
		return Usage("%s takes no argument, and gets %q%s (see %s --help)",
			c.CommandPath(), args[0], flagFor(c, args[0]), c.CommandPath())
	}
}

// flagFor suggests the flag that an argument probably belongs to.
func flagFor(c *cobra.Command, arg string) string {
	number := strings.Trim(arg, "+0123456789 ()-") == ""
	switch {
	case c.Flags().Lookup("to") != nil && number:
		return "; did you mean --to sip:" + arg + "@HOST?"
	case c.Flags().Lookup("to") != nil && strings.HasPrefix(arg, "sip:"):
		return "; did you mean --to " + arg + "?"
	case c.Flags().Lookup("config") != nil && strings.ContainsAny(arg, "./"):
		return "; did you mean --config " + arg + "?"
	}
	return ""
}

// unknownCommand returns the error for a word that is no command of c.
func unknownCommand(c *cobra.Command, word string) error {
	_, path, _ := strings.Cut(c.CommandPath(), " ")
	var names []string
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() {
			names = append(names, below.Name())
		}
	}
	meant := otherWords[strings.TrimSpace(path+" "+word)]
	if near := config.Nearest(word, names); near != "" {
		meant = strings.TrimSpace(path + " " + near)
	}
	remedy := "its commands are " + strings.Join(names, ", ")
	if meant != "" {
		remedy = "did you mean " + c.Root().Name() + " " + meant + "?"
	}
	return Usage("%s has no command %q; %s", c.CommandPath(), word, remedy)
}

// misplaced returns the error for a command line that asks for help of a word that is no command. Cobra would show the
// help of the command above it.
func misplaced(root *cobra.Command, args []string) error {
	if !slices.Contains(args, "--help") && !slices.Contains(args, "-h") {
		return nil
	}
	c, rest, err := root.Find(args)
	if err != nil || len(rest) == 0 || strings.HasPrefix(rest[0], "-") || !c.HasAvailableSubCommands() {
		return nil // Execute reports it
	}
	return unknownCommand(c, rest[0])
}

// badValue matches pflag's error for a value that a flag does not take.
var badValue = regexp.MustCompile(`(?s)^invalid argument (".*") for "(?:-\w, )?--([\w-]+)" flag: (.*)$`)

// forms says how values of a flag are written, by their type.
var forms = map[string]string{
	"bool": "write true or false", "duration": "write a duration, like 30s or 5m", "float64": "write a number",
	"int": "write a whole number", "int64": "write a whole number",
	"uint": "write a whole number from 0", "uint16": "write a whole number from 0 to 65535",
}

// flagError says what is wrong with a flag, and what to write.
func flagError(c *cobra.Command, err error) error {
	if m := badValue.FindStringSubmatch(err.Error()); m != nil {
		form := m[3]
		if f := c.Flags().Lookup(m[2]); f != nil {
			form = cmp.Or(forms[f.Value.Type()], form)
		}
		return Usage("--%s %s: %s", m[2], m[1], form)
	}
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return Usage("%w", err)
	}
	var names, begin []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		names = append(names, f.Name)
		if strings.HasPrefix(f.Name, name) {
			begin = append(begin, f.Name)
		}
	})
	near := config.Nearest(name, names)
	if near == "" && len(begin) == 1 {
		near = begin[0]
	}
	if near == "" {
		return Usage("%w (see %s --help)", err, c.CommandPath())
	}
	return Usage("%w", fmt.Errorf("%w; did you mean --%s?", err, near))
}

package check

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
)

// Command is `flowbridge check`.
func Command() *cobra.Command {
	c := cli.Command("check", "Validate a configuration, and the machine's limits for it",
		"Validate a configuration as serve would read it, secrets included. All errors are shown at once; the exit code\n"+
			"is 2 if there are any. Warnings name limits of this machine (open files, receive buffer of sockets, ports that\n"+
			"other programs may take, directories of database and recordings), transfers that lead nowhere, SRTP keys that can\n"+
			"be read on the way, and settings that a platform does not accept. Nothing is opened or called.\n\n"+
			"With --online each target is also tried: its API with the token, its host name, and its SIP by OPTIONS. No call is\n"+
			"placed, and nothing is changed. The exit code is 1 if one fails.",
		"  flowbridge check --config flowbridge.yaml\n  flowbridge check --online\n  flowbridge check --json")
	file := cli.ConfigFlag(c)
	asJSON := c.Flags().Bool("json", false, "as JSON")
	online := c.Flags().Bool("online", false, "also try the API, DNS and OPTIONS of each target")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var try func(*config.Config) []finding
		if *online {
			try = func(cfg *config.Config) []finding { return newProber().probe(c.Context(), cfg) }
		}
		return check(c.OutOrStdout(), *file, thisMachine(), *asJSON, try)
	}
	return c
}

// checked is the outcome of a check as JSON.
type checked struct {
	File     string       `json:"file"`
	Valid    bool         `json:"valid"`
	Trunks   int          `json:"trunks"`
	Targets  int          `json:"targets"`
	Routes   int          `json:"routes"`
	Errors   []checkError `json:"errors"`
	Warnings []warning    `json:"warnings"`
	Online   []finding    `json:"online,omitempty"` // with --online, for a file that is valid
}

// checkError is one error of the file.
type checkError struct {
	Line    int    `json:"line"` // 0: the file as a whole
	Key     string `json:"key"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

// check reads a file and prints its problems. try, if not nil, tries its targets.
func check(w io.Writer, file string, m machine, asJSON bool, try func(*config.Config) []finding) error {
	result := checked{File: file, Errors: []checkError{}, Warnings: []warning{}}
	cfg, failed := config.Load(file)
	if failed == nil {
		result.Valid = true
		result.Trunks, result.Targets, result.Routes = len(cfg.Trunks), len(cfg.Targets), len(cfg.Routes)
		if result.Trunks == 0 || result.Routes == 0 {
			result.Warnings = append(result.Warnings, warning{"there are no trunks or no routes, so no call can get through", "check that it is the right file and complete"})
		}
		result.Warnings = slices.Concat(result.Warnings, deadTransfers(cfg), readableKeys(cfg), platformWarnings(cfg), m.warnings(cfg))
		if try != nil {
			result.Online = try(cfg)
			if slices.ContainsFunc(result.Online, func(f finding) bool { return !f.OK }) {
				failed = errOffline
			}
		}
	}
	if all, ok := errors.AsType[config.Errors](failed); ok {
		for _, e := range all {
			result.Errors = append(result.Errors, checkError{e.Line, e.Path, e.Problem, e.Remedy})
		}
	}
	if asJSON {
		return errors.Join(failed, cli.PrintJSON(w, result))
	}
	if failed != nil && !result.Valid {
		return failed
	}
	for _, x := range result.Warnings {
		fmt.Fprintf(w, "warning: %s; %s\n", x.Problem, x.Remedy)
	}
	for _, f := range result.Online {
		fmt.Fprintln(w, f.text())
	}
	_, err := fmt.Fprintf(w, "%s: %d trunks, %d targets, %d routes: valid\n", file, result.Trunks, result.Targets, result.Routes)
	return errors.Join(failed, err)
}

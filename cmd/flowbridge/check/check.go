package check

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
)

// Command returns the command `flowbridge check`.
func Command() *cobra.Command {
	c := cli.Command("check", "Validate a configuration, and the machine's limits for it",
		"Validate a configuration as serve would read it, secrets included. All errors are shown at once; the exit code\n"+
			"is 2 if there are any. Warnings name what is valid but probably a mistake (expressions without $, routes that get no\n"+
			"call, networks that are too large, keys without effect), limits of this machine (open files, receive buffer of\n"+
			"sockets, ports that other programs may take, rights to directories, its kernel), transfers that lead nowhere,\n"+
			"SRTP keys that can be read on the way, and settings that a platform does not accept. Nothing is opened or called.\n\n"+
			"What stops the start on this machine is an error, too, with exit code 1: an address that it does not have, a directory\n"+
			"that is not there. With --elsewhere, for a service on another machine, only the file is looked at.\n\n"+
			"With --online each target is also tried: its API with the token, its host name, and its SIP by OPTIONS; and the\n"+
			"database of fleet.dsn_file, and the directory of the CA of sip.tls.acme. No call is placed, and nothing is changed.\n"+
			"The exit code is 1 if one fails.",
		"  flowbridge check --config flowbridge.yaml\n  flowbridge check --online\n  flowbridge check --json")
	file := cli.ConfigFlag(c)
	asJSON := c.Flags().Bool("json", false, "as JSON")
	online := c.Flags().Bool("online", false,
		"also try the API, DNS and OPTIONS of each target, the database of the fleet, and the CA")
	elsewhere := c.Flags().Bool("elsewhere", false, "the service runs on another machine: leave out what this one lacks")
	c.RunE = func(c *cobra.Command, _ []string) error {
		m := thisMachine()
		m.elsewhere = *elsewhere
		var try func(*config.Config) []finding
		if *online {
			try = func(cfg *config.Config) []finding { return newProber().probe(c.Context(), cfg) }
		}
		return check(c.OutOrStdout(), *file, m, *asJSON, try)
	}
	return c
}

// checked is the result of a check as JSON.
type checked struct {
	File     string    `json:"file"`
	Valid    bool      `json:"valid"` // the file is valid, on whatever machine the service runs
	Trunks   int       `json:"trunks"`
	Targets  int       `json:"targets"`
	Routes   int       `json:"routes"`
	Numbers  int       `json:"numbers"`           // numbers in the table
	Media    string    `json:"media,omitempty"`   // how RTP would be carried, if the file is valid
	Address  string    `json:"address,omitempty"` // the address for advertise: auto, with its source
	Errors   []flaw    `json:"errors"`
	Warnings []flaw    `json:"warnings"`
	Online   []finding `json:"online,omitempty"` // the results of --online, if the file is valid
}

// flaw is one error or warning.
type flaw struct {
	File    string `json:"file,omitempty"`   // the file, if it is not the configuration itself
	Line    int    `json:"line"`             // 0 if the flaw belongs to the whole file or the machine
	Column  int    `json:"column,omitempty"` // for the table of numbers only
	Key     string `json:"key"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
	Refused bool   `json:"-"` // see config.Error
}

// flawsOf returns the errors or warnings of a configuration file and of its table of numbers.
func flawsOf(all config.Errors, file string) []flaw {
	flaws := []flaw{}
	for _, e := range all {
		if e.File == config.ShownName(file) {
			e.File = ""
		}
		flaws = append(flaws, flaw{e.File, e.Line, e.Column, e.Path, e.Problem, e.Remedy, e.Refused})
	}
	return flaws
}

// text formats an error or a warning for people. A problem of the machine has no position in the
// file.
func (f flaw) text(what, file string) string {
	if f.Line == 0 {
		file = ""
	}
	return what + ": " + strings.TrimPrefix(config.Error{
		File: file, Line: f.Line, Path: f.Key, Problem: f.Problem,
		Remedy: f.Remedy,
	}.Error(), ": ")
}

var errStops, errRefused = errors.New("the service can't start on this machine; check --elsewhere looks at the file only"),
	errors.New("peers refuse a certificate; the service starts all the same")

// print writes the result for people. names are the targets that may not transfer although their
// platform sends REFER.
func (c *checked) print(w io.Writer, file string, names []string) error {
	for _, x := range c.Errors {
		fmt.Fprintln(w, x.text("error", config.ShownName(file)))
	}
	for _, x := range c.Warnings {
		fmt.Fprintln(w, x.text("warning", config.ShownName(file)))
	}
	for _, f := range c.Online {
		fmt.Fprintln(w, f.text())
	}
	fmt.Fprintln(w, "RTP:", c.Media)
	if c.Address != "" {
		fmt.Fprintln(w, "advertise:", c.Address)
	}
	if len(names) > 0 {
		fmt.Fprintf(w, "transfers: REFER of %s is refused; write transfer below the target where agents hand callers over\n",
			strings.Join(names, ", "))
	}
	if len(c.Errors) > 0 { // the file is valid, but the service could not start on this machine
		return nil
	}
	_, err := fmt.Fprintf(w, "%s: %s: valid\n", config.ShownName(file),
		cli.Counts(c.Trunks, c.Targets, c.Routes, c.Numbers))
	return err
}

// check reads a file and prints its problems. If try is not nil, it tries the file's targets.
func check(w io.Writer, file string, m machine, asJSON bool, try func(*config.Config) []finding) error {
	result := checked{File: file, Errors: []flaw{}, Warnings: []flaw{}}
	cfg, failed := config.Load(file)
	if failed == nil {
		result.Valid = true
		result.Trunks, result.Targets, result.Routes = len(cfg.Trunks), len(cfg.Targets), len(cfg.Routes)
		result.Numbers = cfg.Numbers.Size()
		result.Warnings = append(flawsOf(cfg.Warnings, file), placeholders(file)...)
		result.Media = m.media(cfg)
		found, err := m.publicAddress(cfg)
		result.Address = found
		var more []warning
		if result.Trunks == 0 || result.Routes == 0 {
			more = append(more, warning{
				"there are no trunks or no routes, so no call can get through",
				"check that it is the right file and complete",
			})
		}
		stops, lacks := m.problems(cfg)
		if err != nil {
			stops = append(stops, warning{
				fmt.Sprintf("advertise: the public address is not found: %v", err),
				"write it in sip.advertise and in media.advertise",
			})
		}
		result.Warnings = slices.DeleteFunc(result.Warnings, func(f flaw) bool {
			if f.Refused {
				result.Errors, failed = append(result.Errors, f), errRefused
			}
			return f.Refused
		})
		for _, x := range stops {
			result.Errors = append(result.Errors, flaw{Problem: x.Problem, Remedy: x.Remedy})
			failed = errStops
		}
		all := slices.Concat(more, deadTransfers(cfg), readableKeys(cfg), platformWarnings(cfg), carrierWarnings(cfg), lacks)
		for _, x := range all {
			result.Warnings = append(result.Warnings, flaw{Problem: x.Problem, Remedy: x.Remedy})
		}
		if try != nil {
			result.Online = try(cfg)
			if slices.ContainsFunc(result.Online, func(f finding) bool { return !f.OK }) {
				failed = errors.Join(failed, errOffline)
			}
		}
	}
	if all, ok := errors.AsType[config.Errors](failed); ok {
		result.Errors = flawsOf(all, file)
	}
	if asJSON {
		return errors.Join(failed, cli.PrintJSON(w, result))
	}
	if failed != nil && !result.Valid {
		return failed
	}
	return errors.Join(failed, result.print(w, file, keepers(cfg)))
}

package operate

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/telemetry/live"
)

// statusLines is how many lines `flowbridge status` prints at most.
const statusLines = 12

// Status returns the command `flowbridge status`.
func Status() *cobra.Command {
	c := cli.Command("status", "Say whether a running server is well, and what is not",
		"Say in at most 12 lines whether a running server is well: what is not well, its calls, targets, trunks, disk,\n"+
			"certificate, registrations and fleet. Times are UTC. The exit code is 0 if all is well, and 1 if something is not, or the\n"+
			"server does not answer: the first line says which.",
		"  flowbridge status\n  flowbridge status --json")
	at := accessFlags(c)
	asJSON := c.Flags().Bool("json", false, "print JSON as the admin API does")
	c.RunE = func(c *cobra.Command, _ []string) error {
		out := c.OutOrStdout()
		api, err := at.open(config.RightsRead)
		if err != nil {
			return err
		}
		s := &admin.Status{}
		if err := api.do(c.Context(), http.MethodGet, "/api/status", s); err != nil {
			text := "not reachable"
			if _, answered := errors.AsType[*refusedError](err); answered {
				text = "not known"
			}
			_, _ = fmt.Fprintf(out, "%s: %v\n", text, err)
			return cli.ErrTold
		}
		if *asJSON {
			err = cli.PrintJSON(out, s)
		} else {
			err = printStatus(out, s, time.Now())
		}
		if err == nil && len(s.Troubles) > 0 {
			return cli.ErrTold
		}
		return err
	}
	return c
}

// printStatus prints what is not well first. The lines below it are always there, so it has the rest.
func printStatus(w io.Writer, s *admin.Status, now time.Time) error {
	head := "well"
	switch n := len(s.Troubles); {
	case n == 1:
		head = "not well: 1 thing"
	case n > 1:
		head = fmt.Sprintf("not well: %d things", n)
	case s.Standby != "":
		head += ": " + cli.Shown(s.Standby)
	}
	rest := factsOf(s, now)
	lines := []string{head}
	for i, t := range s.Troubles {
		if left := statusLines - len(rest) - len(lines); left == 1 && len(s.Troubles)-i > 1 {
			lines = append(lines, fmt.Sprintf("  and %d more: flowbridge status --json", len(s.Troubles)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("  %-4s %s (since %s)", t.Severity, cli.Shown(t.Text), clockOf(t.Since.Time, now)))
	}
	_, err := io.WriteString(w, strings.Join(append(lines, rest...), "\n")+"\n")
	return err
}

// clockOf returns a moment without the date if it is of the last day.
func clockOf(at, now time.Time) string {
	if now.Sub(at) < 24*time.Hour {
		return at.UTC().Format("15:04")
	}
	return at.UTC().Format("2 January 15:04")
}

// factsOf returns the lines below what is not well, at most nine.
func factsOf(s *admin.Status, now time.Time) (all []string) {
	add := func(what, text string, values ...any) {
		all = append(all, fmt.Sprintf("%-13s ", what)+fmt.Sprintf(text, values...))
	}
	up := now.Sub(s.StartedAt.Time).Round(time.Second)
	add("flowbridge", "%s at %s, up since %s (%v)", cli.Shown(s.Version), cli.Shown(s.Node),
		clockOf(s.StartedAt.Time, now), up)
	if s.Standby == "" {
		add("calls", "%d live: %d in call, %d dialing, %d waiting, %d preparing; %d of %d new ones answered in 5 minutes", s.Calls.Calls,
			s.Phases.Bridged, s.Phases.Dialing, s.Phases.Queued, s.Phases.Preparing, s.Answered, s.Decided)
		add("targets", "%s", targetsOf(s.Targets))
		add("trunks", "%s", peersOf(s.Trunks))
	}
	if s.DiskSize > 0 {
		add("disk", "%.1f of %.1f GB free", float64(s.DiskFree)/1e9, float64(s.DiskSize)/1e9)
	}
	if c := s.Certificate; c != nil {
		until := "until " + c.EndsAt.UTC().Format("2 January 2006 15:04")
		if c.EndsAt.IsZero() {
			until = "none yet"
		}
		add("certificate", "%s: %s", cli.Shown(c.File), until)
	}
	if r := s.Registrations; r != nil {
		add("registrations", "%d of %d up", r.Up, r.All)
	}
	if f := s.Fleet; f != nil {
		text := fmt.Sprintf("%s, %d vanished, database %s", cli.Count(f.Nodes, "node"), f.Vanished,
			map[bool]string{true: "reached", false: "not reached"}[f.Reached])
		if f.Seat != "" {
			text += ", seat " + cli.Shown(f.Seat)
		}
		add("fleet", "%s", text)
	}
	return all
}

// shownPeers is how many targets or trunks a line names.
const shownPeers = 6

// targetsOf counts targets by health, and names those of a bad one.
func targetsOf(targets []admin.StatusPeer) string {
	parts := []string{}
	for _, health := range live.Healths() {
		var names []string
		for _, t := range targets {
			if t.Health == health {
				names = append(names, cli.Shown(t.Name))
			}
		}
		if len(names) == 0 {
			continue
		}
		part := fmt.Sprintf("%d %s", len(names), health)
		if health != live.HealthOK && health != live.HealthIdle {
			part += " (" + some(names) + ")"
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// peersOf names trunks with their calls, the busiest first.
func peersOf(trunks []admin.StatusPeer) string {
	trunks = slices.Clone(trunks)
	slices.SortStableFunc(trunks, func(a, b admin.StatusPeer) int { return b.Calls - a.Calls })
	names := make([]string, len(trunks))
	for i, t := range trunks {
		names[i] = cli.Shown(t.Name) + " " + ofMost(t.Calls, t.MaxCalls)
	}
	if len(names) == 0 {
		return "none"
	}
	return some(names)
}

func some(names []string) string {
	if more := len(names) - shownPeers; more > 0 {
		names = append(names[:shownPeers:shownPeers], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

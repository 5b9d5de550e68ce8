package operate

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/telemetry/live"
)

// Targets returns the command `flowbridge targets`. try is its subcommand that tries a target.
func Targets(try *cobra.Command) *cobra.Command {
	return cli.Group("targets", "Show how targets do, and profiles of platforms", "",
		"  flowbridge targets list\n  flowbridge targets profiles retell",
		targetsCommand(), profilesCommand(), try)
}

func targetsCommand() *cobra.Command {
	c := cli.Command("list", "List targets with their health",
		"List the targets, and the trunks that can be called, with what a running server knows of the last five minutes.\n"+
			"A target is failing if most of its last five attempts failed for a reason of its own, or if it is out of use or\n"+
			"answers no OPTIONS. It is refusing if ten or more in a row, of three called numbers, had no answer, and one status\n"+
			"or cause; idle if there was none, and unknown if the last one before had failed.\n"+
			"Times are UTC. PREPARE and ANSWER are how long the API and the target took (median/95 %).\n"+
			"TURNS is how long callers waited for the agent's answers within calls (flowbridge help talk).",
		"  flowbridge targets list\n  flowbridge targets list --json")
	return asks(c, http.MethodGet, "/api/targets",
		func(w io.Writer, all *list[live.Target]) error { return printTargets(w, all.Items) })
}

func printTargets(w io.Writer, targets []live.Target) error {
	t := cli.Table(w)
	fmt.Fprintln(t, "TARGET\tKIND\tHEALTH\tCALLS\tATTEMPTS\tFAILED\tANSWERED\tPREPARE MS\tANSWER MS\tTURNS MS\tADDRESS")
	for i := range targets {
		g := &targets[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", cli.Shown(g.Name), cli.OrDash(g.Kind), healthOf(g),
			ofMost(g.Calls, g.MaxCalls),
			g.Attempts, g.Failed, cli.OrNone(g.AnswerRatio, percent), cli.OrNone(g.Prepare, latency),
			cli.OrNone(g.Answer, latency), cli.OrNone(g.Turns, latency), cli.Shown(g.Address))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range targets {
		for _, c := range targets[i].Circuits {
			if c.State != live.CircuitClosed {
				fmt.Fprintf(w, "%s: %s\n", cli.Shown(targets[i].Name), c.Words(time.Now()))
			}
		}
		for _, s := range targets[i].Shares {
			for _, what := range []string{s.Moved, s.Seen} {
				if what != "" {
					fmt.Fprintf(w, "%s: %d of %d of the route %s, %s\n", cli.Shown(targets[i].Name), s.Weight, s.Of,
						cli.Shown(s.Route), cli.Shown(what))
				}
			}
		}
		for _, a := range targets[i].Addresses {
			if a.State == live.AddressAvoided {
				fmt.Fprintf(w, "%s: %s is tried last until %s, because it failed (%s)\n", cli.Shown(targets[i].Name),
					cli.Shown(a.Address), a.Until, cli.Shown(a.Cause))
			}
		}
		if e := targets[i].LastError; e != nil {
			fmt.Fprintf(w, "%s: %s at %s, call %s (%s)\n", cli.Shown(targets[i].Name), cli.Shown(e.Text), e.At,
				cli.Shown(e.Call), cli.Shown(e.Cause))
		}
	}
	return nil
}

// healthOf returns a target's health, and what is wrong with its OPTIONS.
func healthOf(t *live.Target) string {
	for _, c := range t.Circuits {
		if c.Ping != "" {
			return t.Health + " (" + cli.Shown(c.Ping) + ")"
		}
	}
	switch e := t.LastError; {
	case t.Refusing != nil:
		return t.Health + ": " + t.Refusing.String()
	case t.Health == live.HealthUnknown && e != nil:
		return fmt.Sprintf("unknown since %s, last: %s", e.At.Format("15:04"), cli.Shown(e.Text))
	}
	return t.Health
}

func ofMost(n, most int) string {
	if most <= 0 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d/%d", n, most)
}

func percent(part float64) string { return strconv.FormatFloat(part*100, 'f', 0, 64) + "%" }

func latency(l live.Latency) string { return fmt.Sprintf("%.0f/%.0f", l.P50, l.P95) }

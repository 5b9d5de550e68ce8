package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/store/record"
)

// Calls returns the command `flowbridge calls`.
func Calls() *cobra.Command {
	return cli.Group("calls", "Show calls, and command live ones", "",
		"  flowbridge calls list\n  flowbridge calls ladder 0199f0c1-…\n  flowbridge calls hangup 0199f0c1-…",
		listCommand(), showCommand(), ladderCommand(), hangupCommand(), transferCommand(), dtmfCommand(), variablesCommand(),
		holdCommand("hold", "the caller is on hold", "Put the caller of a live call on hold",
			"Put the caller of a live call on hold: the caller hears the route's hold sound, the agent silence. Neither is told."),
		holdCommand("resume", "the caller is not on hold", "End a hold that was ordered",
			"Let the caller and the agent hear each other again."))
}

func listCommand() *cobra.Command {
	c := cli.Command("list", "List live calls, newest first",
		"List live calls, newest first, as a running server knows them. Times are UTC; SECONDS is since the call began.",
		"  flowbridge calls list\n  flowbridge calls list --url unix:///run/flowbridge/admin.sock --json")
	return asks(c, http.MethodGet, "/api/calls",
		func(w io.Writer, all *list[admin.Call]) error { return printCalls(w, all.Items, time.Now()) })
}

func printCalls(w io.Writer, calls []admin.Call, now time.Time) error {
	t := cli.Table(w)
	fmt.Fprintln(t, "STARTED\tPHASE\tTRUNK\tFROM\tTO\tTARGET\tSECONDS\tID")
	for i := range calls {
		c := &calls[i]
		until := c.EndedAt.Time
		if until.IsZero() {
			until = now
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.StartedAt, phaseOf(c), cli.OrDash(c.Trunk), cli.OrDash(c.From),
			cli.OrDash(c.To), cli.OrDash(c.Target),
			seconds(max(until.Sub(c.StartedAt.Time).Milliseconds(), 0)), c.ID)
	}
	return t.Flush()
}

// callAccess is accessFlags for a command whose argument is the id of a call. The shell completes
// the id.
func callAccess(c *cobra.Command, count cobra.PositionalArgs) *access {
	at := accessFlags(c)
	c.Args = cli.Args(count)
	c.ValidArgsFunction = func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		api, err := at.open(config.RightsRead)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(c.Context(), 2*time.Second)
		defer cancel()
		var all list[admin.Call]
		if api.do(ctx, http.MethodGet, "/api/calls", &all) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var ids []string
		for i := range all.Items {
			ids = append(ids, all.Items[i].ID+"\t"+cli.Shown(all.Items[i].From+" to "+all.Items[i].To))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
	return at
}

func showCommand() *cobra.Command {
	c := cli.Command("show ID", "Show one call, live or finished",
		"Show one call, live or finished. Take the id from calls list, cdr list or the log's field call. A Call-ID of either\n"+
			"leg or the platform's id works, too.",
		"  flowbridge calls show 0199f0c1-7e3b-7c54-8f2a-51e4f4c1b7aa\n  flowbridge calls show 0199f0c1-7e3b-7c54-8f2a-51e4f4c1b7aa --json")
	at := callAccess(c, cobra.ExactArgs(1))
	asJSON := c.Flags().Bool("json", false, "print JSON as the admin API does")
	c.RunE = func(c *cobra.Command, args []string) error {
		var call admin.Call
		return at.answer(c, http.MethodGet, idPath(args[0]), &call, *asJSON, func(w io.Writer) error {
			printCall(w, &call)
			if call.Talk != nil {
				drawTalk(c, at, call.ID, w)
			}
			return nil
		})
	}
	return c
}

// phaseOf returns a call's phase, with the position of a waiting caller.
func phaseOf(c *admin.Call) string {
	if c.Position > 0 {
		return fmt.Sprintf("%s %d", c.Phase, c.Position)
	}
	return c.Phase
}

func printCall(w io.Writer, c *admin.Call) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
	row("call", "%s, %s", c.ID, phaseOf(c))
	row("from", "%s, trunk %s", cli.OrDash(c.From), cli.OrDash(c.Trunk))
	row("to", "%s, %s, target %s", cli.OrDash(c.To), cli.OrDash(c.Route), cli.OrDash(c.Target))
	row("started", "%s", c.StartedAt)
	if !c.AnsweredAt.IsZero() {
		row("answered", "%s, after %s s; %s", c.AnsweredAt, seconds(c.SetupMS), cli.OrDash(c.Codec))
	}
	if !c.EndedAt.IsZero() {
		row("ended", "%s: %s, %s, by %s, status %d", c.EndedAt, c.Disposition, c.Cause, c.EndedBy, c.SIPStatus)
		row("cause", "flowbridge help %s", c.Cause)
	}
	row("ids", "SIP %s, to the target %s, of the platform %s", cli.OrDash(c.SIPCallID), cli.OrDash(c.TargetSIPCallID),
		cli.OrDash(c.SynthflowCallID))
	for _, a := range c.Attempts {
		row("attempt", "%s: prepare %s, status %s, cause %s, %d ms %s %s", a.Target, statusOrDash(a.PrepareStatus),
			statusOrDash(a.SIPStatus),
			cli.OrDash(a.Cause), a.MS, a.Reason, a.AnsweredBy)
	}
	if len(c.Problems) > 0 {
		row("problems", "%s", strings.Join(c.Problems, ", "))
	}
	for i, side := range []*record.MediaSide{&c.Media.A, &c.Media.B} {
		if side.Rx+side.Tx > 0 || !c.AnsweredAt.IsZero() {
			row([]string{"caller", "target"}[i], "%d packets in, %d out, %d lost, %d late, jitter %.1f ms",
				side.Rx, side.Tx, side.Lost, side.Late, float64(side.JitterMS))
		}
	}
	if c.Talk != nil {
		row("talk", "%s", TalkLine(c.Talk))
	}
	if c.Told != nil {
		row("told", "%s", ToldLine(c.Told))
	}
	if c.Recording != "" && c.Recording != "off" {
		row("recording", "%s", c.Recording)
	}
	if c.Transcodes != "" {
		row("transcodes", "%s", c.Transcodes)
	}
	if len(c.Held) > 0 {
		row("held", "by %s", strings.Join(c.Held, ", "))
	}
	if c.OnHold {
		row("held", "by an order")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Variables)) {
		row("variable", "%s: %s", cli.Shown(name), cli.Shown(c.Variables[name]))
	}
	if t := c.Transfer; t != nil {
		row("transfer", "%s", transferLine(t))
	}
}

func hangupCommand() *cobra.Command {
	c := cli.Command("hangup ID...", "End live calls",
		"End live calls: both sides are told, also while it rings, and the record has the cause operator_hangup. A call that is\n"+
			"over already stays as it is. The server's log has the name of the operator.",
		"  flowbridge calls hangup 0199f0c1-7e3b-7c54-8f2a-51e4f4c1b7aa")
	at := callAccess(c, cobra.MinimumNArgs(1))
	asJSON := c.Flags().Bool("json", false, "print the calls as they ended, as JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		api, err := at.open(config.RightsOperate)
		if err != nil {
			return err
		}
		ended := list[admin.Call]{Items: []admin.Call{}}
		var failed []error
		for _, id := range args {
			var call admin.Call
			if err := api.do(c.Context(), http.MethodPost, idPath(id)+"/hangup", &call); err != nil {
				failed = append(failed, err)
				continue
			}
			ended.Items = append(ended.Items, call)
			if !*asJSON {
				fmt.Fprintf(c.OutOrStdout(), "%s: ended by %s, %s\n", call.ID, call.EndedBy, call.Cause)
			}
		}
		if *asJSON {
			failed = slices.Insert(failed, 0, cli.PrintJSON(c.OutOrStdout(), ended))
		}
		return errors.Join(failed...)
	}
	return c
}

// statusOrDash returns an HTTP or SIP status, or "-" for 0, which means no answer.
func statusOrDash(status int) string {
	if status == 0 {
		return "-"
	}
	return strconv.Itoa(status)
}

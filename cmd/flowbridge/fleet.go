package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/store/fleet"
)

func fleetCommand() *cobra.Command {
	c := cli.Command("fleet", "List the nodes and seats of the fleet",
		"List the nodes of the fleet: when the database has seen each of them last, whether it takes calls or stands by, and\n"+
			"which part of the caps it has. Below them list the seats: which node has each, since when, and how many answered\n"+
			"calls another node could go on with (protected) or not. Nodes that have vanished are there for a day.\n"+
			"It reads the database of fleet.dsn_file.",
		"  flowbridge fleet\n  flowbridge fleet --json")
	file := cli.ConfigFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, cfg, err := openFleet(*file, "flowbridge fleet")
		if err != nil {
			return err
		}
		defer r.Close()
		all, err := r.Overview(c.Context(), cfg.Caps)
		if err != nil {
			return err
		}
		if *asJSON {
			return cli.PrintJSON(c.OutOrStdout(), all)
		}
		return printFleet(c.OutOrStdout(), all)
	}
	return c
}

func printFleet(w io.Writer, all *fleet.Overview) error {
	t := cli.Table(w)
	fmt.Fprintln(t, "NODE\tVERSION\tSEEN\tSTATE\tSEAT\tCAPS\tNUMBERS")
	for i := range all.Nodes {
		n := &all.Nodes[i]
		caps := "-"
		if n.Of > 0 {
			caps = fmt.Sprintf("1/%d, no. %d", n.Of, n.Part)
		}
		fmt.Fprintf(t, "%s\t%s\t%v ago\t%s\t%s\t%s\t%s\n", cli.Shown(n.Node), cli.Shown(n.Version), roughly(n.SeenMS),
			n.State, cli.OrDash(n.Seat), caps, cli.OrDash(n.Numbers))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if all.NumbersDiffer {
		fmt.Fprintln(w, "The nodes have different tables of numbers: give all of them the same file.")
	}
	names := map[string]int{}
	for i := range all.Nodes {
		if n := &all.Nodes[i]; n.Live {
			names[n.Node]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if names[name] > 1 {
			fmt.Fprintf(w, "%d nodes have the name %s: give each a name of its own (fleet.node).\n", names[name], cli.Shown(name))
		}
	}
	for _, seat := range all.SecretsDiffer {
		fmt.Fprintf(w, "The nodes of the seat %s have different secrets, so none can go on with another's calls: "+
			"give all of them the same fleet.takeover.key_file.\n", cli.Shown(seat))
	}
	if len(all.Seats) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	fmt.Fprintln(t, "SEAT\tNODE\tEPOCH\tSINCE\tLEASE\tPROTECTED\tUNPROTECTED")
	for i := range all.Seats {
		s := &all.Seats[i]
		lease := s.Lease
		if lease == fleet.LeaseLapsed {
			lease = fmt.Sprintf("lapsed, renewed %v ago", roughly(s.RenewedMS))
		}
		since := "unreadable"
		if !s.Since.IsZero() {
			since = s.Since.Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%d\t%d\n", cli.Shown(s.Seat), cli.OrDash(s.Node), s.Epoch, since, lease,
			s.Protected, s.Unprotected)
	}
	return t.Flush()
}

// roughly returns a time in milliseconds as a duration, rounded to a tenth of a second.
func roughly(ms int64) time.Duration {
	return (time.Duration(ms) * time.Millisecond).Round(100 * time.Millisecond)
}

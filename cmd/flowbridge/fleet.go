package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/store/fleet"
)

func fleetCommand() *cobra.Command {
	c := cli.Command("fleet", "List the nodes of the fleet",
		"List the nodes of the fleet: when the database has seen each of them last, and which part of the caps it has.\n"+
			"Nodes that have vanished are there for a day. It reads the database of fleet.dsn_file.",
		"  flowbridge fleet\n  flowbridge fleet --json")
	file := cli.ConfigFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, cfg, err := openFleet(*file, "flowbridge fleet")
		if err != nil {
			return err
		}
		defer r.Close()
		members, err := r.Members(c.Context())
		if err != nil {
			return err
		}
		nodes := nodesOf(members, cfg.Caps)
		if *asJSON {
			return cli.PrintJSON(c.OutOrStdout(), map[string]any{"nodes": nodes})
		}
		return printNodes(c.OutOrStdout(), nodes)
	}
	return c
}

// fleetNode is a node of a fleet, as the command shows it.
type fleetNode struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	SeenMS  int64  `json:"seen_ms"` // how long ago
	Live    bool   `json:"live"`
	// Part is the node's part of the caps: the 1st, 2nd … of so many. 0: it has none, or the caps are each node's own.
	Part int `json:"part"`
	Of   int `json:"of"`
}

func nodesOf(members []fleet.Member, caps bool) []fleetNode {
	live, part := len(fleet.Live(members)), 0
	nodes := make([]fleetNode, len(members))
	for i, m := range members {
		nodes[i] = fleetNode{Node: m.Name, Version: m.Version, SeenMS: max(0, m.Age.Milliseconds()), Live: m.Live()}
		if caps && m.Live() {
			part++
			nodes[i].Part, nodes[i].Of = part, live
		}
	}
	return nodes
}

func printNodes(w io.Writer, nodes []fleetNode) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tVERSION\tSEEN\tSTATE\tCAPS")
	for _, n := range nodes {
		state, caps := "vanished", "-"
		if n.Live {
			state = "live"
		}
		if n.Of > 0 {
			caps = fmt.Sprintf("1/%d, no. %d", n.Of, n.Part)
		}
		seen := (time.Duration(n.SeenMS) * time.Millisecond).Round(100 * time.Millisecond)
		fmt.Fprintf(t, "%s\t%s\t%v ago\t%s\t%s\n", cli.Shown(n.Node), cli.Shown(n.Version), seen, state, caps)
	}
	return t.Flush()
}

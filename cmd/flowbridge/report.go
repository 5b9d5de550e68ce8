package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/compare"
	"flowbridge/store/record"
)

func reportCommand() *cobra.Command {
	c := cli.Command("report", "Compare targets, trunks, routes or the shares of a split by their calls",
		"Compare targets, trunks, routes or the shares of a split by their finished calls: how many were answered, how fast, and what\n"+
			"the conversations were like. It reads the database file, beside a running server or without one. A call counts at the\n"+
			"target that it was given first. A figure stands before the number behind it, with its interval of 95 % in brackets.",
		"  flowbridge report --since 24h --by target\n"+
			"  flowbridge report --since 7d --by split --route 'routes[0]' --json")
	want := newWanted(c)
	by := c.Flags().String("by", "target", strings.Join(compare.By(), ", "))
	asJSON := c.Flags().Bool("json", false, "print JSON")
	asCSV := c.Flags().Bool("csv", false, "print comma-separated values")
	c.MarkFlagsMutuallyExclusive("json", "csv")
	cli.CompleteWords(c, "by", compare.By())
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !slices.Contains(compare.By(), *by) {
			return cli.Usage("--by %q: one of %s", *by, strings.Join(compare.By(), ", "))
		}
		return want.read(c.Context(), func(r record.Lister, filter record.Filter) error {
			groups := compare.New(*by)
			err := record.Each(c.Context(), r, filter, func(r record.Record) error { groups.Add(&r); return nil })
			if err != nil {
				return err
			}
			switch all := groups.All(); {
			case *asJSON:
				return cli.PrintJSON(c.OutOrStdout(), map[string]any{"by": *by, "groups": all})
			case *asCSV:
				return writeComparison(csv.NewWriter(c.OutOrStdout()), *by, all)
			default:
				return printComparison(c.OutOrStdout(), *by, all)
			}
		})
	}
	return c
}

// printComparison prints a table with one column per group, because there are many figures and few groups.
func printComparison(w io.Writer, by string, all []compare.Group) error {
	t := cli.Table(w)
	line := func(name string, of func(g *compare.Group) string) {
		cells := []string{name}
		for i := range all {
			cells = append(cells, of(&all[i]))
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	line(strings.ToUpper(by), func(g *compare.Group) string { return cli.Shown(g.Name) })
	line("calls", func(g *compare.Group) string { return strconv.Itoa(g.Calls) })
	line("answered", func(g *compare.Group) string { return cli.OrNone(g.Answered, shareOf) })
	line("set-up p50", func(g *compare.Group) string { return cli.OrNone(g.SetUp, p50) })
	line("set-up p95", func(g *compare.Group) string { return cli.OrNone(g.SetUp, p95) })
	line("mean duration", func(g *compare.Group) string { return cli.OrNone(g.DurationMS, meanOf) })
	line("rescued", func(g *compare.Group) string { return cli.OrNone(g.Rescued, shareOf) })
	line("measured", func(g *compare.Group) string { return cli.OrNone(g.Measured, shareOf) })
	line("agent heard p50", func(g *compare.Group) string { return cli.OrNone(g.FirstAgent, p50) })
	line("answers p50", func(g *compare.Group) string { return cli.OrNone(g.Turns, p50) })
	line("answers p95", func(g *compare.Group) string { return cli.OrNone(g.Turns, p95) })
	line("interrupted p50", func(g *compare.Group) string { return cli.OrNone(g.BargeIns, p50) })
	line("ignored", func(g *compare.Group) string { return cli.OrNone(g.Ignored, shareOf) })
	line("dead air a call", func(g *compare.Group) string { return cli.OrNone(g.AgentDeadAir, meanOf) })
	return t.Flush()
}

func shareOf(s compare.Share) string {
	return fmt.Sprintf("%.1f%% of %d [%.1f-%.1f]", 100*s.Share, s.Of, 100*s.Interval[0], 100*s.Interval[1])
}

func p50(d compare.Durations) string { return quantileOf(d.P50, d.N, d.P50Interval) }

func p95(d compare.Durations) string { return quantileOf(d.P95, d.N, d.P95Interval) }

func quantileOf(ms int64, n int, interval [2]int64) string {
	s := func(ms int64) float64 { return float64(ms) / 1000 }
	return fmt.Sprintf("%.2f s of %d [%.2f-%.2f]", s(ms), n, s(interval[0]), s(interval[1]))
}

func meanOf(ms int64) string { return fmt.Sprintf("%.1f s", float64(ms)/1000) }

// writeComparison writes one line for each figure of a group, so that each figure has its number and
// interval.
func writeComparison(w *csv.Writer, by string, all []compare.Group) error {
	_ = w.Write([]string{by, "figure", "value", "n", "low", "high"}) // Flush reports errors
	for i := range all {
		g := &all[i]
		name := g.Name // it comes from the configuration, so it is no formula
		_ = w.Write([]string{name, "calls", strconv.Itoa(g.Calls), "", "", ""})
		for _, f := range []struct {
			figure string
			share  *compare.Share
		}{{"answered", g.Answered}, {"rescued", g.Rescued}, {"measured", g.Measured}, {"barge_ins_ignored", g.Ignored}} {
			if s := f.share; s != nil {
				_ = w.Write([]string{
					name, f.figure, decimal(s.Share), strconv.Itoa(s.Of), decimal(s.Interval[0]), decimal(s.Interval[1]),
				})
			}
		}
		for _, f := range []struct {
			figure string
			d      *compare.Durations
		}{{"set_up", g.SetUp}, {"first_agent", g.FirstAgent}, {"turns", g.Turns}, {"barge_ins", g.BargeIns}} {
			if d := f.d; d != nil {
				_ = w.Write(durationCells(name, f.figure+"_p50_ms", d.P50, d.N, d.P50Interval))
				_ = w.Write(durationCells(name, f.figure+"_p95_ms", d.P95, d.N, d.P95Interval))
			}
		}
		for _, f := range []struct {
			figure string
			ms     *int64
		}{{"mean_duration_ms", g.DurationMS}, {"mean_agent_dead_air_ms", g.AgentDeadAir}} {
			if f.ms != nil {
				_ = w.Write([]string{name, f.figure, strconv.FormatInt(*f.ms, 10), "", "", ""})
			}
		}
	}
	w.Flush()
	return w.Error()
}

func durationCells(name, figure string, ms int64, n int, interval [2]int64) []string {
	i := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{name, figure, i(ms), strconv.Itoa(n), i(interval[0]), i(interval[1])}
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 4, 64) }

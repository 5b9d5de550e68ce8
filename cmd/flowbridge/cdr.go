package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/store"
	"flowbridge/store/fleet"
	"flowbridge/store/record"
)

func cdrCommand() *cobra.Command {
	return cli.Group("cdr", "Read the records of finished calls", "", "  flowbridge cdr list --json", cdrListCommand(),
		cdrExportCommand())
}

func cdrListCommand() *cobra.Command {
	c := cli.Command("list", "List finished calls, newest first",
		"List finished calls, newest first. It reads the database file, beside a running server or without one.\n"+
			"Times are UTC. WAITED is how long the caller waited, in seconds: from the INVITE to the answer, or to the end of a call\n"+
			"that was not answered. LASTED is how long the call lasted from its answer, in minutes and seconds.",
		"  flowbridge cdr list --config flowbridge.yaml\n"+
			"  flowbridge cdr list --number 5550100 --since 24h\n"+
			"  flowbridge cdr list --db flowbridge.db --disposition failed --json")
	want := newWanted(c)
	var asJSON bool
	f := c.Flags()
	f.StringVar(&want.filter.Cursor, "cursor", "", "continue where an earlier list ended")
	f.IntVar(&want.filter.Limit, "limit", 100, "at most this many, up to 1000")
	f.BoolVar(&asJSON, "json", false, "print JSON as the admin API does")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if n := want.filter.Limit; n < 1 || n > record.MaxLimit {
			return cli.Usage("--limit %d: 1 to %d", n, record.MaxLimit)
		}
		return want.read(c.Context(), func(r record.Lister, filter record.Filter) error {
			return listCDRs(c.Context(), c.OutOrStdout(), r, filter, asJSON)
		})
	}
	return c
}

func cdrExportCommand() *cobra.Command {
	c := cli.Command("export", "Write all finished calls as CSV or JSON Lines, newest first",
		"Write all finished calls as CSV or JSON Lines, newest first. It reads the database file, beside a running server\n"+
			"or without one. A text that a spreadsheet would take for a formula has an apostrophe before it; numbers like\n"+
			"+15550100001 stay as they are. Times are UTC.",
		"  flowbridge cdr export --csv --since 2026-11-01 --until 2026-12-01 > november.csv\n"+
			"  flowbridge cdr export --jsonl --cause prepare_failed | jq -r .id")
	want := newWanted(c)
	var asCSV, asLines, asJSON bool
	f := c.Flags()
	f.BoolVar(&asCSV, "csv", false, "comma-separated values (the default)")
	f.BoolVar(&asLines, "jsonl", false, "JSON Lines: each record as the admin API has it, in a line of its own")
	f.BoolVar(&asJSON, "json", false, "the same as --jsonl")
	c.RunE = func(c *cobra.Command, _ []string) error {
		asLines = asLines || asJSON
		if asCSV && asLines {
			return cli.Usage("--csv and --jsonl: write one of them")
		}
		return want.read(c.Context(), func(r record.Lister, filter record.Filter) error {
			out := bufio.NewWriter(c.OutOrStdout())
			write, flush := record.Encoder(out, !asLines)
			err := record.Each(c.Context(), r, filter, func(r record.Record) error { return write(&r) })
			return errors.Join(err, flush(), out.Flush())
		})
	}
	return c
}

// wanted says which records a command reads, and from which file.
type wanted struct {
	filter                   record.Filter
	file                     *string // the configuration's path
	db, since, until, number string
	fleet, notTold           bool
}

// newWanted adds the flags of a filter. They have the names of the admin API's parameters.
func newWanted(c *cobra.Command) *wanted {
	w := &wanted{file: cli.ConfigFlag(c)}
	f := c.Flags()
	f.StringVar(&w.db, "db", "", "database file (default: the one that the configuration names)")
	f.BoolVar(&w.fleet, "fleet", false, "the calls of all nodes, from the database of fleet.dsn_file")
	f.StringVar(&w.since, "since", "", "only calls that started then or later: a time (UTC) or, as 2h, how long ago")
	f.StringVar(&w.until, "until", "", "only calls that started before: a time (UTC) or, as 2h, how long ago")
	f.StringVar(&w.number, "number", "", "only calls from, to or about this number, or a part of it")
	f.StringVar(&w.filter.ID, "id", "", "only the call with this id: ours, a Call-ID, the platform's or the external one")
	f.StringVar(&w.filter.Trunk, "trunk", "", "only this trunk")
	f.StringVar(&w.filter.Target, "target", "", "only this target")
	f.StringVar(&w.filter.Route, "route", "", "only this route, like routes[0]")
	f.StringVar(&w.filter.Direction, "direction", "", "only inbound, or only outbound")
	f.StringVar(&w.filter.Disposition, "disposition", "", "only this disposition")
	f.StringVar(&w.filter.Cause, "cause", "", "only this cause, as flowbridge help causes lists them")
	f.StringVar(&w.filter.Problem, "problem", "", "only calls with this problem: "+strings.Join(record.Problems(), ", "))
	f.BoolVar(&w.notTold, "not-told", false, "the same as --problem "+record.ProblemNotTold)
	c.MarkFlagsMutuallyExclusive("db", "fleet")
	c.MarkFlagsMutuallyExclusive("problem", "not-told")
	cli.CompleteNames(c, "trunk", "trunks", w.file)
	cli.CompleteNames(c, "target", "targets", w.file)
	cli.CompleteWords(c, "disposition", record.Dispositions())
	cli.CompleteWords(c, "direction", record.Directions())
	cli.CompleteWords(c, "problem", record.Problems())
	return w
}

// read opens the database and calls do.
func (w *wanted) read(ctx context.Context, do func(r record.Lister, filter record.Filter) error) (err error) {
	if w.filter.Since, err = cli.Moment("since", w.since); err != nil {
		return err
	}
	if w.filter.Until, err = cli.Moment("until", w.until); err != nil {
		return err
	}
	if w.number != "" {
		var ok bool
		if w.filter.Number, ok = record.Digits(w.number); !ok {
			return cli.Usage("--number %q: write digits, like 5550100", w.number)
		}
	}
	if w.notTold {
		w.filter.Problem = record.ProblemNotTold
	}
	for _, is := range []struct {
		flag, value string
		words       []string
	}{
		{"disposition", w.filter.Disposition, record.Dispositions()},
		{"direction", w.filter.Direction, record.Directions()},
		{"problem", w.filter.Problem, record.Problems()},
	} {
		if is.value != "" && !slices.Contains(is.words, is.value) {
			return cli.Usage("--%s %q: one of %s", is.flag, is.value, strings.Join(is.words, ", "))
		}
	}
	if w.fleet {
		return w.readFleet(do)
	}
	if w.db == "" {
		cfg, err := config.LoadSections(*w.file, "store")
		if err != nil {
			return err
		}
		w.db = cfg.Store.Path
	}
	r, err := store.OpenRead(ctx, w.db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	err = do(r, w.filter)
	tellUnreadable(r.Unreadable())
	return err
}

func tellUnreadable(ids []string) {
	if len(ids) > 0 {
		fmt.Fprintf(os.Stderr, "%d records can't be read, and are left out: %s\n", len(ids), strings.Join(ids, " "))
	}
}

// readFleet opens the fleet's database and calls do.
func (w *wanted) readFleet(do func(r record.Lister, filter record.Filter) error) error {
	r, _, err := openFleet(*w.file, "--fleet")
	if err != nil {
		return err
	}
	defer r.Close()
	err = do(r, w.filter)
	tellUnreadable(r.Unreadable())
	return err
}

// openFleet opens the database of the fleet in a configuration. what names the command for errors.
func openFleet(file, what string) (*fleet.Reader, *config.Fleet, error) {
	cfg, err := config.LoadSections(file, "fleet")
	if err != nil {
		return nil, nil, err
	}
	if !cfg.Fleet.On() {
		return nil, nil, cli.Usage("%s needs fleet.dsn_file in the configuration, and a user who may read that file", what)
	}
	r, err := fleet.OpenReader(cfg.Fleet.DSN.Reveal(), "flowbridge")
	return r, &cfg.Fleet, err
}

func listCDRs(ctx context.Context, w io.Writer, r record.Lister, filter record.Filter, asJSON bool) error {
	records, next, err := record.List(ctx, r, filter)
	if errors.Is(err, record.ErrCursor) {
		return cli.Usage("--cursor is not one of this list")
	}
	if err != nil {
		return err
	}
	if asJSON {
		return cli.PrintJSON(w, map[string]any{"items": records, "next": next})
	}
	t := cli.Table(w)
	fmt.Fprintln(t, "STARTED\tTRUNK\tFROM\tTO\tTARGET\tDISPOSITION\tCAUSE\tPROBLEMS\tSTATUS\tWAITED\tLASTED\tID")
	for _, r := range records {
		waited, lasted := r.EndedAt.Sub(r.StartedAt.Time).Milliseconds(), ""
		if !r.AnsweredAt.IsZero() {
			waited, lasted = r.SetupMS, clock(r.DurationMS)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%.1f\t%s\t%s\n", r.StartedAt, r.Trunk, cli.Shown(r.From),
			cli.Shown(r.To), r.Target,
			r.Disposition, r.Cause, cli.OrDash(strings.Join(r.Problems, ",")), r.SIPStatus, float64(waited)/1000, lasted, r.ID)
	}
	if next != "" {
		fmt.Fprintf(t, "more: --cursor %s\n", next)
	}
	return t.Flush()
}

// clock formats a duration as the page does: minutes and seconds, or hours, minutes and seconds.
func clock(ms int64) string {
	s := ms / 1000
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/store"
)

func cdrCommand() *cobra.Command {
	return cli.Group("cdr", "Read the records of finished calls", "", "  flowbridge cdr list --json", cdrListCommand())
}

func cdrListCommand() *cobra.Command {
	c := cli.Command("list", "List finished calls, newest first",
		"List finished calls, newest first. It reads the database file, beside a running server or without one.\n"+
			"Times are UTC; SETUP is how long the caller waited, SECONDS how long the call lasted.",
		"  flowbridge cdr list --config flowbridge.yaml\n"+
			"  flowbridge cdr list --db flowbridge.db --disposition failed --json")
	file := cli.ConfigFlag(c)
	var filter store.Filter
	var db, since, until string
	var asJSON bool
	f := c.Flags()
	f.StringVar(&db, "db", "", "database file (default: the one that the configuration names)")
	f.StringVar(&since, "since", "", "only calls that started then or later: a time (UTC) or, as 2h, how long ago")
	f.StringVar(&until, "until", "", "only calls that started before: a time (UTC) or, as 2h, how long ago")
	f.StringVar(&filter.Trunk, "trunk", "", "only this trunk")
	f.StringVar(&filter.Target, "target", "", "only this target")
	f.StringVar(&filter.Disposition, "disposition", "", "only this disposition")
	f.StringVar(&filter.Cursor, "cursor", "", "continue where an earlier list ended")
	f.IntVar(&filter.Limit, "limit", 100, "at most this many, up to 1000")
	f.BoolVar(&asJSON, "json", false, "print JSON as the admin API does")
	cli.CompleteNames(c, "trunk", "trunks", file)
	cli.CompleteNames(c, "target", "targets", file)
	cli.CompleteWords(c, "disposition", store.Dispositions())
	c.RunE = func(c *cobra.Command, _ []string) error {
		if db == "" {
			cfg, err := config.LoadSections(*file, "store")
			if err != nil {
				return err
			}
			db = cfg.Store.Path
		}
		var err error
		if filter.Since, err = timeFlag("since", since); err != nil {
			return err
		}
		if filter.Until, err = timeFlag("until", until); err != nil {
			return err
		}
		if filter.Limit < 1 || filter.Limit > store.MaxLimit {
			return cli.Usage("--limit %d: 1 to %d", filter.Limit, store.MaxLimit)
		}
		if d := filter.Disposition; d != "" && !slices.Contains(store.Dispositions(), d) {
			return cli.Usage("--disposition %q: one of %s", d, strings.Join(store.Dispositions(), ", "))
		}
		return listCDRs(c.Context(), c.OutOrStdout(), db, filter, asJSON)
	}
	return c
}

// timeFlag reads a moment: RFC 3339, a date with or without a time (UTC), or a duration before now.
func timeFlag(name, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(value); err == nil {
		return time.Now().Add(-d.Abs()), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, value); err == nil {
			return t, nil
		}
	}
	return time.Time{}, cli.Usage(`--%s %q: write 2026-11-20T08:00:00Z, "2026-11-20 08:00" (UTC), or 2h for two hours ago`, name, value)
}

func listCDRs(ctx context.Context, w io.Writer, db string, filter store.Filter, asJSON bool) (err error) {
	r, err := store.OpenRead(ctx, db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	records, next, err := r.List(ctx, filter)
	if errors.Is(err, store.ErrCursor) {
		return cli.Usage("--cursor is not one of this list")
	}
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"items": records, "next": next})
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STARTED\tTRUNK\tFROM\tTO\tTARGET\tDISPOSITION\tCAUSE\tSTATUS\tSETUP\tSECONDS\tID")
	for _, r := range records {
		setup := r.SetupMS
		if r.AnsweredAt.IsZero() {
			setup = r.EndedAt.Sub(r.StartedAt.Time).Milliseconds() // in vain
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%.1f\t%.1f\t%s\n", r.StartedAt, r.Trunk, cli.Shown(r.From), cli.Shown(r.To), r.Target,
			r.Disposition, r.Cause, r.SIPStatus, float64(setup)/1000, float64(r.DurationMS)/1000, r.ID)
	}
	if next != "" {
		fmt.Fprintf(t, "more: --cursor %s\n", next)
	}
	return t.Flush()
}

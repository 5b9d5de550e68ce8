package operate

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
)

const erasePath = "/api/erasures"

// Erase returns the command `flowbridge erase`.
func Erase() *cobra.Command {
	c := cli.Command("erase", "Erase what is kept about a number or a call",
		"Erase the records, ladders, recordings and journal of the calls with a number, or of one call, at a running server and\n"+
			"everywhere in its fleet. A number is found as from, to, lead, target or destination of a transfer, and in variables,\n"+
			"with or without +, 00 and spaces. Give a national form, like 0301234, by itself. A call with the number in its messages\n"+
			"only, for example in a Diversion, loses its ladder and pcapng recordings and keeps its record. Live calls go on, and\n"+
			"are erased at their end. A call under a legal hold stays. It prints what it can't reach.",
		"  flowbridge erase --number +15075550100 --dry-run\n  flowbridge erase --call 0199f0c1-7e3b-7c54-8f2a-51e4f4c1b7aa")
	at := accessFlags(c)
	var r admin.ErasureRequest
	c.Flags().StringVar(&r.Number, "number", "", "the number")
	c.Flags().StringVar(&r.Call, "call", "", "the id of the call, as cdr list has it")
	c.Flags().BoolVar(&r.DryRun, "dry-run", false, "only count, and change nothing")
	asJSON := c.Flags().Bool("json", false, "print JSON as the admin API does")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if (r.Number == "") == (r.Call == "") {
			return cli.Usage("write --number or --call")
		}
		var err error
		if at.body, err = json.Marshal(r); err != nil {
			return err
		}
		var e admin.Erasure
		return at.answer(c, http.MethodPost, erasePath, &e, *asJSON, func(w io.Writer) error {
			return printErasure(w, &e)
		})
	}
	return c
}

// Hold returns the command `flowbridge hold`.
func Hold() *cobra.Command {
	c := cli.Command("hold [ID]", "Set, lift or list legal holds of calls",
		"Set the legal hold of a call at the node that has its record: neither an erasure nor its age deletes the call, its\n"+
			"ladder and recordings. It prints the calls of the node that are under one, without an id only that. The id is as\n"+
			"cdr list has it.",
		"  flowbridge hold\n  flowbridge hold 0199f0c1-7e3b-7c54-8f2a-51e4f4c1b7aa\n  flowbridge hold 0199f0c1-7e3b-7c54-8f2a-51e4f4c1b7aa --off")
	c.Args = cli.Args(cobra.MaximumNArgs(1))
	at := accessFlags(c)
	off := c.Flags().Bool("off", false, "lift the hold")
	asJSON := c.Flags().Bool("json", false, "print JSON as the admin API does")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		order := admin.ErasureRequest{LegalHold: new(!*off), DryRun: len(args) == 0}
		switch {
		case order.DryRun && *off:
			return cli.Usage("--off needs the id of a call")
		case !order.DryRun && args[0] == "":
			return cli.Usage("the id is empty")
		case !order.DryRun:
			order.Call = args[0]
		}
		if at.body, err = json.Marshal(order); err != nil {
			return err
		}
		var e admin.Erasure
		return at.answer(c, http.MethodPost, erasePath, &e, *asJSON, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "calls of this node under a legal hold: %d\n", len(e.Held))
			for _, id := range e.Held {
				_, err = fmt.Fprintln(w, id)
			}
			return err
		})
	}
	return c
}

func printErasure(w io.Writer, e *admin.Erasure) error {
	verb := "erased"
	if e.DryRun {
		verb = "would be erased"
	}
	_, err := fmt.Fprintf(w, "%s: %d calls, %d ladders, %d recordings; %d records in the fleet's database\n", verb, e.Calls,
		e.Ladders, e.Recordings, e.Fleet)
	if e.Mentioned > 0 && err == nil {
		_, err = fmt.Fprintf(w, "only in messages: %d calls, which lose ladder and pcapng and keep their record\n", e.Mentioned)
	}
	for _, l := range []struct {
		what string
		all  []string
	}{
		{"under a legal hold, not erased", e.Held},
		{"live, erased at their end", e.Live},
		{"nodes that have not confirmed yet", e.Waits},
		{"not reached", e.Unreached},
	} {
		if len(l.all) > 0 && err == nil {
			_, err = fmt.Fprintf(w, "%s:\n  %s\n", l.what, strings.Join(l.all, "\n  "))
		}
	}
	return err
}

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
			"with or without +, 00 and spaces. Give a national form, like 0301234, by itself. Live calls go on, and are erased at\n"+
			"their end. A call under a legal hold stays. It prints what it can't reach.",
		"  flowbridge erase --number +15075550100 --dry-run\n  flowbridge erase --call 0199f0c1-7e3b-7c54-8f2a-51e4f4c1b7aa\n"+
			"  flowbridge erase --call 0199f0c1-7e3b-7c54-8f2a-51e4f4c1b7aa --legal-hold on")
	at := accessFlags(c)
	var r admin.ErasureRequest
	c.Flags().StringVar(&r.Number, "number", "", "the number")
	c.Flags().StringVar(&r.Call, "call", "", "the id of the call, as cdr list has it")
	c.Flags().BoolVar(&r.DryRun, "dry-run", false, "only count, and change nothing")
	hold := c.Flags().String("legal-hold", "", "on: neither an erasure nor its age deletes the call; off: they do again")
	asJSON := c.Flags().Bool("json", false, "print JSON as the admin API does")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if (r.Number == "") == (r.Call == "") || *hold != "" && (r.Call == "" || *hold != "on" && *hold != "off") {
			return cli.Usage("write --number or --call; --legal-hold, on or off, needs --call")
		}
		if *hold != "" {
			r.LegalHold = new(*hold == "on")
		}
		var err error
		if at.body, err = json.Marshal(r); err != nil {
			return err
		}
		var e admin.Erasure
		return at.answer(c, http.MethodPost, erasePath, &e, *asJSON, func(w io.Writer) error {
			if *hold != "" {
				_, err := fmt.Fprintln(w, "calls of this node under a legal hold:", len(e.Held))
				return err
			}
			return printErasure(w, &e)
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

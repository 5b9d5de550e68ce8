package operate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/store/record"
)

// ordersCall makes a command send an order for a call. body returns the order's body for the arguments after the id.
// The command prints the result: the answer's words, or else done.
func ordersCall(c *cobra.Command, count cobra.PositionalArgs, order, done string,
	body func(args []string) (any, error),
) *cobra.Command {
	at := callAccess(c, count)
	asJSON := c.Flags().Bool("json", false, "print JSON as the admin API does")
	c.RunE = func(c *cobra.Command, args []string) error {
		says, err := body(args[1:])
		if err != nil {
			return err
		}
		if at.body, err = json.Marshal(says); err != nil {
			return err
		}
		got := &struct { // all members that an answer may have
			ID        string            `json:"id,omitempty"`
			Transfer  *record.Transfer  `json:"transfer,omitempty"`
			Variables map[string]string `json:"variables,omitempty"`
			Recording string            `json:"recording,omitempty"`
			Masked    bool              `json:"masked,omitempty"`
			OnHold    bool              `json:"on_hold,omitempty"`
		}{}
		return at.answer(c, http.MethodPost, idPath(args[0])+"/"+order, got, *asJSON, func(w io.Writer) error {
			line := done
			switch {
			case got.Transfer != nil:
				line = "transfer " + transferLine(got.Transfer)
			case order == "variables":
				line = "variables " + cmp.Or(shownPairs(got.Variables), "none")
			}
			_, err := fmt.Fprintf(w, "%s: %s\n", cmp.Or(got.ID, cli.Shown(args[0])), line)
			return err
		})
	}
	return c
}

func transferCommand() *cobra.Command {
	var r admin.TransferRequest
	c := cli.Command("transfer ID TO", "Connect the caller of a live call to another party",
		"Connect the caller of a live call to another party: a number, a host or a SIP URI of the lists of the call's target\n"+
			"(transfer_numbers, transfer_hosts), or a target by its name. The agent stays until the new party answers. The command\n"+
			"does not wait: calls show says how it goes.",
		"  flowbridge calls transfer 0199f0c1-… +15075785500\n"+
			"  flowbridge calls transfer 0199f0c1-… 4711 --trunk pbx --announce please-wait --accept 1")
	f := c.Flags()
	f.StringVar(&r.Trunk, "trunk", "", "trunk that calls the number (default: as after a REFER)")
	f.StringVar(&r.Announce, "announce", "", "sound that the new party hears before it is connected")
	f.StringVar(&r.Accept, "accept", "", "key by which it takes the call (default: when the sound is over)")
	within := f.Duration("within", 0, "how long it may take for that (default 20s)")
	f.StringToStringVar(&r.Headers, "header", nil, "header of the new INVITE, as NAME=VALUE; may be given again")
	return ordersCall(c, cobra.ExactArgs(2), "transfer", "", func(args []string) (any, error) {
		r.To, r.WithinMS = args[0], int(*within/time.Millisecond)
		return r, nil
	})
}

// transferLine formats a transfer in one line.
func transferLine(t *record.Transfer) string {
	line := fmt.Sprintf("to %s by %s: %s", cli.Shown(t.To), cmp.Or(cli.Shown(t.By), "the agent"), t.State)
	if t.Code > 0 {
		line += fmt.Sprintf(", %d %s", t.Code, cli.Shown(t.Reason))
	}
	return line
}

func dtmfCommand() *cobra.Command {
	var r admin.DigitsRequest
	c := cli.Command("dtmf ID DIGITS", "Press keys towards a side of a live call",
		"Press keys towards a side of a live call: as telephone-events (RFC 4733), or INFO where the side has none, or is a\n"+
			"target with dtmf: info. The command waits until the keys are taken that go as INFO.",
		"  flowbridge calls dtmf 0199f0c1-… 12#")
	c.Flags().StringVar(&r.Side, "side", "b", "a: the caller; b: the called party")
	long := c.Flags().Duration("long", 100*time.Millisecond, "how long each key is pressed")
	return ordersCall(c, cobra.ExactArgs(2), "dtmf", "the keys are pressed", func(args []string) (any, error) {
		r.Digits, r.MS = strings.ToUpper(args[0]), int(*long/time.Millisecond)
		return r, nil
	})
}

func variablesCommand() *cobra.Command {
	c := cli.Command("variables ID NAME=VALUE...", "Set variables of a live call",
		"Set variables of a live call: headers X-NAME, as if the caller's INVITE had them, for templates and pass_headers of\n"+
			"whoever is called from now on. An empty value removes one. The record has them.",
		"  flowbridge calls variables 0199f0c1-… ticket=4711 mood=")
	return ordersCall(c, cobra.MinimumNArgs(2), "variables", "", func(args []string) (any, error) {
		all, err := pairs("variable", "=", args)
		return map[string]any{"variables": all}, err
	})
}

// shownPairs formats names and values in one line.
func shownPairs(all map[string]string) string {
	var shown []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		shown = append(shown, cli.Shown(name)+"="+cli.Shown(all[name]))
	}
	return strings.Join(shown, ", ")
}

func holdCommand(order, done, short, long string) *cobra.Command {
	c := cli.Command(order+" ID", short, long, "  flowbridge calls "+order+" 0199f0c1-…")
	return ordersCall(c, cobra.ExactArgs(1), order, done, func([]string) (any, error) { return struct{}{}, nil })
}

package operate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
)

// ordersCall makes a command send an order for a call, whose body is that of the arguments after the id, and print the
// answer.
func ordersCall[T any](c *cobra.Command, count int, order string, body func(args []string) (any, error),
	show func(w io.Writer, got *T) error,
) *cobra.Command {
	at := accessFlags(c)
	withID(c, at, cobra.ExactArgs(1+count))
	asJSON := c.Flags().Bool("json", false, "print JSON as the admin API does")
	c.RunE = func(c *cobra.Command, args []string) error {
		what, err := body(args[1:])
		if err != nil {
			return err
		}
		if at.body, err = json.Marshal(what); err != nil {
			return err
		}
		got := new(T)
		return at.answer(c, http.MethodPost, idPath(args[0])+"/"+order, got, *asJSON, func(w io.Writer) error {
			return show(w, got)
		})
	}
	return c
}

func transferCommand() *cobra.Command {
	var r admin.TransferRequest
	c := cli.Command("transfer ID TO", "Connect the caller of a live call to another party",
		"Connect the caller of a live call to another party: a number, a host or a SIP URI of the lists of the call's target\n"+
			"(transfer_numbers, transfer_hosts), or a target by its name. The agent stays until the new party answers. With\n"+
			"--announce that hears a sound first. The command does not wait: calls show says how the transfer goes.",
		"  flowbridge calls transfer 0199f0c1-… +15075785500\n"+
			"  flowbridge calls transfer 0199f0c1-… 4711 --trunk pbx --announce please-wait --accept 1")
	f := c.Flags()
	f.StringVar(&r.Trunk, "trunk", "", "trunk that calls the number (default: as after a REFER)")
	f.StringVar(&r.Announce, "announce", "", "sound that the new party hears before it is connected")
	f.StringVar(&r.Accept, "accept", "", "key by which it takes the call (default: when the sound is over)")
	within := f.Duration("within", 0, "how long it may take for that (default 20s)")
	f.StringToStringVar(&r.Headers, "header", nil, "header of the new INVITE, as NAME=VALUE; may be given again")
	return ordersCall(c, 1, "transfer", func(args []string) (any, error) {
		r.To, r.WithinMS = args[0], int(*within/time.Millisecond)
		return r, nil
	}, func(w io.Writer, got *admin.Call) error {
		if got.Transfer == nil {
			return nil
		}
		_, err := fmt.Fprintf(w, "%s: transfer %s\n", got.ID, transferLine(got.Transfer))
		return err
	})
}

// transferLine is a transfer in one line.
func transferLine(t *admin.Transfer) string {
	line := fmt.Sprintf("to %s by %s: %s", cli.Shown(t.To), cmp.Or(cli.Shown(t.By), "the agent"), t.State)
	if t.Code > 0 {
		line += fmt.Sprintf(", %d %s", t.Code, cli.Shown(t.Reason))
	}
	return line
}

func dtmfCommand() *cobra.Command {
	var r admin.DigitsRequest
	c := cli.Command("dtmf ID DIGITS", "Press keys towards a side of a live call",
		"Press keys towards a side of a live call, the called party's unless --side says a: as telephone-events (RFC 4733), or\n"+
			"INFO where the side has none.",
		"  flowbridge calls dtmf 0199f0c1-… 12#\n  flowbridge calls dtmf 0199f0c1-… 1 --side a")
	c.Flags().StringVar(&r.Side, "side", "b", "a: the caller; b: the called party")
	long := c.Flags().Duration("long", 100*time.Millisecond, "how long each key is pressed")
	return ordersCall(c, 1, "dtmf", func(args []string) (any, error) {
		r.Digits, r.MS = strings.ToUpper(args[0]), int(*long/time.Millisecond)
		return r, nil
	}, func(io.Writer, *admin.Call) error { return nil })
}

func holdCommand(order, short, long string) *cobra.Command {
	c := cli.Command(order+" ID", short, long, "  flowbridge calls "+order+" 0199f0c1-…")
	return ordersCall(c, 0, order, func([]string) (any, error) { return struct{}{}, nil },
		func(io.Writer, *admin.Call) error { return nil })
}

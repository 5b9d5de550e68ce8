package operate

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
)

// Seat returns the command `flowbridge seat`.
func Seat() *cobra.Command {
	return cli.Group("seat", "Take a seat of the fleet, or move it to another node", "",
		"  flowbridge seat take east\n  flowbridge seat move east --to node-b -- /usr/local/sbin/give-address node-b",
		takeSeatCommand(), moveSeatCommand())
}

func takeSeatCommand() *cobra.Command {
	c := cli.Command("take SEAT", "Have this machine's standby take a seat at once",
		"Have the node of this machine, which stands by, take its seat at once, whatever the lease of another node says. That one\n"+
			"falls silent as soon as it can ask the database. The seat's addresses must be here. It is for the script that is told\n"+
			"that they are, like the notify_master of keepalived: the seat would be taken anyway when the lease ends, after 1.2 s.",
		"  flowbridge seat take east")
	c.Args = cli.Args(cobra.ExactArgs(1))
	at := accessFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		at.body = bodyOf(args[0], "")
		var done struct{}
		return at.answer(c, http.MethodPost, "/api/seat/take", &done, false, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "taken: the seat %s is this node's\n", cli.Shown(args[0]))
			return err
		})
	}
	return c
}

func moveSeatCommand() *cobra.Command {
	var to string
	c := cli.Command("move SEAT --to NODE [-- COMMAND…]", "Move a seat with its calls from this machine to another node",
		"Have the node of this machine leave its seat to another one that stands by. New calls wait, calls that are being set up\n"+
			"are waited for, and the state of each call is written. Then COMMAND is run here: it has to move the seat's addresses,\n"+
			"and their audio pauses until it has. Without COMMAND the addresses have to be moved within 3 s by other means; else\n"+
			"this node goes on.",
		"  flowbridge seat move east --to node-b -- /usr/local/sbin/give-address node-b")
	c.Args = cli.Args(cobra.MinimumNArgs(1))
	c.Flags().StringVar(&to, "to", "", "the node that is to have the seat (required)")
	at := accessFlags(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		if to == "" || strings.HasPrefix(to, "-") {
			return cli.Usage("--to %q: write the name of the node that is to have the seat; flowbridge fleet lists them", to)
		}
		if len(args) > 1 {
			if _, err := exec.LookPath(args[1]); err != nil { // checked before the seat moves
				return cli.Usage("the command after -- can't be run: %w; write its full path", err)
			}
		}
		at.body = bodyOf(args[0], to)
		var moved admin.SeatMoved
		return at.answer(c, http.MethodPost, "/api/seat/move", &moved, *asJSON, func(w io.Writer) error {
			if len(args) > 1 {
				command := exec.CommandContext(c.Context(), args[1], args[2:]...) //nolint:gosec // the operator's own command
				command.Stdout, command.Stderr = c.OutOrStdout(), c.ErrOrStderr()
				if err := command.Run(); err != nil {
					return fmt.Errorf("%s: %w; this node goes on within 3 s if the addresses are still here", args[1], err)
				}
			}
			_, err := fmt.Fprintf(w, "left: the seat with %s is for %s\n", cli.Count(moved.Calls, "call"), cli.Shown(to))
			return err
		})
	}
	return c
}

// bodyOf returns the body of a request about a seat.
func bodyOf(seat, to string) []byte {
	body, _ := json.Marshal(map[string]string{"seat": seat, "to": to}) // strings can always be encoded
	return body
}

package operate

import (
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"flowbridge/b2bua/ladder"
	"flowbridge/cmd/flowbridge/cli"
)

func ladderCommand() *cobra.Command {
	c := cli.Command("ladder ID", "Show what was said in a call",
		"Show what was said in a call, live or finished: the SIP of each side, the HTTP between, and each decision with its reason (*).\n"+
			"The id is that of calls list and cdr list, and of the log's field call. Ladders are kept for store.ladders (7d).",
		"  flowbridge calls ladder 0199f0c1-7e3b-7c54-8f2a-51e4f4c1b7aa\n"+
			"  flowbridge calls ladder 0199f0c1-7e3b-7c54-8f2a-51e4f4c1b7aa --messages | less")
	at := callAccess(c, cobra.ExactArgs(1))
	asJSON := c.Flags().Bool("json", false, "print JSON as the admin API does")
	whole := c.Flags().Bool("messages", false, "print each message whole, below the ladder")
	width := c.Flags().Int("width", 0, "width of the drawing, in characters (default: that of the terminal)")
	c.RunE = func(c *cobra.Command, args []string) error {
		var l ladder.Ladder
		return at.answer(c, http.MethodGet, idPath(args[0])+"/ladder", &l, *asJSON, func(w io.Writer) error {
			if *width <= 0 {
				*width = cli.Width(w)
			}
			if err := l.Draw(w, *width); err != nil || !*whole {
				return err
			}
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
			return l.Texts(w)
		})
	}
	return c
}

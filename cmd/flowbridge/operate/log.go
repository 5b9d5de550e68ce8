package operate

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
)

// Log returns the command `flowbridge log`.
func Log() *cobra.Command {
	return cli.Group("log", "Show and change how much a running server logs", "", "  flowbridge log level debug --for 10m",
		levelCommand())
}

func levelCommand() *cobra.Command {
	c := cli.Command("level [debug|info|warn|error]", "Show the log's level, or change it for a while",
		"Show the log's level, or change it for a while. Afterwards, and at a reload, the configured one is in force again.",
		"  flowbridge log level\n  flowbridge log level debug --for 10m")
	c.Args = cli.Args(cobra.MaximumNArgs(1))
	c.ValidArgs = admin.LogLevels()
	at := accessFlags(c)
	during := c.Flags().Duration("for", 10*time.Minute, "how long, at most 24h")
	asJSON := c.Flags().Bool("json", false, "print JSON as the admin API does")
	c.RunE = func(c *cobra.Command, args []string) error {
		method := http.MethodGet
		if len(args) == 1 {
			if !slices.Contains(admin.LogLevels(), args[0]) {
				return cli.Usage("%q is no level: use one of %s", args[0], strings.Join(admin.LogLevels(), ", "))
			}
			method = http.MethodPost
			var err error
			if at.body, err = json.Marshal(map[string]string{"level": args[0], "for": during.String()}); err != nil {
				return err
			}
		}
		var level admin.LogLevel
		return at.answer(c, method, "/api/log", &level, *asJSON, func(w io.Writer) error {
			if level.Until.IsZero() {
				_, err := fmt.Fprintln(w, level.Level)
				return err
			}
			_, err := fmt.Fprintf(w, "%s until %s, then %s\n", level.Level, level.Until, level.Configured)
			return err
		})
	}
	return c
}

package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
)

// Drain returns the command `flowbridge drain`.
func Drain() *cobra.Command {
	c := cli.Command("drain", "Have a running server refuse new calls and end with the last one",
		"Have a running server refuse new calls, and end when the others are over, or at sip.drain_timeout. It may be repeated,\n"+
			"and says how many calls are left.",
		"  flowbridge drain --config /etc/flowbridge/flowbridge.yaml")
	return asks(c, http.MethodPost, "/api/drain", func(w io.Writer, done *admin.Drained) error {
		_, err := fmt.Fprintf(w, "draining: %s, for up to %v\n", cli.CallsLeft(done.Calls),
			time.Duration(done.LimitMS)*time.Millisecond)
		return err
	})
}

// Reload returns the command `flowbridge reload`.
func Reload() *cobra.Command {
	c := cli.Command("reload", "Have a running server read its configuration again",
		"Have a running server read its configuration again. A file with an error changes nothing: its errors are shown, and the\n"+
			"exit code is 2.",
		"  flowbridge reload --config /etc/flowbridge/flowbridge.yaml")
	return asks(c, http.MethodPost, "/api/reload", func(w io.Writer, done *admin.Reloaded) error {
		if len(done.NeedRestart) > 0 {
			fmt.Fprintf(w, "warning: changes of %s take effect after a restart, or by flowbridge upgrade, which ends no call\n",
				strings.Join(done.NeedRestart, ", "))
		}
		_, err := fmt.Fprintf(w, "reloaded: %s\n", cli.Counts(done.Trunks, done.Targets, done.Routes, done.Numbers))
		return err
	})
}

// Upgrade returns the command `flowbridge upgrade`.
func Upgrade() *cobra.Command {
	c := cli.Command("upgrade", "Have a new process of the program's file go on with the calls of a running server",
		"Have a running server start its program's file anew, as it was started itself, and give calls, sockets and connections to\n"+
			"the new process. No call, no message and no RTP is lost. If the new process is not ready in time, or refuses its\n"+
			"configuration, the old one goes on, and the exit code is 1 (flowbridge help upgrading).",
		"  flowbridge upgrade --config /etc/flowbridge/flowbridge.yaml")
	return asks(c, http.MethodPost, upgradePath, func(w io.Writer, done *admin.Upgraded) error {
		_, err := fmt.Fprintf(w, "upgraded: %s, %s and %s went to process %d, version %s; nothing was handled for %d ms\n",
			cli.Count(done.Calls, "call"),
			cli.Count(done.Connections, "connection"), cli.Count(done.Sockets, "socket"), done.PID, cli.Shown(done.Version),
			done.PauseMS)
		return err
	})
}

// health is the result of healthcheck as JSON.
type health struct {
	Ready  bool   `json:"ready"`
	Status int    `json:"status"`          // HTTP status; 0 if there was no answer
	Error  string `json:"error,omitempty"` // why the server is not ready
}

// ready asks whether the server takes calls. The error says why not.
func (c *client) ready(ctx context.Context, path string) (status int, err error) {
	status, body, err := c.ask(ctx, http.MethodGet, path)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("not ready: %d %s: %s", status, http.StatusText(status),
			cli.Shown(strings.TrimSpace(string(body[:min(len(body), 1024)]))))
	}
	return status, err
}

// Healthcheck returns the command `flowbridge healthcheck`.
func Healthcheck() *cobra.Command {
	c := cli.Command("healthcheck", "Ask a running server whether it takes calls; exit code 0 if so",
		"Ask a running server whether it takes calls, and can write their records. The exit code is 0 if so, else 1.\n"+
			"With --wait it asks again until the server is ready or the time is over.",
		"  flowbridge healthcheck\n  flowbridge healthcheck --wait 10s\n  flowbridge healthcheck --url http://127.0.0.1:8080/readyz --json")
	at := accessFlags(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	wait := c.Flags().Duration("wait", 0, "how long to wait for a server that starts, like 10s")
	c.RunE = func(c *cobra.Command, _ []string) error {
		path := "/readyz"
		if u, err := url.Parse(at.url); err == nil && u.Scheme != "unix" && len(u.Path) > 1 { // the flag has the whole URL
			at.url, path = u.Scheme+"://"+u.Host, u.Path
		}
		api, err := at.open(config.RightsRead)
		if err != nil {
			return err
		}
		status, err := api.ready(c.Context(), path)
		for end := time.Now().Add(*wait); err != nil && time.Now().Before(end); status, err = api.ready(c.Context(), path) {
			time.Sleep(200 * time.Millisecond)
		}
		if *asJSON {
			answer := health{Ready: err == nil, Status: status}
			if err != nil {
				answer.Error = err.Error()
			}
			return errors.Join(err, cli.PrintJSON(c.OutOrStdout(), answer))
		}
		if err == nil {
			_, err = fmt.Fprintln(c.OutOrStdout(), "ready")
		}
		return err
	}
	return c
}

package operate

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/b2bua/ladder"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/store/record"
)

// TalkLine describes the conversation in a line. It is empty if there was none.
func TalkLine(t *record.Talk) string {
	if t == nil {
		return ""
	}
	text := t.Confidence
	if t.Reason != "" {
		text += " (" + t.Reason + ")"
	}
	parts := []string{text}
	if t.FirstAgentMS != nil {
		parts = append(parts, "agent heard after "+seconds(*t.FirstAgentMS)+" s")
	}
	if d := t.Turns; d != nil {
		parts = append(parts, fmt.Sprintf("%s, p50 %s s, p95 %s s", cli.Count(d.N, "answer"), seconds(d.P50), seconds(d.P95)))
	}
	if d := t.BargeIns; d != nil {
		parts = append(parts, fmt.Sprintf("%d interruptions obeyed, p50 %s s", d.N, seconds(d.P50)))
	}
	if n := t.Ignored; n != nil && *n > 0 {
		parts = append(parts, fmt.Sprintf("%d ignored", *n))
	}
	if ms := t.AgentDeadAirMS; ms != nil && *ms > 0 {
		parts = append(parts, seconds(*ms)+" s of dead air for the agent")
	}
	return strings.Join(parts, "; ")
}

// drawTalk draws who spoke when, if that is in the call's ladder.
func drawTalk(c *cobra.Command, at *access, id string, w io.Writer) {
	api, err := at.open(config.RightsRead)
	if err != nil {
		return
	}
	var l ladder.Ladder
	if api.do(c.Context(), http.MethodGet, idPath(id)+"/ladder", &l) == nil {
		_ = l.DrawTalk(w, cli.Width(w))
	}
}

// capsuleWait is how long the record and the ladder of a call may take after its end.
const capsuleWait = 5 * time.Second

// CapsuleFlags adds --api and --token-file. The returned function gets the capsule of a finished call by its Call-ID.
func CapsuleFlags(c *cobra.Command) func(ctx context.Context, sipCallID string) ([]byte, error) {
	at := &access{flags: c.Flags()}
	c.Flags().StringVar(&at.url, "api", "", "admin API of the called server, like http://127.0.0.1:8080")
	c.Flags().StringVar(&at.tokenFile, "token-file", "", "file with the bearer token for --api")
	return func(ctx context.Context, sipCallID string) ([]byte, error) {
		api, err := at.open(config.RightsRead)
		for end := time.Now().Add(capsuleWait); err == nil; time.Sleep(capsuleWait / 20) {
			var found list[record.Record]
			err = api.do(ctx, http.MethodGet, "/api/cdrs?id="+url.QueryEscape(sipCallID), &found)
			if err == nil && len(found.Items) > 0 {
				status, body, err := api.ask(ctx, http.MethodGet, idPath(found.Items[0].ID)+"/capsule")
				if status == http.StatusOK || err != nil {
					return body, err
				}
			}
			if err == nil && time.Now().After(end) {
				err = fmt.Errorf("%s has no capsule of the call with Call-ID %s", api.shown, sipCallID)
			}
		}
		return nil, err
	}
}

package operate

import (
	"fmt"
	"io"
	"net/http"
	"strings"

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

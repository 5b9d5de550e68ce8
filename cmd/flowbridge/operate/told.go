package operate

import (
	"fmt"
	"strings"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/store/record"
)

// ToldLine says in a line what a caller was told.
func ToldLine(t *record.Told) string {
	said := "whole"
	if !t.Whole {
		said = "not whole"
	}
	parts := []string{fmt.Sprintf("%s, %s: %s sent, from %s s to %s s of the call", cli.OrDash(cli.Shown(t.Sound)),
		said, cli.Count(int(t.Packets), "packet"), seconds(t.FromMS), seconds(t.ToMS))}
	if t.Lost != nil {
		parts = append(parts, fmt.Sprintf("the caller's RTCP reports %d lost", *t.Lost))
	}
	if t.TalkedOver {
		parts = append(parts, "the caller spoke during it")
	}
	if t.Key != "" {
		parts = append(parts, "key "+cli.Shown(t.Key))
	}
	if t.Accepted != nil {
		parts = append(parts, map[bool]string{true: "accepted", false: "not accepted"}[*t.Accepted])
	}
	return strings.Join(parts, "; ")
}

package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/report"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/config/template"
)

// limits describes the trunk's limits per number and per address.
func limits(l report.Limits) string {
	var all []string
	for _, limit := range []struct {
		calls int
		whose string
	}{{l.PerCallerCalls, "of one calling number"}, {l.PerDestinationCalls, "to one called number"}} {
		if limit.calls > 0 {
			all = append(all, "at most "+cli.Count(limit.calls, "call")+" "+limit.whose)
		}
	}
	return strings.Join(all, "; ")
}

func caps(calls, cps int) string {
	var s string
	if calls > 0 {
		s += "; at most " + cli.Count(calls, "call")
	}
	if cps > 0 {
		s += "; at most " + cli.Count(cps, "new call") + " a second"
	}
	return s
}

// rowWords returns the nonempty values of a row, by column.
func rowWords(row template.Row) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(row)) {
		if row[name] != "" {
			words = append(words, name+" "+row[name])
		}
	}
	return strings.Join(words, ", ")
}

// mediaWords describes unusual media settings of a target.
func mediaWords(t *report.Target) string {
	var words []string
	if t.MediaAddress.IsValid() {
		words = append(words, "address "+t.MediaAddress.String())
	}
	if t.Latch != string(config.LatchAuto) {
		words = append(words, "latch "+t.Latch)
	}
	if t.SRTP != string(config.SRTPOff) {
		srtp := "srtp " + t.SRTP
		if t.SRTPKeying != "" {
			srtp += " (" + t.SRTPKeying + ")"
		}
		words = append(words, srtp)
	}
	return strings.Join(words, ", ")
}

// sizeWords returns a text about the size of an INVITE over UDP, and what happens if it is too large. It
// returns "" for other transports.
func sizeWords(t *report.Target) string {
	if t.UDPBudget == 0 {
		return ""
	}
	larger := "a larger one loses headers"
	if t.Overflow == config.OverflowTCP {
		larger = "a larger one goes over TCP"
	}
	words := fmt.Sprintf("%d bytes of at most %d over UDP; %s", t.Bytes, t.UDPBudget, larger)
	switch c := t.ForChallenges; {
	case c == nil:
	case !c.Fits:
		words += fmt.Sprintf("\n  with credentials of some %d bytes it is too large, and fails with cause %s", c.Bytes,
			cause.InviteTooLarge)
	case len(c.Dropped) > 0:
		words += fmt.Sprintf("\n  with credentials of some %d bytes it goes without %s", c.Bytes,
			strings.Join(c.Dropped, ", "))
	default:
		words += fmt.Sprintf("\n  it has room for credentials of some %d bytes", c.Bytes)
	}
	return words
}

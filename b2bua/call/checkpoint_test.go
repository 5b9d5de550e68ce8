package call

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/leg"
	"flowbridge/media"
)

// members returns the types of a closed set: the types in these files that have this method.
func members(t *testing.T, method string, files ...string) (all []string) {
	t.Helper()
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if m, is := d.(*ast.FuncDecl); is && m.Recv != nil && m.Name.Name == method {
				all = append(all, f.Name.Name+"."+m.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	return all
}

// allHappenings returns the names of all facts and events.
func allHappenings(t *testing.T) []string {
	t.Helper()
	return slices.Concat(members(t, "isFact", "../leg/event.go"), members(t, "isEvent", "mailbox.go"),
		members(t, "isPartEvent", "queue.go", "identity.go", "trial.go", "telling.go"),
		members(t, "isEvent", "../bridge/bridge.go", "../bridge/saying.go"))
}

func nameOf(h happening) string {
	if in, is := h.event.(inBridge); is {
		return fmt.Sprintf("%T", in.Event)
	}
	if of, is := h.event.(ofPart); is {
		return fmt.Sprintf("%T", of.partEvent)
	}
	if h.event != nil {
		return fmt.Sprintf("%T", h.event)
	}
	return fmt.Sprintf("%T", h.fact)
}

// Each fact and event of an answered call either causes a checkpoint or is listed here as quiet. Each checkpoint costs
// a disk write, so the choice must be deliberate.
func TestUrgencyOfCheckpoints(t *testing.T) {
	udp, tcp := &LegOnWire{}, &LegOnWire{}
	udp.Leg, tcp.Leg = &leg.Leg{Local: leg.Local{Transport: "udp"}}, &leg.Leg{Local: leg.Local{Transport: "tcp"}}
	seen := []string{"call.inBridge", "call.ofPart"}
	for when, all := range map[urgency][]happening{
		atOnce: {
			{fact: leg.Gone{}},
			{fact: leg.Cancelled{}},
			{fact: leg.Answered{}},
			{fact: leg.Withdrawn{}},
			{fact: leg.AnswerReady{}},
			{fact: leg.OfferRefused{}},
			{fact: leg.Confirmed{}, from: tcp},
			{event: killed{}},
			{event: expired{}},
			{event: ofPart{called{}}},
			{event: ofPart{verified{}}},
			{event: ofPart{lags{}}},
			{event: ofPart{agentDue{}}},
			{event: ofPart{callerReady{}}},
			{event: ofPart{receiptDone{}}},
			{event: ofPart{tellTimeout{}}},
			{event: inBridge{media.EventSilent{}}},
			{event: inBridge{media.EventGone{}}},
			{event: inBridge{bridge.HandshakeOver{}}},
			{event: inBridge{bridge.Said{}}},
			{event: inBridge{media.EventAnsweredBy{}}},
			{event: inBridge{media.EventOneWay{}}},
		},
		inAMoment: {{fact: leg.Confirmed{}, from: udp}, {event: inBridge{media.EventChanged{}}}},
		quiet: {
			{fact: leg.Progress{}},
			{fact: leg.Refused{}},
			{fact: leg.Offered{}},
			{fact: leg.Asked{}},
			{fact: leg.Replied{}},
			{event: ready{}},
			{event: inBridge{media.EventWithheld{}}},
			{event: inBridge{media.EventDigit{}}},
			{event: inBridge{media.EventLatched{}}},
			{event: inBridge{media.EventBeep{}}},
			{event: inBridge{media.EventPlayed{}}},
			{event: inBridge{media.EventRestarted{}}},
		},
	} {
		for _, h := range all {
			if is := h.urgency(); is != when {
				t.Errorf("%s is noted %d, want %d", nameOf(h), is, when)
			}
			seen = append(seen, nameOf(h))
		}
	}
	for _, name := range allHappenings(t) {
		if !slices.Contains(seen, name) {
			t.Errorf("nothing says when %s is noted", name)
		}
	}
}

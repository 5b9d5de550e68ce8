package call

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/config"
	"flowbridge/media"
)

// The order of a call's parts matters: the part that is replacing the agent gets an event before the part for rescues
// does, and both before the event ends the call. It is the order of the fields, and ARCHITECTURE.md has it.
func TestOrderOfParts(t *testing.T) {
	var order, fields []string
	for _, p := range (&Call{}).all() {
		order = append(order, reflect.TypeOf(p).Elem().Name())
	}
	for i, all := 0, reflect.TypeFor[parts](); i < all.NumField(); i++ {
		fields = append(fields, all.Field(i).Name)
	}
	if !slices.Equal(order, fields) {
		t.Errorf("%q, and the fields are %q", order, fields)
	}
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if want := "call/parts.go: " + strings.Join(order, ", ") + "\n"; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("ARCHITECTURE.md does not say %q: %v", want, err)
	}
}

// answeredCall returns an answered call. agent is its leg B, or nil.
func answeredCall(agent *LegOnWire) *Call {
	c := &Call{}
	c.attempts.call = c
	for _, p := range c.all() {
		p.of(c)
	}
	c.times.answered, c.b = c.times.answered.Add(1), agent
	if agent != nil {
		c.connected = &attempt{}
	}
	return c
}

// takes reports whether a part handles a fact or event. A panic counts as handling it, because the part then needs the
// rest of its call, which this test lacks.
func takes(p part, h happening) (handled bool) {
	defer func() {
		if recover() != nil {
			handled = true
		}
	}()
	_, handled = p.on(h)
	return handled
}

// Each fact and event of an answered call is handled by exactly one part, or by the call itself.
func TestEachHappeningHasOneOwner(t *testing.T) {
	agent := &LegOnWire{}
	seen := []string{"call.inBridge", "call.ofPart"}
	for owner, all := range map[string][]happening{
		"*call.queue":        {{event: ofPart{called{}}}, {event: expired{cause.QueueTimeout}}},
		"*call.identity":     {{event: ofPart{verified{}}}},
		"*call.trial":        {{event: ofPart{lags{}}}},
		"*call.replacements": {{event: inBridge{bridge.Said{To: media.SideB}}}},
		"*call.telling": {
			{event: inBridge{bridge.Said{}}},
			{event: ofPart{agentDue{}}},
			{event: ofPart{callerReady{}}},
			{event: ofPart{receiptDone{}}},
			{event: ofPart{tellTimeout{}}},
		},
		"*call.customer": {
			{event: inBridge{media.EventAnsweredBy{}}},
			{event: inBridge{media.EventBeep{}}},
			{event: inBridge{media.EventPlayed{}}},
		},
		"*call.transfers": {{fact: leg.Asked{Req: sip.NewRequest(sip.REFER, sip.Uri{})}, from: agent}},
		"*call.rescues":   {{fact: leg.Gone{}, from: agent}}, // only if the route has a rescue
		"": {
			{fact: leg.Gone{ByPeer: true, Q850: 16}, from: agent},
			{fact: leg.Asked{Req: sip.NewRequest(sip.INFO, sip.Uri{})}},
			{fact: leg.Cancelled{}},
			{fact: leg.Answered{}},
			{fact: leg.Withdrawn{}},
			{fact: leg.AnswerReady{}},
			{fact: leg.OfferRefused{}},
			{fact: leg.Confirmed{}},
			{fact: leg.Progress{}},
			{fact: leg.Refused{}},
			{fact: leg.Offered{}},
			{fact: leg.Replied{}},
			{event: killed{}},
			{event: expired{cause.MaxDuration}},
			{event: ready{}},
			{event: inBridge{media.EventSilent{}}},
			{event: inBridge{media.EventGone{}}},
			{event: inBridge{bridge.HandshakeOver{}}},
			{event: inBridge{media.EventOneWay{}}},
			{event: inBridge{media.EventChanged{}}},
			{event: inBridge{media.EventWithheld{}}},
			{event: inBridge{media.EventDigit{}}},
			{event: inBridge{media.EventRestarted{}}},
			{event: inBridge{media.EventLatched{}}},
		},
	} {
		for _, h := range all {
			c, owners := answeredCall(agent), ""
			if owner == "*call.rescues" {
				c.route = &config.Route{}
				has := reflect.ValueOf(c.route).Elem().FieldByName("Rescue")
				has.Set(reflect.New(has.Type().Elem()))
			}
			for _, p := range c.all() {
				if takes(p, h) {
					owners += fmt.Sprintf("%T", p)
				}
			}
			if owners != owner {
				t.Errorf("%s is that of %q, want %q", nameOf(h), owners, owner)
			}
			seen = append(seen, nameOf(h))
		}
	}
	for _, name := range allHappenings(t) {
		if !slices.Contains(seen, name) {
			t.Errorf("nothing says whose %s is", name)
		}
	}
}

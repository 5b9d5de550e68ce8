package b2bua

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/config"
	"flowbridge/media"
)

// The order of a call's parts matters: the part that is replacing the agent gets an event before the part for rescues
// does, and both before the event ends the call.
func TestOrderOfParts(t *testing.T) {
	want := []string{
		"*b2bua.queue", "*b2bua.identity", "*b2bua.trial", "*b2bua.customer", "*b2bua.replacements", "*b2bua.transfers",
		"*b2bua.rescues", "*b2bua.checkpoint", "*b2bua.orders",
	}
	var order []string
	for _, p := range (&Call{}).all() {
		order = append(order, fmt.Sprintf("%T", p))
	}
	if !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
}

// answeredCall returns an answered call. agent is its leg B, or nil.
func answeredCall(agent *legOnWire) *Call {
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
func takes(p part, h happening) (mine bool) {
	defer func() {
		if recover() != nil {
			mine = true
		}
	}()
	_, mine = p.on(h)
	return mine
}

// Each fact and event of an answered call is handled by exactly one part, or by the call itself.
func TestEachHappeningHasOneOwner(t *testing.T) {
	agent := &legOnWire{}
	seen := []string{"b2bua.inBridge", "b2bua.ofPart"}
	for owner, all := range map[string][]happening{
		"*b2bua.queue":        {{event: ofPart{called{}}}, {event: expired{cause.QueueTimeout}}},
		"*b2bua.identity":     {{event: ofPart{verified{}}}},
		"*b2bua.trial":        {{event: ofPart{lags{}}}},
		"*b2bua.replacements": {{event: inBridge{bridge.Announced{}}}},
		"*b2bua.customer": {
			{event: inBridge{media.EventAnsweredBy{}}}, {event: inBridge{media.EventBeep{}}}, {event: inBridge{media.EventPlayed{}}},
		},
		"*b2bua.transfers": {{fact: leg.Asked{Req: sip.NewRequest(sip.REFER, sip.Uri{})}, from: agent}},
		"*b2bua.rescues":   {{fact: leg.Gone{}, from: agent}}, // only if the route has a rescue
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
			{event: inBridge{bridge.HandshakeOver{}}},
			{event: inBridge{media.EventOneWay{}}},
			{event: inBridge{media.EventChanged{}}},
			{event: inBridge{media.EventWithheld{}}},
			{event: inBridge{media.EventDigit{}}},
			{event: inBridge{media.EventLatched{}}},
		},
	} {
		for _, h := range all {
			c, owners := answeredCall(agent), ""
			if owner == "*b2bua.rescues" {
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

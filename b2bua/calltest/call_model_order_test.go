package calltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/registry"
	"flowbridge/media"
)

// actOrder sends an order to a call, like an operator or an agent's tool. The result must come at once, and a refused
// order must not change the call.
func (m *callModel) actOrder(choose func(int) int) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	calls := m.w.server.Live(ctx)
	if len(calls) == 0 {
		return ""
	}
	before := calls[choose(len(calls))]
	id := before.Record.ID
	var err error
	var after registry.LiveCall
	what := pick([]string{"transfer", "warm", "accept", "hold", "resume", "press", "hangup"}, choose(7))
	switch what {
	case "transfer", "warm":
		r := bridge.TransferRequest{By: "model", Order: outbound.Order{
			To: pick([]string{"4711", "sip:bob@192.0.2.21:32681", "spare", "5711", "+1900", ""}, choose(6)), Named: choose(2) == 0,
			Trunk: pick([]string{"", "pbx", "none"}, choose(3)),
		}}
		if what == "warm" {
			r.Announce = bridge.Announce{Sound: "beep", Accept: pick([]string{"1", ""}, choose(2))}
		}
		after, err = m.w.server.Transfer(ctx, id, r)
		if err == nil && (after.Transfer == nil || after.Transfer.By != "model") {
			m.fail("an ordered transfer is not told of: %+v", after.Transfer)
		}
		if err == nil && before.Transfer != nil && (before.Transfer.State == "dialing" || before.Transfer.State == "announcing") && !m.crosses {
			m.fail("a transfer was ordered while %+v", before.Transfer)
		}
		what = fmt.Sprintf("%s %+v", what, r)
	case "accept":
		m.w.relay.mu.Lock()
		sessions := m.w.relay.sessions
		m.w.relay.mu.Unlock()
		if s := sessions[max(len(sessions)-1, 0):]; len(s) == 1 && !s[0].closed.Load() && s[0].started.Load() {
			if choose(3) == 0 {
				m.w.relay.sessions[len(sessions)-1].mu.Lock()
				ended := s[0].plays[media.SideB].ID
				m.w.relay.sessions[len(sessions)-1].mu.Unlock()
				s[0].onEvent(media.EventPlayed{Side: media.SideB, ID: ended})
			} else {
				s[0].onEvent(media.EventDigit{Side: media.SideB, Digit: pick([]byte("12"), choose(2))})
			}
		}
	case "hold":
		if after, err = m.w.server.Order(ctx, id, bridge.OrderHold); err == nil && !after.OnHold {
			m.fail("a call that is held by order is not on hold")
		}
	case "resume":
		if after, err = m.w.server.Order(ctx, id, bridge.OrderUnhold); err == nil && after.OnHold {
			m.fail("a call that is resumed by order is on hold")
		}
	case "press":
		_, err = m.w.server.Press(ctx, id, bridge.DigitsRequest{Side: pick([]media.Side{media.SideB, media.SideA}, choose(2)), Digits: "1#"})
	case "hangup":
		if choose(4) > 0 { // only one in four, because a hangup ends the call
			return ""
		}
		_, err = m.w.server.Order(ctx, id, bridge.OrderHangup)
	}
	m.isAnswered(err)
	return fmt.Sprintf("%s: %v", what, err)
}

// isAnswered checks the result of an order: success, or an error with a reason.
func (m *callModel) isAnswered(err error) {
	if refused := new(bridge.OrderError); err != nil && !errors.As(err, &refused) && !errors.Is(err, b2bua.ErrNoCall) {
		m.fail("an order has no answer: %v", err)
	}
}

// actVariables sets or removes a variable of a call. The call and its record keep the variable, even if the process
// dies or is replaced.
func (m *callModel) actVariables(choose func(int) int) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	calls := m.w.server.Live(ctx)
	if len(calls) == 0 {
		return ""
	}
	id := calls[choose(len(calls))].Record.ID
	name, value := pick([]string{"ticket", "mood", "no name"}, choose(3)), pick([]string{"4711", "calm", ""}, choose(3))
	after, err := m.w.server.SetVariables(ctx, id, "model", map[string]string{name: value})
	m.isAnswered(err)
	if err == nil {
		if m.set[id] == nil {
			m.set[id] = map[string]string{}
		}
		if m.set[id][name] = value; value == "" {
			delete(m.set[id], name)
		}
		if !maps.Equal(after.Record.Variables, m.set[id]) {
			m.fail("a call has the variables %v; %v were set", after.Record.Variables, m.set[id])
		}
	}
	return fmt.Sprintf("%s=%s: %v", name, value, err)
}

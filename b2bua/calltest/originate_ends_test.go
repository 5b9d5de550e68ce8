package calltest

import (
	"context"
	"testing"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/store/record"
)

// How a call that is placed ends before the agent is connected.
func TestOriginateFails(t *testing.T) {
	for name, tt := range map[string]struct {
		run         func(w *world)
		disposition string
		why         cause.Cause
		by          string
	}{
		"busy": {func(w *world) {
			_, invite := w.originates(origination())
			w.carrier.concludes(invite, 486, "Busy Here", "customer", "")
		}, record.DispositionBusy, cause.TargetBusy, record.EndedByCaller},
		"no answer in time": {func(w *world) {
			o := origination()
			o.AnswerWithin = 20 * time.Second
			_, invite := w.originates(o)
			w.carrier.reply(invite, 180, "Ringing", "customer", "")
			w.carrier.takesCancel(invite, "customer")
		}, record.DispositionNoAnswer, cause.RingTimeout, record.EndedBySystem},
		"ended by an operator": {func(w *world) {
			live, invite := w.originates(origination())
			w.carrier.reply(invite, 180, "Ringing", "customer", "")
			go w.server.Order(context.Background(), live.Record.ID, bridge.OrderHangup)
			w.carrier.takesCancel(invite, "customer")
		}, record.DispositionCancelled, cause.OperatorHangup, record.EndedByOperator},
		"an answer that crosses the CANCEL": {func(w *world) {
			live, invite := w.originates(origination())
			w.carrier.reply(invite, 180, "Ringing", "customer", "")
			go w.server.Order(context.Background(), live.Record.ID, bridge.OrderHangup)
			w.carrier.reply(w.carrier.expect("CANCEL"), 200, "OK", "customer", "")
			w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
			hungUpOn(w.carrier)
		}, record.DispositionCancelled, cause.OperatorHangup, record.EndedByOperator},
		"an answer without a codec": {func(w *world) {
			_, invite := w.originates(origination())
			w.carrier.concludes(invite, 200, "OK", "customer",
				"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 20000 RTP/AVP 18\r\n")
			hungUpOn(w.carrier)
		}, record.DispositionFailed, cause.BadAnswer, record.EndedBySystem},
		"the customer leaves before the agent answers": {func(w *world) {
			_, invite := w.originates(origination())
			called := w.customerTakes(invite)
			w.agent.reply(called, 180, "Ringing", "agent1", "")
			w.customerHangsUp(invite)
			w.agent.takesCancel(called, "agent1")
		}, record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller},
		"no agent answers": {func(w *world) {
			_, invite := w.originates(origination())
			called := w.customerTakes(invite)
			w.agent.concludes(called, 503, "Service Unavailable", "agent1", "")
			w.agent2.concludes(w.agent2.expect("INVITE"), 486, "Busy Here", "spare", "")
			hungUpOn(w.carrier)
		}, record.DispositionAnswered, cause.TargetBusy, record.EndedBySystem},
		"declined": {func(w *world) {
			_, invite := w.originates(origination())
			w.carrier.concludes(invite, 603, "Decline", "customer", "")
		}, record.DispositionFailed, cause.TargetRefused, record.EndedByCaller},
		"no such number": {func(w *world) {
			_, invite := w.originates(origination())
			w.carrier.concludes(invite, 404, "Not Found", "customer", "")
		}, record.DispositionFailed, cause.TargetRefused, record.EndedByCaller},
		"early media, then busy": {func(w *world) {
			_, invite := w.originates(origination())
			w.carrier.reply(invite, 183, "Session Progress", "customer", sdpAt("192.0.2.10", 20000))
			w.carrier.concludes(invite, 486, "Busy Here", "customer", "")
		}, record.DispositionBusy, cause.TargetBusy, record.EndedByCaller},
		"the trunk fails": {func(w *world) {
			_, invite := w.originates(origination())
			w.carrier.concludes(invite, 503, "Service Unavailable", "customer", "")
		}, record.DispositionFailed, cause.TargetError, record.EndedBySystem},
		"the trunk is down": {func(w *world) {
			w.originates(origination())
			time.Sleep(40 * time.Second)
			w.carrier.rest()
		}, record.DispositionFailed, cause.TargetSilent, record.EndedBySystem},
		"the trunk is down, and answer_within is short": {func(w *world) {
			o := origination()
			o.AnswerWithin = 2 * time.Second
			w.originates(o)
			time.Sleep(40 * time.Second)
			w.carrier.rest()
			if s := w.admission.Peers.Load().Callees["carrier"].SIP.Status(); s != (circuit.Status{State: circuit.Closed}) {
				w.t.Errorf("the trunk's circuit is told: %+v", s)
			}
		}, record.DispositionFailed, cause.TargetSilent, record.EndedBySystem},
		"it says 100 alone": {func(w *world) {
			o := origination()
			o.AnswerWithin = 2 * time.Second
			_, invite := w.originates(o)
			w.carrier.reply(invite, 100, "Trying", "", "")
			w.carrier.takesCancel(invite, "customer")
		}, record.DispositionNoAnswer, cause.RingTimeout, record.EndedBySystem},
		"the customer leaves before its answer": {func(w *world) {
			_, invite := w.originates(origination())
			w.carrier.reply(invite, 180, "Ringing", "customer", "")
			w.customerHangsUp(invite)
			w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
			hungUpOn(w.carrier)
		}, record.DispositionFailed, cause.CallerHangup, record.EndedByCaller},
		"the customer leaves, and says so": {func(w *world) {
			_, invite := w.originates(origination())
			w.carrier.reply(invite, 180, "Ringing", "customer", "")
			w.customerHangsUp(invite)
			w.carrier.concludes(invite, 487, "Request Terminated", "customer", "")
		}, record.DispositionFailed, cause.CallerHangup, record.EndedByCaller},
		"the customer answers and leaves at once": {func(w *world) {
			_, invite := w.originates(origination())
			w.carrier.reply(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
			w.carrier.agentRequest("BYE", invite, "customer", 20)
			w.carrier.expect("ACK")
			w.carrier.expect("SIP/2.0 200")
			for _, called := range w.agent.rest() { // it may have been dialled
				w.agent.reply(called, 180, "Ringing", "agent1", "")
				w.agent.takesCancel(called, "agent1")
			}
		}, record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller},
		"an answer that crosses the end of answer_within": {func(w *world) {
			o := origination()
			o.AnswerWithin = 20 * time.Second
			_, invite := w.originates(o)
			w.carrier.reply(invite, 180, "Ringing", "customer", "")
			w.carrier.reply(w.carrier.expect("CANCEL"), 200, "OK", "customer", "")
			w.carrier.concludes(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
			hungUpOn(w.carrier)
		}, record.DispositionNoAnswer, cause.RingTimeout, record.EndedBySystem},
		"the agent declines": {func(w *world) {
			_, invite := w.originates(origination())
			w.agent.concludes(w.customerTakes(invite), 603, "Decline", "agent1", "")
			hungUpOn(w.carrier)
		}, record.DispositionAnswered, cause.TargetRefused, record.EndedBySystem},
		"the agent answers as the customer leaves": {func(w *world) {
			_, invite := w.originates(origination())
			called := w.customerTakes(invite)
			w.agent.reply(called, 180, "Ringing", "agent1", "")
			w.customerHangsUp(invite)
			w.agent.reply(w.agent.expect("CANCEL"), 200, "OK", "agent1", "")
			w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
			hungUpOn(w.agent)
		}, record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller},
		"ended by an operator while the agent is called": {func(w *world) {
			live, invite := w.originates(origination())
			called := w.customerTakes(invite)
			w.agent.reply(called, 180, "Ringing", "agent1", "")
			go w.server.Order(context.Background(), live.Record.ID, bridge.OrderHangup)
			hungUpOn(w.carrier)
			w.agent.takesCancel(called, "agent1")
		}, record.DispositionAnswered, cause.OperatorHangup, record.EndedByOperator},
	} {
		t.Run(name, func(t *testing.T) {
			inWorldWith(t, originateConfig, func(w *world) {
				tt.run(w)
				w.wantRecord(tt.disposition, tt.why, tt.by)
				w.leftOpen()
			})
		})
	}
}

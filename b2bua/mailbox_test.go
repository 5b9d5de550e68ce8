package b2bua

import (
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/inbox"
	"flowbridge/b2bua/leg"
)

// What ends something has room in an inbox when nothing else has.
func TestKindsOfItems(t *testing.T) {
	response := func(code int) item {
		return item{line: &legOnWire{}, in: leg.ResponseIn{Res: sip.NewResponse(code, "Whatever")}}
	}
	request := func(method sip.RequestMethod) item {
		return item{line: &legOnWire{}, in: leg.RequestIn{Req: sip.NewRequest(method, sip.Uri{})}}
	}
	for kind, items := range map[inbox.Kind][]item{
		inbox.Progress: {response(180)},
		inbox.Request:  {request(sip.OPTIONS), request(sip.INVITE), request(sip.INFO)},
		inbox.Asked:    {{ask: make(chan LiveCall)}, {order: &order{}}},
		inbox.Ending: {
			response(200), response(486), request(sip.BYE), request(sip.ACK),
			{in: leg.CancelIn{Seq: 10}},
			{in: leg.FinalLost{Seq: 10}},
			{in: leg.RequestFailed{}},
			{event: inBridge{bridge.MediaLost{}}},
			{event: inBridge{bridge.OneWay{}}},
			{event: killed{}},
			{event: ready{}},
		},
	} {
		for _, it := range items {
			if got := it.Kind(); got != kind {
				t.Errorf("%+v is of kind %d; want %d", it, got, kind)
			}
		}
	}
}

// A flood of requests within a dialog leaves no transaction behind.
func TestFloodOfRequests(t *testing.T) {
	inWorld(t, func(w *world) {
		_, invite := w.established()
		for i := range 1000 {
			w.agent.agentRequest("OPTIONS", invite, "agent1", 10+i)
		}
		w.drain(time.Minute)
		w.settle()
	})
}

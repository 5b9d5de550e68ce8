package call

import (
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/inbox"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// An item that ends something is still accepted when the inbox is full.
func TestKindsOfItems(t *testing.T) {
	response := func(code int) item {
		return item{line: &LegOnWire{}, in: leg.ResponseIn{Res: sip.NewResponse(code, "Whatever")}}
	}
	request := func(method sip.RequestMethod) item {
		return item{line: &LegOnWire{}, in: leg.RequestIn{Req: sip.NewRequest(method, sip.Uri{})}}
	}
	for kind, items := range map[inbox.Kind][]item{
		inbox.Progress: {response(180)},
		inbox.Request:  {request(sip.OPTIONS), request(sip.INVITE), request(sip.INFO)},
		inbox.Asked:    {{ask: make(chan registry.LiveCall)}, {order: &order{}}},
		inbox.Ordered:  {{order: &order{do: func(*Call) error { return nil }}}},
		inbox.Ending: {
			response(200), response(486), request(sip.BYE), request(sip.ACK),
			{in: leg.CancelIn{Seq: 10}},
			{in: leg.FinalLost{Seq: 10}},
			{in: leg.RequestFailed{}},
			{event: inBridge{media.EventSilent{}}},
			{event: inBridge{media.EventGone{}}},
			{event: inBridge{media.EventOneWay{}}},
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

// A request that waits for a missing CSeq stops waiting when its dialog ends, because it
// would never be handled.
func TestRequestBehindAGapAfterBye(t *testing.T) {
	invite := siptest.InviteFrom(t, "<sip:a@b>;tag=x", "Contact: <sip:a@192.0.2.10>")
	machine := leg.NewUAS(leg.Options{Minter: message.NewMinter([32]byte{})}, invite, siptest.Carrier)
	machine.Step(time.Now(), leg.CancelIn{Seq: invite.CSeq().SeqNo})
	if !machine.Done() {
		t.Fatal("the leg of a cancelled INVITE goes on")
	}
	silent := zerolog.Nop()
	c := &Call{host: &Host{Registry: registry.New[*Call, *LegOnWire]()}}
	c.bridge.Open(bridgeCall{c}, bridge.Options{Resources: &bridge.Resources{Lines: &silent}})
	c.bindParts()
	l := &LegOnWire{Half: bridge.Half{Leg: machine}, sequence: leg.Sequence{Next: 8}}
	l.wire.Open(&transport.Stack{}, &machine.Local, nil, nil, nil)
	late := siptest.InviteFrom(t, "<sip:a@b>;tag=x")
	late.Method, late.CSeq().MethodName, late.CSeq().SeqNo = sip.NOTIFY, sip.NOTIFY, 30
	c.input(l, leg.RequestIn{Req: late, Source: siptest.Carrier})
	if !l.sequence.Until.IsZero() || c.mailbox.due.Len() > 0 {
		t.Error("it is held")
	}
}

package calltest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/registry"
	"flowbridge/media"
	"flowbridge/store/record"
)

// orderConfig is transferConfig without transfer: local, for agents that can't send REFER: to order a transfer, the
// lists are enough.
var orderConfig = strings.Replace(transferConfig, "    transfer: local\n", "", 1)

// transfers orders a transfer of the only call. refusal is part of the expected error; if it is empty, the order must
// succeed. It returns the call.
func (w *world) transfers(r bridge.TransferRequest, refusal string) registry.LiveCall {
	w.t.Helper()
	return w.transfersBy(w.server.Live(context.Background())[0].Record.ID, r, refusal)
}

func (w *world) transfersBy(id string, r bridge.TransferRequest, refusal string) registry.LiveCall {
	w.t.Helper()
	if r.By == "" {
		r.By = "anna"
	}
	live, err := w.server.Transfer(context.Background(), id, r)
	if refusal == "" && err != nil || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
		w.t.Errorf("transfer of %s, %+v: got %v; want %q", id, r, err, refusal)
	}
	synctest.Wait()
	return live
}

func toNumber(number string) bridge.TransferRequest {
	return bridge.TransferRequest{Order: outbound.Order{To: number, Named: true}}
}

// warm returns a transfer request with an announcement.
func warm(number, sound, key string) bridge.TransferRequest {
	r := toNumber(number)
	r.Announce = bridge.Announce{Sound: sound, Accept: key}
	return r
}

// goes checks that the last transfer of the only call has this state.
func (w *world) goes(want string) {
	w.t.Helper()
	synctest.Wait()
	live := w.server.Live(context.Background())[0]
	if live.Transfer == nil || live.Transfer.State != want {
		w.t.Errorf("the transfer is %+v; want %s", live.Transfer, want)
	}
}

func code(err error) int {
	if refused := new(bridge.OrderError); errors.As(err, &refused) {
		return refused.Code
	}
	return -1
}

// An order transfers a call whose agent can't send REFER. The agent stays until the new party answers.
func TestOrderedTransfer(t *testing.T) {
	for name, r := range map[string]bridge.TransferRequest{
		"a number by the route": toNumber("4711"), "a URI": toNumber("sip:4711@198.51.100.1"),
		"a number by a trunk": {Order: outbound.Order{To: "4711", Trunk: "pbx"}},
		"a host":              toNumber("4711@192.0.2.21:32681"),
	} {
		runIn(t, name, orderConfig, func(w *world) {
			d, _ := w.established()
			r.Headers = []outbound.HeaderLine{{Name: "X-Why", Value: "billing & more"}}
			w.transfers(r, "")
			w.goes("dialing")
			called := w.agent2.expect("INVITE sip:4711@192.0.2.21:32681")
			if got := called.value("X-Why") + " " + called.value("Referred-By"); got != "billing & more <sip:+15075785607@198.51.100.1>" {
				w.t.Errorf("got %q:\n%s", got, called.raw)
			}
			w.agent2.reply(called, 180, "Ringing", "human", "")
			w.goes("ringing")
			w.agent.silent(time.Second)
			w.agent2.concludes(called, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			w.goes("done")
			rec := w.callerEnds(w.agent2, d)
			if a := rec.Attempts; len(a) != 2 || a[1].Reason != record.ReasonTransfer || a[1].By != "anna" || a[1].SIPStatus != 200 {
				w.t.Errorf("attempts %+v", a)
			}
		})
	}
}

// A call that was transferred to a trunk or a host may be transferred again by the lists of the target that had it
// first, even after a kill and an upgrade. That target's token can no longer give orders for the call.
func TestOrderedOnFromATrunk(t *testing.T) {
	for name, again := range map[string]func(w *world){
		"at once": func(*world) {}, "after a kill": func(w *world) {
			w.restart()
			w.agent.reply(w.agent.expect("BYE"), 481, "Gone", "", "") // again
		}, "after an upgrade": func(w *world) { must(w.t, w.upgrade()) },
	} {
		for _, first := range []string{"4711", "4711@192.0.2.21:32681"} {
			runIn(t, name+", "+first, orderConfig, func(w *world) {
				d, _ := w.established()
				w.transfers(toNumber(first), "")
				w.agent2.concludes(w.agent2.expect("INVITE"), 200, "OK", "human", sdpAt("192.0.2.21", 41000))
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
				w.goes("done")
				again(w)
				w.transfers(toNumber("+19005550100"), "see transfer_numbers and transfer_hosts of target agent")
				w.transfers(bridge.TransferRequest{Order: outbound.Order{To: "4712"}, Of: []string{"agent"}}, "not at a target of this token")
				w.transfers(bridge.TransferRequest{Order: outbound.Order{To: "4712", Trunk: "pbx"}}, "")
				called := w.agent2.expect("INVITE sip:4712@192.0.2.21:32681")
				w.agent2.concludes(called, 200, "OK", "human2", sdpAt("192.0.2.21", 41002))
				w.agent2.reply(w.agent2.expect("BYE"), 200, "OK", "", "")
				w.goes("done")
				w.callerEnds(w.agent2, d)
			})
		}
	}
}

// A party that accepts an announcement with a key is connected to the caller. Before that neither hears the other.
func TestWarmTransfer(t *testing.T) {
	inWorldWith(t, orderConfig, func(w *world) {
		d, _ := w.established()
		w.transfers(warm("4711", "beep", "1"), "")
		called := w.agent2.expect("INVITE")
		w.hears()
		w.agent2.concludes(called, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
		w.goes("announcing")
		w.agent.silent(time.Second)
		w.hears("a hears 6s of law 0 as 0, loop true, yield false", "b hears 1s of law 0 as 0, loop true, yield false",
			"b hears 1s of law 0 as 0, loop true, yield false", "b hears 400ms of law 0 as 0, loop true, yield false")
		s := w.session()
		s.onEvent(media.EventDigit{Side: media.SideA, Digit: '1'}) // a key of the caller
		w.goes("announcing")
		s.onEvent(media.EventDigit{Side: media.SideB, Digit: '1'})
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.goes("done")
		w.hears("a hears nothing", "b hears nothing")
		w.callerEnds(w.agent2, d)
	})
}

// If a party does not accept in time, the caller stays with the agent. TestTransferMatrix tests parties that decline.
func TestWarmTransferDeclined(t *testing.T) {
	inWorldWith(t, orderConfig, func(w *world) {
		d, _ := w.established()
		w.transfers(warm("4711", "beep", "1"), "")
		w.agent2.concludes(w.agent2.expect("INVITE"), 200, "OK", "human", sdpAt("192.0.2.21", 41000))
		time.Sleep(20 * time.Second)
		w.leavesPBX()
		w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "", agentSDP())
		w.goes("failed")
		if got := w.session().peers[media.SideB].RTP.Port(); got != 30000 {
			t.Errorf("side B is at port %d", got)
		}
		if r := w.callerEnds(w.agent, d); len(r.Attempts) != 2 || r.Attempts[1].SIPStatus != 200 || r.Attempts[1].Cause == "" {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

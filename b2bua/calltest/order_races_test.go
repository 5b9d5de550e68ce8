package calltest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/media"
	"flowbridge/store/record"
)

// headed returns a transfer request with an additional header.
func headed(name, value string) bridge.TransferRequest {
	return bridge.TransferRequest{Order: outbound.Order{To: "4711", Headers: []outbound.HeaderLine{{Name: name, Value: value}}}}
}

// A transfer order that can't be carried out returns the reason, and leaves the call unchanged.
func TestOrderedTransferRefused(t *testing.T) {
	inWorldWith(t, orderConfig, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		in := w.carrier.ringsAt(w.agent, d)
		w.transfers(toNumber("4711"), "not answered yet")
		w.carrier.isTakenWith(w.agent, in, "agent1", d, agentSDP())
		id := w.server.Live(context.Background())[0].Record.ID
		for _, tt := range []struct {
			r    bridge.TransferRequest
			code int
			says string
		}{
			{toNumber("+19005550100"), 403, "see transfer_numbers and transfer_hosts of target agent, or name one of targets"},
			{toNumber("sip:x@203.0.113.7"), 403, "not a number or host"},
			{toNumber("nobody"), 403, "not a number or host"},
			{bridge.TransferRequest{Order: outbound.Order{To: "agent"}}, 403, "not a number or host"}, // a target, without Named
			{toNumber(""), 400, `to is no number, host or SIP URI that can be called: ""; write it like`},
			{toNumber("+1 507 578 5100"), 400, `can be called: "+1 507 578 5100"; write it like`},
			{toNumber("+15075785100\n"), 400, `can be called: "+15075785100\n"; write it like`},
			{toNumber("http://192.0.2.21"), 400, "can be called"},
			{toNumber("4711>, <sip:x@192.0.2.21"), 400, "can be called"},
			{toNumber("sip:4711@192.0.2.21;method=BYE"), 400, "can be called"},
			{toNumber("tel:abc xyz"), 400, "can be called"},
			{toNumber("sips:bob@192.0.2.21"), 400, "sips can't be called; write sip"},
			{toNumber("sip:4711@192.0.2.21?Route=x"), 400, `not a header that a transfer can set: "Route"`},
			{bridge.TransferRequest{Order: outbound.Order{To: "4711", Trunk: "nowhere"}}, 400, `there is no trunk "nowhere" that can be called; name one`},
			{bridge.TransferRequest{Order: outbound.Order{To: "bob@192.0.2.21", Trunk: "pbx"}}, 400, "trunks call numbers, and to is none: \"bob@192.0.2.21\"; leave trunk out"},
			{headed("Via", "x"), 400, `not a header that a transfer can set: "Via"; send User-to-User, Subject`},
			{headed("X-EI", "S.1;"), 400, `not a header that a transfer can set: "X-EI"`},
			{headed("X A", "b"), 400, "headers: the header"},
			{headed("X-A", "a\r\nVia: x"), 400, "headers: control characters in X-A; send"},
			{headed("Replaces", "a;to-tag=b;from-tag=c"), 400, "leave Replaces out"},
			{bridge.TransferRequest{Order: outbound.Order{To: "+19005550100", Trunk: "pbx"}}, 403, "not a number or host"},
			{bridge.TransferRequest{Order: outbound.Order{To: "4711"}, Of: []string{"other"}}, 403, "not at a target of this token"},
			{warm("4711", "nowhere", ""), 0, `no sound "nowhere"`},
			{warm("4711", "", "1"), 400, "nothing to accept"},
			{warm("4711", "beep", "12"), 400, "not a key"},
			{warm("4711", "beep", "x"), 400, "not a key"},
		} {
			tt.r.By = "anna"
			_, err := w.server.Transfer(context.Background(), id, tt.r)
			if err == nil || code(err) != tt.code || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "Refer-To") {
				t.Errorf("%+v: got %v, %d; want %d, %s", tt.r, err, code(err), tt.code, tt.says)
			}
		}
		w.agent.silent(time.Second)
		if live := w.server.Live(context.Background())[0]; live.Transfer != nil {
			t.Errorf("a transfer is told of: %+v", live.Transfer)
		}
		w.agent.agentRequest("REFER", in, "agent1", 10, "Refer-To: <tel:4711>") // refused: the lists are for orders
		w.agent.expect("SIP/2.0 405")
		w.callerEnds(w.agent, d)
		if _, err := w.server.Transfer(context.Background(), id, toNumber("4711")); !errors.Is(err, b2bua.ErrNoCall) {
			t.Errorf("a call that has ended: got %v", err)
		}
	})
}

// During a transfer, another order to transfer is refused, whoever requested the first. During an ordered transfer, a
// REFER is refused as well.
func TestOrderCrossesTransfer(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		d, invite := w.established()
		w.referred(invite, "<tel:4711>")
		w.transfers(toNumber("4711"), "under way already")
		w.agent2.concludes(w.agent2.expect("INVITE"), 603, "Decline", "human", "")
		w.agent.notified("603", "terminated")
		w.goes("failed")
		w.transfers(toNumber("4711"), "")
		w.transfers(toNumber("4711"), "under way already")
		w.agent.agentRequest("REFER", invite, "agent1", 11, "Refer-To: <tel:4711>")
		w.agent.expect("SIP/2.0 491")
		w.agent2.concludes(w.agent2.expect("INVITE"), 603, "Decline", "human", "")
		w.goes("failed")
		w.agent.silent(time.Second)
		w.callerEnds(w.agent, d)
	})
}

// Of 1,000 simultaneous orders exactly one is carried out, and the call continues. The others are refused, because a
// transfer is in progress or too many orders wait.
func TestManyOrders(t *testing.T) {
	inWorldWith(t, orderConfig, func(w *world) {
		d, _ := w.established()
		id := w.server.Live(context.Background())[0].Record.ID
		var all sync.WaitGroup
		var taken, refused atomic.Int32
		for range 1000 {
			all.Go(func() {
				switch _, err := w.server.Transfer(context.Background(), id, toNumber("4711")); {
				case err == nil:
					taken.Add(1)
				case code(err) == 0, code(err) == 429:
					refused.Add(1)
				}
			})
		}
		all.Wait()
		if taken.Load() != 1 || refused.Load() != 999 {
			t.Errorf("%d are taken, %d refused", taken.Load(), refused.Load())
		}
		w.agent2.concludes(w.agent2.expect("INVITE"), 603, "Decline", "human", "")
		for range 19 {
			w.transfers(toNumber("4711"), "")
			w.agent2.concludes(w.agent2.expect("INVITE"), 603, "Decline", "human", "")
			synctest.Wait()
		}
		w.transfers(toNumber("4711"), "too many transfers")
		w.callerEnds(w.agent, d)
	})
}

// An order can name a call by the Call-ID of either leg, even without hooks, and by the ids that hooks use. If several
// calls have the id, the order fails.
func TestOrderFindsCall(t *testing.T) {
	inWorldWith(t, orderConfig, func(w *world) {
		d, invite := w.established()
		for _, id := range []string{d.callID, invite.value("Call-ID")} {
			if _, err := w.server.Order(context.Background(), id, bridge.OrderUnhold); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		for _, id := range []string{"", "nobody", "agent", "+15075785607"} {
			if _, err := w.server.Order(context.Background(), id, bridge.OrderUnhold); !errors.Is(err, b2bua.ErrNoCall) {
				t.Errorf("%q: got %v", id, err)
			}
		}
		w.callerEnds(w.agent, d)
	})
	inWorldWith(t, leadYAML(t), func(w *world) {
		first, second := w.carrier.newCall("+15085785607"), w.carrier.newCall("+15095785607")
		first.extra, second.extra = "X-Twilio-CallSid: CA123\n", "X-Twilio-CallSid: CA123\n"
		one, two := w.carrier.ringsAt(w.agent, first), w.carrier.ringsAt(w.agent2, second)
		_, err := w.server.Order(context.Background(), "CA123", bridge.OrderHold)
		for _, live := range w.server.Live(context.Background()) {
			if code(err) != 0 || !strings.Contains(err.Error(), live.Record.ID) {
				t.Errorf("an id of two calls: got %v", err)
			}
		}
		w.carrier.isBusyAt(w.agent, one, "a", first)
		w.carrier.isBusyAt(w.agent2, two, "a", second)
		w.record()
		w.record()
	})
}

const (
	onHold   = "a hears 6s of law 0 as 0, loop true, yield false"
	shutOut  = "b hears 1s of law 0 as 0, loop true, yield false"
	bIsQuiet = "b hears nothing"
)

func (w *world) holds(on bool) {
	w.t.Helper()
	what := bridge.OrderUnhold
	if on {
		what = bridge.OrderHold
	}
	live, err := w.server.Order(context.Background(), w.server.Live(context.Background())[0].Record.ID, what)
	if err != nil || live.OnHold != on {
		w.t.Errorf("hold %t: %v, %t", on, err, live.OnHold)
	}
}

// An order to hold sends no SIP. The hold survives a kill and an upgrade, and ends when a transfer succeeds.
func TestHoldByOrder(t *testing.T) {
	for name, next := range map[string]func(w *world){
		"on and on": func(*world) {}, "kill": (*world).restart, "upgrade": (*world).upgraded,
	} {
		runIn(t, name, orderConfig, func(w *world) {
			d, _ := w.established()
			w.holds(false)
			w.holds(true)
			w.holds(true)
			w.hears(onHold, shutOut)
			next(w)
			synctest.Wait()
			if name != "on and on" {
				w.hears(onHold, shutOut)
			}
			w.holds(false)
			w.hears(quiet, bIsQuiet)
			w.holds(true)
			w.hears(onHold, shutOut)
			w.transfers(toNumber("4711"), "")
			w.agent2.concludes(w.agent2.expect("INVITE"), 603, "Decline", "human", "")
			w.goes("failed")
			w.hears() // the caller is still on hold
			w.transfers(toNumber("4711"), "")
			w.agent2.concludes(w.agent2.expect("INVITE"), 200, "OK", "human", sdpAt("192.0.2.21", 41000))
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			w.goes("done")
			if live := w.server.Live(context.Background())[0]; live.OnHold || live.Hears != [2]string{} {
				w.t.Errorf("on hold %t, hears %q", live.OnHold, live.Hears)
			}
			w.callerEnds(w.agent2, d)
		})
	}
}

// An agent on hold may be silent without being considered dead.
func TestHoldIsNoDeath(t *testing.T) {
	inRescue(t, "", func(w *world) {
		d, _ := w.established()
		w.holds(true)
		for range 30 {
			w.session().relayed.Add(250)
			time.Sleep(5 * time.Second)
		}
		w.agent.silent(time.Second)
		w.callerEnds(w.agent, d)
	})
}

func TestHoldWithoutG711(t *testing.T) {
	inWorldWith(t, talkYAML("", "codecs: [G722]"), func(w *world) {
		c := w.talkIn("9 101", "9 101")
		if _, err := w.server.Order(context.Background(), c.d.callID, bridge.OrderHold); err == nil || !strings.Contains(err.Error(), "does not speak G.711") {
			t.Errorf("got %v", err)
		}
		w.callerEnds(w.agent, c.d)
	})
}

// While a party hears its announcement, any party may hang up.
func TestWarmTransferIsLeft(t *testing.T) {
	begin := func(w *world) (d *dialogue, invite, called received) {
		d, invite = w.established()
		w.transfers(warm("4711", "beep", "1"), "")
		called = w.agent2.expect("INVITE")
		w.agent2.concludes(called, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
		w.goes("announcing")
		return d, invite, called
	}
	key := func(w *world, digit byte) { w.session().onEvent(media.EventDigit{Side: media.SideB, Digit: digit}) }
	runIn(t, "by the agent, and taken", orderConfig, func(w *world) {
		d, invite, _ := begin(w)
		w.agent.agentRequest("BYE", invite, "agent1", 11)
		w.agent.expect("SIP/2.0 200")
		key(w, '1')
		w.goes("done")
		w.callerEnds(w.agent2, d)
	})
	runIn(t, "by the agent, and declined", orderConfig, func(w *world) {
		_, invite, _ := begin(w)
		w.agent.agentRequest("BYE", invite, "agent1", 11)
		w.agent.expect("SIP/2.0 200")
		key(w, '#')
		w.leavesPBX()
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.wantRecord("answered", cause.TransferFailed, record.EndedBySystem)
	})
	runIn(t, "by a key that comes as INFO", orderConfig, func(w *world) {
		d, _, called := begin(w)
		w.agent2.agentSends("INFO", called, "human", 2, "Signal=1\r\nDuration=160\r\n", "Content-Type: application/dtmf-relay")
		w.agent2.expect("SIP/2.0 200")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.goes("done")
		w.callerEnds(w.agent2, d)
	})
	runIn(t, "by the process", orderConfig, func(w *world) {
		d, _, _ := begin(w)
		w.restart()
		w.leavesPBX()
		w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "", agentSDP())
		w.goes("failed")
		w.transfers(toNumber("4711"), "")
		w.agent2.concludes(w.agent2.expect("INVITE"), 603, "Decline", "human", "")
		r := w.callerEnds(w.agent, d)
		if a := r.Attempts; len(a) != 3 || a[1].Cause != string(cause.ProcessRestart) || a[1].By != "anna" {
			w.t.Errorf("attempts %+v", a)
		}
	})
	runIn(t, "by an operator", orderConfig, func(w *world) {
		_, _, _ = begin(w)
		if err := w.upgrade(); !isStopped(err, "a transfer is under way") {
			w.t.Errorf("an upgrade: got %v", err)
		}
		id := w.server.Live(context.Background())[0].Record.ID
		go func() { _, _ = w.server.Order(context.Background(), id, bridge.OrderHangup) }()
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.leavesPBX()
		w.wantRecord("answered", cause.OperatorHangup, record.EndedByOperator)
	})
}

// If the announcement has no key, a party accepts the call by listening to the end.
func TestWarmTransferByTime(t *testing.T) {
	inWorldWith(t, orderConfig, func(w *world) {
		d, _ := w.established()
		w.transfers(warm("4711", "beep", ""), "")
		w.agent2.concludes(w.agent2.expect("INVITE"), 200, "OK", "human", sdpAt("192.0.2.21", 41000))
		w.session().onEvent(media.EventDigit{Side: media.SideB, Digit: '5'}) // has no effect
		w.goes("announcing")
		w.played(media.SideB)
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.goes("done")
		w.callerEnds(w.agent2, d)
	})
}

// A party that moves hears the announcement from its beginning, also if it then ends over 20 s after it first began.
func TestWarmTransferOfAMover(t *testing.T) {
	inWorldWith(t, orderConfig, func(w *world) {
		d, _ := w.established()
		w.transfers(warm("4711", "beep", ""), "")
		w.agent2.concludes(w.agent2.expect("INVITE"), 200, "OK", "human", sdpAt("192.0.2.21", 41000))
		w.goes("announcing")
		time.Sleep(9 * time.Second)
		w.session().moves(media.SideB)
		time.Sleep(12 * time.Second)
		w.played(media.SideB)
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.goes("done")
		w.callerEnds(w.agent2, d)
	})
}

// A party with DTLS hears the announcement as soon as its handshake is complete.
func TestWarmTransferOverDTLS(t *testing.T) {
	inWorldWith(t, toDTLS, func(w *world) {
		d, _ := w.established()
		w.transfers(warm("4711", "beep", "1"), "")
		called := w.agent2.expect("INVITE")
		human := w.answersDTLS(called)
		w.agent.silent(time.Second)
		w.goes("dialing")
		human.shakes(called, true)
		w.goes("announcing")
		w.session().onEvent(media.EventDigit{Side: media.SideB, Digit: '1'})
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		human.agreed()
		w.callerEnds(w.agent2, d)
	})
}

// Ordered keys are sent as telephone-events to a side that supports them. TestKeysAsInfo tests other sides.
func TestPressByOrder(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talkIn("0 101", "0 101")
		press := func(side media.Side, digits, refusal string) {
			w.t.Helper()
			_, err := w.server.Press(context.Background(), c.d.callID, bridge.DigitsRequest{Side: side, Digits: digits})
			if refusal == "" && err != nil || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
				w.t.Errorf("%q: got %v; want %q", digits, err, refusal)
			}
		}
		press(media.SideB, "", "not digits")
		press(media.SideB, "12x", "not digits")
		press(media.SideB, strings.Repeat("1", 33), "not digits")
		press(media.SideB, "4#", "")
		w.callerEnds(w.agent, c.d)
	})
}

// A call that the server has placed can be transferred like any other. The leg to the party called first stays.
func TestPlacedCallIsHandedOver(t *testing.T) {
	yaml := strings.Replace(originateConfig, "    max_calls: 1\n", "    max_calls: 1\n    transfer_numbers: [\"^4711$\"]\n", 1)
	inWorldWith(t, yaml, func(w *world) {
		live, invite := w.originates(origination())
		by := toNumber("4711")
		by.Trunk = "silent"
		w.transfersBy(live.Record.ID, by, "not answered yet")
		called := w.customerTakes(invite)
		orders := w.everyOrder(context.Background(), live.Record.ID)
		for _, what := range []string{"transfer", "hold", "dtmf"} {
			if err := orders[what]; err == nil || err.Error() != "the agent is being called; ask again when the call's phase is bridged" {
				t.Errorf("%s while the first agent rings: got %v", what, err)
			}
		}
		w.agent.concludes(called, 200, "OK", "agent1", agentSDP())
		by.Announce = bridge.Announce{Sound: "beep", Accept: "1"}
		w.transfersBy(live.Record.ID, by, "")
		human := w.agent2.expect("INVITE sip:4711@192.0.2.21:32681")
		if got := human.value("From"); !strings.Contains(got, "+15075785607") {
			t.Errorf("the human is called by %s", got)
		}
		w.agent2.concludes(human, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
		w.goes("announcing")
		w.session().onEvent(media.EventDigit{Side: media.SideB, Digit: '1'})
		hungUpOn(w.agent)
		w.goes("done")
		w.customerHangsUp(invite)
		hungUpOn(w.agent2)
		if a := w.record().Attempts; len(a) != 3 || a[2].Reason != record.ReasonTransfer || a[2].By != "anna" {
			t.Errorf("attempts %+v", a)
		}
	})
}

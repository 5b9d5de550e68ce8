package calltest

import (
	"context"
	"fmt"
	"strings"
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

// handover is a transfer in the matrix: who orders it, how the new party answers, and who hangs up first. If leaves is
// the agent, it hangs up while the new party rings; the caller and the new party hang up after the answer.
type handover struct {
	by     string // who orders the transfer: api, hook, or REFER
	says   string // the new party's answer: yes, no, busy, nothing, or nothing yet
	byKey  bool   // the new party accepts an announcement with a key
	leaves string // who hangs up first: caller, agent or party

	cause  cause.Cause // cause in the record
	ended  string      // the side that ended the call
	status int         // status of the attempt
	why    cause.Cause
}

// TestTransferMatrix: for each way of ordering a transfer, each result, and each party that may leave first, the caller
// ends up with the right party, nothing is left over, and receivers of events learn the result of an order.
func TestTransferMatrix(t *testing.T) {
	yaml := strings.NewReplacer("trunks: [pbx, carrier]", "trunks: [pbx]", `192.0.2.21:32681"}`, `192.0.2.21:32681", ring_timeout: 10s}`).
		Replace(transferConfig)
	for _, h := range []handover{
		{"", "yes", false, "caller", cause.CallerHangup, record.EndedByCaller, 200, ""},
		{"", "yes", false, "agent", cause.CallerHangup, record.EndedByCaller, 200, ""},
		{"", "yes", false, "party", cause.AgentHangup, record.EndedByAgent, 200, ""},
		{"", "busy", false, "caller", cause.CallerHangup, record.EndedByCaller, 486, cause.TargetBusy},
		{"", "busy", false, "agent", cause.TransferFailed, record.EndedBySystem, 486, cause.TargetBusy},
		{"", "nothing", false, "caller", cause.CallerHangup, record.EndedByCaller, 0, cause.RingTimeout},
		{"", "nothing", false, "agent", cause.TransferFailed, record.EndedBySystem, 0, cause.RingTimeout},
		{"", "nothing yet", false, "caller", cause.CallerHangup, record.EndedByCaller, 0, cause.CallerHangup},
		{"", "yes", true, "caller", cause.CallerHangup, record.EndedByCaller, 200, ""},
		{"", "yes", true, "agent", cause.CallerHangup, record.EndedByCaller, 200, ""},
		{"", "yes", true, "party", cause.AgentHangup, record.EndedByAgent, 200, ""},
		{"", "no", true, "caller", cause.CallerHangup, record.EndedByCaller, 200, cause.TargetRefused},
		{"", "no", true, "agent", cause.TransferFailed, record.EndedBySystem, 200, cause.TargetRefused},
		{"", "no", true, "party", cause.CallerHangup, record.EndedByCaller, 200, cause.AgentHangup},
		{"", "nothing yet", true, "caller", cause.CallerHangup, record.EndedByCaller, 200, cause.CallerHangup},
	} {
		for _, by := range []string{"api", "hook", "REFER"} {
			h := h
			h.by = by
			if h.byKey && h.by == "REFER" { // a REFER can't have an announcement
				continue
			}
			t.Run(fmt.Sprintf("%s, %s, by key %t, %s leaves", h.by, h.says, h.byKey, h.leaves), func(t *testing.T) {
				t.Parallel()
				var told []string
				inWorldOf(t, yaml, func(o *b2bua.Options) {
					o.Transferred = func(tr record.Transfer, r record.Record) {
						told = append(told, fmt.Sprintf("%s %s: %s %d %s, %d attempts", tr.By, tr.To, tr.State, tr.Code, tr.Cause, len(r.Attempts)))
					}
				}, func(w *world) { h.run(w) })
				if want := h.told(); strings.Join(told, "; ") != want {
					t.Errorf("receivers are told %q; want %q", told, want)
				}
			})
		}
	}
}

func (h *handover) run(w *world) {
	d, invite := w.established()
	h.orders(w, invite)
	called := w.agent2.progresses(180, "Ringing", "human", "")
	h.notifies(w, "180", "active")
	w.to(30000)
	if h.leaves == "agent" {
		w.agent.agentRequest("BYE", invite, "agent1", 12)
		w.agent.expect("SIP/2.0 200")
	}
	h.answers(w, called)
	with, yes := w.agent, h.says == "yes"
	if yes {
		with = w.agent2
		h.notifies(w, "200", "terminated")
		if h.leaves != "agent" {
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		}
		w.to(41000)
	}
	switch {
	case h.says == "nothing yet":
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		if h.byKey {
			w.leavesPBX()
		} else {
			w.agent2.takesCancel(called, "human")
			h.notifies(w, "487", "terminated")
		}
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
	case yes && h.leaves == "party":
		w.agent2.agentHangsUpOn(w.carrier, called, "human", 5)
	case !yes && h.leaves == "agent":
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
	default:
		w.to(map[bool]int{false: 30000, true: 41000}[yes])
		w.carrier.hangsUpOn(with, d)
	}
	r := w.wantRecord(record.DispositionAnswered, h.cause, h.ended)
	if a := r.Attempts; len(a) != 2 || a[1].Reason != record.ReasonTransfer || a[1].By != h.name() || a[1].SIPStatus != h.status ||
		a[1].Cause != string(h.why) {
		w.t.Errorf("attempts %+v", a)
	}
}

// name returns the name of whoever ordered the transfer, as events give it.
func (h *handover) name() string { return map[string]string{"api": "anna", "hook": "support"}[h.by] }

func (h *handover) orders(w *world, invite received) {
	r := bridge.TransferRequest{Order: outbound.Order{To: "4711", Named: h.by == "api"}, By: h.name()}
	if h.byKey {
		r.Announce = bridge.Announce{Sound: "beep", Accept: "1"}
	}
	switch h.by {
	case "hook":
		r.Of = []string{"agent"}
		fallthrough
	case "api":
		w.transfers(r, "")
	default:
		w.referred(invite, "<tel:4711>")
	}
}

// answers makes the new party answer. If the party declines an agent that has waited for it, the agent gets the caller
// back.
func (h *handover) answers(w *world, called received) {
	w.t.Helper()
	switch {
	case h.byKey, h.says == "yes":
		w.agent2.concludes(called, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
	case h.says == "busy":
		w.agent2.concludes(called, 486, "Busy Here", "human", "")
		h.notifies(w, "486", "terminated")
	case h.says == "nothing":
		time.Sleep(10 * time.Second)
		w.agent2.takesCancel(called, "human")
		h.notifies(w, "408", "terminated")
	}
	if !h.byKey {
		return
	}
	w.goes("announcing")
	w.to(41000)
	if live := w.server.Live(context.Background())[0]; live.Hears[media.SideA] == "" || live.Hears[media.SideB] != "beep" {
		w.t.Errorf("the sides hear %q", live.Hears)
	}
	switch {
	case h.says == "yes":
		w.session().onEvent(media.EventDigit{Side: media.SideB, Digit: '1'})
		return
	case h.says == "nothing yet":
		return
	case h.leaves == "party":
		w.agent2.agentRequest("BYE", called, "human", 5)
		w.agent2.expect("SIP/2.0 200")
	default:
		w.session().onEvent(media.EventDigit{Side: media.SideB, Digit: '2'})
		w.leavesPBX()
	}
	if h.leaves != "agent" {
		w.agent.concludes(w.agent.expect("INVITE"), 200, "OK", "", agentSDP())
	}
}

// notifies makes the agent answer a NOTIFY with this report, if it sent REFER and has not hung up.
func (h *handover) notifies(w *world, sipfrag, state string) {
	w.t.Helper()
	if h.by == "REFER" && (h.leaves != "agent" || sipfrag == "180") {
		w.agent.notified(sipfrag, state)
	}
}

// told returns the result in the events about the transfer, or "" if there are none.
func (h *handover) told() string {
	switch {
	case h.by == "REFER", h.says == "nothing yet":
		return ""
	case h.says == "yes":
		return h.name() + " 4711: done 200 , 2 attempts"
	}
	return fmt.Sprintf("%s 4711: failed %d %s, 2 attempts", h.name(), map[string]int{"busy": 486, "nothing": 408, "no": 603}[h.says], h.why)
}

// to checks that side B's media goes to a port.
func (w *world) to(port int) {
	w.t.Helper()
	synctest.Wait()
	if got := w.session().peers[media.SideB].RTP.Port(); int(got) != port {
		w.t.Errorf("media of side B goes to port %d; want %d", got, port)
	}
}

package calltest

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/kept"
	"flowbridge/b2bua/leg"
	"flowbridge/config"
	"flowbridge/internal/siptest"
	"flowbridge/media"
	"flowbridge/store/record"
)

// TestAnsweredCallLivesOn: a call that is up outlives its process: re-INVITE, requests
// and BYE of either side work, and there is one record.
func TestAnsweredCallLivesOn(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talk(nil, nil)
		time.Sleep(2 * noteDelay)
		w.restart()
		for _, e := range []*end{c.carrier, c.agent} {
			seq := e.offers("INVITE", siptest.SessionAt(e.address, 40000, "0 101"))
			e.p.expect("SIP/2.0 200")
			e.acks(seq, "")
		}
		if p := w.session().peers[media.SideA]; p.RTP.Port() != 40000 {
			t.Errorf("the caller's media goes to %v", p.RTP)
		}
		w.restart()
		w.callerHangsUp(c.d)
		if r := w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller); r.Restored != 2 || r.SetupMS < 0 {
			t.Errorf("%+v", r)
		}
	})
}

// TestMissedBye: a side that has hung up meanwhile says so when it is asked.
func TestMissedBye(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		w.talk(nil, nil)
		time.Sleep(2 * noteDelay) // its ACK is noted
		w.restart()
		w.carrier.reply(w.carrier.expect("OPTIONS"), 481, "Gone", "", "")
		w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "", "")
		w.carrier.reply(w.carrier.expect("BYE"), 481, "Gone", "", "")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		if r := w.wantRecord(record.DispositionAnswered, cause.MissedHangup, record.EndedBySystem); r.Restored != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// TestSilentCallIsAskedOnce: a call whose sides both still have it goes on, and one that sends RTP is not asked.
func TestSilentCallIsAskedOnce(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talk(nil, nil)
		time.Sleep(2 * noteDelay)
		w.restart()
		w.session().relayed.Add(50)
		w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "", "")
		w.carrier.silent(time.Minute)
		c.hangsUp()
	})
}

// TestToldOnce: a leg of an unanswered call that owes nothing any more hears nothing from later processes.
func TestToldOnce(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d, in := w.ringing()
		w.restart()
		w.carrier.isRefused(d, "500")
		w.agent.reply(w.agent.expect("CANCEL"), 200, "OK", "agent1", "")
		w.restart()
		w.agent.reply(w.agent.expect("CANCEL"), 200, "OK", "agent1", "")
		w.carrier.silent(time.Second)
		w.agent.concludes(in, 487, "Terminated", "agent1", "")
		if left := w.die(); len(left) != 0 {
			t.Errorf("%d calls are left", len(left))
		}
		w.begin(nil)
	})
}

// TestKilledBeforeTheACK: an answer whose ACK was not noted is sent again, until the ACK comes.
func TestKilledBeforeTheACK(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talk(nil, nil)
		w.restart()
		if again := w.carrier.expect("SIP/2.0 200"); again.raw != c.ok.raw {
			t.Errorf("another answer:\n%s\nbefore:\n%s", again.raw, c.ok.raw)
		}
		w.carrier.ack(c.d)
		synctest.Wait()
		w.restart()
		w.carrier.expect("SIP/2.0 200")
		w.carrier.ack(c.d)
		c.hangsUp()
	})
}

// TestExchangeOverARestart: a re-INVITE that waits for the other side is refused for now, and the other side is offered the session as it is.
func TestExchangeOverARestart(t *testing.T) {
	inWorldWith(t, talkYAML("", "reinvite: relay"), func(w *world) {
		c := w.talk(nil, nil)
		time.Sleep(2 * noteDelay)
		c.carrier.offers("INVITE", siptest.SessionAt(c.carrier.address, 40000, "8 101"))
		first := w.agent.expect("INVITE")
		w.restart()
		no := w.carrier.expect("SIP/2.0 500")
		if no.value("Retry-After") == "" {
			t.Errorf("%s", no.raw)
		}
		w.carrier.send(fmt.Sprintf("ACK sip:198.51.100.1 SIP/2.0\nVia: %s\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: 2 ACK\nContent-Length: 0\n\n",
			no.value("Via"), no.value("From"), no.value("To"), no.value("Call-ID")))
		again := w.agent.expect("INVITE")
		w.agent.concludes(first, 491, "Request Pending", "", "") // to nobody any more
		w.agent.concludes(again, 200, "OK", "", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		c.hangsUp()
	})
}

// TestCancelOfAChangeOverARestart: a CANCEL that comes after its re-INVITE was answered, by a process that was killed, is too late.
func TestCancelOfAChangeOverARestart(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talk(nil, nil)
		seq := c.carrier.offers("INVITE", siptest.SessionAt(c.carrier.address, 40000, "0 101"))
		w.carrier.expect("SIP/2.0 200")
		c.carrier.overtakes(seq, w.restart) // The next process sends the 200 again, and no 487 (RFC 3261 section 9.2).
		w.carrier.expect("SIP/2.0 200")     // The other of two: of the INVITE and of the CANCEL, in any order.
		if p := w.session().peers[media.SideA]; p.RTP.Port() != 40000 {
			t.Errorf("the caller's media goes to %v", p.RTP)
		}
		c.carrier.acks(seq, "")
		c.hangsUp()
	})
}

// TestTransferOverARestart: a transfer that was under way has failed, and the record has its attempt. A later one may come off.
func TestTransferOverARestart(t *testing.T) {
	inWorldWith(t, transferConfig, func(w *world) {
		d, invite := w.established()
		w.referred(invite, "<tel:4711>")
		called := w.agent2.progresses(180, "Ringing", "human", "")
		w.agent.notified("180", "active")
		w.restart()
		w.agent.notified("500", "terminated")
		w.agent2.takesCancel(called, "human")
		w.agent.agentRequest("REFER", invite, "agent1", 11, "Refer-To: <tel:4711>")
		w.agent.expect("SIP/2.0 202")
		w.agent.notified("100", "active")
		w.takenByPBX(w.agent2.expect("INVITE"))
		r := w.callerEnds(w.agent2, d)
		if n := len(r.Attempts); n != 3 || r.Attempts[1].Cause != string(cause.ProcessRestart) || r.Attempts[1].SIPStatus != 0 || r.Attempts[2].SIPStatus != 200 {
			t.Errorf("attempts: %+v", r.Attempts)
		}
	})
}

// TestOwedAfterARestart: what a call that was over owed its legs is told by the next process, once, and by the one after it.
func TestOwedAfterARestart(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talk(nil, nil)
		time.Sleep(2 * noteDelay)
		w.carrier.bye(c.d)
		w.carrier.expect("SIP/2.0 200")
		lost := w.agent.expect("BYE")
		for range 2 {
			w.restart()
			bye := w.agent.expect("BYE")
			if was, is := lost.req().CSeq().SeqNo, bye.req().CSeq().SeqNo; is <= was {
				t.Errorf("CSeq %d after %d", is, was)
			}
			lost = bye
		}
		w.agent.reply(lost, 481, "Gone", "", "")
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
		synctest.Wait()
		if left := w.die(); len(left) != 0 {
			t.Errorf("%d calls are left", len(left))
		}
		w.begin(nil)
	})
}

// TestRefusalOverARestart: a refusal that the caller has not acknowledged is repeated by the next process, with its own status, and
// by the one after it, until the ACK comes or nobody waits for it any more (RFC 3261 section 17.2.1, Timer H). The target hears nothing.
func TestRefusalOverARestart(t *testing.T) {
	refused := func(w *world) (*dialogue, received) {
		d, in := w.ringing()
		w.agent.concludes(in, 486, "Busy Here", "agent1", "")
		no := w.carrier.expect("SIP/2.0 486")
		w.restart()
		if again := w.carrier.expect("SIP/2.0"); again.raw != no.raw {
			t.Errorf("%s\nbefore:\n%s", again.raw, no.raw)
		}
		w.restart()
		if again := w.carrier.expect("SIP/2.0"); again.raw != no.raw {
			t.Errorf("%s\nbefore:\n%s", again.raw, no.raw)
		}
		w.wantRecord(record.DispositionBusy, cause.TargetBusy, record.EndedByAgent)
		return d, no
	}
	nothing := func(w *world) {
		w.carrier.silent(time.Second)
		synctest.Wait()
		if left := w.die(); len(left) != 0 {
			t.Errorf("%d calls are left", len(left))
		}
		w.begin(nil)
	}
	runIn(t, "acknowledged", talkYAML("", ""), func(w *world) {
		d, _ := refused(w)
		w.carrier.ackRefused(d)
		nothing(w)
	})
	runIn(t, "not acknowledged", talkYAML("", ""), func(w *world) {
		refused(w)
		w.carrier.drainFor(leg.GiveUp)
		nothing(w)
	})
	runIn(t, "acknowledged before", talkYAML("", ""), func(w *world) {
		d, in := w.ringing()
		w.carrier.isBusyAt(w.agent, in, "agent1", d)
		nothing(w)
	})
}

// TestBrokenStates: a state that can't be read, or has lost what it names, costs its call alone, and its legs are told.
func TestBrokenStates(t *testing.T) {
	for name, spoil := range map[string]func(l *record.Left){
		"no state":  func(l *record.Left) { l.State = []byte("nonsense") },
		"no trunk":  func(l *record.Left) { change(l, func(k *kept.Call) { k.Trunk = "trunk gone" }) },
		"no target": func(l *record.Left) { change(l, func(k *kept.Call) { k.Bridge.Target = "gone" }) },
		"no leg":    func(l *record.Left) { change(l, func(k *kept.Call) { k.Legs[1].State.Phase = 99 }) },
		"no address": func(l *record.Left) {
			change(l, func(k *kept.Call) {
				k.Legs[0].State.Local.Listen.AddrPort = netip.MustParseAddrPort("203.0.113.1:5060")
			})
		},
	} {
		runIn(t, name, talkYAML("", ""), func(w *world) {
			w.talk(nil, nil)
			time.Sleep(2 * noteDelay)
			left := w.die()
			spoil(&left[0])
			w.begin(left)
			w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
			if name != "no state" && name != "no address" {
				w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
			}
			if name != "no state" && name != "no leg" {
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			}
		})
	}
}

// change changes the state of a call that is left.
func change(l *record.Left, how func(k *kept.Call)) {
	k, err := kept.Decode(l.State)
	if err == nil {
		how(k)
		l.State, err = (&kept.Sheet{Call: *k}).Encode()
	}
	if err != nil {
		panic(err)
	}
}

// TestAnswerThatWaitsForAPRACK: a caller whose 200 waits for a PRACK is refused, and the target that answered gets BYE.
func TestAnswerThatWaitsForAPRACK(t *testing.T) {
	inWorldWith(t, talkYAML("rel100: required", ""), func(w *world) {
		d := w.carrier.newCall("+15085785607")
		d.extra = "Supported: 100rel\n"
		w.carrier.invite(d)
		in := w.agent.progresses(183, "Session Progress", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		w.carrier.expect("SIP/2.0 183")
		w.agent.concludes(in, 200, "OK", "agent1", siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		w.restart()
		w.carrier.isRefused(d, "500")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		if r := w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem); r.SIPStatus != 500 || !r.AnsweredAt.IsZero() {
			t.Errorf("%+v", r)
		}
	})
}

// TestStreamsOverARestart: a peer over TCP is reached by a new connection, or comes by one; so is one whose call was not
// answered.
func TestStreamsOverARestart(t *testing.T) {
	call := func(w *world) (p *peer, d *dialogue, invite received) {
		p = w.connect(carrierAddr.Addr())
		d = p.newCall("+15095785607")
		p.invitesTillRung(d)
		return p, d, w.agent2.expect("INVITE")
	}
	answered := func(w *world) (*dialogue, received) {
		p, d, in := call(w)
		p.isTakenBy(w.agent2, in, "agent1", d)
		time.Sleep(2 * noteDelay)
		w.restart()
		p.hungUp(time.Second)
		return d, in
	}
	runIn(t, "it comes", streamConfig, func(w *world) {
		d, _ := answered(w)
		p := w.connect(carrierAddr.Addr())
		p.hangsUpOn(w.agent2, d)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
		p.conn.Close()
	})
	runIn(t, "it is reached", streamConfig, func(w *world) {
		at := w.streamAgent(carrierAddr)
		_, in := answered(w)
		w.agent2.agentRequest("BYE", in, "agent1", 1)
		w.agent2.expect("SIP/2.0 200")
		p := at.accept()
		p.reply(p.expect("BYE"), 200, "OK", "", "")
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
		p.conn.Close()
	})
	runIn(t, "it is refused", streamConfig, func(w *world) {
		at := w.streamAgent(carrierAddr)
		old, d, in := call(w)
		w.restart()
		old.hungUp(time.Second)
		p := at.accept()
		p.isRefused(d, "500")
		w.agent2.takesCancel(in, "agent1")
		w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
		p.conn.Close()
	})
}

// TestRouteIsKnownAgain: the route of a call is found where it stands now, and a call whose route has gone goes on without its
// options.
func TestRouteIsKnownAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		routes, want string
		masks        bool
	}{
		"others before it": {`[{to: "^1999", targets: [agent]}, {to: "^\\+1507", targets: [agent], mask_dtmf: on_demand}]`, "routes[1]", true},
		"it is gone":       {`[{to: "^1999", targets: [agent], mask_dtmf: on_demand}]`, "", false},
	} {
		runIn(t, name, talkYAML("", ""), func(w *world) {
			c := w.talk(nil, nil)
			time.Sleep(noteDelay + time.Second) // its ACK is noted
			left := w.die()
			text, _, _ := strings.Cut(talkYAML("", ""), "routes:")
			cfg, err := config.Parse("test.yaml", []byte(text+"routes: "+tt.routes+"\n"), os.LookupEnv)
			must(w.t, err)
			w.options.Config = cfg
			w.begin(left)
			synctest.Wait()
			call := w.server.Live(w.t.Context())[0]
			if _, err := w.server.Order(w.t.Context(), call.Record.ID, bridge.OrderMask); call.Vars.Route != tt.want || (err == nil) != tt.masks {
				w.t.Errorf("route %q; masks: %v", call.Vars.Route, err)
			}
			c.hangsUp()
		})
	}
}

package b2bua

import (
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/internal/siptest"
	"flowbridge/media"
	"flowbridge/store"
)

// TestAnsweredCallLivesOn: a call that is up outlives its process: re-INVITE, requests
// and BYE of either side work, and there is one record.
func TestAnsweredCallLivesOn(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talk(nil, nil)
		w.restart()
		for _, e := range []*end{c.carrier, c.agent} {
			seq := e.offers("INVITE", siptest.SessionAt(e.address, 40000, "0 101"))
			e.p.expect("SIP/2.0 200")
			e.acks(seq, "")
		}
		synctest.Wait()
		if p := w.session().peers[media.SideA]; p.RTP.Port() != 40000 {
			t.Errorf("the caller's media goes to %v", p.RTP)
		}
		w.restart()
		w.callerHangsUp(c.d)
		if r := w.wantRecord(store.DispositionAnswered, cause.CallerHangup, store.EndedByCaller); r.Restored != 2 || r.SetupMS < 0 {
			t.Errorf("%+v", r)
		}
	})
}

// TestMissedBye: a side that has hung up meanwhile says so when it is asked.
func TestMissedBye(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		w.talk(nil, nil)
		w.restart()
		w.carrier.reply(w.carrier.expect("OPTIONS"), 481, "Gone", "", "")
		w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "", "")
		w.carrier.reply(w.carrier.expect("BYE"), 481, "Gone", "", "")
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		if r := w.wantRecord(store.DispositionAnswered, cause.MissedHangup, store.EndedBySystem); r.Restored != 1 {
			t.Errorf("%+v", r)
		}
	})
}

// TestSilentCallIsAskedOnce: a call whose sides both still have it goes on, and one that sends RTP is not asked.
func TestSilentCallIsAskedOnce(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talk(nil, nil)
		w.restart()
		synctest.Wait()
		w.session().relayed.Add(50)
		w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "", "")
		w.carrier.silent(time.Minute)
		c.hangsUp()
	})
}

// TestRingingCallIsTold: the carrier of a call that was not answered gets 500, the target CANCEL.
func TestRingingCallIsTold(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		in := w.agent.expect("INVITE")
		w.agent.reply(in, 180, "Ringing", "agent1", "")
		synctest.Wait()
		w.restart()
		no := w.carrier.expect("SIP/2.0 500")
		if no.value("Retry-After") == "" {
			t.Errorf("%s", no.raw)
		}
		w.carrier.ackRefused(d)
		cancel := w.agent.expect("CANCEL")
		if cancel.value("Via") != in.value("Via") {
			t.Errorf("CANCEL by another way:\n%s", cancel.raw)
		}
		w.agent.reply(cancel, 200, "OK", "agent1", "")
		w.agent.reply(in, 487, "Terminated", "agent1", "")
		w.agent.expect("ACK")
		w.wantRecord(store.DispositionInterrupted, cause.ProcessRestart, store.EndedBySystem)
	})
}

package calltest

import (
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// TestStreamCallerWhoseProcessIsKilled: a caller over TCP that we can't connect to stays in its call if the process is
// killed right after the ACK. If the process is killed before the ACK, the caller stays as long as it sends RTP.
func TestStreamCallerWhoseProcessIsKilled(t *testing.T) {
	for name, acked := range map[string]bool{"after the ACK": true, "before the ACK": false} {
		runIn(t, name, streamConfig, func(w *world) {
			p := w.connect(carrierAddr.Addr())
			d := p.dialsTillRung("+15095785607")
			w.agent2.takes(w.agent2.expect("INVITE"), "agent1")
			p.expect("SIP/2.0 200")
			if acked {
				p.ack(d)
			}
			w.restart()
			w.session().relayed.Add(50)
			w.session().answered.Add(50)
			p.hungUp(time.Second)
			w.agent2.silent(time.Minute)
			p = w.connect(carrierAddr.Addr())
			p.hangsUpOn(w.agent2, d)
			w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
			p.conn.Close()
		})
	}
}

// TestByeToACallerBehindNATAfterARestart: after a restart, a caller over TCP has opened a new connection and sent
// something on it. Our BYE goes over that connection at once, because there is no other way to the caller.
func TestByeToACallerBehindNATAfterARestart(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		behindNAT := strings.NewReplacer("192.0.2.10:5060", "10.1.2.3:5060")
		p := w.connect(carrierAddr.Addr())
		d := p.newCall("+15095785607")
		p.send(behindNAT.Replace(d.request("INVITE")))
		d.learn(p.expect("SIP/2.0 180"))
		in := w.agent2.expect("INVITE")
		w.agent2.takes(in, "agent1")
		p.expect("SIP/2.0 200")
		p.send(behindNAT.Replace(d.request("ACK")))
		w.restart()
		p.hungUp(time.Second)
		p = w.connect(carrierAddr.Addr())
		p.send(behindNAT.Replace(p.newCall("ping").request("OPTIONS")))
		p.expect("SIP/2.0 200")
		begun := time.Now()
		w.agent2.agentRequest("BYE", in, "agent1", 1)
		w.agent2.expect("SIP/2.0 200")
		p.reply(p.expect("BYE sip:ann@10.1.2.3:5060"), 200, "OK", "", "")
		if after := time.Since(begun); after > time.Second {
			t.Errorf("after %v", after)
		}
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
		p.conn.Close()
	})
}

// TestSilentCallIsAskedOnce: after each restart, a side on hold gets one request, answers it, and stays in the call. A
// side that sends RTP gets none.
func TestSilentCallIsAskedOnce(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talk(nil, nil)
		time.Sleep(2 * flushDelay)
		for range 5 {
			w.restart()
			w.session().relayed.Add(50)
			w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "", "")
			time.Sleep(10 * time.Second)
			w.agent.silent(0)
		}
		w.carrier.silent(time.Minute) // because it sends RTP
		c.hangsUp()
	})
}

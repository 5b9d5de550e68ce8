package calltest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/internal/memnet"
	"flowbridge/store/record"
)

// If an INVITE and its CANCEL come in one segment, there is either a cancelled call or no
// call.
func TestInviteAndCancelInOneSegment(t *testing.T) {
	for range 20 {
		inWorldWith(t, streamConfig, func(w *world) {
			carrier := w.connect(carrierAddr.Addr())
			d := carrier.newCall("+15095785607")
			carrier.send(d.request("INVITE") + d.request("CANCEL"))
			var final []string
			for range 2 {
				m := carrier.expect("SIP/2.0 ")
				for strings.HasPrefix(m.raw, "SIP/2.0 1") {
					m = carrier.expect("SIP/2.0 ")
				}
				final = append(final, m.raw[:len("SIP/2.0 200")]+" "+m.value("CSeq"))
				if strings.HasSuffix(m.value("CSeq"), "INVITE") {
					d.learn(m)
				}
			}
			carrier.ackRefused(d)
			for _, want := range []string{"SIP/2.0 200 1 CANCEL", "SIP/2.0 487 1 INVITE"} {
				if !strings.Contains(strings.Join(final, "\n"), want) {
					t.Errorf("answers %q; want %q among them", final, want)
				}
			}
			w.wantRecord(record.DispositionCancelled, cause.CallerCancelled, record.EndedByCaller)
			time.Sleep(time.Minute)
			w.agent2.rest() // an INVITE, if the CANCEL came too late to prevent it
			carrier.conn.Close()
		})
	}
}

// If a target closes the connection right after its final answer, nothing is sent to it
// again.
func TestTargetClosesBehindFinalAnswer(t *testing.T) {
	for range 200 {
		inWorldWith(t, streamConfig, func(w *world) {
			agents := w.streamAgent(agentAddr)
			d := w.carrier.dialsTillRung("+15085785607")
			agent := agents.accept()
			agent.reply(agent.expect("INVITE"), 486, "Busy Here", "agent1", "")
			agent.conn.Close()
			w.carrier.isRefused(d, "486")
			w.wantRecord(record.DispositionBusy, cause.TargetBusy, record.EndedByAgent)
			for _, m := range agents.hearOn(time.Minute) {
				if !strings.HasPrefix(m.raw, "ACK ") {
					t.Errorf("behind its answer the target got\n%s", m.raw)
				}
			}
		})
	}
}

// hearOn accepts new connections for d, and returns the messages on them.
func (a *streamAgent) hearOn(d time.Duration) (all []received) {
	a.w.t.Helper()
	opened := make(chan *peer, 100)
	go func() {
		defer close(opened)
		for {
			conn, err := a.l.Accept()
			if err != nil {
				return
			}
			opened <- a.w.streamPeer(conn)
		}
	}()
	time.Sleep(d)
	synctest.Wait()
	a.l.Close()
	for p := range opened {
		all = append(all, p.rest()...)
		p.conn.Close()
	}
	return all
}

// A proxy between TCP and UDP adds two Record-Routes (RFC 5658 section 4). Our next hop is
// the one on our side.
func TestTwoRecordRoutes(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		carrier := w.connect(carrierAddr.Addr())
		d := carrier.newCall("+15095785607")
		d.extra = "Record-Route: <sip:192.0.2.10:5060;transport=tcp;lr>, <sip:192.0.2.10:5060;transport=udp;lr>\n"
		text := strings.Replace(d.request("INVITE"), "Contact: <sip:ann@192.0.2.10:5060;transport=tcp>", "Contact: <sip:ann@10.1.1.1:5060>", 1)
		carrier.send(text)
		d.learn(carrier.expect("SIP/2.0 180"))
		invite := w.agent2.expect("INVITE")
		w.agent2.takes(invite, "agent1")
		ok := carrier.expect("SIP/2.0 200")
		if n := strings.Count(ok.raw, "192.0.2.10:5060;transport="); n != 2 {
			t.Errorf("%d of the Record-Routes come back:\n%s", n, ok.raw)
		}
		carrier.ack(d)
		synctest.Wait()
		w.agent2.agentRequest("BYE", invite, "agent1", 1)
		w.agent2.expect("SIP/2.0 200")
		bye := carrier.expect("BYE sip:ann@10.1.1.1:5060 ")
		if a, b := strings.Index(bye.raw, "transport=tcp;lr"), strings.Index(bye.raw, "transport=udp;lr"); a < 0 || b < a {
			t.Errorf("the Routes are not in order:\n%s", bye.raw)
		}
		carrier.reply(bye, 200, "OK", "", "")
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
	})
}

// A caller behind NAT opens a new connection during a call and sends a request of the call
// on it. Our messages then use that connection, because we can't connect to the caller.
func TestCallGoesOnOverNewConnection(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		carrier := w.connect(carrierAddr.Addr())
		d := carrier.newCall("+15095785607")
		behindNAT := func(method string) string {
			return strings.ReplaceAll(d.request(method), "192.0.2.10:5060", fmt.Sprintf("10.1.1.1:%d", 30000+d.seq))
		}
		carrier.send(behindNAT("INVITE"))
		d.learn(carrier.expect("SIP/2.0 180"))
		invite := w.agent2.expect("INVITE")
		w.agent2.takes(invite, "agent1")
		carrier.expect("SIP/2.0 200")
		carrier.send(behindNAT("ACK"))
		synctest.Wait()
		carrier.conn.(*memnet.Stream).Reset()
		again := w.connect(carrierAddr.Addr())
		d.seq, d.branch = 2, d.branch+"again"
		again.send(behindNAT("OPTIONS"))
		again.expect("SIP/2.0 200")
		w.agent2.agentHangsUpOn(again, invite, "agent1", 1)
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
	})
}

// A caller behind NAT loses its connection while the target rings, and sends its INVITE
// again on a new one. The call continues. Only an answer sent in between is lost.
func TestCallerReturnsWhileRinging(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		carrier := w.connect(carrierAddr.Addr())
		d := carrier.newCall("+15095785607")
		behindNAT := func(method string) string {
			return strings.ReplaceAll(d.request(method), "192.0.2.10:5060", "10.1.1.1:30001")
		}
		text := behindNAT("INVITE")
		carrier.send(text)
		d.learn(carrier.expect("SIP/2.0 180"))
		invite := w.agent2.expect("INVITE")
		carrier.conn.(*memnet.Stream).Reset()
		synctest.Wait()
		w.agent2.reply(invite, 183, "Session Progress", "agent1", agentSDP())
		time.Sleep(5 * time.Second) // meanwhile we can't connect to the caller
		again := w.connect(carrierAddr.Addr())
		again.send(text)
		again.expect("SIP/2.0 183")
		w.agent2.takes(invite, "agent1")
		again.expect("SIP/2.0 200")
		d.seq, d.branch = 1, d.branch+"ack"
		again.send(behindNAT("ACK"))
		synctest.Wait()
		w.agent2.agentHangsUpOn(again, invite, "agent1", 1)
		w.wantRecord(record.DispositionAnswered, cause.AgentHangup, record.EndedByAgent)
	})
}

// tcpOnly has no UDP socket.
var tcpOnly = strings.Replace(strings.Replace(streamConfig, `"udp://198.51.100.1:5060", `, "", 1),
	"kind: sip, uri: \"sip:{{.To.Number}}@192.0.2.21", "kind: sip, transport: tcp, uri: \"sip:{{.To.Number}}@192.0.2.21", 1)

package calltest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// A response that belongs to no request, or has no To, leaves no leg behind when
// the call ends.
func TestIgnoredResponseLeavesNothing(t *testing.T) {
	for name, text := range map[string]func(invite received) string{
		"180 with another CSeq": func(invite received) string {
			return strings.Replace(hostileAnswer(invite, 180, "a", ""), "CSeq: 1 ", "CSeq: 2 ", 1)
		},
		"200 with another CSeq": func(invite received) string {
			return strings.Replace(hostileAnswer(invite, 200, "a", agentSDP(), agentContact), "CSeq: 1 ", "CSeq: 2 ", 1)
		},
		"486 without To": func(invite received) string {
			return strings.Replace(hostileAnswer(invite, 486, "a", ""), "To: ", "X-To: ", 1)
		},
	} {
		runIn(t, name, testConfig, func(w *world) {
			w.carrier.invite(w.carrier.newCall("+15075785607"))
			w.agent.send(text(w.agent.expect("INVITE")))
			w.settle()
		})
	}
}

// RFC 3261 section 15: a callee may not send BYE on an early dialog. If a ringing target does, its BYE is not mistaken
// for the caller's CANCEL.
func TestByeOfRingingTargetIsNotTheCallers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.carrier.dialsTillRung("+15075785607")
		invite := w.agent.progresses(180, "Ringing", "a", "")
		synctest.Wait()
		w.agent.agentRequest("BYE", invite, "a", 5)
		synctest.Wait()
		w.sink.mu.Lock()
		for _, r := range w.sink.done {
			if r.EndedBy == record.EndedByCaller {
				t.Errorf("record: %s by %s; the caller did nothing", r.Cause, r.EndedBy)
			}
		}
		w.sink.mu.Unlock()
		w.settle()
	})
}

// A target's reason phrase can't inject a header into our answer to the carrier. An answer with a bare line feed is
// dropped. Other control characters are removed.
func TestReasonPhraseBringsNoHeader(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.carrier.callsAt(w.agent, "+15075785607")
		busy := string(siptest.CRLF(hostileAnswer(invite, 486, "a", "")))
		w.agent.sendBytes([]byte(strings.Replace(busy, "486 Whatever", "486 Busy\nContact: <sip:evil@x>", 1)))
		w.carrier.silent(100 * time.Millisecond)
		w.agent.sendBytes([]byte(strings.Replace(busy, "486 Whatever", "486 Busy\vContact: <sip:evil@x>\x00\x1b[2J", 1)))
		w.agent.expect("ACK")
		if got := w.carrier.expect("SIP/2.0 486"); strings.ContainsAny(strings.ReplaceAll(got.raw, "\r\n", ""), "\n\v\x00\x1b") {
			t.Errorf("the carrier got\n%q", got.raw)
		}
		w.carrier.ackRefused(d)
		w.settle()
	})
}

// A status line may lack the space before its empty phrase (RFC 3261 section 7.2 has it): the meaning of the answer is
// clear.
func TestStatusLineWithoutLastSpace(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.carrier.callsAt(w.agent, "+15075785607")
		w.agent.sendBytes([]byte(strings.Replace(string(siptest.CRLF(hostileAnswer(invite, 486, "a", ""))), "486 Whatever", "486", 1)))
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 486 \r\n")
		w.carrier.ackRefused(d)
		w.wantRecord(record.DispositionBusy, cause.TargetBusy, record.EndedByAgent)
	})
}

// A carrier's answer to its own INVITE has no effect.
func TestAnswerToOwnInviteIsIgnored(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.dialsTillRung("+15075785607")
		w.agent.reply(w.agent.expect("INVITE"), 180, "Ringing", "a", "")
		synctest.Wait()
		w.carrier.send(fmt.Sprintf("SIP/2.0 200 OK\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKforged\nFrom: <sip:x@y>;tag=%s\n"+
			"To: <sip:z@y>;tag=ann\nCall-ID: %s\nCSeq: 1 INVITE\nContact: <sip:ann@192.0.2.10>\nContent-Type: application/sdp\n"+
			"Content-Length: %d\n\n%s", d.toTag, d.callID, len(d.sdp), d.sdp))
		for _, m := range w.carrier.rest() {
			t.Errorf("the carrier got\n%s", m.raw)
		}
		for _, c := range w.server.Live(context.Background()) {
			if c.Phase != "dialing" {
				t.Errorf("the call is %s, nobody answered it", c.Phase)
			}
		}
		w.settle()
	})
}

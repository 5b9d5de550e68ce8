package b2bua

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/internal/siptest"
	"flowbridge/store"
)

// Each test of this file shows something that went wrong once; its comment says what.

func TestIgnoredResponseLeavesLeg(t *testing.T) {
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
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.carrier.invite(w.carrier.newCall("+15075785607"))
				w.agent.send(text(w.agent.expect("INVITE")))
				w.settle()
			})
		})
	}
}

// RFC 3261 section 15: a callee may not send BYE on an early dialog, but one
// that does ends the call of the carrier, who is never answered: leg B says
// Cancelled, which the call takes for the carrier's CANCEL. The carrier gets
// 180 each minute for ever.
func TestByeOfRingingTarget(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
		w.agent.reply(invite, 180, "Ringing", "a", "")
		synctest.Wait()
		w.agent.agentRequest("BYE", invite, "a", 5)
		synctest.Wait()
		w.sink.mu.Lock()
		for _, r := range w.sink.done {
			if r.EndedBy == store.EndedByCaller {
				t.Errorf("record: %s by %s; the caller did nothing", r.Cause, r.EndedBy)
			}
		}
		w.sink.mu.Unlock()
		w.settle()
	})
}

// RFC 3261 sections 12 and 12.2.2: a dialog is Call-ID and both tags. A
// request with another From tag belongs to none and gets 481; it must not hang
// the call up.
func TestByeWithWrongFromTag(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		d.from = strings.Replace(d.from, "tag=ann", "tag=eve", 1)
		w.carrier.bye(d)
		if got := w.carrier.expect("SIP/2.0 "); !strings.HasPrefix(got.raw, "SIP/2.0 481") {
			t.Errorf("BYE with another From tag: %s", strings.SplitN(got.raw, "\r\n", 2)[0])
		}
		w.settle()
	})
}

// RFC 3261 section 25.1 allows white space around ";" and "=" (RFC 4475
// section 3.1.1.1). Such a From is taken for one without tag: 400.
func TestSpacedTag(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		d.from = strings.Replace(d.from, ";tag=ann", " ;  tag   = ann", 1)
		w.carrier.send(d.request("OPTIONS"))
		w.carrier.expect("SIP/2.0 200")
	})
}

// What a target's reason phrase has no business with does not go on to the
// carrier, who may read a header of its own behind it: an answer with a bare
// line feed is not heard, other control characters are left out.
func TestReasonPhraseInjection(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
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

// A display name without quotes that ends in a backslash swallows the closing
// quote: our requests to that peer carry a broken To.
func TestBackslashName(t *testing.T) {
	from := siptest.InviteFrom(t, `Ann\ <sip:a@b>;tag=x`).From()
	party := message.NameAddr(from.DisplayName, &from.Address, from.Params)
	if got := message.AddrSpec(party); got != "sip:a@b" {
		t.Errorf("%s is read as %q", party, got)
	}
}

// A question to a call whose inbox is full is dropped, but post says that
// somebody will answer: who asks waits until its context ends.
func TestQuestionIsLost(t *testing.T) {
	b := newInbox()
	for range inboxNormal {
		b.post(itemRequest("OPTIONS"))
	}
	reply := make(chan LiveCall, 1)
	if !b.post(item{ask: reply}) {
		return
	}
	items, _ := drain(b)
	if items[len(items)-1].ask == nil {
		t.Error("post took the question and lost it")
	}
}

// The same from outside: the carrier answers its own INVITE.
func TestCarrierAnswersItsOwnInvite(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		w.agent.reply(w.agent.expect("INVITE"), 180, "Ringing", "a", "")
		synctest.Wait()
		w.carrier.send(fmt.Sprintf("SIP/2.0 200 OK\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKforged\nFrom: <sip:x@y>;tag=%s\n"+
			"To: <sip:z@y>;tag=ann\nCall-ID: %s\nCSeq: 1 INVITE\nContact: <sip:ann@192.0.2.10>\nContent-Type: application/sdp\n"+
			"Content-Length: %d\n\n%s", d.toTag, d.callID, len(d.sdp), d.sdp))
		synctest.Wait()
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

// A request that a full inbox drops is never answered, and the transaction of
// one that is no INVITE has no timer before its final answer (RFC 3261
// section 17.2.2): it stays until the process ends. post says true all the
// same, so that nobody answers 481 or 503. The second test shows the whole of
// it, not each time: it depends on who runs first.
func TestDroppedRequestIsTaken(t *testing.T) {
	b := newInbox()
	for range inboxNormal {
		b.post(itemRequest(sip.OPTIONS))
	}
	if b.post(itemRequest(sip.OPTIONS)) {
		t.Error("post took a request that it dropped")
	}
}

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

// RFC 3261 section 7: lines end with CRLF. A request with bare line feeds and
// a folded header is answered with a bare line feed in the middle.
func TestRefusalOfBareLineFeeds(t *testing.T) {
	request := []byte("INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9\n ;rport\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>\nCall-ID: x\nCSeq: 1 INVITE\n\n")
	out := string(message.StatelessRefusal(nil, request, siptest.Carrier, "503 x", "minted", ""))
	if strings.Contains(strings.ReplaceAll(out, "\r\n", ""), "\n") {
		t.Errorf("%q", out)
	}
}

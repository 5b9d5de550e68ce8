package b2bua

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/store"
)

// The tests of this file fail: each shows one thing that is wrong.

// RFC 3261 section 9.1: a given-up INVITE whose CANCEL is still owed has no
// deadline. Its transaction stops its own timers with the first response, also
// one that the leg ignores (another CSeq, no To), and then the leg, its
// goroutine and the transaction stay for ever.
func TestPendingOwedCancelHasNoDeadline(t *testing.T) {
	lt := uacIn(t, "owed")
	if lt.leg.Deadline().IsZero() {
		t.Error("a leg that owes a CANCEL waits for nothing")
	}
}

func TestPendingIgnoredResponseLeavesLeg(t *testing.T) {
	for name, text := range map[string]func(invite message) string{
		"180 with another CSeq": func(invite message) string {
			return strings.Replace(hostileAnswer(invite, 180, "a", ""), "CSeq: 1 ", "CSeq: 2 ", 1)
		},
		"200 with another CSeq": func(invite message) string {
			return strings.Replace(hostileAnswer(invite, 200, "a", agentSDP(), agentContact), "CSeq: 1 ", "CSeq: 2 ", 1)
		},
		"486 without To": func(invite message) string {
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
func TestPendingByeOfRingingTarget(t *testing.T) {
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
// request with another From tag belongs to none and gets 481; here it hangs
// the call up.
func TestPendingByeWithWrongFromTag(t *testing.T) {
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

// RFC 3261 section 8.2.6.2: a target whose 200 has no To tag (RFC 2543) may
// answer BYE with one. The leg takes that for the answer to a fork's BYE, has
// no deadline and stays for ever.
func TestPendingAnswerToByeWithNewTag(t *testing.T) {
	lt := uacIn(t, "calling")
	lt.do(lt.ok(""), Hangup{Why: CauseCallerHangup})
	in := responseTo(t, lt, "BYE", 200, "OK") // the library adds a tag, as a peer would
	lt.do(in)
	if !lt.leg.Done() {
		t.Error("not done after the answer to BYE")
	}
}

// RFC 3264 section 6: streams that we can't take are declined with port 0.
// The SDP library knows no image, udptl and many more (RFC 8866 lets tokens
// be anything), and the whole INVITE gets 400.
func TestPendingUnknownStreamsAreDeclined(t *testing.T) {
	const head = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 20000 RTP/AVP 0\n"
	for name, more := range map[string]string{
		"T.38":              "m=image 20002 udptl t38\na=T38FaxVersion:0\n",
		"T.38 capitals":     "m=image 20002 UDPTL t38\n",
		"T.38 over TCP":     "m=image 20002 TCP t38\n",
		"media unknown":     "m=x-other 20002 RTP/AVP 0\n",
		"protocol unknown":  "m=audio 20002 AAL2/ITU 0\n",
		"bandwidth unknown": "b=X9:1\n",
	} {
		offer, err := parseDescription(crlf(head + more))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if b, err := offer.answering(offer, sdpOrigin{1, 1}, ourSideA); err != nil || (strings.HasPrefix(more, "m=") && strings.Count(string(b), "\r\nm=") != 2) {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
	}
}

// RFC 3261 section 7.3.1: a header may be folded before its tag. scan reads
// no tag there, and the stateless refusal puts a second one before the fold.
func TestPendingFoldedTag(t *testing.T) {
	request := crlf("BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\n ;branch=z9hG4bK1\nFrom: <sip:a@b>\n ;tag=f\nTo: <sip:c@d>\n\t;tag=t\nCall-ID: x\nCSeq: 1 BYE\n\n")
	compareScan(t, request)
	if got := string(statelessRefusal(nil, request, "503 x", "minted")); strings.Contains(got, "minted") {
		t.Errorf("a second To tag:\n%s", got)
	}
	// A folded line is not a header, though it may look like one.
	compareScan(t, crlf("BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>;tag=t\nSubject: x\n To: <sip:c@d>;tag=evil\nCall-ID: x\nCSeq: 1 BYE\n\n"))
}

// The guard reads bytes, the dialogs read sipgo: where the two differ, a
// request can be known to the one and not to the other.
func TestPendingScanDiffersFromParser(t *testing.T) {
	for _, to := range []string{
		`<sip:a@b>;tag=x;p=">"`, `<sip:a@b>;tag=x;tag=y`, `<sip:a@b>;tag=x=y`, `<sip:a@b> ; tag = x`, `"a" sip:a@b;tag=x`,
	} {
		compareScan(t, crlf("BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9\nFrom: <sip:a@b>;tag=f\nTo: "+to+"\nCall-ID: x\nCSeq: 1 BYE\n\n"))
	}
}

// The guard's To tag for an INVITE is the server's only if the CSeq is
// spelled as we would: with a tab or leading zeros a retransmission to a full
// trunk gets 503 although its call is on.
func TestPendingGuardTagDependsOnSpelling(t *testing.T) {
	s := &Server{mint: legMint}
	for _, cseq := range []string{"007 INVITE", "7\tINVITE"} {
		text := "INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>\nCall-ID: x\nCSeq: " + cseq + "\n\n"
		msg, _ := scan(crlf(text))
		if got, want := (&guard{mint: legMint}).tagFor(msg), s.tagFor(mustRequest(t, text)); got != want {
			t.Errorf("CSeq %q: the guard's tag %s; the server's %s", cseq, got, want)
		}
	}
}

// RFC 3261 section 25.1 allows white space around ";" and "=" (RFC 4475
// section 3.1.1.1). Such a From is taken for one without tag: 400.
func TestPendingSpacedTag(t *testing.T) {
	req := mustRequest(t, "OPTIONS sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b> ;  tag   = f\nTo: <sip:c@d>\nCall-ID: x\nCSeq: 1 OPTIONS\n\n")
	if problem := malformed(req); problem != "" {
		t.Errorf("refused: %s", problem)
	}
}

// A bare line feed in the target's reason phrase goes on to the carrier, who
// may read a header of its own behind it. Nothing a peer sends is copied
// without being checked.
func TestPendingReasonPhraseInjection(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
		w.agent.raw([]byte(strings.Replace(string(crlf(hostileAnswer(invite, 486, "a", ""))), "486 Whatever", "486 Busy\nContact: <sip:evil@x>", 1)))
		w.agent.expect("ACK")
		if got := w.carrier.expect("SIP/2.0 486"); strings.Contains(strings.ReplaceAll(got.raw, "\r\n", ""), "\n") {
			t.Errorf("the carrier got\n%q", got.raw)
		}
		w.carrier.ackRefused(d)
		w.settle()
	})
}

// A display name without quotes that ends in a backslash swallows the closing
// quote: our requests to that peer carry a broken To.
func TestPendingBackslashName(t *testing.T) {
	from := inviteFrom(t, `Ann\ <sip:a@b>;tag=x`).From()
	party := partyOf(from.DisplayName, &from.Address, from.Params)
	if got := addrSpec(party); got != "sip:a@b" {
		t.Errorf("%s is read as %q", party, got)
	}
}

// A question to a call whose inbox is full is dropped, but post says that
// somebody will answer: who asks waits until its context ends.
func TestPendingQuestionIsLost(t *testing.T) {
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

// Each re-INVITE that is refused leaves its transaction with the wire until
// the call ends: a peer that sends one a minute, or a flood of them, is never
// forgotten.
func TestPendingReinvitesPileUp(t *testing.T) {
	inWorld(t, func(w *world) {
		d, invite := w.established()
		for i := range 20 {
			w.agent.agentRequest("INVITE", invite, "agent1", 5+i)
			w.agent.expect("SIP/2.0 488")
			w.agent.send(strings.Replace(fmt.Sprintf("ACK sip:198.51.100.1:5060 SIP/2.0\nVia: SIP/2.0/UDP %s;branch=z9hG4bKagentINVITE%d\nFrom: %s;tag=agent1\nTo: %s\nCall-ID: %s\nCSeq: %d ACK\nContent-Length: 0\n\n",
				agentAddr, 5+i, invite.value("To"), invite.value("From"), invite.value("Call-ID"), 5+i), "X", "X", 1))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		l := w.server.registry.line(tagOf(invite.req().From().Params))
		l.wire.mu.Lock()
		n := len(l.wire.servers)
		l.wire.mu.Unlock()
		if n > 1 {
			t.Errorf("%d transactions are kept", n)
		}
		w.server.Live(context.Background())
		_ = d
		w.settle()
	})
}

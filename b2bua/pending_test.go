package b2bua

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// The tests of this file fail: each shows one thing that is wrong.

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

// The guard reads bytes, the dialogs read sipgo: where the two differ, a
// request can be known to the one and not to the other.
func TestPendingScanDiffersFromParser(t *testing.T) {
	for _, to := range []string{
		`<sip:a@b>;tag=x;p=">"`, `<sip:a@b>;tag=x;tag=y`, `<sip:a@b>;tag=x=y`, `"a" sip:a@b;tag=x`,
	} {
		compareScan(t, crlf("BYE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9\nFrom: <sip:a@b>;tag=f\nTo: "+to+"\nCall-ID: x\nCSeq: 1 BYE\n\n"))
	}
}

// A request that a full inbox drops is never answered, and the transaction of
// one that is no INVITE has no timer before its final answer (RFC 3261
// section 17.2.2): it stays until the process ends. post says true all the
// same, so that nobody answers 481 or 503. The second test shows the whole of
// it, not each time: it depends on who runs first.
func TestPendingDroppedRequestIsTaken(t *testing.T) {
	b := newInbox()
	for range inboxNormal {
		b.post(itemRequest(sip.OPTIONS))
	}
	if b.post(itemRequest(sip.OPTIONS)) {
		t.Error("post took a request that it dropped")
	}
}

func TestPendingFloodOfRequests(t *testing.T) {
	inWorld(t, func(w *world) {
		_, invite := w.established()
		for i := range 1000 {
			w.agent.agentRequest("OPTIONS", invite, "agent1", 10+i)
		}
		w.drain(3 * time.Minute)
		items := reflect.ValueOf(w.server.stack.tx).Elem().FieldByName("serverTransactions").Elem().FieldByName("items")
		if n := items.Len(); n != 0 {
			t.Errorf("%d transactions are left", n)
		}
	})
}

// RFC 3261 section 7: lines end with CRLF. A request with bare line feeds and
// a folded header is answered with a bare line feed in the middle.
func TestPendingRefusalOfBareLineFeeds(t *testing.T) {
	request := []byte("INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9\n ;rport\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>\nCall-ID: x\nCSeq: 1 INVITE\n\n")
	out := string(statelessRefusal(nil, request, "503 x", "minted"))
	if strings.Contains(strings.ReplaceAll(out, "\r\n", ""), "\n") {
		t.Errorf("%q", out)
	}
}

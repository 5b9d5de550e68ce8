package leg

import (
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// When an INVITE is sent again with credentials or a longer session timer, the leg tells
// the call how many bytes larger the INVITE becomes. The call may then drop headers to make
// room.
func TestShortenedInvite(t *testing.T) {
	lt := newUAC(t)
	lt.Leg.Peer.SessionExpires = 90 * time.Second
	content := func() *sip.Request { return inviteOut(sip.NewHeader("Session-Expires", "90")).Request }
	in := inviteWithAuth(sip.NewHeader("Session-Expires", "90"), sip.NewHeader("X-Long", "x"))
	more, shorter, fits := 0, content, true
	in.Shorten = func(n int) (*sip.Request, bool) {
		more = n
		return shorter(), fits
	}
	lt.do(in)
	base := lt.Leg.InviteSize(content())
	for _, answer := range []struct {
		code    int
		headers []string
	}{
		{401, []string{askTarget}},
		{422, []string{"Min-SE: 1800"}},
		{407, []string{askProxy}},
		{422, []string{"Min-SE: 3600"}},
	} {
		lt.want(lt.do(lt.answerTo(answer.code, "x", "", answer.headers...)), "INVITE")
		req, _ := lt.request(sip.INVITE)
		if n := len(req.String()); n != base+more {
			t.Errorf("after %d: %d bytes; want %d and %d more:\n%s", answer.code, n, base, more, req)
		}
		if message.FirstHeader(req, "x-long") != "" || len(req.GetHeaders("session-expires")) != 1 || len(req.GetHeaders("from")) != 1 {
			t.Errorf("after %d:\n%s", answer.code, req)
		}
	}
	kept := lt.Leg.invite
	shorter = func() *sip.Request { return nil } // it fits unchanged
	lt.want(lt.do(lt.answerTo(401, "x", "", `WWW-Authenticate: Digest realm="agents", nonce="n2", qop="auth", stale=true`)), "INVITE")
	if got := withoutHop(lt.Leg.invite); got != withoutHop(kept) {
		t.Errorf("not the one before:\n%s\nwant\n%s", got, withoutHop(kept))
	}
}

// If the call can't make room, the INVITE is not sent again.
func TestNoRoomInInvite(t *testing.T) {
	for _, answer := range []string{
		"401 x | " + askTarget + " -> refused 401 invite_too_large", "422 x | Min-SE: 300 -> refused 422 invite_too_large",
	} {
		lt := legOf(t, "uac expires")
		in := inviteWithAuth(sip.NewHeader("Session-Expires", "90"))
		in.Shorten = func(int) (*sip.Request, bool) { return nil, false }
		lt.do(in)
		lt.play(answer)
	}
}

// The size of an INVITE is that of the text which the SIP library writes, whatever our
// address is.
func TestInviteSize(t *testing.T) {
	for _, local := range []Local{
		{Host: "198.51.100.1", Port: 5060}, {Host: "sip.example.com", Port: 65535, Transport: config.TransportTLS}, {Host: "2001:db8::1", Port: 7}, {Host: "h"},
	} {
		l := NewUAC(Options{Minter: LegMint, Local: local, Peer: PeerOptions{Allow: AllowHeader(Methods)}}, "c", "<sip:a@h>", "<sip:b@h>")
		in := inviteOut(sip.NewHeader("X-One", "1"))
		size := l.InviteSize(in.Request)
		_, effects := l.Step(time.Unix(0, 0), in)
		if text := effects[0].(SendRequest).Req.String(); len(text) != size {
			t.Errorf("%+v: %d bytes; measured %d:\n%s", local, len(text), size, text)
		}
	}
}

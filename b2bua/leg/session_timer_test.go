package leg

import (
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/message"
)

// RFC 4028 section 9: the UAS's answer and the refresher follow the RFC's table. The UAS may shorten the interval, but
// not below Min-SE.
func TestSessionTimerOfUAS(t *testing.T) {
	for _, tt := range []struct {
		headers []string
		expiry  time.Duration
		want    string // Session-Expires in the 200
		require bool
		ours    bool
	}{
		{nil, 0, "", false, false},
		{nil, 1800 * time.Second, "1800;refresher=uas", false, true},
		{[]string{"Supported: timer"}, 1800 * time.Second, "1800;refresher=uac", true, false},
		{[]string{"Session-Expires: 300"}, 0, "300;refresher=uas", false, true},
		{[]string{"Session-Expires: 300;refresher=uas"}, 0, "300;refresher=uas", false, true},
		{[]string{"Session-Expires: 20"}, 0, "90;refresher=uas", false, true}, // a proxy's, which 422 would not reach
		{[]string{"Supported: timer", "Session-Expires: 300"}, 0, "300;refresher=uac", true, false},
		{[]string{"Supported: timer", "x: 300"}, 0, "300;refresher=uac", true, false},
		{[]string{"Supported: timer", "Session-Expires: 300;refresher=uac"}, 0, "300;refresher=uac", true, false},
		{[]string{"Supported: timer", "Session-Expires: 300;refresher=uas"}, 0, "300;refresher=uas", false, true},
		{[]string{"Supported: timer", "Session-Expires: 3600"}, 600 * time.Second, "600;refresher=uac", true, false},
		{[]string{"Supported: timer", "Session-Expires: 3600", "Min-SE: 1200"}, 600 * time.Second, "1200;refresher=uac", true, false},
		{[]string{"Supported: timer", "Session-Expires: nonsense"}, 0, "", false, false},
	} {
		lt := newUASWith(t, PeerOptions{SessionExpires: tt.expiry}, tt.headers...)
		lt.want(lt.do(Answer{SDP: []byte("v=0")}), "200/INVITE")
		res := lt.response()
		if got := message.FirstHeader(res, "session-expires"); got != tt.want || message.HasOption(res, "Require", "timer") != tt.require {
			t.Errorf("%q, we want %v: Session-Expires %q, Require %v", tt.headers, tt.expiry, got, message.FirstHeader(res, "require"))
		}
		lt.do(inDialog(t, "ACK", 10))
		interval, _ := askedFor(res)
		if !lt.Leg.timer.expireAt.IsZero() != (tt.want != "") || !lt.Leg.timer.refreshAt.IsZero() != tt.ours {
			t.Errorf("%q: refresh at %v, end at %v", tt.headers, lt.Leg.timer.refreshAt, lt.Leg.timer.expireAt)
		}
		if tt.want != "" && lt.Leg.timer.expireAt.Sub(lt.now) != interval-min(32*time.Second, interval/3) {
			t.Errorf("%q: ends after %v", tt.headers, lt.Leg.timer.expireAt.Sub(lt.now))
		}
	}
}

// RFC 4028 section 7.2: the UAC takes the interval and the refresher from the 2xx.
func TestSessionTimerOfUAC(t *testing.T) {
	for _, tt := range []struct {
		headers []string
		runs    time.Duration
		ours    bool
	}{
		{nil, 0, false},
		{[]string{"Session-Expires: 300;refresher=uac", "Require: timer"}, 300 * time.Second, true},
		{[]string{"Session-Expires: 300;refresher=uas"}, 300 * time.Second, false},
		{[]string{"Session-Expires: 300"}, 300 * time.Second, true},
	} {
		lt := uacIn(t, "calling")
		lt.do(lt.ok("agent", append([]string{"Contact: <sip:agent@192.0.2.20:5099>"}, tt.headers...)...))
		if lt.Leg.timer.interval != tt.runs || !lt.Leg.timer.refreshAt.IsZero() != tt.ours {
			t.Errorf("%q: %+v", tt.headers, lt.Leg.timer)
		}
	}
}

// timed is a script for an answered leg to a target. We refresh the session after 45 s, by re-INVITE.
const timed = "uac calling\n200 agent | Contact: <sip:agent@192.0.2.20:5099> | Session-Expires: 90;refresher=uac | Allow: "

// RFC 4028 sections 7.4 and 10: a refresh is sent after half the interval: an UPDATE if the peer allows it, or else a
// re-INVITE with the current session. If the refresher does not refresh, the call ends.
func TestRefresh(t *testing.T) {
	plays(t, timed+`INVITE, UPDATE
deadline 45s -> UPDATE
UPDATE has Session-Expires: 90;refresher=uac | SDP:  | Supported: timer | Contact: *
200 to UPDATE | Session-Expires: 90;refresher=uac -> nothing ; waits 45s
deadline ; 405 to UPDATE -> INVITE # then never again UPDATE
INVITE has SDP: v=0 | Session-Expires: 90;refresher=uac
200 to INVITE | Session-Expires: 120;refresher=uas -> answer, ACK
deadline 2m58s -> gone session_expired, BYE`)
}

// If a refresh is refused, it is repeated, or the call continues or ends, depending on the status (RFC 4028 sections
// 7.3, 7.4 and 10, RFC 3261 section 14.1).
func TestRefreshRefused(t *testing.T) {
	for _, method := range []string{"UPDATE", "INVITE"} {
		plays := func(script string) { plays(t, timed+strings.ReplaceAll(script, "METHOD", method)) }
		for _, code := range []string{"491", "500", "503", "488"} {
			lt := uacIn(t, "calling")
			lt.play(strings.TrimPrefix(timed, "uac calling\n") + method + "\ndeadline ; " + code + " to " + method + " -> nothing ; deadline -> " + method)
			if d := lt.now.Sub(LegStart); d <= 45*time.Second || d > 60*time.Second {
				t.Errorf("%s: again after %v; want more than 45s, 60s at most", code, d)
			}
		}
		for _, code := range []string{"408", "481"} {
			plays("METHOD\ndeadline ; " + code + ` to METHOD -> gone session_expired, BYE
BYE has Reason: Q.850;cause=102;text="session_expired"`)
		}
		plays("METHOD\ndeadline ; failed METHOD -> gone session_expired, BYE")
		plays(`METHOD
deadline ; 422 to METHOD | Min-SE: 200 -> METHOD
METHOD has Session-Expires: 200;refresher=uac | Min-SE: 200
422 to METHOD | Min-SE: 200 -> nothing # it has no point`)
		plays("METHOD\ndeadline ; deadline 1m0s -> gone session_expired, BYE") // no answer until the end
	}
}

// A refresh waits while an exchange of the peer is in progress. Our offer waits while a refresh is in progress. Both
// are sent afterwards.
func TestRefreshWaits(t *testing.T) {
	plays(t, timed+`INVITE
+40s ; INVITE 7 sdp -> offered INVITE+sdp
deadline -> nothing
reject 488 -> 488/INVITE, INVITE
INVITE has SDP: v=0
offer X -> nothing
488 to INVITE -> INVITE
INVITE has SDP: v=0 o=X

`+timed+`INVITE
+40s ; INVITE 7 sdp ; deadline ; cancel 7 -> withdrawn, forgotten, INVITE
offer X ; 200 to INVITE -> answer, ACK, INVITE

`+timed+`INVITE
offer X ; +20s ; 183 to INVITE ; deadline -> offer refused 408, CANCEL
deadline -> nothing # the refresh is due
487 to INVITE -> INVITE # the refresh`)
}

// RFC 4028 section 7.3: if the target answers 422 because the session interval is too short, the INVITE is sent again
// with the target's minimum, at most twice.
func TestInvite422(t *testing.T) {
	lt := legOf(t, "uac expires called | Session-Expires: 90")
	first := lt.Leg.invite
	lt.play(`
422 x | Min-SE: 300 -> INVITE
INVITE has Session-Expires: 300 | Min-SE: 300
422 x | Min-SE: 600 -> INVITE
INVITE has Session-Expires: 600 | Min-SE: 600
422 x | Min-SE: 900 -> refused 422 target_refused`)
	if got := message.FirstHeader(first, "session-expires"); got != "90" {
		t.Errorf("the INVITE that is on its way has Session-Expires %s; want 90", got)
	}
	plays(t, "uac calling\n422 x | Min-SE: 300 -> refused 422 target_refused")
}

// RFC 4028 section 4: no session is shorter than 90 s, whatever a target says.
func TestShortSessionOfTarget(t *testing.T) {
	lt := uacIn(t, "calling")
	lt.do(lt.ok("agent", "Contact: <sip:agent@192.0.2.20:5099>", "Session-Expires: 1;refresher=uac"))
	if lt.Leg.timer.interval != 90*time.Second {
		t.Errorf("interval %v", lt.Leg.timer.interval)
	}
}

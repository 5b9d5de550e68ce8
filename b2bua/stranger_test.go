package b2bua

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A tag of ours that is of no leg makes nobody a peer: a stranger who shows one
// gets nothing, but for a BYE one 481, and nothing is kept of him.
func TestTagsOfNoLeg(t *testing.T) {
	inWorld(t, func(w *world) {
		stranger := w.peer(netip.MustParseAddrPort("203.0.113.5:5060"))
		w.others = append(w.others, stranger)
		request := func(method string) string {
			return fmt.Sprintf("%s sip:a SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.5;branch=z9hG4bK%s;rport\nFrom: <sip:a>;tag=1\n"+
				"To: <sip:a>;tag=%s\nCall-ID: guess\nCSeq: 1 %s\nMax-Forwards: 70\nContact: <sip:a@203.0.113.5>\nUser-Agent: a phone that says where it comes from\n\n", method, method, w.server.mint.Tag(), method)
		}
		for _, method := range []string{"INVITE", "INFO", "OPTIONS", "ACK", "CANCEL"} {
			stranger.send(request(method))
			stranger.silent(time.Minute)
		}
		stranger.send(request("BYE"))
		stranger.expect("SIP/2.0 481")
		stranger.silent(time.Minute)
		// Of a trunk each gets its answer, once.
		for _, method := range []string{"INVITE", "INFO", "BYE"} {
			w.carrier.send(strings.ReplaceAll(request(method), "203.0.113.5", "192.0.2.10"))
			w.carrier.expect("SIP/2.0 481")
			w.carrier.silent(time.Minute)
		}
	})
}

// Who repeats an INVITE that he has seen is no party to its call.
func TestStrangersMergedInvite(t *testing.T) {
	yaml := strings.Replace(testConfig, "trunks:\n", "trunks:\n  - {name: pbx, auth: {username: a, password_env: P}}\n", 1)
	inWorldWith(t, yaml, func(w *world) {
		d, _ := w.established()
		p := w.roaming()
		copied := *d
		copied.branch, copied.toTag = "z9hG4bKcopy", ""
		p.invite(&copied)
		synctest.Wait()
		p.rest() // maybe a challenge
		p.silent(time.Minute)
		w.callerHangsUp(d)
		w.record()
	})
}

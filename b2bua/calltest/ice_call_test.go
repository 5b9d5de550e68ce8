package calltest

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// withICE has the carrier's calls come with ICE and DTLS.
func withICE(yaml string) string {
	return strings.Replace(yaml, `country: "1"`, `country: "1", `+dtlsYAML, 1)
}

// iceTalk is an established call whose caller has ICE.
type iceTalk struct {
	*dtlsTalk

	phone  *dtlsEnd
	invite received // to the agent
	checks any      // how the caller is checked
	ufrag  string   // ours
}

// offers returns an offer of the caller, with this user name fragment.
func (k *iceTalk) offers(ufrag string, lines ...string) string {
	lines = append(lines, "a=mid:0", "a=ice-ufrag:"+ufrag, "a=ice-pwd:passwordpasswordpassword")
	return k.phone.describes("192.0.2.10", 20000, "actpass", lines...)
}

func (w *world) iceTalk() *iceTalk {
	w.t.Helper()
	k := &iceTalk{phone: w.dtlsEnd(media.SideA, 9)}
	d := w.carrier.newCall("+15075785607")
	d.sdp = k.offers("peer")
	k.invite = w.carrier.ringsAt(w.agent, d)
	k.unknown(w, k.invite)
	ok := w.carrier.isTakenWith(w.agent, k.invite, "agent1", d, siptest.SessionAt("192.0.2.20", 30000, "0 101"))
	wantDTLS(w.t, ok, "passive")
	k.phone.shakes(ok, true)
	k.phone.agreed()
	k.dtlsTalk = &dtlsTalk{w: w, d: d, fingerprint: attribute(ok, "fingerprint")}
	k.ufrag = attribute(ok, "ice-ufrag")
	setup := w.session().peers[media.SideA].ICE
	if setup == nil || setup.Peer.Ufrag != "peer" || setup.Own.Ufrag != k.ufrag || k.ufrag == "" {
		w.t.Fatalf("the caller is checked by %+v; we answered\n%s", setup, ok.raw)
	}
	k.checks = setup
	return k
}

// unknown checks that the SDP for a party has no trace of the caller's ICE.
func (k *iceTalk) unknown(w *world, m received) {
	w.t.Helper()
	for _, word := range []string{"a=ice-", "a=candidate", "a=mid", "fingerprint"} {
		if strings.Contains(string(m.Body()), word) {
			w.t.Errorf("the other side is told %s:\n%s", word, m.raw)
		}
	}
}

// stays checks that the caller is checked as before, under the same keys, and the other side not at all.
func (k *iceTalk) stays() {
	k.w.t.Helper()
	s := k.w.session()
	if got := s.peers[media.SideA].ICE; !reflect.DeepEqual(got, k.checks) {
		k.w.t.Errorf("the caller is checked by %+v; want %+v", got, k.checks)
	}
	if got := s.peers[media.SideB].ICE; got != nil {
		k.w.t.Errorf("the other side is checked by %+v", got)
	}
	if got := s.crypto[media.SideA]; !sameKeys(got.Receive, k.phone.keys.Send) ||
		!sameKeys(got.Send, k.phone.keys.Receive) {
		k.w.t.Errorf("the caller has other keys: %+v", got)
	}
}

// TestICEWithTransfer: a hold by the caller, a transfer by the agent and a kill change nothing of the checks and keys
// of a caller with ICE, and the party that takes the call does not see them. New credentials change both ends'
// credentials only.
func TestICEWithTransfer(t *testing.T) {
	inWorldWith(t, withICE(transferConfig), func(w *world) {
		k := w.iceTalk()
		for _, direction := range []string{"a=sendonly", "a=sendrecv"} {
			if ok := k.reinvites(k.offers("peer", direction)); attribute(ok, "ice-ufrag") != k.ufrag {
				t.Errorf("%s is answered with other credentials:\n%s", direction, ok.raw)
			}
			k.stays()
		}
		w.referred(k.invite, "<tel:4711>")
		called := w.agent2.expect("INVITE")
		k.unknown(w, called)
		w.takenByPBX(called)
		k.stays()
		w.restart()
		w.agent.reply(w.agent.expect("BYE"), 481, "No More", "", "") // again, because the answer was not noted
		k.stays()
		ok := k.reinvites(k.offers("restarted"))
		setup := w.session().peers[media.SideA].ICE
		if attribute(ok, "ice-ufrag") == k.ufrag || setup == nil || setup.Peer.Ufrag != "restarted" ||
			setup.Own.Ufrag != attribute(ok, "ice-ufrag") {
			t.Errorf("after a restart of its ICE the caller is checked by %+v; we answered\n%s", setup, ok.raw)
		}
		k.checks = setup
		k.stays()
		w.callerEnds(w.agent2, k.d)
	})
}

// TestICEWithRescue: the same if the agent dies and another one takes over.
func TestICEWithRescue(t *testing.T) {
	inWorldWith(t, withICE(strings.Replace(rescueConfig, "@RESCUE@", "", 1)), func(w *world) {
		k := w.iceTalk()
		w.agentDies(time.Second, k.invite)
		k.unknown(w, w.takesOver("+15075785607"))
		k.stays()
		w.callerEnds(w.agent2, k.d)
	})
}

// TestICEOverTCP: a caller that can only be reached over TCP is refused in words.
func TestICEOverTCP(t *testing.T) {
	inWorldWith(t, withICE(transferConfig), func(w *world) {
		k := &iceTalk{phone: w.dtlsEnd(media.SideA, 9)}
		d := w.carrier.newCall("+15075785607")
		d.sdp = k.offers("peer", "a=candidate:1 1 tcp 1518280447 192.0.2.10 9 typ host tcptype active")
		w.carrier.invite(d)
		if m := w.carrier.expect("SIP/2.0 488"); !strings.HasPrefix(m.value("Warning"), "302 ") ||
			!strings.Contains(m.value("Warning"), "over TCP") {
			t.Errorf("refused by\n%s", m.raw)
		}
		w.carrier.ackRefused(d)
		w.record()
	})
}

package calltest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/sdp"
	"flowbridge/sim/siptest"
)

const (
	ringing = "a hears 6s of law 0 as 0, loop true, yield true"
	quiet   = "a hears nothing"
)

// hears checks the list of sounds that the media has played since the last check.
func (w *world) hears(want ...string) {
	w.t.Helper()
	synctest.Wait()
	s := w.relay.sessions[len(w.relay.sessions)-1]
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.heard, want) {
		w.t.Errorf("played %q; want %q", s.heard, want)
	}
	s.heard = nil
}

func TestPtimeOfADescription(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"a=ptime:20": 20 * time.Millisecond, "a=ptime: 40": 40 * time.Millisecond, "a=ptime:60": 60 * time.Millisecond,
		"a=ptime:5": 0, "a=ptime:25": 0, "a=ptime:120": 0, "a=ptime:x": 0, "a=sendrecv": 0,
	} {
		d, err := sdp.Parse([]byte(siptest.SessionAt("192.0.2.10", 20000, "0", line)))
		must(t, err)
		if got := d.Ptime(); got != want {
			t.Errorf("%s: got %v; want %v", line, got, want)
		}
	}
}

const sounds = `
== the next target rings again, also after early media of the first
with: targets: [agent, spare], ringing: on-target => targets: [agent, spare], ringing: session-progress, ringback: eu
carrier: calls 15085785607 ; gets 183
agent: gets INVITE
played: a hears 5s of law 0 as 0, loop true, yield true
agent: says 183 (0 101) ; says 500 ; gets ACK
spare: gets INVITE (8 101) ; not heard
played: nothing # what has yielded goes on by itself
spare: takes (8 101 :30002)
carrier: gets 200 ; acks
played: a hears nothing
carrier: hangs up on spare

== hold: a tone, for who is held, in its own codec
with: targets: [agent] => targets: [agent], hold: hold
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [PCMA]
carrier: calls 15075785607 (0 101) ; gets 180
agent: gets INVITE ; takes (8 101)
carrier: gets 200 ; acks
played: nothing
carrier: says INVITE (0 101 sendonly) ; gets 200 ; acks
played: b hears 10s of law 1 as 8, loop true, yield true
carrier: says INVITE (0 101) ; gets 200 ; acks
played: b hears nothing
agent: says INVITE (8 101 inactive) ; gets 200 ; acks
played: a hears 10s of law 0 as 0, loop true, yield true
agent: says INVITE (8 101 inactive) ; gets 200 ; acks # a refresh
played: nothing
agent: says INVITE (8 101) ; gets 200 ; acks
played: a hears nothing
carrier: hangs up on agent`

// Sounds are played to callers before the answer, and to sides on hold.
func TestSounds(t *testing.T) {
	stories := ""
	for _, early := range []string{"180", "183 (0 101)"} {
		stories += `
== ringing: session-progress, and the target says ` + early + `
with: targets: [agent] => targets: [agent], ringing: session-progress
carrier: calls 15075785607 (18 0 8 101 ptime:30) ; gets 183 (0 101)
agent: gets INVITE (0 101)
played: a hears 6s of law 0 as 0, loop true, yield true
carrier: hears
agent: says ` + early + `
carrier: silent 1s
played: nothing # it goes on until the media comes
agent: takes
carrier: gets 200 same ; acks
played: a hears nothing
carrier: hangs up on agent
`
	}
	for _, offer := range []string{"(9 101)", "late"} { // without G.711, or without an offer, the caller gets only 180
		stories += `
== ringing: session-progress is not possible: ` + offer + `
with: targets: [agent] => targets: [agent], ringing: session-progress
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [G722]
carrier: calls 15075785607 ` + offer + ` ; gets 180
agent: gets INVITE
played: nothing
agent: busy
`
	}
	tell(t, talkYAML("", ""), stories+sounds)
}

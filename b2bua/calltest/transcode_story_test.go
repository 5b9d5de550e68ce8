package calltest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/media"
)

// opusAgent configures an agent that accepts only Opus.
const opusAgent = `with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus]` + "\n"

// transcoded describes how the actor's side is transcoded, or returns "" if it is not. In "111 as 0", the side gets
// Opus as payload type 111, and the other side gets G.711 as payload type 0 for it. "takes N" is another payload type
// with which the side may send Opus, and "keys N" is the type of its telephone-events with a clock of 48 kHz.
func (a *actor) transcoded() string {
	synctest.Wait()
	c := a.w.session().made()[a.side]
	if !c.On {
		return ""
	}
	text := fmt.Sprintf("%d as %d", c.Opus, c.Number)
	for n := range uint8(128) {
		if c.Takes.Has(n) && n != c.Opus {
			text += fmt.Sprintf(" takes %d", n)
		}
		if c.Scaled.Has(n) {
			text += fmt.Sprintf(" keys %d", n)
		}
	}
	return text
}

// TestTranscodingOfLateOffers: if the caller's INVITE has no offer, our offer includes codecs into which we can
// transcode. The caller's answer decides about transcoding.
func TestTranscodingOfLateOffers(t *testing.T) {
	tell(t, talkYAML("", ""), `
== Opus of the agent, and the G.711 that is made of it
`+opusAgent+`carrier: calls 15075785607 late ; gets 180
agent: gets INVITE (96 106) ; takes (111 110)
carrier: gets 200 (96 106 0 8 97)
places: 1
carrier: acks (0 97) ; transcoded
agent: transcoded 111 as 0 takes 96 keys 106 keys 110 ; changed 106>97 110>97
carrier: changed 97>110 ; says INVITE (0 97 :20002 sendonly) ; gets 200 (0 97) ; acks
agent: says INVITE (111 110 sendonly) ; gets 200 (111 110) ; acks
places: 1
carrier: hangs up on agent | Codec: PCMU
places: 0

== and the caller takes the other kind of G.711
`+opusAgent+`carrier: calls 15075785607 late ; gets 180
agent: gets INVITE (96 106) ; takes (111 110)
carrier: gets 200 (96 106 0 8 97) ; acks (8) ; transcoded
agent: transcoded 111 as 8 takes 96 keys 106 keys 110
carrier: hangs up on agent | Codec: PCMA

== or Opus: the place is free again
`+opusAgent+`carrier: calls 15075785607 late ; gets 180
agent: gets INVITE (96 106) ; takes (111 110)
carrier: gets 200 (96 106 0 8 97) ; acks (111 110) ; transcoded
agent: transcoded
places: 0
carrier: hangs up on agent | Codec: opus

== without a free place only Opus
with: media: { => media: {transcode: off, 
`+opusAgent+`carrier: calls 15075785607 late ; gets 180
agent: gets INVITE (96 106) ; takes (111 110)
carrier: gets 200 (96 106) ; acks (0) ; is left for bad_ack
agent: is left for bad_ack
record: answered bad_ack system

== in a reliable 183, before another target answers
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus]
carrier: calls 15085785607 late | Supported: 100rel
agent: gets INVITE (96 106) ; says 183 (111 110)
carrier: gets 183 (96 106 0 8 97) ; pracks (0 97) ; transcoded
agent: transcoded 111 as 0 takes 96 keys 106 keys 110 ; says 500 to INVITE ; gets ACK
spare: gets INVITE (8 97) ; takes (8 97) ; transcoded
carrier: transcoded ; gets 200 bare ; acks
places: 0
carrier: hangs up on spare

== in a 183 without PRACK: the caller answers in its ACK, by what the last target has
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus]
carrier: calls 15085785607 late
agent: gets INVITE (96 106) ; says 183 (111 110)
carrier: gets 183
agent: says 500 to INVITE ; gets ACK
spare: gets INVITE (8 106) ; takes (8 106)
carrier: gets 200 (96 106 0 8 97) ; acks (8 97) ; transcoded ; changed 97>106
spare: transcoded
places: 0
carrier: hangs up on spare | Codec: PCMA

== or with Opus
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus]
carrier: calls 15085785607 late
agent: gets INVITE (96 106) ; says 183 (111 110)
carrier: gets 183
agent: says 500 to INVITE ; gets ACK
spare: gets INVITE (8 106) ; takes (8 106)
carrier: gets 200 (96 106 0 8 97) ; acks (111 110) ; transcoded 111 as 8 takes 96 keys 106 keys 110
places: 1
carrier: hangs up on spare | Codec: opus

== an agent with PCMU: Opus is not offered
carrier: calls 15075785607 late ; gets 180
agent: gets INVITE (0 8 101) ; takes (0 101)
carrier: gets 200 (0 8 101)
places: 0
carrier: acks (0 101) ; hangs up on agent
`)
}

// TestTranscodingInSetUp covers transcoding with early media, forks, failover, and targets whose answers have formats
// that were not offered.
func TestTranscodingInSetUp(t *testing.T) {
	tell(t, talkYAML("", ""), `
== early media
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (0 8 110) ; says 183 (0 101)
carrier: gets 183 (111 110) ; transcoded 111 as 0 keys 110
agent: transcoded ; takes (0 101)
carrier: gets 200 (111 110) ; acks ; hangs up on agent | Codec: opus

== two forks, each with its kind of G.711
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (0 8 110) ; says 183 one (0 101)
carrier: gets 183 (111 110) ; transcoded 111 as 0 keys 110
agent: takes two (8 101) ; changed 101>110
carrier: gets 200 (111 110) ; acks ; transcoded 111 as 8 keys 110 ; changed 110>101 ; hangs up on agent | Codec: opus

== after early media of PCMU, a target with Opus: nothing is transcoded any more
with: [PCMA] => [opus]
carrier: calls 15085785607 (111 110)
agent: gets INVITE (0 8 110) ; says 183 (0 101)
carrier: gets 183 (111 110) ; transcoded 111 as 0 keys 110
agent: says 500 to INVITE ; gets ACK
spare: gets INVITE (111 110) ; takes (111 110) ; transcoded
carrier: gets 200 (111 110) ; acks ; transcoded
places: 0
carrier: hangs up on spare | Codec: opus

== and the reverse
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus]
carrier: calls 15085785607 (111 110)
agent: gets INVITE (111 110) ; says 183 (111 110)
carrier: gets 183 (111 110) ; transcoded
agent: says 500 to INVITE ; gets ACK
spare: gets INVITE (8 110) ; takes (8 101)
carrier: gets 200 (111 110) ; acks ; transcoded 111 as 8 keys 110
places: 1
carrier: hangs up on spare | Codec: opus

== a place that only the first target needs is given back for the second
with: [PCMA] => [opus]
carrier: calls 15085785607 (111 110)
agent: gets INVITE (0 8 110)
places: 1
agent: says 500 ; gets ACK
spare: gets INVITE (111 110)
places: 0
spare: takes (111 110)
carrier: gets 200 (111 110) ; acks ; hangs up on spare

== an answer of PCMU where Opus was offered
`+opusAgent+`carrier: calls 15075785607 (0 101) ; gets 180
agent: gets INVITE (96 101) ; takes (0 101) ; gets BYE ; says 200
carrier: gets 503 ; acks
record: failed bad_answer system

== an answer of Opus where PCMU was offered
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (0 8 110) ; takes (111 110) ; gets BYE ; says 200
carrier: gets 503 ; acks
record: failed bad_answer system
`)
}

// TestTranscodingOfChanges: either side may change the codec with a re-INVITE, which starts, changes or ends
// transcoding.
func TestTranscodingOfChanges(t *testing.T) {
	tell(t, talkYAML("", ""), `
== an agent goes to Opus and back, and the caller stays
carrier: calls 15075785607 (0 101) ; gets 180
agent: gets INVITE (0 101) ; takes (0 101)
carrier: gets 200 (0 101) ; acks
places: 0
agent: says INVITE (111 110) ; gets 200 (111 110) ; acks ; transcoded 111 as 0 keys 110 ; changed 110>101
places: 1
agent: says INVITE (0 101) ; gets 200 (0 101) ; acks ; transcoded ; changed
places: 0
carrier: silent 1s ; hangs up on agent

== a caller with Opus goes to PCMU and back, while the agent holds
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (0 8 110) ; takes (0 101)
carrier: gets 200 (111 110) ; acks ; transcoded 111 as 0 keys 110
agent: says INVITE (0 101 inactive) ; gets 200 (0 101) ; acks
carrier: says INVITE (0 101) ; gets 200 (0 101) ; acks ; transcoded
places: 0
carrier: says INVITE (111 110) ; gets 200 (111 110) ; acks ; transcoded 111 as 0 keys 110
agent: says INVITE (0 101 sendrecv) ; gets 200 (0 101) ; acks
places: 1
carrier: hangs up on agent | Codec: opus

== a caller with Opus goes to PCMU, which the record has
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (0 8 110) ; takes (0 101)
carrier: gets 200 (111 110) ; acks ; says INVITE (0 101) ; gets 200 (0 101) ; acks ; transcoded ; hangs up on agent | Codec: PCMU

== both to Opus: the side that is transcoded is asked
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [PCMU, opus]
carrier: calls 15075785607 (0 111 101 110) ; gets 180
agent: gets INVITE (0 111 101 110) ; takes (0 101)
carrier: gets 200 (0 101) ; acks ; says INVITE (111 110)
agent: gets INVITE (111 110) ; takes (111 110)
carrier: gets 200 (111 110) ; acks ; transcoded
agent: transcoded
places: 0
carrier: hangs up on agent

== an agent that refuses Opus: the caller keeps what it had
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [PCMU, opus]
carrier: calls 15075785607 (0 101) ; gets 180
agent: gets INVITE (0 101) ; takes (0 101)
carrier: gets 200 (0 101) ; acks ; says INVITE (111 110)
agent: gets INVITE (111 110) ; says 488 ; gets ACK
carrier: gets 488 ; acks ; transcoded ; hangs up on agent | Codec: PCMU

== an agent goes to Opus, as its transcoded caller has it
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [PCMU]
with: targets: [agent] => targets: [spare, agent]
with: [PCMA] => [opus, PCMU]
carrier: calls 15075785607 (111 110) ; gets 180
spare: gets INVITE (111 110) ; says 500 ; gets ACK
agent: gets INVITE (0 110) ; takes (0 101)
carrier: gets 200 (111 110) ; acks ; transcoded 111 as 0 keys 110
agent: says INVITE (111 110) ; gets 200 (111 110) ; acks ; transcoded 111 as 0 keys 110 # twice: its list has no Opus
places: 1
carrier: hangs up on agent | Codec: opus

== a re-INVITE to Opus that is cancelled too late
carrier: calls 15075785607 (0 101) ; gets 180
agent: gets INVITE (0 101) ; takes (0 101)
carrier: gets 200 (0 101) ; acks
carrier: says UPDATE (111 110) ; gets 200 (111 110) ; transcoded 111 as 0 keys 110
carrier: says UPDATE (0 101) ; gets 200 (0 101) ; transcoded ; hangs up on agent

== from Opus that both have to PCMU that the agent has not: music on hold, which is made into Opus, and back
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus]
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (111 110) ; takes (111 110)
carrier: gets 200 (111 110) ; acks ; says INVITE (0 101 sendonly) ; gets 200 (0 101 recvonly) ; acks ; transcoded ; changed 101>110
agent: transcoded 111 as 0 keys 110 ; changed 110>101
places: 1
agent: says INVITE (111 110 :30002) ; gets 200 (111 110) ; acks
carrier: says INVITE (111 110) ; gets 200 (111 110) ; acks ; changed 101>110
agent: silent 1s ; transcoded ; changed
places: 0
carrier: hangs up on agent | Codec: opus

== PCMA, which the caller has after an upgrade and a kill, too, and in which it is transferred
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus]
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (111 110) ; takes (111 110)
carrier: gets 200 (111 110) ; acks ; says INVITE (8 101) ; gets 200 (8 101) ; acks
server: is replaced ; restarts
agent: transcoded 111 as 8 keys 110
places: 1
carrier: says INVITE (8 101 :20002) ; gets 200 (8 101) ; acks ; says INVITE (111 110) ; gets 200 (111 110) ; acks
agent: transcoded
places: 0
carrier: hangs up on agent | Codec: opus

== a change that is cancelled when it is answered is undone
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus]
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (111 110) ; takes (111 110)
carrier: gets 200 (111 110) ; acks ; says INVITE (0 101) ; gets 200 (0 101)
agent: transcoded 111 as 0 keys 110
carrier: acks ; says INVITE (111 110) ; gets 200 (111 110) ; acks
agent: transcoded
carrier: hangs up on agent | Codec: opus

== the agent wants PCMU alone, which the caller refuses
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus, PCMU]
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (111 110) ; takes (111 110)
carrier: gets 200 (111 110) ; acks
agent: says INVITE (0 101)
carrier: gets INVITE (0 101) ; says 488 ; gets ACK
agent: gets 200 (0 101) ; acks
carrier: transcoded 111 as 0 keys 110 ; hangs up on agent | Codec: opus

== with reinvite: absorb
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus], reinvite: absorb
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (111 110) ; takes (111 110)
carrier: gets 200 (111 110) ; acks ; says INVITE (0 101) ; gets 200 (0 101) ; acks
agent: transcoded 111 as 0 keys 110
carrier: hangs up on agent | Codec: PCMU

== without a free transcoder it is refused
with: media: { => media: {transcode: off, 
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus]
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (111 110) ; takes (111 110)
carrier: gets 200 (111 110) ; acks ; says INVITE (0 101) ; gets 488 ; acks ; hangs up on agent | Codec: opus
`)
}

// TestOurSoundsInOpus: before the answer, and on hold, a transcoded caller hears our sounds.
func TestOurSoundsInOpus(t *testing.T) {
	yaml := strings.ReplaceAll(talkYAML("", ""), "targets: [agent]", "targets: [agent], ringing: session-progress, hold: hold")
	yaml = strings.ReplaceAll(yaml, "ringing: on-target", "ringing: session-progress, queue: {limit: 2, timeout: 50s}")
	tell(t, yaml, `
== ringing, and music on hold
carrier: calls 15075785607 (111 110) ; gets 183 (111 110) ; transcoded 111 as 0 keys 110
played: a hears 6s of law 0 as 0, loop true, yield true
agent: gets INVITE (0 8 110) ; takes (8 101) ; changed 101>110
carrier: gets 200 (111 110) ; acks ; transcoded 111 as 8 keys 110
played: a hears 6s of law 1 as 8, loop true, yield true | a hears nothing
agent: says INVITE (8 101 inactive) ; gets 200 (8 101) ; acks
played: a hears 10s of law 1 as 8, loop true, yield true
agent: says INVITE (8 101 sendrecv) ; gets 200 (8 101) ; acks
played: a hears nothing
carrier: hangs up on agent | Codec: opus

== ringing to a caller with PCMU, for an agent with Opus
`+opusAgent+`carrier: calls 15075785607 (0 101) ; gets 183 (0 101) ; transcoded
played: a hears 6s of law 0 as 0, loop true, yield true
agent: gets INVITE (96 101) ; takes (111 110) ; transcoded 111 as 0 takes 96 keys 101 keys 110
carrier: gets 200 (0 101) ; acks
played: a hears nothing
carrier: hangs up on agent

== no ringing in Opus that passes
`+opusAgent+`carrier: calls 15075785607 (111 110) ; gets 180 ; transcoded
places: 0
agent: gets INVITE (111 110) ; takes (111 110)
carrier: gets 200 (111 110) ; acks ; hangs up on agent
`)
}

// TestTranscodedCallGoesOn: after an upgrade or a kill, a transcoded call still has its transcoder, which still counts
// for the limit.
func TestTranscodedCallGoesOn(t *testing.T) {
	tell(t, talkYAML("", ""), `
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (0 8 110) ; takes (0 101)
carrier: gets 200 (111 110) ; acks

== after an upgrade
server: is replaced
places: 1
carrier: says INVITE (111 110 sendonly) ; gets 200 (111 110) ; acks ; transcoded 111 as 0 keys 110
carrier: says INVITE (0 101) ; gets 200 (0 101) ; acks ; transcoded
places: 0
carrier: hangs up on agent

== after a kill
carrier: +4s
server: restarts
places: 1
carrier: says INVITE (111 110 sendonly) ; gets 200 (111 110) ; acks ; transcoded 111 as 0 keys 110
agent: says INVITE (0 101 :30002) ; gets 200 (0 101) ; acks
carrier: hangs up on agent
places: 0
`)
}

// TestOpusInAQueue: a waiting caller with Opus hears the queue's sound.
func TestOpusInAQueue(t *testing.T) {
	inWorldWith(t, strings.Replace(queueConfig, "timeout: 50s", "timeout: 50s, sound: hold", 1), func(w *world) {
		first, invite := w.carrier.callsAt(w.agent, "+15075785607")
		w.carrier.isTakenBy(w.agent, invite, "agent1", first)
		second := w.carrier.newCall("+15075785608")
		second.sdp = opusSDP("192.0.2.10", 20002, "")
		w.carrier.invitesTillRung(second)
		if got := numbersIn(second.learn(w.carrier.expect("SIP/2.0 183"))); got != "111 101" {
			t.Errorf("the caller is told %s", got)
		}
		s := w.relay.sessions[1]
		if p := s.plays[media.SideA]; !s.made()[media.SideA].On || p.PayloadType != 0 || p.Sound == nil {
			t.Errorf("the caller hears %+v by %+v", p, s.made()[media.SideA])
		}
		w.wantPlaces(1)
		w.callerEnds(w.agent, first)
		w.carrier.isTakenBy(w.agent, w.agent.expect("INVITE"), "agent2", second)
		w.callerEnds(w.agent, second)
		w.wantPlaces(0)
	})
}

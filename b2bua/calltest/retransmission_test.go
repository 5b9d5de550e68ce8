package calltest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// If the ACK to a 200 does not come, the 200 is repeated for 64*T1 (RFC 3261 section 13.3.1.4), even though its
// transaction has ended. A repeated INVITE in that time does not start a second call.
func TestUnacknowledgedAnswerIsRepeated(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.dialsTillRung("+15075785607")
		begin := time.Now()
		invite := w.agent.expect("INVITE")
		w.agent.takes(invite, "a")
		var at []time.Duration
		go func() {
			time.Sleep(15 * time.Second)
			tag := d.toTag
			d.toTag = ""
			w.carrier.invite(d)
			d.toTag = tag
		}()
		for {
			m := w.carrier.expect("")
			if strings.HasPrefix(m.raw, "BYE") {
				w.carrier.reply(m, 200, "OK", "", "")
				break
			}
			if !strings.HasPrefix(m.raw, "SIP/2.0 200") {
				t.Fatalf("got\n%s", m.raw)
			}
			at = append(at, time.Since(begin).Round(100*time.Millisecond))
		}
		want := []time.Duration{0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500}
		if len(at) != len(want) {
			t.Fatalf("200 at %v", at)
		}
		for i, d := range want {
			if at[i] != d*time.Millisecond {
				t.Errorf("200 at %v; want %v", at[i], d*time.Millisecond)
			}
		}
		w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		w.wantRecord(record.DispositionAnswered, cause.NoACK, record.EndedBySystem)
	})
}

// RFC 3261 section 8.1.1.7: a branch is for one request. If a peer reuses a branch with another CSeq, the second
// request is treated as a new one, and repetitions of either are recognized.
func TestBranchUsedAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		invite := strings.Replace(d.request("INVITE"), ";tag="+d.toTag, "", 1)
		for seq := 2; seq < 4; seq++ {
			d.later++
			again := strings.Replace(d.request("INVITE"), "CSeq: 1", "CSeq: "+strconv.Itoa(seq), 1)
			w.carrier.send(again)
			for range 2 {
				if ok := w.carrier.expect("SIP/2.0 200"); ok.value("CSeq") != strconv.Itoa(seq)+" INVITE" {
					t.Errorf("another answer:\n%s", ok.raw)
				}
			}
			w.carrier.ackOf(d, seq, "")
			w.carrier.send(again)
			w.carrier.send(invite)
			w.carrier.silent(time.Second)
		}
		w.callerEnds(w.agent, d)
	})
}

// Messages are repeated because one of them was lost.
func TestRepeated(t *testing.T) {
	tell(t, testConfig, `
== a BYE gets its answer again for 64*T1, another one is of no dialog any more (RFC 3261 section 17.2.2)
up: agent
carrier: hangs up on agent
carrier: +1s ; repeats ; gets 200 ; +9s ; repeats ; gets 200 ; +20s ; repeats ; gets 200 ; +10s ; repeats ; gets 481
carrier: says BYE ; gets 481

== an INVITE that comes again when its 200 is acknowledged is no new one (RFC 6026 section 7.1)
up: agent
carrier: says INVITE (0 101) ; gets 200 ; acks ; repeats ; silent 1s ; hangs up on agent

== nor is one that comes again after the call (Timer L)
up: agent
carrier: hangs up on agent
carrier: +10s ; repeats call ; silent 500ms ; +10s ; repeats call ; silent 500ms ; +10s ; repeats call ; silent 500ms
platform: was asked 1

== a re-INVITE that comes again because our 200 was lost gets that again, also when its transaction is over
up: agent
carrier: says INVITE (0 101) ; +5900ms ; gets 200 ; gets 200 ; gets 200 ; gets 200 # between two of our own
carrier: repeats ; gets 200 ; acks ; silent 10s ; hangs up on agent

== a 200 that comes again after two re-INVITEs gets ACK: it is no fork that lost
with: {name: spare, kind: sip, => {name: spare, kind: sip, reinvite: relay,
carrier: calls 15095785607 ; gets 180
spare: gets INVITE ; takes (0 8 101)
carrier: gets 200 ; acks ; says INVITE (0 8 101)
spare: gets INVITE ; takes (0 8 101)
carrier: gets 200 ; acks ; says INVITE (0 8 101)
spare: gets INVITE ; takes (0 8 101)
carrier: gets 200 ; acks
spare: says 200 (0 8 101) to call ; gets ACK | CSeq: 1 ACK ; silent 1s
carrier: hangs up on spare`)
}

package calltest

import (
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/store/record"
)

const placedInVain = `
== busy
operator: calls
carrier: says 486 ; gets ACK
record: busy target_busy caller

== no answer in time
operator: calls 20s
carrier: says 180 ; ceases
record: no_answer ring_timeout system

== answer_within may be longer than ring_timeout of the trunk
operator: calls 100s
carrier: says 180 ; silent 95s ; ceases
record: no_answer ring_timeout system

== ended by an operator
operator: calls
carrier: says 180
operator: hangs up
carrier: ceases
record: cancelled operator_hangup operator

== an answer that crosses the CANCEL
operator: calls
carrier: says 180
operator: hangs up
carrier: gets CANCEL ; says 200 to CANCEL ; takes ; gets BYE ; says 200
record: cancelled operator_hangup operator

== an answer without a codec
operator: calls
carrier: takes (18) ; gets BYE ; says 200
record: failed bad_answer system

== the customer leaves before the agent answers
operator: calls
carrier: takes
agent: gets INVITE ; says 180
carrier: says BYE ; gets 200
agent: ceases
record: answered caller_hangup caller

== the agent ends the call
operator: calls
carrier: takes
agent: gets INVITE ; takes ; says BYE ; gets 200
carrier: gets BYE ; says 200
record: answered agent_hangup agent

== no agent answers
operator: calls
carrier: takes
agent: gets INVITE ; says 503 ; gets ACK
spare: gets INVITE ; says 486 ; gets ACK
carrier: gets BYE ; says 200
record: answered target_busy system

== moved to nowhere
operator: calls
carrier: says 300 ; gets ACK
record: failed target_error system | SIPStatus: 300

== declined
operator: calls
carrier: says 603 ; gets ACK
record: failed target_refused caller

== no such number
operator: calls
carrier: says 404 ; gets ACK
record: failed target_refused caller

== early media, then busy
operator: calls
carrier: says 183 (0 101) ; says 486 ; gets ACK
record: busy target_busy caller

== the trunk fails
operator: calls
carrier: says 503 ; gets ACK
record: failed target_error system

== the trunk is down
operator: calls
carrier: drains 40s
record: failed target_silent system

== it says 100 alone
operator: calls 2s
carrier: says 100 ; ceases
record: no_answer ring_timeout system

== the customer leaves before its answer
operator: calls
carrier: says 180 ; says BYE ; gets 200 ; takes to INVITE ; gets BYE ; says 200
record: failed caller_hangup caller

== the customer leaves, and says so
operator: calls
carrier: says 180 ; says BYE ; gets 200 ; says 487 to INVITE ; gets ACK
record: failed caller_hangup caller

== an answer that crosses the end of answer_within
operator: calls 20s
carrier: says 180 ; gets CANCEL ; says 200 to CANCEL ; takes ; gets BYE ; says 200
record: no_answer ring_timeout system

== the agent declines
operator: calls
carrier: takes
agent: gets INVITE ; says 603 ; gets ACK
carrier: gets BYE ; says 200
record: answered target_refused system

== the agent answers as the customer leaves
operator: calls
carrier: takes
agent: gets INVITE ; says 180
carrier: says BYE ; gets 200
agent: gets CANCEL ; says 200 to CANCEL ; takes ; gets BYE ; says 200
record: answered caller_hangup caller

== ended by an operator while the agent is called
operator: calls
carrier: takes
agent: gets INVITE ; says 180
operator: hangs up
carrier: gets BYE ; says 200
agent: ceases
record: answered operator_hangup operator

== a process that is killed while the customer rings: the next one tells it
operator: calls
carrier: says 180
server: restarts
carrier: ceases
record: interrupted process_restart system

== and while the agent is called: both
operator: calls
carrier: takes
agent: gets INVITE ; says 180
server: restarts
carrier: gets BYE ; says 200
agent: ceases
record: interrupted process_restart system`

// A placed call may end before its agent is connected.
func TestOriginateFails(t *testing.T) {
	tell(t, originateConfig, placedInVain)
	inWorldWith(t, originateConfig, func(w *world) { // the person called first answers and hangs up at once
		_, invite := w.originates(origination())
		w.carrier.reply(invite, 200, "OK", "customer", sdpAt("192.0.2.10", 20000))
		w.carrier.agentRequest("BYE", invite, "customer", 20)
		w.carrier.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		for _, called := range w.agent.rest() { // the agent may have got the INVITE already
			w.agent.reply(called, 180, "Ringing", "agent1", "")
			w.agent.takesCancel(called, "agent1")
		}
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
		w.leftOpen()
	})
	inWorldWith(t, originateConfig, func(w *world) { // the trunk is down, and answer_within is short
		o := origination()
		o.AnswerWithin = 2 * time.Second
		w.originates(o)
		time.Sleep(40 * time.Second)
		w.carrier.rest()
		if s := w.admission.Peers.Load().Callees["carrier"].SIP.Status(); s != (circuit.Status{State: circuit.Closed}) {
			w.t.Errorf("the trunk's circuit is told: %+v", s)
		}
		w.wantRecord(record.DispositionFailed, cause.TargetSilent, record.EndedBySystem)
		w.leftOpen()
	})
}

const placedAndReplaced = `
== it answers the next process
operator: calls 20s
carrier: says 180
server: is replaced
carrier: takes
agent: gets INVITE | x-first_name: Ann | X-Lead: +15075785607 ; takes
carrier: says BYE ; gets 200
agent: gets BYE ; says 200
record: answered caller_hangup caller | Restored: 0 | reached: carrier 200 customer, agent 200

== it is busy
operator: calls 20s
carrier: says 180
server: is replaced
carrier: says 486 ; gets ACK
record: busy target_busy caller | Restored: 0 | reached: carrier 486 customer

== it does not answer
operator: calls 20s
carrier: says 180
server: is replaced
carrier: +20s ; ceases
record: no_answer ring_timeout system | Restored: 0 | reached: carrier 0 customer

== the operator ends the call
operator: calls 20s
carrier: says 180
server: is replaced
operator: hangs up
carrier: ceases
record: cancelled operator_hangup operator | Restored: 0 | reached: carrier 0 customer

== a call that is up goes on after an upgrade
operator: calls
carrier: takes
agent: gets INVITE ; takes ; +1m
server: is replaced
carrier: says INVITE (:20004) ; gets 200 | CSeq: 1 INVITE ; acks ; says BYE ; gets 200
agent: gets BYE ; says 200
record: answered caller_hangup caller | Variables: map[first_name:Ann more:900]

== and after a kill
operator: calls
carrier: takes
agent: gets INVITE ; takes ; +1m
server: restarts
carrier: says INVITE (:20004) ; gets 200 | CSeq: 1 INVITE ; acks ; says BYE ; gets 200
agent: gets BYE ; says 200
record: answered caller_hangup caller | Variables: map[first_name:Ann more:900]

== a customer that sends no RTP while its agent rings has no ACK to blame
operator: calls
carrier: takes
agent: gets INVITE ; says 180
carrier: hears nothing for 30s ; gets BYE | Reason: ~no_media
carrier: says 200
agent: ceases
record: answered no_media system | reached: carrier 200 customer, agent 0

== an agent that hangs up soon after its own answer has failed, however long the customer has been there
with: targets: [agent, spare]} => targets: [agent, spare], rescue: {targets: [spare]}}
operator: calls
carrier: takes
agent: gets INVITE ; says 180 ; +20s ; takes ; +5s ; says BYE ; gets 200
spare: gets INVITE ; takes
carrier: says BYE ; gets 200
spare: gets BYE ; says 200
record: answered caller_hangup caller | reached: carrier 200 customer, agent 200, spare 200 rescue

== the customer changes its session while the agent is called
operator: calls
carrier: takes
agent: gets INVITE
carrier: says INVITE (:20002) ; gets 200 ; acks
agent: takes
carrier: hears :20002 ; says BYE ; gets 200
agent: gets BYE ; says 200
record: answered caller_hangup caller`

// If the phone of the person called first rings during an upgrade, it keeps ringing, and the new process gets the
// answer. A placed call continues after a kill and an upgrade, like any other call.
func TestOriginateGoesOn(t *testing.T) {
	tell(t, originateConfig, placedAndReplaced)
}

package calltest

import (
	"bytes"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// TestCancelOfAChangeOverARestart: if the process is killed after its 200 to a re-INVITE is in a checkpoint, a CANCEL
// for the re-INVITE is too late for the next process.
func TestCancelOfAChangeOverARestart(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talk(nil, nil)
		seq := c.carrier.offers("INVITE", siptest.SessionAt(c.carrier.address, 40000, "0 101"))
		w.carrier.expect("SIP/2.0 200")
		c.carrier.overtakes(seq, w.restart) // the new process repeats the 200, and sends no 487 (RFC 3261 section 9.2)
		w.carrier.expect("SIP/2.0 200")     // two 200s, to INVITE and CANCEL, come in any order; this is the second
		if p := w.session().peers[media.SideA]; p.RTP.Port() != 40000 {
			t.Errorf("the caller's media goes to %v", p.RTP)
		}
		c.carrier.acks(seq, "")
		c.hangsUp()
	})
}

// TestBrokenStates: if a call's state can't be read, or names something that no longer exists, only that call is lost,
// and its legs are ended.
func TestBrokenStates(t *testing.T) {
	for name, spoil := range map[string]func(l *record.Saved){
		"no state":  func(l *record.Saved) { l.State = []byte("nonsense") },
		"no trunk":  func(l *record.Saved) { changeState(l, func(k *snapshot.Call) { k.Trunk = "trunk gone" }) },
		"no target": func(l *record.Saved) { changeState(l, func(k *snapshot.Call) { k.Attempts.Current.Target = "gone" }) },
		"no leg":    func(l *record.Saved) { changeState(l, func(k *snapshot.Call) { k.Legs[1].State.Phase = 99 }) },
		"no address": func(l *record.Saved) {
			changeState(l, func(k *snapshot.Call) {
				k.Legs[0].State.Local.Listen.AddrPort = netip.MustParseAddrPort("203.0.113.1:5060")
			})
		},
	} {
		runIn(t, name, talkYAML("", ""), func(w *world) {
			w.talk(nil, nil)
			time.Sleep(2 * flushDelay)
			left := w.die()
			spoil(&left[0])
			w.begin(left)
			w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
			if name != "no state" && name != "no address" {
				w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
			}
			if name != "no state" && name != "no leg" {
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
			}
		})
	}
}

// changeState changes the saved state of a call.
func changeState(l *record.Saved, how func(k *snapshot.Call)) {
	k, err := snapshot.Decode(l.State)
	if err == nil {
		how(k)
		l.State, err = (&snapshot.Sheet{Call: *k}).Encode()
	}
	if err != nil {
		panic(err)
	}
}

// If the states were written by a version with another format, their calls end, and only one line is logged.
func TestStatesOfAnotherForm(t *testing.T) {
	var log bytes.Buffer
	inWorldOf(t, talkYAML("", ""), func(o *b2bua.Options) { o.Log = zerolog.New(zerolog.SyncWriter(&log)) }, func(w *world) {
		w.talk(nil, nil)
		w.talk(nil, nil)
		left := w.die()
		for i := range left {
			left[i].State[0]--
		}
		w.begin(left)
		for range left {
			w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem)
		}
	})
	if text := log.String(); strings.Count(text, `"calls":2,"message":"calls not resumed: another version wrote them"`) != 1 ||
		strings.Contains(text, "call not resumed after a crash") {
		t.Error(text)
	}
}

// TestRouteIsKnownAgain: after a restart, a call finds its route even at a new position. If the route is gone, the call
// continues without the route's options.
func TestRouteIsKnownAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		routes, want string
		masks        bool
	}{
		"others before it": {`[{to: "^1999", targets: [agent]}, {to: "^\\+1507", targets: [agent], mask_dtmf: on_demand}]`, "routes[1]", true},
		"it is gone":       {`[{to: "^1999", targets: [agent], mask_dtmf: on_demand}]`, "", false},
	} {
		runIn(t, name, talkYAML("", ""), func(w *world) {
			c := w.talk(nil, nil)
			time.Sleep(flushDelay + time.Second) // until a checkpoint has its ACK
			left := w.die()
			text, _, _ := strings.Cut(talkYAML("", ""), "routes:")
			cfg, err := config.Parse("test.yaml", []byte(text+"routes: "+tt.routes+"\n"), os.LookupEnv)
			must(w.t, err)
			w.options.Config = cfg
			w.begin(left)
			synctest.Wait()
			call := w.server.Live(w.t.Context())[0]
			if _, err := w.server.Order(w.t.Context(), call.Record.ID, bridge.OrderMask); call.Vars.Route != tt.want || (err == nil) != tt.masks {
				w.t.Errorf("route %q; masks: %v", call.Vars.Route, err)
			}
			c.hangsUp()
		})
	}
}

const livingOn = `
== one that is up: changes and BYE of either side work, and there is one record
up: agent
carrier: +4s
server: restarts
carrier: says INVITE (:40000) ; gets 200 ; acks ; hears :40000
agent: says INVITE (:40000) ; gets 200 ; acks
server: restarts
carrier: hangs up on agent | Restored: 2

== replaced twice: nobody is told or asked anything, and the record knows nothing of it
up: agent
carrier: +1s
server: is replaced
carrier: silent 10s ; says INVITE (:40000) ; gets 200 ; acks
agent: silent 1s ; says INVITE (:40000) ; gets 200 ; acks
server: is replaced
carrier: silent 10s ; says INVITE (:40000) ; gets 200 ; acks
agent: silent 1s ; says INVITE (:40000) ; gets 200 ; acks
server: is replaced
carrier: hangs up on agent | Restored: 0

== the Expires of an INVITE that was answered does not count in a later process either
carrier: calls 15075785607 | Expires: 10
carrier: gets 180
agent: gets INVITE ; takes
carrier: gets 200 ; acks ; +4s
server: is replaced
carrier: silent 20s ; hangs up on agent

== a side that has hung up meanwhile says so when it is asked
up: agent
carrier: +4s
server: restarts
carrier: gets OPTIONS ; says 481
agent: gets OPTIONS ; says 200
carrier: gets BYE ; says 481
agent: gets BYE ; says 200
record: answered missed_hangup system | Restored: 1

== also if the process that was to ask has been replaced
up: agent
carrier: +4s
server: restarts
carrier: +1s
server: is replaced
carrier: gets OPTIONS ; says 481
agent: gets OPTIONS ; says 200
carrier: gets BYE ; says 481
agent: gets BYE ; says 200
record: answered missed_hangup system

== a leg of an unanswered call that owes nothing any more hears nothing from later processes
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; says 180
server: restarts
carrier: gets 500 ; acks
agent: gets CANCEL ; says 200 to CANCEL
server: restarts
agent: gets CANCEL ; says 200 to CANCEL
carrier: silent 1s
agent: says 487 ; gets ACK
server: leaves nothing

== a proxy may answer the CANCEL itself: then BYE ends the early dialog (RFC 3261 sections 15 and 16.10)
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; says 180 rings ; +3s
server: restarts
carrier: gets 500 ; acks
agent: gets CANCEL ; says 200 proxys to CANCEL ; gets BYE | To: ~tag=rings ; took 4s ; says 200 ; says 487 rings to INVITE ; gets ACK
server: leaves nothing

== and those of all that ring, also of one that is heard of only after that, though no CANCEL is answered by 200
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; says 183 rings (0 101)
carrier: gets 183 ; +3s
server: restarts
carrier: gets 500 ; acks
agent: gets CANCEL ; says 180 too to INVITE ; says 481 to CANCEL ; gets BYE | To: ~tag=rings ; says 200 ; gets BYE | To: ~tag=too ; says 200
server: leaves nothing

== an answer whose ACK was not noted is sent again, until the ACK comes
up: agent
server: restarts
carrier: gets 200 again ; acks
server: restarts
carrier: gets 200 again ; acks ; hangs up on agent

== a re-INVITE that waits for the other side is refused for now, and the other side is offered the session as it is
with: 192.0.2.20:32681" => 192.0.2.20:32681", reinvite: relay
up: agent
carrier: +4s ; says INVITE (8 101 :40000)
agent: gets INVITE
server: restarts
carrier: gets 500 | Retry-After: * ; acks
agent: gets INVITE (0 101) ; says 491 to older ; gets ACK # to nobody any more
agent: takes
carrier: hangs up on agent

== a call can be replaced when the change is over
with: 192.0.2.20:32681" => 192.0.2.20:32681", reinvite: relay
up: agent
carrier: +1s ; says INVITE (8 101 :40000)
agent: gets INVITE
server: waits: a change of its media is under way
agent: takes (8 101)
carrier: gets 200 ; acks ; +1s
server: is replaced
carrier: hangs up on agent

== what a call that was over owed its legs is told by the next process, once, and by the one after it
up: agent
carrier: +4s ; says BYE ; gets 200
agent: gets BYE
server: restarts
agent: gets BYE later
server: restarts
agent: gets BYE later ; says 481
record: hung up by carrier
server: leaves nothing

== a refusal without ACK is repeated, with its own status, until the ACK comes (RFC 3261 section 17.2.1, Timer H)
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; says 486 ; gets ACK
carrier: gets 486
server: restarts
carrier: gets 486 again
server: restarts
carrier: gets 486 again
record: busy target_busy agent
carrier: acks ; silent 1s
server: leaves nothing

== or until nobody waits for it any more
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; says 486 ; gets ACK
carrier: gets 486
server: restarts
carrier: gets 486 again
server: restarts
carrier: gets 486 again
record: busy target_busy agent
carrier: drains 32s ; silent 1s
server: leaves nothing

== and not if the ACK has come
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; busy
carrier: silent 1s
server: leaves nothing

== a caller whose 200 waits for a PRACK is refused, and the target that answered gets BYE
with: sources: ["192.0.2.10"] => sources: ["192.0.2.10"], rel100: required
carrier: calls 15085785607 | Supported: 100rel
agent: gets INVITE ; says 183 (0 101)
carrier: gets 183
agent: takes
server: restarts
carrier: gets 500 ; acks
agent: gets BYE ; says 200
record: interrupted process_restart system | SIPStatus: 500 | AnsweredAt:

== the next process goes on above the CSeqs of all requests, however many there were
up: agent
carrier: +4sMANY
server: restarts
carrier: says BYE ; gets 200
agent: gets BYE later ; says 200
record: hung up by carrier`

const livingOnOverTCP = `
== a peer over TCP comes by a new connection
carrier: connects
up: spare
carrier: +4s
server: restarts
carrier: cut off ; connects ; hangs up on spare ; closes

== or is reached by one
carrier: listens ; connects
up: spare
carrier: +4s
server: restarts
carrier: cut off
spare: says BYE ; gets 200
carrier: accepts ; gets BYE ; says 200 ; closes
record: hung up by spare

== so is one whose call was not answered
carrier: listens ; connects ; calls 15095785607 ; gets 180
spare: gets INVITE
server: restarts
carrier: cut off ; accepts ; gets 500 ; acks
spare: ceases
record: interrupted process_restart system
carrier: closes`

// Established calls continue when their process is killed or replaced. The tests wait 4 s, until the calls' ACKs are in
// a checkpoint.
func TestCallsLiveOn(t *testing.T) {
	tell(t, talkYAML("", ""), strings.Replace(livingOn, "MANY", strings.Repeat(`
carrier: says INFO | Info-Package: x
agent: gets INFO ; says 200
carrier: gets 200`, 150), 1))

	stories := `
== a transfer that was under way has failed, and the record has its attempt; a later one may come off
up: agent
agent: refers to <tel:4711>
spare: gets INVITE ; says 180
agent: notified 180 active
server: restarts
agent: notified 500 terminated
spare: ceases
agent: refers to <tel:4711>
spare: gets INVITE ; takes
agent: notified 200 terminated ; gets BYE ; says 200
carrier: hangs up on spare | reached: agent 200, pbx 0 transfer, pbx 200 transfer | attempts: agent, pbx process_restart, pbx
`
	for _, next := range []string{"restarts", "is replaced"} {
		stories += `
== the caller's side carries out a transfer, and the agent hears of it when the server ` + next + `, too
with: transfer: local => transfer: relay
up: agent
carrier: +4s
agent: says REFER | Refer-To: <tel:+15075550177>
carrier: gets REFER ; says 202
agent: gets 202
server: ` + next + `
carrier: says NOTIFY {SIP/2.0 200 OK\n} | Content-Type: message/sipfrag | Event: refer | Subscription-State: terminated;reason=noresource
agent: notified 200 terminated
carrier: gets 200 ; hangs up on agent
`
	}
	tell(t, transferConfig, stories)

	tell(t, streamConfig, livingOnOverTCP)
}

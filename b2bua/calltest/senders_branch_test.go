package calltest

import (
	"testing"
	"testing/synctest"
	"time"
)

// Branches can be guessed, because SIPp counts them up. A request from another sender, with
// a different Via, is a separate request even if it has the same branch, whichever comes
// first.
func TestBranchOfAnother(t *testing.T) {
	for _, method := range []string{"INVITE", "OPTIONS"} {
		for _, first := range []bool{true, false} {
			name := method + " " + map[bool]string{true: "before", false: "after"}[first]
			runIn(t, name, neighboursConfig, func(w *world) {
				d, neighbour := w.carrier.newCall("+15075785607"), w.neighbour()
				copied := *d
				copied.callID = "other"
				forged := copied.request(method)
				if first {
					neighbour.send(forged)
					synctest.Wait()
				}
				w.carrier.send(d.request(method))
				if !first {
					synctest.Wait()
					neighbour.send(forged)
				}
				if method == "OPTIONS" {
					w.carrier.expect("SIP/2.0 200")
					neighbour.expect("SIP/2.0 200")
					w.carrier.silent(time.Second)
					neighbour.silent(0)
					return
				}
				d.learn(w.carrier.expect("SIP/2.0 180"))
				copied.learn(neighbour.expect("SIP/2.0 404")) // no route matches
				neighbour.ackRefused(&copied)
				w.carrier.givesUp(d)
				w.drain(time.Minute)
				w.settle()
			})
		}
	}
}

// Only the sender of a refused INVITE can acknowledge the refusal.
func TestRefusalAcknowledgedByAnother(t *testing.T) {
	inWorldWith(t, neighboursConfig, func(w *world) {
		d, neighbour := w.carrier.newCall("+15075785607"), w.neighbour()
		w.carrier.invitesTillRung(d)
		w.carrier.cancel(d)
		w.carrier.expect("SIP/2.0 200")
		w.carrier.expect("SIP/2.0 487")
		neighbour.ackRefused(d)
		w.carrier.isRefused(d, "487")
		w.drain(time.Minute)
		w.settle()
	})
}

// An INVITE in the name of a trunk may be forged. If it is refused before it becomes a
// call, it gets one answer, and each copy of it gets the same answer.
func TestRefusedOnce(t *testing.T) {
	for _, tt := range []struct{ header, status string }{{"Require: x\n", "420"}, {"Contact: <sip:b@192.0.2.10>\n", "400"}} {
		inWorldWith(t, neighboursConfig, func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.extra = tt.header
			for range 2 {
				w.carrier.invite(d)
				w.carrier.expect("SIP/2.0 " + tt.status)
				w.carrier.silent(time.Minute)
			}
			w.settle()
		})
	}
}

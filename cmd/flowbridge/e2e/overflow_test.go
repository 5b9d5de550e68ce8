//go:build e2e

package e2e

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// tooMuch are headers for which a datagram has no room.
func tooMuch() string {
	return fmt.Sprintf(`{X-EI: "S.{{.Prepare.CallID}};", X-One: "%s", X-Two: "%s"}`, strings.Repeat("1", 100), strings.Repeat("2", 400))
}

// TestOverflow has an INVITE that is over the budget of a datagram: with an
// agent that listens on the same port over TCP too, it goes there, whole.
// Otherwise headers are left out, and the record says which.
func TestOverflow(t *testing.T) {
	t.Parallel()
	for _, listens := range []bool{true, false} {
		t.Run(fmt.Sprint(listens), func(t *testing.T) {
			s := newStage(t)
			api := s.prepareCalls()
			b := s.serve(setup{headers: tooMuch()}) // which has no TCP listener of its own
			agent := s.agentOver("udp", "caller_hangup/uas.xml", 1)
			transport, dropped := "udp", []string{"X-Two"}
			if listens {
				agent = s.agentOver("tcp", "caller_hangup/uas.xml", 1)
				transport, dropped = "tcp", nil
			}
			carrier := s.carrierOver(sippUDP, "load/uac.xml", 1)
			carrier.finish()
			agent.finish()
			invite := agent.received("INVITE ", 1)[0]
			if got := invite.header("X-EI"); got != "S."+api.requests()[0].ID+";" {
				t.Errorf("X-EI: %s", got)
			}
			if n := len(invite.header("X-Two")); (n == 400) != listens {
				t.Errorf("X-Two has %d bytes; over TCP: %v", n, listens)
			}
			a := b.finish(hungUpByCaller)[0].Attempts[0]
			if a.Transport != transport || !reflect.DeepEqual(a.DroppedHeaders, dropped) {
				t.Errorf("the record says %s and %v; want %s and %v", a.Transport, a.DroppedHeaders, transport, dropped)
			}
		})
	}
}

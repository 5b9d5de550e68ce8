package transport

import (
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
)

// noConn is a connection of a transaction that sends nothing.
type noConn struct{ sip.Connection }

func (noConn) TryClose() (int, error) { return 0, nil }

// The first INVITE's transaction may end after the second one's has begun,
// which the wire still has to end some day.
func TestWireKeepsSecondInvite(t *testing.T) {
	tx := func(key string) *sip.ClientTx {
		return sip.NewClientTx(key, sip.NewRequest(sip.INVITE, message.ParseURI("sip:a@192.0.2.1")), noConn{}, sip.DefaultLogger())
	}
	first, second := tx("1"), tx("2")
	w := new(Stack).NewWire(leg.Local{}, nil, func(leg.Input) bool { return true })
	w.invite = second
	w.finished(first)
	if w.invite != second {
		t.Fatal("the wire forgot the second INVITE")
	}
	w.Close()
	select {
	case <-second.Done():
	default:
		t.Error("the second INVITE's transaction goes on")
	}
}

// What comes late for a leg that is over counts on no connection any more.
func TestClosedWireHasNoFlow(t *testing.T) {
	c := &Stream{}
	w := new(Stack).NewWire(leg.Local{}, c, func(leg.Input) bool { return false })
	w.Close()
	w.setFlow(c)
	if n := c.users.Load(); n != 0 || w.flow != nil {
		t.Errorf("%d users, flow %v", n, w.flow)
	}
}

package b2bua

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// The library knows every address that a listener heard from for as long as it
// listens. From time to time it begins anew; calls that are up don't notice.
func TestSourcesAreForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		const most = 50
		w.server.stack.maxSources = most
		d, invite := w.established()
		for i := range 1000 {
			conn, err := w.sw.Listen(netip.AddrPortFrom(carrierAddr.Addr(), uint16(20000+i)))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = fmt.Fprintf(writer{conn.WriteToUDPAddrPort}, "ACK sip:x@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK%d\r\n\r\n", i)
			if err != nil {
				t.Fatal(err)
			}
			if i%100 == 99 {
				time.Sleep(20 * time.Millisecond) // a quiet moment
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := w.server.stack.tp.Pool("udp").Size(); n > most+renewalEvery {
			t.Errorf("the library knows %d addresses", n)
		}
		w.agent.agentRequest("OPTIONS", invite, "agent1", 7)
		w.agent.expect("SIP/2.0 200")
		w.callerHangsUp(d)
		w.record()
		w.goodCall()
	})
}

// writer is a socket's way to us as an io.Writer.
type writer struct {
	to func([]byte, netip.AddrPort) (int, error)
}

func (w writer) Write(b []byte) (int, error) { return w.to(b, ourAddr) }

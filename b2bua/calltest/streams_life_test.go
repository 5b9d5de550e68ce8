package calltest

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// Empty lines behind a message are no message that has begun: the connection
// does not end for them.
func TestEmptyLinesBehindMessage(t *testing.T) {
	for _, tail := range []string{"\r\n", "\r\n\r\n\r\n", "\n", "\r"} {
		runIn(t, fmt.Sprintf("%q", tail), streamConfig, func(w *world) {
			p := w.connect(carrierAddr.Addr())
			d := p.dialsTillRung("+15095785607")
			w.agent2.takes(w.agent2.expect("INVITE"), "agent1")
			p.expect("SIP/2.0 200")
			p.sendBytes([]byte(strings.ReplaceAll(d.request("ACK"), "\n", "\r\n") + tail))
			time.Sleep(idleConnection + time.Minute)
			synctest.Wait()
			if w.connections() != 1 {
				w.t.Fatal("the connection is closed")
			}
			p.hangsUpOn(w.agent2, d)
			w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
			p.conn.Close()
		})
	}
}

// A message that comes a byte a second is not waited for.
func TestTrickle(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		p := w.connect(carrierAddr.Addr())
		synctest.Wait()
		begin := time.Now()
		for i := 0; w.connections() > 0; i++ {
			_, _ = p.conn.(net.Conn).Write([]byte{siptest.OptionsOverTCP[i]})
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if took := time.Since(begin); took != firstMessage {
			t.Errorf("the connection was open for %v; want %v", took, firstMessage)
		}
		p.conn.Close()
	})
}

// A stranger can't hold its connection by keep-alives.
func TestStrangersKeepAlives(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		stranger := w.connect(netip.MustParseAddr("203.0.113.66"))
		synctest.Wait()
		begin := time.Now()
		for w.connections() > 0 && time.Since(begin) < 2*firstMessage {
			_, _ = stranger.conn.(net.Conn).Write([]byte("\r\n\r\n"))
			time.Sleep(firstMessage / 20)
			synctest.Wait()
		}
		if took := time.Since(begin); took != firstMessage {
			t.Errorf("the connection was open for %v; want %v", took, firstMessage)
		}
		stranger.conn.Close()
	})
}

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

// Empty lines after a message do not count as the beginning of a message, so the connection is not closed for an
// unfinished message.
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

// A connection with a slow message is closed: whether the message comes at a byte a second, or a stranger only sends
// keep-alives instead of its first message.
func TestTrickle(t *testing.T) {
	for name, tt := range map[string]struct {
		from  string
		part  func(i int) string
		every time.Duration
	}{
		"a message":                {"192.0.2.10", func(i int) string { return siptest.OptionsOverTCP[i : i+1] }, time.Second},
		"a stranger's keep-alives": {"203.0.113.66", func(int) string { return "\r\n\r\n" }, firstMessage / 20},
	} {
		runIn(t, name, streamConfig, func(w *world) {
			p := w.connect(netip.MustParseAddr(tt.from))
			synctest.Wait()
			begin := time.Now()
			for i := 0; w.connections() > 0 && time.Since(begin) < 2*firstMessage; i++ {
				_, _ = p.conn.(net.Conn).Write([]byte(tt.part(i)))
				time.Sleep(tt.every)
				synctest.Wait()
			}
			if took := time.Since(begin); took != firstMessage {
				w.t.Errorf("the connection was open for %v; want %v", took, firstMessage)
			}
			p.conn.Close()
		})
	}
}

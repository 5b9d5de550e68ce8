package b2bua

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/internal/siptest"
	"flowbridge/store"
)

// Empty lines behind a message are no message that has begun: the connection
// does not end for them.
func TestEmptyLinesBehindMessage(t *testing.T) {
	for _, tail := range []string{"\r\n", "\r\n\r\n\r\n", "\n", "\r"} {
		t.Run(fmt.Sprintf("%q", tail), func(t *testing.T) {
			inWorldWith(t, streamConfig, func(w *world) {
				p := w.connect(carrierAddr.Addr())
				d := p.newCall("+15095785607")
				p.invite(d)
				d.learn(p.expect("SIP/2.0 180"))
				w.agent2.answer(w.agent2.expect("INVITE"), "agent1")
				w.agent2.expect("ACK")
				p.expect("SIP/2.0 200")
				p.sendBytes([]byte(strings.ReplaceAll(d.request("ACK"), "\n", "\r\n") + tail))
				time.Sleep(streamIdle + time.Minute)
				synctest.Wait()
				if w.connections() != 1 {
					w.t.Fatal("the connection is closed")
				}
				p.bye(d)
				p.expect("SIP/2.0 200")
				w.agent2.reply(w.agent2.expect("BYE"), 200, "OK", "", "")
				w.wantRecord(store.DispositionAnswered, cause.CallerHangup, store.EndedByCaller)
				p.conn.Close()
			})
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
		if took := time.Since(begin); took != streamFirst {
			t.Errorf("the connection was open for %v; want %v", took, streamFirst)
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
		for w.connections() > 0 && time.Since(begin) < 2*streamFirst {
			_, _ = stranger.conn.(net.Conn).Write([]byte("\r\n\r\n"))
			time.Sleep(streamFirst / 20)
			synctest.Wait()
		}
		if took := time.Since(begin); took != streamFirst {
			t.Errorf("the connection was open for %v; want %v", took, streamFirst)
		}
		stranger.conn.Close()
	})
}

// A stranger whose address becomes a trunk's while it connects is counted out
// as it was counted in.
func TestStrangerBecomesTrunk(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		s := w.server.stack.streams
		l := w.streamAgent(netip.MustParseAddrPort("198.51.100.1:5070"))
		defer l.l.Close()
		peer, err := w.sw.DialStream(context.Background(), netip.MustParseAddr("203.0.113.66"), netip.MustParseAddrPort("198.51.100.1:5070"))
		if err != nil {
			w.t.Fatal(err)
		}
		conn, err := l.l.Accept()
		if err != nil {
			w.t.Fatal(err)
		}
		remote := message.ParseSource(conn.RemoteAddr().String())
		stranger, ok := s.enter(config.TransportTCP, remote)
		if !ok || !stranger || s.strangers != 1 {
			w.t.Errorf("%v is let in: %v, as a stranger: %v", remote, ok, stranger)
		}
		yaml := strings.Replace(streamConfig, `"192.0.2.10"`, `"192.0.2.10", "203.0.113.66"`, 1)
		cfg, err := config.Parse("test.yaml", []byte(yaml), func(string) (string, bool) { return "", false })
		if err != nil {
			w.t.Fatal(err)
		}
		w.server.Reload(cfg, nil)
		s.greet(conn, config.TransportTCP, remote, stranger)
		peer.Close()
		synctest.Wait()
		if s.strangers != 0 || s.accepted != 0 {
			w.t.Errorf("%d strangers of %d connections are left", s.strangers, s.accepted)
		}
	})
}

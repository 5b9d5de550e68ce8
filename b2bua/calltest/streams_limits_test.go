package calltest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/internal/memnet"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// Connections are limited per source and in total. Connections that never finish a message
// are closed, while a call continues.
func TestHalfMessages(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		d := w.carrier.dialsTillRung("+15095785607")
		invite := w.agent2.progresses(180, "Ringing", "agent1", "")
		var all []*peer
		for i := range 200 {
			p := w.connect(carrierAddr.Addr())
			p.conn.(*memnet.Stream).SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = fmt.Fprintf(p.conn.(net.Conn), "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK%d\r\n", i)
			all = append(all, p)
		}
		synctest.Wait()
		if n := w.connections(); n != 20 {
			t.Errorf("%d connections of one source; want 20", n)
		}
		time.Sleep(firstMessage - time.Second)
		if n := w.connections(); n != 20 {
			t.Errorf("%d connections left before their time", n)
		}
		for _, p := range all {
			p.hungUp(2 * time.Second)
		}
		synctest.Wait()
		if n := w.connections(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		if n := w.server.Rejected().Connections.Load(); n != 180 {
			t.Errorf("%d counted as refused", n)
		}
		for range 20 {
			w.connect(carrierAddr.Addr())
		}
		synctest.Wait()
		if n := w.connections(); n != 20 {
			t.Errorf("%d connections of the source are let in again; want 20", n)
		}
		for _, p := range w.connected {
			p.conn.Close()
		}
		w.shortCall(w.agent2, invite, "agent1", d)
	})
}

// A message may arrive byte by byte, and two may arrive in one segment. A keep-alive is
// answered. An idle connection is closed unless a call uses it.
func TestConnectionLife(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		p := w.connect(carrierAddr.Addr())
		text := strings.ReplaceAll(siptest.OptionsOverTCP, "\n", "\r\n")
		for i := range text {
			p.sendBytes([]byte{text[i]})
			time.Sleep(time.Millisecond)
		}
		p.expect("SIP/2.0 200")
		p.sendBytes([]byte("\r\n\r\n" + strings.ReplaceAll(text+text, "z9hG4bKoptions", "z9hG4bKother")))
		p.expect("SIP/2.0 200") // the second message is a retransmission, which may get the answer again
		p.drainFor(time.Second)
		time.Sleep(idleConnection - 10*time.Second)
		synctest.Wait()
		if w.connections() != 1 {
			t.Error("the connection was ended too early")
		}
		p.hungUp(20 * time.Second)

		p = w.connect(carrierAddr.Addr())
		d := p.dialsTillRung("+15095785607")
		p.isTakenBy(w.agent2, w.agent2.expect("INVITE"), "agent1", d)
		time.Sleep(3*idleConnection - time.Minute)
		p.hangsUpOn(w.agent2, d)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
		p.hungUp(2 * idleConnection)
	})
}

// If the end of a message can't be determined, the sender gets an answer with the reason,
// and the connection is closed.
func TestUnframedMessage(t *testing.T) {
	for length, want := range map[string]string{
		"": "SIP/2.0 400 Content-Length Is Missing", "Content-Length: -5\n": "SIP/2.0 400 Content-Length Is Malformed",
		"Content-Length: 70000\n": "SIP/2.0 513 Message Too Large",
	} {
		inWorldWith(t, streamConfig, func(w *world) {
			p := w.connect(carrierAddr.Addr())
			p.send(strings.Replace(siptest.OptionsOverTCP, "Content-Length: 0\n", length, 1))
			if got := p.expect("SIP/2.0 "); !strings.HasPrefix(got.raw, want+"\r\n") || got.value("Call-ID") != "options" {
				t.Errorf("got %s; want %s", got.raw, want)
			}
			p.hungUp(time.Second)
		})
	}
}

// A stranger's connection is closed as soon as the stranger sends anything, or after a while if
// it sends nothing. Only a few connections of strangers may be open.
func TestStrangersConnections(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		stranger := netip.MustParseAddr("203.0.113.66")
		talker := w.connect(stranger)
		talker.send(siptest.OptionsOverTCP)
		talker.hungUp(time.Second)
		var quiet []*peer
		for range 30 {
			quiet = append(quiet, w.connect(stranger))
		}
		synctest.Wait()
		if n := w.connections(); n != 2 {
			t.Errorf("%d connections of one stranger; want 2", n)
		}
		for range 30 {
			stranger = stranger.Next()
			quiet = append(quiet, w.connect(stranger))
		}
		synctest.Wait()
		if n := w.connections(); n != 20 {
			t.Errorf("%d connections of strangers; want 20", n)
		}
		for _, p := range quiet {
			p.hungUp(firstMessage + time.Second)
		}
	})
}

// A peer that does not read from its connection delays others only briefly.
func TestPeerThatDoesNotRead(t *testing.T) {
	inWorldWith(t, streamConfig, func(w *world) {
		conn, err := w.sw.DialStream(context.Background(), carrierAddr.Addr(), ourAddr)
		must(t, err)
		defer conn.Close()
		begin := time.Now()
		for i := 0; err == nil && i < 5000; i++ {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Minute))
			_, err = io.WriteString(conn, strings.ReplaceAll(strings.ReplaceAll(siptest.OptionsOverTCP, "\n", "\r\n"), "z9hG4bKoptions", fmt.Sprint("z9hG4bK", i)))
		}
		const inTime = 5 * time.Second // time limit for sending a message to a peer
		if took := time.Since(begin); err == nil || took > 2*inTime {
			t.Errorf("after %v: %v; want the connection closed within %v", took, err, inTime)
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("the connection is not closed: %v", err)
		}
	})
}

// Strangers that keep connections open without authenticating can't keep others out. A peer
// that turns out to be a trunk keeps its connection, and the other connections are closed
// after a while.
func TestStrangersPlaces(t *testing.T) {
	yaml := strings.NewReplacer("trunks:\n", "trunks:\n  - {name: roaming, auth: {username: acme, password_env: P}}\n").Replace(streamConfig)
	inWorldWith(t, yaml, func(w *world) {
		var held []*peer
		for i := range 10 {
			for range 10 {
				p := w.connect(netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + i)}))
				d := p.newCall("+15085785607")
				d.callID = fmt.Sprintf("unproven-%d", len(held))
				_, _ = io.WriteString(p.conn.(net.Conn), strings.ReplaceAll(d.request("INVITE"), "\n", "\r\n")) // may be closed
				held = append(held, p)
			}
		}
		synctest.Wait()
		if n := w.connections(); n != 20 {
			t.Errorf("%d connections of strangers; want 20", n)
		}
		p := w.connect(netip.MustParseAddr("203.0.113.99"))
		d := p.newCall("+15095785607")
		d.callID = "proven"
		d.extra = authorize(d, p.challenged(d), "MD5", "acme", "secret", 1)
		p.invitesTillRung(d)
		w.agent2.takes(w.agent2.expect("INVITE"), "a")
		p.expect("SIP/2.0 200")
		d.extra = ""
		p.ack(d)
		time.Sleep(firstMessage + time.Second)
		synctest.Wait()
		if n := w.connections(); n != 1 {
			t.Errorf("%d connections; want that of the call", n)
		}
		time.Sleep(idleConnection)
		p.hangsUpOn(w.agent2, d)
		w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
	})
}

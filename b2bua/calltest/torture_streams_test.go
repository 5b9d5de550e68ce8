package calltest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/sim/siptest"
)

// tortureStreams has the expected results of RFC 4475's messages over a connection, if they
// differ from the results over UDP: on a connection, the network does not mark the end of a
// message.
var tortureStreams = []torture{
	// Over UDP, the bytes after the message are ignored. Here they are another message: first
	// an INVITE without a Contact, and after its Content-Length garbage.
	{name: "dblreq", section: "3.1.1.8", want: []int{405, 501}, second: "SIP/2.0 400 Contact", ends: true},
	// "There's not much the receiving party can do but wait for more data", and then close the
	// connection if none comes.
	{name: "clerr", section: "3.1.2.2", ends: true},
	{name: "ncl", section: "3.1.2.3", want: []int{400}, text: "Content-Length Is Malformed", ends: true},
	{name: "mcl01", section: "3.3.9", want: []int{400}, text: "Content-Length Comes Twice", ends: true},
	// RFC 3261 section 18.3: a stream's messages must have a Content-Length.
	{name: "inv2543", section: "3.4.1", want: []int{400}, text: "Content-Length Is Missing", ends: true},
}

// TestTortureOverTCP sends the messages of RFC 4475 over a connection. The connection stays
// open if the server can tell where the next message begins. In any case the server accepts
// a good call afterwards.
func TestTortureOverTCP(t *testing.T) {
	messages := siptest.RFC4475(t)
	messages["baddn"] = append(messages["baddn"], "\r\n"...) // the file lacks an empty line that the RFC has
	for _, tt := range tortures {
		if i := slices.IndexFunc(tortureStreams, func(other torture) bool { return other.name == tt.name }); i >= 0 {
			tt = tortureStreams[i]
		}
		runIn(t, tt.name, tortureConfig, func(w *world) {
			w.callOverTCP()
			w.torture(tt, messages[tt.name])
		})
	}
}

// callOverTCP makes the carrier use a connection instead of its UDP socket.
func (w *world) callOverTCP() {
	w.t.Helper()
	w.others = append(w.others, w.carrier)
	w.carrier = w.connect(carrierAddr.Addr())
}

// wantEnd checks whether the carrier's connection is closed. If it is, the carrier opens
// another one.
func (w *world) wantEnd(want bool) {
	w.t.Helper()
	synctest.Wait()
	if open := w.connections() == 1; open == want {
		w.t.Errorf("the connection is open: %v", open)
	}
	if want {
		w.carrier.hungUp(time.Second)
		w.carrier.conn.Close()
		w.carrier = w.connect(carrierAddr.Addr())
	}
}

// TestGarbageStreams sends data that is not SIP to the TCP port. If the data contains a
// complete message, the server answers it. Otherwise the server closes the connection, at
// once or when no more data comes. Established calls continue.
func TestGarbageStreams(t *testing.T) {
	options := strings.ReplaceAll(siptest.OptionsOverTCP, "\n", "\r\n")
	for _, tt := range []struct {
		name, sent string
		want       []string // start lines of the answers, sorted
		stays      bool     // whether the connection stays open
	}{
		{name: "garbage between messages", sent: options + "garbage\r\n\r\n" + options, want: []string{"SIP/2.0 200 OK"}},
		{name: "garbage that joins the next message", sent: options + "garbage\r\n" + options, want: []string{"SIP/2.0 200 OK", "SIP/2.0 400 Start Line Has No Version"}, stays: true},
		{name: "NULs", sent: strings.Repeat("\x00", 1000)},
		{name: "NULs before a message", sent: strings.Repeat("\x00", 1000) + options, want: []string{"SIP/2.0 400 Method Is No Token"}, stays: true},
		{name: "empty lines before a message", sent: strings.Repeat("\r\n", 1001) + options, want: []string{"SIP/2.0 200 OK"}, stays: true},
		{name: "a TLS ClientHello", sent: "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + strings.Repeat("\x5a", 189)},
		{name: "an HTTP request", sent: "GET / HTTP/1.1\r\nHost: 198.51.100.1:5060\r\nAccept: */*\r\n\r\n"},
		{name: "an HTTP request with a body", sent: "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"},
		{name: "an HTTP proxy's CONNECT, then SIP", sent: "CONNECT 198.51.100.1:5060 HTTP/1.1\r\nHost: h\r\n\r\n" + options},
		{name: "the PROXY protocol, then SIP", sent: "PROXY TCP4 192.0.2.10 198.51.100.1 56324 5060\r\n" + options, want: []string{"SIP/2.0 400 Start Line Has No Version"}, stays: true},
		{name: "the PROXY protocol in binary, then SIP", sent: "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x0a\xc6\x33\x64\x01\xdc\x04\x13\xc4" + options, want: []string{"SIP/2.0 400 Start Line Has No Version"}, stays: true},
		{name: "a line of 64 KB", sent: "OPTIONS sip:" + strings.Repeat("x", 64<<10)},
		{
			name: "a header of 64 KB", sent: strings.Replace(options, "CSeq", "X-Long: "+strings.Repeat("x", 64<<10)+"\r\nCSeq", 1),
			want: []string{"SIP/2.0 513 Message Too Large"},
		},
		{
			name: "a body of 64 KB", sent: strings.Replace(options, "Length: 0", "Length: 65536", 1) + strings.Repeat("x", 64<<10),
			want: []string{"SIP/2.0 513 Message Too Large"},
		},
		{name: "line feeds only", sent: strings.ReplaceAll(options, "\r\n", "\n")},
		{name: "half a message", sent: options[:len(options)/2]},
		{name: "a WebSocket frame", sent: "\x81\xfe\x01\x2c\x00\x00\x00\x00" + options, want: []string{"SIP/2.0 400 Method Is No Token"}, stays: true},
	} {
		runIn(t, tt.name, tortureConfig, func(w *world) {
			w.callOverTCP()
			ringing := w.carrier.dialsTillRung("+15075785607")
			invite := w.agent.progresses(180, "Ringing", "agent1", "")
			caller := w.carrier

			w.carrier = w.connect(carrierAddr.Addr())
			w.carrier.sendTorn([]byte(tt.sent))
			time.Sleep(2 * firstMessage)
			synctest.Wait()
			var got []string
			for _, m := range w.carrier.rest() {
				got = append(got, strings.SplitN(m.raw, "\r\n", 2)[0])
			}
			slices.Sort(got) // answers may overtake each other
			if !slices.Equal(got, tt.want) {
				w.t.Errorf("got %q; want %q", got, tt.want)
			}
			if n := w.connections(); (n == 2) != tt.stays {
				w.t.Errorf("%d connections; the second stays: %v", n, tt.stays)
			}
			w.carrier.conn.Close()

			w.carrier = caller
			w.carrier.isTakenBy(w.agent, invite, "agent1", ringing)
			w.callerHangsUp(ringing)
			w.wantRecord("answered", cause.CallerHangup, "caller")
		})
	}
}

// sendTorn sends data in pieces, until the other side closes the connection.
func (p *peer) sendTorn(b []byte) {
	for len(b) > 0 {
		n := min(len(b), 1000)
		if _, err := p.conn.(interface{ Write([]byte) (int, error) }).Write(b[:n]); err != nil {
			return
		}
		b = b[n:]
		synctest.Wait()
	}
}

//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"github.com/pion/rtp"
)

// mediaBot is a bot that speaks Twilio Media Streams. It repeats what it hears.
type mediaBot struct {
	*httptest.Server
	status  int // that refuses each WebSocket; 0: none
	open    atomic.Int32
	mu      sync.Mutex
	started []botStart
	stopped int
	quiet   int    // messages with silence since the caller's last word
	keys    string // that the caller has pressed
	conns   []*websocket.Conn
}

// botStart is the message start.
type botStart struct {
	StreamSID  string            `json:"streamSid"`
	CallSID    string            `json:"callSid"`
	Parameters map[string]string `json:"customParameters"`
}

func newMediaBot(t *testing.T) *mediaBot {
	b := &mediaBot{}
	b.Server = httptest.NewServer(b.handler())
	t.Cleanup(b.CloseClientConnections)
	return b
}

func (b *mediaBot) handler() http.Handler { return http.HandlerFunc(b.serve) }

// url is the bot's, as the configuration has it.
func (b *mediaBot) url() string { return "ws" + strings.TrimPrefix(b.URL, "http") }

func (b *mediaBot) serve(w http.ResponseWriter, r *http.Request) {
	if b.status != 0 {
		http.Error(w, "no", b.status)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err == nil {
		b.repeat(r.Context(), c)
	}
}

// repeat sends back what the caller says, until the socket ends.
func (b *mediaBot) repeat(ctx context.Context, c *websocket.Conn) {
	b.open.Add(1)
	defer b.open.Add(-1)
	b.mu.Lock()
	b.conns = append(b.conns, c)
	b.mu.Unlock()
	defer c.CloseNow()
	for {
		_, text, err := c.Read(ctx)
		if err != nil {
			return
		}
		var m struct {
			Event string
			Start botStart
			Media struct{ Payload []byte }
			DTMF  struct{ Digit string }
		}
		if json.Unmarshal(text, &m) != nil {
			return
		}
		b.mu.Lock()
		switch m.Event {
		case "start":
			b.started = append(b.started, m.Start)
		case "stop":
			b.stopped++
		case "dtmf":
			b.keys += m.DTMF.Digit
		case "media":
			b.quiet++
			if slices.Contains(m.Media.Payload, loud) {
				b.quiet = 0
			}
		}
		b.mu.Unlock()
		if m.Event == "media" {
			echo := fmt.Sprintf(`{"event":"media","media":{"payload":%q}}`, base64.StdEncoding.EncodeToString(m.Media.Payload))
			if c.Write(ctx, websocket.MessageText, []byte(echo)) != nil {
				return
			}
		}
	}
}

// has waits until something is true of the bot.
func (b *mediaBot) has(t *testing.T, what string, is func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return is()
	})
}

// cut breaks all sockets.
func (b *mediaBot) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		c.CloseNow()
	}
}

// starts returns the starts so far.
func (b *mediaBot) starts() []botStart {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.started)
}

// callers place calls with audio at the same time, and notice the pauses in what they hear.
type callers struct {
	*stage
	cache *sipgo.DialogClientCache
	ctx   context.Context
	end   context.CancelFunc
	wg    sync.WaitGroup

	mu    sync.Mutex
	lost  int
	calls []*botCaller
}

// botCaller is one of them.
type botCaller struct {
	of   *callers
	conn *net.UDPConn
	d    *sipgo.DialogClientSession

	mu    sync.Mutex
	mute  bool          // the caller sends nothing
	press []byte        // events of keys (RFC 4733) that the caller sends next
	last  time.Time     // when the last packet with the echo came
	gap   time.Duration // the longest pause since reset
	heard int           // packets with the echo since reset
}

func (s *stage) newCallers(n int) *callers {
	s.Helper()
	at := s.freePort(s.carrier)
	ua, err := sipgo.NewUA(sipgo.WithUserAgent("callers"))
	must(s, err)
	server, err := sipgo.NewServer(ua)
	must(s, err)
	client, err := sipgo.NewClient(ua, sipgo.WithClientConnectionAddr(at.String()), sipgo.WithClientNAT())
	must(s, err)
	c := &callers{stage: s}
	c.ctx, c.end = context.WithCancel(context.Background())
	c.cache = sipgo.NewDialogClientCache(client, sip.ContactHeader{
		Address: sip.Uri{Scheme: "sip", User: "c", Host: at.Addr().String(), Port: int(at.Port())},
	})
	ok := func(req *sip.Request, tx sip.ServerTransaction) {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 200, "OK", nil))
	}
	server.OnBye(func(req *sip.Request, tx sip.ServerTransaction) {
		c.mu.Lock()
		c.lost++
		c.mu.Unlock()
		ok(req, tx)
	})
	server.OnOptions(ok)
	server.OnUpdate(ok)
	conn, err := net.ListenPacket("udp4", at.String())
	must(s, err)
	go server.ServeUDP(conn)
	s.Cleanup(func() { c.end(); c.wg.Wait(); conn.Close(); ua.Close() })
	eventually(s.T, "the callers can send", func() bool { return ua.TransportLayer().Pool("udp").Size() > 0 })
	for range n {
		c.calls = append(c.calls, c.call())
	}
	return c
}

func (c *callers) call() *botCaller {
	c.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.carrier, 0)))
	must(c, err)
	k := &botCaller{of: c, conn: conn}
	var uri sip.Uri
	must(c, sip.ParseUri(c.to(), &uri))
	body := fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]v\r\ns=-\r\nc=IN IP4 %[1]v\r\nt=0 0\r\n"+
		"m=audio %[2]d RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n",
		c.carrier, local(conn).Port())
	ctx, cancel := context.WithTimeout(c.ctx, time.Minute)
	defer cancel()
	k.d, err = c.cache.Invite(ctx, uri, []byte(body), sip.NewHeader("Content-Type", "application/sdp"))
	must(c, err)
	must(c, k.d.WaitAnswer(ctx, sipgo.AnswerOptions{}))
	must(c, k.d.Ack(ctx))
	answer := string(k.d.InviteResponse.Body())
	_, after, _ := strings.Cut(answer, "m=audio ")
	port, err := strconv.Atoi(strings.Fields(after)[0])
	must(c, err)
	to := netip.AddrPortFrom(c.b2bua, uint16(port))
	c.wg.Go(func() { k.talk(to) })
	c.wg.Go(k.listen)
	context.AfterFunc(c.ctx, func() { conn.Close() })
	return k
}

// loud is the byte that callers say, which is not silence.
const loud = 0x2a

func (k *botCaller) talk(to netip.AddrPort) {
	h := rtp.Header{Version: 2, SSRC: 77}
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	for k.of.ctx.Err() == nil {
		k.say(&h, to)
		select {
		case <-tick.C:
		case <-k.of.ctx.Done():
		}
	}
}

// say sends the next packet: a word, or the beginning and end of a key.
func (k *botCaller) say(h *rtp.Header, to netip.AddrPort) {
	k.mu.Lock()
	mute, press := k.mute, k.press
	k.press = nil
	k.mu.Unlock()
	send := func(kind uint8, payload []byte) {
		h.PayloadType = kind
		packet, _ := (&rtp.Packet{Header: *h, Payload: payload}).Marshal()
		_, _ = k.conn.WriteToUDPAddrPort(packet, to)
		h.SequenceNumber++
	}
	for _, key := range press {
		for i := range 6 {
			end := byte(i/3) << 7 // three packets of the key, and three of its end
			send(101, []byte{key, end | 10, byte((i + 1) * frame >> 8), byte((i + 1) * frame)})
		}
		h.Timestamp += 6 * frame
	}
	if !mute {
		send(0, slices.Repeat([]byte{loud}, frame))
	}
	h.Timestamp += frame
}

func (k *botCaller) listen() {
	buf := make([]byte, 2048)
	var p rtp.Packet
	for {
		n, _, err := k.conn.ReadFromUDPAddrPort(buf)
		if k.of.ctx.Err() != nil {
			return
		}
		if err != nil || p.Unmarshal(buf[:n]) != nil || !slices.Contains(p.Payload, loud) {
			continue
		}
		now := time.Now()
		k.mu.Lock()
		if !k.last.IsZero() {
			k.gap = max(k.gap, now.Sub(k.last))
		}
		k.last = now
		k.heard++
		k.mu.Unlock()
	}
}

// hear waits until all callers hear their words again, and returns the longest pause since the last time.
func (c *callers) hear() (gap time.Duration) {
	c.Helper()
	for _, k := range c.calls {
		k.mu.Lock()
		k.heard = 0
		k.mu.Unlock()
	}
	eventually(c.T, "all callers hear their words", func() bool {
		return !slices.ContainsFunc(c.calls, func(k *botCaller) bool {
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.heard < 25
		})
	})
	for _, k := range c.calls {
		k.mu.Lock()
		gap = max(gap, k.gap)
		k.gap = 0
		k.mu.Unlock()
	}
	return gap
}

// hangUp ends all calls.
func (c *callers) hangUp() {
	for _, k := range c.calls {
		must(c, k.d.Bye(c.ctx))
	}
	c.end()
}

// botConfig is a configuration whose only target is a bot.
func (s *stage) botConfig(listen, url, keys string) string {
	return fmt.Sprintf(`
sip: {listen: [%q], max_delay: 1m}
media: {listen: [%q], timeout: 10m}
store: {path: "flowbridge.db"}
admin: {listen: "127.0.0.1:0"}
trunks: [{name: carrier, sources: ["%v/32"]}]
targets:
- {name: bot, kind: websocket, url: %q, parameters: {called: "{{.To.Number}}"}%s}
routes: [{targets: [bot]}]
`, listen, s.b2bua, s.carrier, url, keys)
}

// TestBotsLiveOn: calls with bots go on after SIGKILL and after an upgrade. Each bot gets a new socket, which says that
// the call is resumed, and each caller hears its bot again.
func TestBotsLiveOn(t *testing.T) {
	const calls = 50
	s := newStage(t)
	bot := newMediaBot(t)
	at := s.freePort(s.b2bua)
	text := s.botConfig("udp://"+at.String(), bot.url(), "")
	s.server = startServer(t, t.TempDir(), text)
	c := s.newCallers(calls)
	c.hear()
	for i, change := range []func(){
		func() {
			s.server.kill()
			again := startServer(t, s.server.dir, text)
			s.server = again
		},
		func() { s.server.upgrade() },
	} {
		change()
		gap := c.hear()
		t.Logf("change %d: %d calls, longest gap %v", i, calls, gap.Round(time.Millisecond))
		eventually(t, "each call has one socket", func() bool { return bot.open.Load() == calls })
		resumed := 0
		for _, b := range bot.starts() {
			if b.Parameters["resumed"] == "true" && b.Parameters["called"] == called {
				resumed++
			}
		}
		c.mu.Lock()
		lost := c.lost
		c.mu.Unlock()
		if resumed != (i+1)*calls || lost != 0 {
			t.Errorf("%d sockets are resumed, %d calls lost", resumed, lost)
		}
	}
	c.hangUp()
	eventually(t, "all sockets are closed", func() bool { return bot.open.Load() == 0 })
}

// TestBotLost: a bot whose socket breaks has failed, and the record says so.
func TestBotLost(t *testing.T) {
	s := newStage(t)
	bot := newMediaBot(t)
	at := s.freePort(s.b2bua)
	s.server = startServer(t, t.TempDir(), s.botConfig("udp://"+at.String(), bot.url(), ""))
	c := s.newCallers(1)
	c.hear()
	bot.cut()
	eventually(t, "the call has a record", func() bool { return len(s.server.cdrs()) == 1 })
	if r := s.server.cdrs()[0]; r.Cause != "bot_lost" || r.EndedBy != "agent" || r.Q850 != 41 {
		t.Errorf("cause %s, ended by %s, %d", r.Cause, r.EndedBy, r.Q850)
	}
	c.end()
}

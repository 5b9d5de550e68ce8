package calltest

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/internal/memnet"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

func TestMain(m *testing.M) {
	transport.SetProcessDefaults()
	os.Exit(m.Run())
}

// testMinter makes tags and branches with the key that all test servers use.
var testMinter = message.NewMinter([32]byte{1, 2, 3})

var (
	ourAddr     = siptest.Ours
	carrierAddr = siptest.Carrier
	agentAddr   = siptest.Agent
	agent2Addr  = siptest.Agent2
)

const testConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], max_duration: 1h, country: "1"}
targets:
  - name: agent
    kind: synthflow
    uri: "sip:{{.To.Number}}@192.0.2.20:32681"
    prepare: {api: "https://api.test", token_env: TOKEN, model_id: m, timeout: 3s}
    headers:
      X-EI: "S.{{.Prepare.CallID}};"
      x-Caller: "{{.From.Number}}"
      X-Empty: "{{.Header \"X-None\"}}"
  - {name: spare, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21:32681"}
routes:
  - {trunk: carrier, to: "^\\+1507", targets: [agent]}
  - {trunk: carrier, to: "^\\+1508", targets: [agent, spare], ringing: on-target}
  - {trunk: carrier, to: "^\\+1509", targets: [spare]}
`

// world is a server with a carrier and two agents on a network in memory, all
// in one bubble on a fake clock.
type world struct {
	t         testing.TB
	sw        *memnet.Switch
	server    *b2bua.Server
	admission *peers.Admission // the server's admission
	relay     *fakeRelay
	sink      *fakeSink
	prepare   *fakePreparer
	carrier   *peer
	agent     *peer
	agent2    *peer
	others    []*peer       // further peers that a test has added
	panics    uint64        // number of panics that the test causes on purpose
	dials     atomic.Int32  // number of connections that the server has opened
	holdDials chan struct{} // if not nil, new connections wait until holdDials is closed
	connected []*peer       // peers with a connection to the server, which may be closed
	opened    []io.Closer   // connections and listeners of peers, closed after the test
	ladders   ladders       // ladders of finished calls
	options   b2bua.Options // the server's options
	life      *life         // the current process
}

// inWorld runs a test in a bubble, and then checks that nothing is left: no call, leg,
// port, transaction or goroutine.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	inWorldWith(t, testConfig, test)
}

func inWorldWith(t *testing.T, yaml string, test func(w *world)) {
	t.Helper()
	inWorldOf(t, yaml, func(*b2bua.Options) {}, test)
}

// inWorldOf is inWorld with changes to the server's options.
func inWorldOf(t *testing.T, yaml string, change func(*b2bua.Options), test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, yaml, func(o *b2bua.Options) {
			o.Log = testLog(t)
			change(o)
		})
		defer w.close() // also if the test failed, because a bubble must end without goroutines
		test(w)
		w.finish()
	})
}

// newWorld makes a world, in a bubble. The caller must close it.
func newWorld(t testing.TB, yaml string, change func(*b2bua.Options)) *world {
	t.Helper()
	env := func(string) (string, bool) { return "secret", true }
	cfg, err := config.Parse("test.yaml", []byte(yaml), env)
	must(t, err)
	w := &world{t: t, sw: memnet.New(), relay: &fakeRelay{}, sink: &fakeSink{}, prepare: &fakePreparer{}}
	preparers := map[string]peers.Preparer{}
	for _, target := range cfg.Targets {
		if target.Prepare != nil {
			preparers[target.Name] = w.prepare
		}
	}
	options := b2bua.Options{
		Config: cfg, Relay: w.relay, Sink: w.sink, Preparers: preparers,
		Network: transport.Network{
			Listen:       func(a netip.AddrPort) (transport.Socket, error) { return w.sw.Listen(a) },
			ListenStream: func(a netip.AddrPort) (net.Listener, error) { return w.sw.ListenStream(a) },
			Dial:         w.dial,
			Names:        locate.Options{Ask: noNames},
		},
	}
	options.Ladders.Keep = w.keepLadder
	change(&options)
	w.options = options
	w.begin(nil)
	w.carrier, w.agent, w.agent2 = w.peer(carrierAddr), w.peer(agentAddr), w.peer(agent2Addr)
	return w
}

func (w *world) finish() {
	w.t.Helper()
	w.closeOpened()
	time.Sleep(3 * time.Minute) // until every timer of every transaction has expired
	synctest.Wait()
	if !w.server.Idle() {
		w.t.Errorf("calls or legs are left; %d calls", w.server.Calls())
	}
	if clients, servers := w.server.Stack().Transactions(); clients+servers != 0 {
		w.t.Errorf("%d client and %d server transactions are left", clients, servers)
	}
	for _, r := range w.sink.journal {
		if w.server.Ladder(r.ID) != nil {
			w.t.Errorf("the ladder of %s is left", r.ID)
		}
	}
	if n := w.relay.open(); n != 0 {
		w.t.Errorf("%d media sessions are left", n)
	}
	open := w.admission.Open()
	for kind, counts := range map[string]map[string]int{"trunk": open.Trunks, "target": open.Targets, "calling target": open.Callers} {
		for name, n := range counts {
			if n != 0 {
				w.t.Errorf("%s %s still counts %d calls", kind, name, n)
			}
		}
	}
	if open.Setups != 0 {
		w.t.Errorf("%d calls still count as in set-up", open.Setups)
	}
	if open.Numbers != 0 {
		w.t.Errorf("%d numbers still count calls", open.Numbers)
	}
	if n := w.server.Panics(); n != w.panics {
		w.t.Errorf("%d panics were recovered; want %d", n, w.panics)
	}
	for _, p := range append([]*peer{w.carrier, w.agent, w.agent2}, w.others...) {
		for _, m := range p.rest() {
			w.t.Errorf("%s got a message that nobody expected:\n%s", p.conn.LocalAddr(), m.raw)
		}
	}
}

func (w *world) closeOpened() {
	for _, c := range w.opened {
		c.Close()
	}
	w.opened = nil
}

func (w *world) close() {
	w.closeOpened()
	for _, p := range append([]*peer{w.carrier, w.agent, w.agent2}, w.others...) {
		p.conn.Close()
	}
	if err := w.server.Close(); err != nil {
		w.t.Error(err)
	}
}

// record waits for the call's record and returns it.
func (w *world) record() record.Record {
	w.t.Helper()
	synctest.Wait()
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	if len(w.sink.done) == 0 {
		w.t.Fatal("no record was written")
	}
	r := w.sink.done[0]
	w.sink.done = w.sink.done[1:]
	return r
}

func (w *world) wantRecord(disposition string, cause cause.Cause, endedBy string) record.Record {
	w.t.Helper()
	r := w.record()
	if r.Disposition != disposition || r.Cause != string(cause) || r.EndedBy != endedBy {
		w.t.Errorf("record: %s %s by %s; want %s %s by %s", r.Disposition, r.Cause, r.EndedBy, disposition, cause, endedBy)
	}
	return r
}

// peer is a SIP endpoint that a test plays by hand.
type peer struct {
	w    *world
	conn endpoint
	in   chan received
	seen []string // all messages that came; only the reading goroutine uses it
	sent string   // the last message that the peer sent
	seq  int

	ended   atomic.Bool // its connection was closed, by either end
	untyped bool        // sends bodies without Content-Type
}

type received struct {
	sip.Message
	raw string
}

func (w *world) peer(addr netip.AddrPort) *peer {
	conn, err := w.sw.Listen(addr)
	must(w.t, err)
	p := &peer{w: w, conn: conn, in: make(chan received, 1000)}
	go func() {
		b := make([]byte, 65536)
		for {
			n, _, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			raw := string(b[:n])
			m, err := readMessage([]byte(raw))
			if err != nil {
				w.t.Errorf("unreadable message: %v\n%s", err, raw)
				continue
			}
			p.seen = append(p.seen, raw)
			p.in <- received{m, raw}
		}
	}()
	return p
}

func (p *peer) send(raw string) {
	if p.untyped {
		raw = strings.Replace(raw, "Content-Type: application/sdp\n", "", 1)
	}
	raw = strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\n", "\r\n")
	p.sent = raw
	p.sendBytes([]byte(raw))
}

func (p *peer) sendBytes(b []byte) {
	var err error
	switch conn := p.conn.(type) {
	case *memnet.Conn:
		_, err = conn.WriteToUDPAddrPort(b, ourAddr)
	case net.Conn:
		_, err = conn.Write(b)
	}
	if err != nil {
		p.w.t.Error(err)
	}
}

// expect waits, at most 40 s, for a message whose start line begins with start, passing
// over 100 Trying, and fails on any other. It returns when the server has finished
// handling the message, so that a test may check the server's state.
func (p *peer) expect(start string) received {
	p.w.t.Helper()
	timeout := time.After(40 * time.Second)
	for {
		select {
		case m, open := <-p.in:
			if !open {
				p.w.t.Fatalf("%s waits for %q, and is hung up", p.conn.LocalAddr(), start)
			}
			if strings.HasPrefix(m.raw, start) {
				synctest.Wait()
				return m
			}
			if strings.HasPrefix(m.raw, "SIP/2.0 100 ") {
				continue
			}
			p.w.t.Fatalf("%s waits for %q, got:\n%s", p.conn.LocalAddr(), start, m.raw)
		case <-timeout:
			p.w.t.Fatalf("%s waits for %q in vain", p.conn.LocalAddr(), start)
		}
	}
}

// silent fails if anything but 100 comes within d.
func (p *peer) silent(d time.Duration) {
	p.w.t.Helper()
	time.Sleep(d)
	for _, m := range p.rest() {
		p.w.t.Errorf("%s got a message that it should not:\n%s", p.conn.LocalAddr(), m.raw)
	}
}

// rest waits until the server has nothing left to do. It returns the messages that came by
// then, except 100 Trying.
func (p *peer) rest() (left []received) {
	synctest.Wait()
	for {
		select {
		case m, open := <-p.in:
			if !open {
				return left
			}
			if !strings.HasPrefix(m.raw, "SIP/2.0 100 ") {
				left = append(left, m)
			}
		default:
			return left
		}
	}
}

// dialogue is a call from the carrier's point of view.
type dialogue struct {
	callID, from, to, branch string
	transport                string // empty for udp
	toTag                    string
	refused                  bool   // the INVITE was refused, so the ACK belongs to its transaction
	seq                      int    // CSeq of the INVITE
	later                    int    // number of requests after the INVITE
	extra                    string // additional header lines
	sdp                      string
}

func (p *peer) newCall(to string) *dialogue {
	p.seq++
	return &dialogue{
		callID: fmt.Sprintf("carrier-%d", p.seq), branch: fmt.Sprintf("z9hG4bKcarrier%d", p.seq),
		from: `"Ann Smith" <sip:+15075550100@192.0.2.10>;tag=ann`, to: to, seq: 1, sdp: sdpAt("192.0.2.10", 20000),
		transport: p.transport(),
	}
}

// request returns a request of the call as text.
func (d *dialogue) request(method string) string {
	to := "<sip:" + d.to + "@198.51.100.1>"
	if d.toTag != "" {
		to += ";tag=" + d.toTag
	}
	body, kind := "", ""
	if method == "INVITE" && d.sdp != "" {
		body, kind = d.sdp, "Content-Type: application/sdp\n"
	}
	branch := d.branch
	if (method == "ACK" && !d.refused) || method == "BYE" {
		branch += method
	}
	return fmt.Sprintf(`%s sip:%s@198.51.100.1:5060 SIP/2.0
Via: SIP/2.0/%s 192.0.2.10:5060;branch=%s;rport
Max-Forwards: 70
From: %s
To: %s
Call-ID: %s
CSeq: %d %s
Contact: <sip:ann@192.0.2.10:5060%s>
%s%sContent-Length: %d

%s`, method, d.to, message.ViaTransport(d.transport), branch, d.from, to, d.callID, d.seq, method, transportParam(d.transport), d.extra, kind, len(body), body)
}

func (p *peer) invite(d *dialogue) { p.send(d.request("INVITE")) }

func (p *peer) cancel(d *dialogue) {
	old := d.toTag
	d.toTag = ""
	p.send(d.request("CANCEL"))
	d.toTag = old
}

func (p *peer) ack(d *dialogue) { p.send(d.request("ACK")) }

// ackRefused acknowledges a final answer other than 2xx.
func (p *peer) ackRefused(d *dialogue) {
	d.refused = true
	p.ack(d)
}

func (p *peer) bye(d *dialogue) { p.within(d, "BYE", "") }

// learn stores the To tag of an answer, and returns the answer.
func (d *dialogue) learn(m received) received {
	d.toTag = message.TagOf(m.res().To().Params)
	return m
}

// reply answers a request that the peer received.
func (p *peer) reply(to received, code int, reason, tag, sdp string, extra ...string) {
	req := to.req()
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d %s\n", code, reason)
	for _, h := range req.GetHeaders("via") {
		fmt.Fprintf(&b, "Via: %s\n", h.Value())
	}
	toValue := to.value("To")
	if tag != "" && !strings.Contains(toValue, "tag=") {
		toValue += ";tag=" + tag
	}
	fmt.Fprintf(&b, "From: %s\nTo: %s\nCall-ID: %s\nCSeq: %s\n", to.value("From"), toValue, to.value("Call-ID"), to.value("CSeq"))
	if code > 100 && code < 300 {
		fmt.Fprintf(&b, "Contact: <sip:agent@%s%s>\n", p.conn.LocalAddr(), transportParam(p.transport()))
	}
	for _, h := range extra {
		b.WriteString(h + "\n")
	}
	if sdp != "" {
		b.WriteString("Content-Type: application/sdp\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\n\n%s", len(sdp), sdp)
	p.send(b.String())
}

func (p *peer) answer(invite received, tag string) {
	p.reply(invite, 200, "OK", tag, agentSDP())
}

// established sets up a call to +15075785607 and returns both its ends.
func (w *world) established() (d *dialogue, invite received) {
	w.t.Helper()
	d = w.carrier.newCall("+15075785607")
	w.carrier.invite(d)
	d.learn(w.carrier.expect("SIP/2.0 180"))
	invite = w.agent.expect("INVITE")
	w.agent.answer(invite, "agent1")
	w.agent.expect("ACK")
	w.carrier.expect("SIP/2.0 200")
	w.carrier.ack(d)
	synctest.Wait()
	return d, invite
}

// callerHangsUp makes the caller end an established call.
func (w *world) callerHangsUp(d *dialogue) {
	w.t.Helper()
	w.callerHangsUpAt(w.agent, d)
}

func (w *world) callerHangsUpAt(agent *peer, d *dialogue) {
	w.carrier.bye(d)
	w.carrier.expect("SIP/2.0 200")
	agent.reply(agent.expect("BYE"), 200, "OK", "", "")
}

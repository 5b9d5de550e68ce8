package calltest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/internal/memnet"
	"flowbridge/sim/siptest"
)

// The server survives a hundred INVITEs with random changes. The random numbers are the
// same in each run.
func TestMutatedInvites(t *testing.T) {
	for seed := range uint64(4) {
		runIn(t, fmt.Sprint(seed), testConfig, func(w *world) {
			r := rand.New(rand.NewPCG(seed, 1))
			for range 100 {
				d := w.carrier.newCall("+15075785607")
				d.extra = "Record-Route: <sip:192.0.2.10;lr>\nP-Asserted-Identity: <sip:+15075550100@x>\nDiversion: <sip:1@2>\n"
				text := siptest.CRLF(strings.ReplaceAll(d.request("INVITE"), "\r\n", "\n"))
				w.carrier.sendBytes(mutate(r, text))
				if r.IntN(10) == 0 {
					synctest.Wait()
				}
			}
			w.settle()
		})
	}
}

// mutate flips, removes, doubles or inserts a few bytes.
func mutate(r *rand.Rand, b []byte) []byte {
	b = append([]byte(nil), b...)
	for range 1 + r.IntN(8) {
		i := r.IntN(len(b))
		switch r.IntN(5) {
		case 0:
			b[i] ^= 1 << r.IntN(8)
		case 1:
			b[i] = byte(r.IntN(256))
		case 2:
			b = append(b[:i], b[min(len(b), i+1+r.IntN(4)):]...)
		case 3:
			b = append(b[:i], append(append([]byte(nil), b[i:min(len(b), i+20)]...), b[i:]...)...)
		case 4:
			b[i] = "\r\n:;,<>\"= @[]\x00"[r.IntN(14)]
		}
	}
	return b
}

// FuzzServer sends one datagram from the carrier, and one from the agent after an INVITE.
// The server must not panic. If the carrier's datagram is a request with a usable Via, it
// must get an answer.
func FuzzServer(f *testing.F) {
	env := func(string) (string, bool) { return "secret", true }
	cfg, err := config.Parse("test.yaml", []byte(testConfig), env)
	must(f, err)
	p := &peer{}
	d := p.newCall("+15075785607")
	invite, bye, cancel := siptest.CRLF(strings.ReplaceAll(d.request("INVITE"), "\r\n", "\n")), siptest.CRLF(d.request("BYE")), siptest.CRLF(d.request("CANCEL"))
	answer := siptest.CRLF("SIP/2.0 200 OK\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=BRANCH\nFrom: <sip:a@b>;tag=TAG\nTo: <sip:c@d>;tag=x\n" +
		"Call-ID: CALLID\nCSeq: 1 INVITE\nContact: <sip:agent@192.0.2.20:32681>\nContent-Length: 0\n\n")
	request := siptest.CRLF("BYE sip:198.51.100.1:5060 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.20:32681;branch=z9hG4bKx\nFrom: <sip:c@d>;tag=x\n" +
		"To: <sip:a@b>;tag=TAG\nCall-ID: CALLID\nCSeq: 1 BYE\nContent-Length: 0\n\n")
	f.Add(invite, answer)
	f.Add(cancel, request)
	f.Add(append([]byte("\r\n\r\n"), invite...), append([]byte("\r\n"), answer...))
	f.Add(bytes.Replace(invite, []byte("Max-Forwards"), []byte("Via: SIP/2.0/UDP 192.0.2.99:0\r\nMax-Forwards"), 1), request)
	f.Add(bye, []byte("SIP/2.0 180 Ringing\r\n\r\n"))
	for _, raw := range siptest.RFC4475(f) {
		f.Add(raw, answer)
	}
	f.Fuzz(func(t *testing.T, fromCarrier, fromAgent []byte) {
		synctest.Test(t, func(t *testing.T) {
			fuzzServer(t, cfg, invite, fromCarrier, fromAgent)
		})
	})
}

func fuzzServer(t *testing.T, cfg *config.Config, invite, fromCarrier, fromAgent []byte) {
	sw := memnet.New()
	s, err := b2bua.NewServer(b2bua.Options{
		Config: cfg, Relay: &fakeRelay{}, Sink: &fakeSink{}, Preparers: map[string]peers.Preparer{"agent": &fakePreparer{}}, Log: zerolog.Nop(),
		Network: transport.Network{Listen: func(a netip.AddrPort) (transport.Socket, error) { return sw.Listen(a) }, Names: locate.Options{Ask: noNames}},
	})
	must(t, err)
	carrier, err := sw.Listen(carrierAddr)
	must(t, err)
	agent, err := sw.Listen(agentAddr)
	must(t, err)
	defer carrier.Close()
	defer agent.Close()
	send := func(c *memnet.Conn, b []byte) {
		if _, err := c.WriteToUDPAddrPort(b, ourAddr); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	}
	var mu sync.Mutex
	answers := 0
	sw.SetFilter(func(_, to netip.AddrPort, datagram []byte) memnet.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if to.Addr() == carrierAddr.Addr() && bytes.HasPrefix(datagram, []byte("SIP/2.0 ")) {
			answers++
		}
		return memnet.Deliver
	})
	send(carrier, invite)
	// The agent's datagram may refer to our INVITE.
	b := make([]byte, 65536)
	n, _, err := agent.ReadFromUDPAddrPort(b)
	must(t, err)
	sent, _ := message.Scan(b[:n])
	fill := strings.NewReplacer("BRANCH", string(sent.Branch), "TAG", string(sent.FromTag), "CALLID", string(sent.CallID))
	send(agent, []byte(fill.Replace(string(fromAgent))))
	mu.Lock()
	answers = 0
	mu.Unlock()
	send(carrier, fromCarrier)
	if msg, ok := message.Scan(fromCarrier); ok && wantsAnswer(msg, invite, fromAgent) {
		time.Sleep(time.Second) // a CANCEL that came first waits for its INVITE
		synctest.Wait()
		mu.Lock()
		if answers == 0 {
			t.Errorf("no answer to\n%q", fromCarrier)
		}
		mu.Unlock()
	}
	time.Sleep(10 * time.Minute)
	s.HangupAll()
	time.Sleep(5 * time.Minute)
	synctest.Wait()
	if n := s.Panics(); n != 0 {
		t.Errorf("%d panics", n)
	}
	if !s.Idle() {
		t.Errorf("calls or legs are left; %d calls", s.Calls())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// wantsAnswer reports whether a message is a request that must be answered. A request with
// the branch of an earlier message needs no answer, because it counts as a retransmission.
func wantsAnswer(msg message.Scanned, before ...[]byte) bool {
	for _, b := range before {
		if first, _ := message.Scan(b); bytes.Equal(msg.Branch, first.Branch) {
			return false
		}
	}
	return !msg.Response && msg.Readable && string(msg.Method) != "ACK"
}

// Refused re-INVITEs leave no state, however many come.
func TestRefusedReinvitesAreForgotten(t *testing.T) {
	inWorld(t, func(w *world) {
		_, invite := w.established()
		for i := range 20 {
			w.agent.agentSends("INVITE", invite, "agent1", 5+i, "v=0\nm=video 9 RTP/AVP 31\n")
			w.agent.expect("SIP/2.0 488")
			w.agent.send(fmt.Sprintf("ACK sip:198.51.100.1:5060 SIP/2.0\nVia: SIP/2.0/UDP %s;branch=z9hG4bKagentINVITE%d\nFrom: %s;tag=agent1\nTo: %s\nCall-ID: %s\nCSeq: %d ACK\nContent-Length: 0\n\n",
				agentAddr, 5+i, invite.value("To"), invite.value("From"), invite.value("Call-ID"), 5+i))
		}
		w.settle()
	})
}

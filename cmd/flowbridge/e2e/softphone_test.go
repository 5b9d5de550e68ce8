//go:build e2e

package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/sim"
	"flowbridge/store/webhook"
)

// fromLoopback accepts a trunk's RTP from the address that a softphone's RTP comes from: the softphone binds it to no
// address, so on loopback the kernel chooses this one.
const fromLoopback = ", media_sources: [127.0.0.1]"

// calls makes the softphone call this address, and waits until the call is answered.
func (p *baresip) calls(to string) {
	p.t.Helper()
	p.command("dial", to)
	p.await("CALL_ESTABLISHED")
}

// hangUp ends the softphone's call, and then the softphone.
func (p *baresip) hangUp() {
	p.t.Helper()
	p.command("hangup", "")
	p.await("CALL_CLOSED")
	p.quit()
}

func (p *baresip) quit() {
	p.t.Helper()
	p.command("quit", "")
	if code := p.exit(); code != 0 {
		p.t.Errorf("baresip ended with exit code %d", code)
	}
}

// hears waits until the softphone has received this much more audio, without silence.
func (p *baresip) hears(more time.Duration) {
	p.t.Helper()
	goal := p.loud() + int(more.Seconds()*8000/frame)
	eventually(p.t, fmt.Sprintf("%v more are heard", more), func() bool { return p.loud() >= goal })
}

// TestSoftphoneHolds makes a softphone hold the call and resume it. While it holds, it is sent nothing. After that it
// is heard again, and is sent everything again. This softphone (baresip 1.0) does not play that any more, so the
// packets are counted.
func TestSoftphoneHolds(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{trunk: fromLoopback})
	words := softWords(31)
	two := s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	phone := s.startBaresip(words)
	phone.calls(s.to())
	agent.confirmed(1)
	toB := agent.rtpOf("INVITE ", 1)
	const packets = 50
	echo := speech(sim.Words(1)[:3*packets*frame], 31)
	two.talk(echo[:packets], toB)
	eventually(t, "the softphone hears the agent", func() bool { return len(phone.heard()) > packets*frame/2 })

	for i, command := range []string{"hold", "resume"} {
		phone.command(command, "")
		eventually(t, command+" is agreed on", func() bool { return b.changes() == i+1 })
		two.talk(echo[(i+1)*packets:(i+2)*packets], toB)
		eventually(t, "all of that has come to the B2BUA", func() bool { return b.calls()[0].Media.B.Rx == int64((i+2)*packets) })
	}
	before := len(two.heard())
	eventually(t, "the agent hears the softphone again", func() bool { return len(two.heard()) > before+packets })
	phone.hangUp()
	agent.finish()
	isHeard(t, "the softphone's words", phone.said(), two.payloads()[before*frame:], packets)
	r := b.finish(hungUpByCaller)[0]
	if m := r.Media; m.A.Tx != 2*packets || m.B.Rx != 3*packets || m.B.Dropped != packets {
		t.Errorf("packets: %+v; want %d from the agent, %d to the softphone", m, 3*packets, 2*packets)
	}
}

// changes returns how often a side has changed a session.
func (s *server) changes() (n int) {
	for _, line := range s.output() {
		if strings.Contains(line, `"message":"session changed"`) {
			n++
		}
	}
	return n
}

// TestSoftphoneDigits makes a softphone press keys, which it sends by RFC 4733. The agent gets them unchanged.
func TestSoftphoneDigits(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{trunk: fromLoopback})
	two := s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", two.key()...)
	phone := s.startBaresip(softWords(32))
	phone.calls(s.to())
	agent.confirmed(1)
	eventually(t, "the agent hears the caller", func() bool { return len(two.heard()) > 10 })
	const keys = "4711#"
	phone.command("sndcode", keys)
	eventually(t, "the agent gets all digits", func() bool { return two.digits() == keys })
	phone.hangUp()
	agent.finish()
	b.finish(hungUpByCaller)
}

// digits returns the keys whose telephone-events have ended (RFC 4733).
func (p *phone) digits() string {
	var out []byte
	ended := map[uint32]bool{} // by timestamp
	for _, a := range p.heard() {
		if len(a.data) < 16 || a.data[1]&0x7f != 101 || a.data[13]&0x80 == 0 {
			continue
		}
		if ts := binary.BigEndian.Uint32(a.data[4:]); !ended[ts] {
			ended[ts] = true
			out = append(out, "0123456789*#ABCD"[a.data[12]&15])
		}
	}
	return string(out)
}

// TestSoftphoneTransferred makes the agent transfer a softphone to another one. Each hears the other's words.
func TestSoftphoneTransferred(t *testing.T) {
	s := newPreparedStage(t)
	calleeAt := s.freePort(s.stranger)
	o := s.transfers("local", calleeAt)
	o.trunk += fromLoopback
	b := s.serve(o)
	hers, his := softWords(33), softWords(34)
	callee := s.startBaresipAs(human, calleeAt, his)
	agent := s.transferrer(nil, "@TO@", "<tel:"+human+">", "@EXTRA@", "", "@STATUS@", "202", "@LEAVES@", "false", "@HOLDS@", "false")
	phone := s.startBaresip(hers)
	phone.calls(s.to())
	agent.proceed(agent.confirmed(1)[0])
	agent.finish() // ends with BYE when the other softphone has answered
	callee.await("CALL_ESTABLISHED")
	phone.hears(2 * time.Second)
	callee.hears(2 * time.Second)
	phone.hangUp()
	callee.await("CALL_CLOSED")
	callee.quit()
	hearEachOther(t, phone, callee)
	r := b.finish(transferred(hungUpByCaller, try{"", 0, 200}))[0]
	if m := r.Media; m.A.Rx < 100 || m.A.Tx < 100 || m.B.Rx < 100 || m.B.Tx < 100 {
		t.Errorf("packets: %+v; want at least 100 each way on each side", m)
	}
}

// TestOrderedToSoftphone hands over a softphone's caller to another softphone by the command line. The other softphone
// accepts the announced call and hangs up first, or declines. If it declines, the agent and the caller hear each other
// again. A receiver of webhooks is told how it ended.
func TestOrderedToSoftphone(t *testing.T) {
	for name, key := range map[string]string{"accepted": "1", "declined": "2"} {
		t.Run(name, func(t *testing.T) { ordersToSoftphone(t, key) })
	}
}

func ordersToSoftphone(t *testing.T, key string) {
	s := newPreparedStage(t)
	calleeAt := s.freePort(s.stranger)
	webhooks, told := s.tellsTransfers()
	b := s.serve(setup{
		trunk:  fmt.Sprintf(`, uri: "sip:{{.To.Number}}@%v"`, calleeAt) + fromLoopback,
		target: `, transfer_numbers: ["^\\+1507"]`, route: ", hold: eu", webhooks: webhooks,
	})
	scenario, ends, second := "caller_hangup", hungUpByAgent, try{"", 0, 200}
	if key == "2" {
		scenario, ends, second = "given_back", hungUpByCaller, try{"target_refused", 0, 200}
	}
	callee, two := s.startBaresipAs(human, calleeAt, softWords(36)), s.newPhone(s.platform)
	agent := s.agentPlays(scenario, two.key())
	phone := s.startBaresip(softWords(35))
	phone.calls(s.to())
	agent.confirmed(1)
	id := b.calls()[0].ID
	b.prints("calls", "variables", id, "ticket=4711", "--url", b.admin)
	b.prints("calls", "transfer", id, human, "--announce", "beep", "--accept", "1", "--url", b.admin)
	callee.await("CALL_ESTABLISHED")
	phone.hears(time.Second) // the hold tone
	callee.hears(100 * time.Millisecond)
	if heardOf(phone, callee.words)+heardOf(callee, phone.words) > 0 {
		t.Error("the softphones hear each other before the call is taken")
	}
	callee.command("sndcode", key)
	if key == "1" {
		agent.received("BYE ", 1)
		eventually(t, "the softphones hear each other", func() bool {
			return heardOf(phone, callee.words) > 100 && heardOf(callee, phone.words) > 100
		})
		callee.hangUp()
		phone.await("CALL_CLOSED")
		phone.quit()
	} else {
		callee.await("CALL_CLOSED")
		callee.quit()
		agent.received("ACK ", 2)
		toB, err := agent.received("INVITE ", 1)[0].rtp()
		must(t, err)
		s.speakBothWays(phone, two, toB, 97)
		phone.hangUp()
	}
	agent.finish()
	want := map[string]string{"1": "transfer_done " + human + " by local: 200 ", "2": "transfer_failed " + human + " by local: 603 target_refused"}[key]
	if got := <-told; got != want {
		t.Errorf("the receiver is told %q; want %q", got, want)
	}
	if r := b.finish(transferred(ends, second))[0]; r.Variables["ticket"] != "4711" {
		t.Errorf("the record has variables %v", r.Variables)
	}
}

// tellsTransfers returns the section for a receiver of webhooks, and a channel with the reports of transfers that it
// gets.
func (s *stage) tellsTransfers() (section string, told <-chan string) {
	all := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m webhook.ProgressMessage
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			s.Error(err)
		}
		if m.Transfer != nil {
			all <- fmt.Sprintf("%s %s by %s: %d %s", m.State, m.Transfer.To, m.Transfer.By, m.Transfer.Code, m.Transfer.Cause)
		}
	}))
	s.Cleanup(receiver.Close)
	secret := filepath.Join(s.TempDir(), "secret")
	must(s.T, os.WriteFile(secret, []byte("e2e-secret\n"), 0o600))
	return `[{name: crm, url: "` + receiver.URL + `", secret_file: ` + secret + `}]`, all
}

// speakBothWays waits until a softphone and an agent hear each other. Each try has different words, by the seed,
// because words of an earlier try may come late.
func (s *stage) speakBothWays(soft *baresip, agent *phone, toB netip.AddrPort, seed uint64) {
	s.Helper()
	eventually(s.T, "the caller and the agent hear each other", func() bool {
		seed += 100
		before, his := len(agent.heard()), sim.Words(seed)[:50*frame]
		agent.talk(speech(his, uint32(seed)), toB)
		var hers []byte
		for _, a := range agent.heard()[before:] {
			hers = append(hers, a.data[12:]...)
		}
		return heardOf(soft, his) > 30 && compare(codes(audio.ULaw, soft.words), hers).known > 30
	})
}

// heardOf counts the packets of these words that a softphone has received.
func heardOf(p *baresip, words []int16) int {
	p.t.Helper()
	return compare(codes(audio.ULaw, words), codes(audio.ULaw, p.heard())).known
}

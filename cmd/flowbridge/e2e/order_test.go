//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/sim"
)

// commands is the hook for agents' tools in a stage, with a token.
type commands struct{ url, token string }

// serveCommanded starts the B2BUA with the hook. Its agent can't send REFER.
func (s *stage) serveCommanded(o setup) (*server, commands) {
	s.Helper()
	c := commands{"http://" + s.freeTCP(s.carrier).String() + "/commands", "an-agents-token-of-some-length"}
	dir := s.TempDir()
	file := filepath.Join(dir, "token")
	must(s.T, os.WriteFile(file, []byte(c.token), 0o600))
	at := strings.TrimSuffix(strings.TrimPrefix(c.url, "http://"), "/commands")
	s.server = startServer(s.T, dir, s.config(o)+fmt.Sprintf(
		"hooks: {listen: %q, commands: [{name: support, token_file: %q, targets: [synthflow]}]}\n", at, file))
	s.server.targets = []uint16{s.agent.Port()}
	s.server.idle.listening++ // the listener of the hooks
	return s.server, c
}

// says sends a tool's message and returns the answer.
func (c commands) says(t *testing.T, body any) (status int, result string) {
	t.Helper()
	text, err := json.Marshal(body)
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url, bytes.NewReader(text))
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+c.token)
	res, err := client.Do(req)
	must(t, err)
	defer res.Body.Close()
	var got struct {
		Result  string `json:"result"`
		Results []struct {
			ID     string `json:"toolCallId"`
			Result string `json:"result"`
		} `json:"results"`
	}
	must(t, json.NewDecoder(res.Body).Decode(&got))
	for _, one := range got.Results {
		got.Result += one.ID + ": " + one.Result
	}
	return res.StatusCode, got.Result
}

// TestOrderedTransfer hands over a caller by orders only, with an announcement first. The content of RTP proves who
// hears whom.
func TestOrderedTransfer(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]byte{"accepted": 1, "declined": 2} {
		t.Run(name, func(t *testing.T) { handsOver(t, key) })
	}
}

func handsOver(t *testing.T, key byte) {
	s := newPreparedStage(t)
	calleeAt := s.freePort(s.stranger)
	o := setup{
		trunk:  fmt.Sprintf(`, uri: "sip:{{.To.Number}}@%v"`, calleeAt),
		target: `, transfer_numbers: ["^\\+1507"]`, route: ", hold: eu",
	}
	b, tool := s.serveCommanded(o)
	one, two, three := s.newPhone(s.carrier), s.newPhone(s.platform), s.newPhone(s.stranger)
	callee := s.agentAt(calleeAt, "human", three.key(), "@BY@", "carrier")
	scenario := "caller_hangup"
	if key == 2 {
		scenario = "given_back"
	}
	agent := s.agentPlays(scenario, two.key())
	carrier := s.carrierPlays("caller_hangup", one.key())
	talk := s.talking(one, two, carrier, agent)
	talk.both()

	id := talk.id(agent) // the Call-ID that the platform knows
	if status, words := tool.says(t, map[string]any{"call": id, "do": "transfer", "to": "+19005550100"}); status != 403 {
		t.Errorf("a number outside the list: %d %s", status, words)
	}
	status, words := tool.says(t, map[string]any{"message": map[string]any{
		"type": "tool-calls", "call": map[string]any{"id": "0199", "transport": map[string]any{"sbcCallSid": id}},
		"toolCallList": []any{map[string]any{"id": "call_1", "name": "transfer_call", "arguments": map[string]any{
			"to": human, "announce": "beep", "accept": "1",
		}}},
	}})
	if status != 200 || words != "call_1: The call is being transferred." {
		t.Errorf("the tool is told %d %q", status, words)
	}
	invite := callee.received("INVITE ", 1)[0]
	talk.both() // until the other party answers
	callee.proceed(invite.header("Call-ID"))
	callee.received("ACK ", 1)
	toC, err := invite.rtp()
	must(t, err)
	said, asked := speech(sim.Words(90)[:30*frame], 0x90), speech(sim.Words(91)[:30*frame], 0x91)
	three.talk(said, toC)
	one.talk(asked, talk.toA)
	for _, p := range []*phone{one, two, three} {
		for _, words := range [][][]byte{said, asked} {
			if p.hasHeard(words) {
				t.Errorf("%v hears what is said before the call is taken", local(p.rtp))
			}
		}
	}
	if len(three.heard()) == 0 {
		t.Error("who is called hears nothing")
	}
	three.talk(keypress(key, 400, 40000, 0x90), toC)
	talk.two, talk.toB = three, toC
	if key == 2 {
		callee.received("BYE ", 1)
		agent.received("ACK ", 2)
		talk.two = two
		talk.toB, err = agent.received("INVITE ", 1)[0].rtp()
		must(t, err)
	} else {
		agent.received("BYE ", 1)
	}
	eventually(t, "the order is over", func() bool {
		_, words := tool.says(t, map[string]any{"call": id, "do": "status"})
		return strings.Contains(words, map[byte]string{1: "was transferred", 2: "has failed: 603"}[key]) || strings.Contains(words, "can't find")
	})
	if status, words := tool.says(t, map[string]any{"call": id, "do": "hold"}); status != map[byte]int{1: 403, 2: 200}[key] {
		t.Errorf("a hold by the agent that was there first: %d %s", status, words)
	}
	tool.says(t, map[string]any{"call": id, "do": "resume"})
	hears(t, one, talk.two, talk.toA, talk.toB)
	carrier.proceed(talk.id(carrier))
	carrier.finish()
	agent.finish()
	callee.finish()
	second := try{"", 0, 200}
	if key == 2 {
		second = try{"target_refused", 0, 200}
	}
	r := b.finish(transferred(hungUpByCaller, second))[0]
	if a := r.Attempts[1]; a.Reason != "transfer" || a.By != "support" {
		t.Errorf("the second attempt is %+v", a)
	}
}

// hears makes two phones speak, and checks that they hear each other.
func hears(t *testing.T, one, two *phone, toA, toB netip.AddrPort) {
	t.Helper()
	for i, way := range []struct {
		from, to *phone
		at       netip.AddrPort
	}{{one, two, toA}, {two, one, toB}} {
		words := speech(sim.Words(uint64(95 + i))[:30*frame], uint32(0x95+i))
		eventually(t, "what is said is heard", func() bool {
			way.from.talk(words, way.at)
			time.Sleep(frameTime)
			return way.to.hasHeard(words)
		})
	}
}

// hasHeard reports whether a phone has received any of these words, whatever the RTP headers are.
func (p *phone) hasHeard(words [][]byte) bool {
	return slices.ContainsFunc(p.heard(), func(a arrival) bool {
		return slices.ContainsFunc(words, func(w []byte) bool { return len(a.data) > 12 && bytes.Equal(a.data[12:], w[12:]) })
	})
}

// TestHeldByOrder holds a call by the command line. Until it is resumed, neither side hears the other, not even after a
// kill in between. Neither side is told by SIP.
func TestHeldByOrder(t *testing.T) { heldByOrder(newPreparedStage(t)) }

func heldByOrder(s *stage) {
	o := setup{listen: []string{"udp://" + s.freePort(s.b2bua).String()}, route: ", hold: eu"}
	s.serve(o)
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	agent := s.sippAgent("caller_hangup", append(two.key(), "-aa")...)
	carrier := s.sippCarrier("caller_hangup", append(one.key(), "-aa")...)
	talk := s.talking(one, two, carrier, agent)
	talk.both()
	id := s.server.calls()[0].ID
	apart := func(n uint64) {
		s.Helper()
		hers, his := speech(sim.Words(n)[:30*frame], 0x51), speech(sim.Words(n + 1)[:30*frame], 0x52)
		before := []int{len(one.heard()), len(two.heard())}
		one.talk(hers, talk.toA)
		two.talk(his, talk.toB)
		eventually(s.T, "both sides hear a sound of ours", func() bool {
			return len(one.heard()) > before[0]+20 && len(two.heard()) > before[1]+20
		})
		if one.hasHeard(his) || two.hasHeard(hers) {
			s.Error("a side that is on hold hears the other one")
		}
	}
	s.noted(func() { s.server.prints("calls", "hold", id, "--url", s.server.admin) })
	apart(60)
	s.restart(o)
	apart(62)
	if shown := s.server.prints("calls", "show", id, "--url", s.server.admin); !strings.Contains(shown, "\nheld       by an order") {
		s.Errorf("calls show prints\n%s", shown)
	}
	s.server.prints("calls", "resume", id, "--url", s.server.admin)
	hears(s.T, one, two, talk.toA, talk.toB)
	carrier.leaves(agent, talk.id(carrier))
	if n := len(carrier.count(true, "INVITE ")) + len(agent.count(true, "INVITE ")); n != 1 {
		s.Errorf("the sides got %d INVITEs; want that of the call", n)
	}
	s.server.finish(hungUpByCaller)
}

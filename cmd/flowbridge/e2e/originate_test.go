//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"flowbridge/sim"
	"flowbridge/store/record"
)

// originating returns a configuration in which a request may call the number at this address.
func originating(customer netip.AddrPort) setup {
	return setup{
		trunk:  fmt.Sprintf(`, uri: "sip:{{.To.Number}}@%v", originate: {numbers: ["^\\+1507"]}`, customer),
		target: `, pass_headers: ["X-*"]`, route: ", direction: outbound",
	}
}

// ordered is the body of a request for a call.
const ordered = `{"to": "` + called + `", "from": "+12125550100", "trunk": "carrier", "variables": {"order": "4711"}, "idempotency_key": "k"}`

// order makes the server place a call, or find the call that the same request placed before, and returns its id. While
// the fleet's database does not answer, it sends the request again, as the API says.
func (s *server) order(status int) string {
	s.t.Helper()
	var got int
	var text string
	within(patience, func() bool {
		got, text = s.post("/api/calls", ordered)
		return got != http.StatusServiceUnavailable || !strings.Contains(text, "send the request again when the database is back")
	})
	var c liveCall
	if got != status || json.Unmarshal([]byte(text), &c) != nil {
		s.t.Fatalf("the order gets %d: %s", got, text)
	}
	return c.ID
}

// TestOriginatedCall: the person called first answers, the agent is called, and both hear each other, also after a kill
// and an upgrade. If the same request comes again, the API returns the same call, live or finished.
func TestOriginatedCall(t *testing.T) { originated(newPreparedStage(t)) }

func originated(s *stage) {
	at := s.freePort(s.carrier)
	o := originating(at)
	o.listen = []string{"udp://" + s.freePort(s.b2bua).String()}
	b := s.serve(o)
	one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
	customer := s.agentAt(at, "agent_hangup", append(one.key(), "-aa"))
	agent := s.sippAgent("caller_hangup", append(two.key(), "-aa")...)
	id := b.order(http.StatusCreated)
	talk := &talk{
		stage: s, one: one, two: two, carrier: customer, agent: agent, said: map[*phone]uint32{},
		first: map[bool]*phone{false: one}, // it has heard our ringback, whose stream continues
	}
	talk.ids = map[*sipp]string{customer: customer.confirmed(1)[0], agent: agent.confirmed(1)[0]}
	var err error
	talk.toA, err = customer.received("INVITE ", 1)[0].rtp()
	must(s, err)
	invite := agent.received("INVITE ", 1)[0]
	talk.toB, err = invite.rtp()
	must(s, err)
	if invite.header("x-order") != "4711" || customer.received("INVITE ", 1)[0].header("x-order") != "" {
		s.Errorf("the agent is told\n%s", invite.raw)
	}
	talk.both()
	b = s.restart(o)
	if again := b.order(http.StatusOK); again != id {
		s.Errorf("ordered again: %s, not %s", again, id)
	}
	talk.says(one, two)
	talk.contents(two, one) // the killed process may have used numbers below these
	b.upgrade()
	talk.says(one, two)
	talk.contents(two, one)
	customer.leaves(agent, talk.id(customer))
	eventually(s.T, "the record is written", func() bool { return len(b.cdrs()) == 1 })
	if again := b.order(http.StatusOK); again != id {
		s.Errorf("ordered again when it is over: %s, not %s", again, id)
	}
	b.outbound = true
	r := b.finish(want{"answered", "caller_hangup", "caller", 200, []try{{"", 0, 200}, {"", 200, 200}}})[0]
	if r.ID != id || r.Restored != 1 || r.Target != "synthflow" || r.To != called || r.Attempts[0].Reason != record.ReasonCustomer {
		s.Errorf("the record says %+v", r)
	}
}

// TestOriginatedCallUpgrades: a phone that rings continues to ring while the process is upgraded, and is then
// connected.
func TestOriginatedCallUpgrades(t *testing.T) {
	s := newPreparedStage(t)
	at := s.freePort(s.carrier)
	b := s.serve(originating(at))
	customer := exec.Command(program, "simulate", "trunk", "--sip", at.String(), "--ring", "5s")
	customer.Env = append(os.Environ(), "NO_COLOR=1", raceEnv)
	start(t, "customer", customer)
	eventually(t, "the customer listens", func() bool { return bound(t, "udp", at) })
	agent := s.sippAgent("caller_hangup", "-aa")
	id := b.order(http.StatusCreated)
	eventually(t, "the customer rings", func() bool { return !read[liveCall](b, "/api/calls/"+id).RingingAt.IsZero() })
	if done := b.upgrade(); done.Calls != 1 {
		t.Errorf("went over: %+v", done)
	}
	agent.confirmed(1)
	if got, text := b.post("/api/calls/"+id+"/hangup", ""); got != http.StatusOK {
		t.Errorf("hangup: %d %s", got, text)
	}
	agent.finish()
	b.outbound = true
	b.finish(want{"answered", "operator_hangup", "operator", 200, []try{{"", 0, 200}, {"", 200, 200}}})
}

// TestOriginatedCallIsScreened: a phone that asks for a name and waits gets the agent. Then it beeps, as a mailbox does,
// and the machine and the agent are hung up on.
func TestOriginatedCallIsScreened(t *testing.T) {
	s := newPreparedStage(t)
	at := s.freePort(s.carrier)
	o := originating(at)
	o.trunk = strings.Replace(o.trunk, `"^\\+1507"]`, `"^\\+1507"], answer: {machine: hangup}`, 1)
	b := s.serve(o)
	phone := s.newPhone(s.carrier)
	customer := s.agentAt(at, "caller_hangup", append(phone.key(), "-aa"))
	agent := s.sippAgent("caller_hangup", "-aa")
	b.order(http.StatusCreated)
	customer.confirmed(1)
	to, err := customer.received("INVITE ", 1)[0].rtp()
	must(s, err)
	said := sim.Words(11)[:3*sim.SampleRate]
	phone.talk(speech(said, 0xb000), to)
	agent.confirmed(1)
	beep := make([]int16, sim.SampleRate*2/5)
	for i := range beep {
		beep[i] = int16(9000 * math.Sin(2*math.Pi*1000*float64(i)/sim.SampleRate))
	}
	packets := speech(append(said, beep...), 0xb000)
	phone.talk(packets[len(said)/frame:], to)
	customer.finish()
	agent.finish()
	b.outbound = true
	r := b.finish(want{"answered", "answered_by_machine", "system", 200, []try{{"", 0, 200}, {"", 200, 200}}})[0]
	if r.Attempts[0].AnsweredBy != "machine" {
		t.Errorf("the record says %+v", r)
	}
}

// contents makes one phone speak and waits until the other one hears the same audio. It ignores the numbers of packets.
func (k *talk) contents(from, to *phone) {
	k.Helper()
	packets, before := k.burst(from), len(to.heard())
	from.talk(packets, k.at(from))
	eventually(k.T, "what is said is heard", func() bool { return len(to.heard()) == before+len(packets) })
	for i, a := range to.heard()[before:] {
		if !bytes.Equal(a.data[12:], packets[i][12:]) {
			k.Errorf("packet %d is %x; want what is in %x", i, a.data, packets[i])
		}
	}
}

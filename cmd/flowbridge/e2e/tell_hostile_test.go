//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/store/record"
)

// untold is a caller who tries to hear an agent before the statement, or to be heard by it.
type untold struct {
	*partyCall
	all   *untoldCalls
	is    attack
	index uint32

	lock      sync.Mutex
	from      *net.UDPConn   // sends the caller's words
	to        netip.AddrPort // where they are sent; invalid: nowhere yet
	words     []time.Time    // when each had been sent
	began     time.Time      // before the statement could last begin
	heard     map[netip.AddrPort]*hearing
	overheard map[uint32]bool // words that the agent has heard
}

// hearing is what an address has heard.
type hearing struct {
	before []byte // until the agent
	agent  int    // packets
}

// isTold reports whether this is the whole statement, in one piece, and perhaps more.
func (is *hearing) isTold() bool {
	statement, _ := audio.Tone("eu")
	return bytes.Contains(is.before, statement.In(audio.ULaw))
}

// untoldCalls are the calls of the test.
type untoldCalls struct {
	*stage
	carrier *party
	mu      sync.Mutex
	byCall  map[*partyCall]*untold
	byIndex []*untold
}

// What the packets of both begin with. No statement has it.
const (
	agentSays  = "agent: "
	callerSays = "caller:"
)

// utterance is the payload of a packet that says who sends it, and has a number.
func utterance(who string, numbers ...uint32) []byte {
	payload := bytes.Repeat([]byte{0x10, 0x90}, frame/2)
	copy(payload, who)
	for i, n := range numbers {
		binary.BigEndian.PutUint32(payload[len(who)+4*i:], n)
	}
	return payload
}

// call places a call. after is an earlier call, whose Call-ID it takes, or nil.
func (all *untoldCalls) call(is attack, number int, after *untold) *untold {
	all.mu.Lock()
	defer all.mu.Unlock()
	h := &untold{
		all: all, is: is, index: uint32(len(all.byIndex)),
		heard: map[netip.AddrPort]*hearing{}, overheard: map[uint32]bool{},
	}
	p := all.carrier
	tag := fmt.Sprintf("untold%03d", h.index)
	id := tag
	if after != nil {
		id = after.id
	}
	p.mu.Lock()
	c := p.newCall(id)
	if after != nil {
		c.elder, c.tag, c.seq = after.partyCall, tag, 2
	}
	me := local(p.conn)
	uri := fmt.Sprintf("sip:%s%03d@%v", is.route, number, all.server.sip)
	c.invite = message{raw: fmt.Sprintf("INVITE %s SIP/2.0\r\nFrom: <sip:%s@%v>;tag=%s\r\nTo: <%s>\r\n"+
		"CSeq: %d INVITE\r\n\r\n", uri, caller, me.Addr(), tag, uri, c.seq)}
	c.silent = is.deaf || is.late
	p.mu.Unlock()
	h.partyCall, h.from = c, c.rtp
	if is.nat {
		h.from = p.newSocket(me.Addr())
		go h.listen(h.from)
	}
	all.byCall[c] = h
	all.byIndex = append(all.byIndex, h)
	body := c.sdp()
	if is.late {
		body = ""
	}
	h.began = time.Now()
	p.send(all.server.sip, c.request("INVITE", uri, c.seq, body, "INVITE"))
	return h
}

// answered waits for the answer to the caller's last request.
func (h *untold) answered() string {
	select {
	case status := <-h.status:
		return status
	case <-time.After(patience):
		h.all.Errorf("%s: a request has no answer", h.is.name)
		return ""
	}
}

// talks sends the caller's words until the call ends, to the address that our last description named.
func (h *untold) talks() {
	for i := 0; ; i++ {
		h.says(h.socket())
		if h.pauses(i) {
			return
		}
	}
}

func (h *untold) socket() *net.UDPConn {
	h.lock.Lock()
	defer h.lock.Unlock()
	return h.from
}

// says sends the next word.
func (h *untold) says(from *net.UDPConn) {
	h.lock.Lock()
	n, to := uint32(len(h.words)), h.to
	h.words = append(h.words, time.Time{})
	h.lock.Unlock()
	if !to.IsValid() {
		return
	}
	pkt := append(rtpPacket(0, n == 0, uint16(n), n*frame, 0x77000000|h.index), utterance(callerSays, h.index, n)...)
	_, _ = from.WriteToUDPAddrPort(pkt, to)
	h.lock.Lock()
	h.words[n] = time.Now()
	h.lock.Unlock()
}

// meets learns where the other side hears the caller.
func (h *untold) meets(m message) {
	at, err := m.rtp()
	must(h.all, err)
	h.lock.Lock()
	defer h.lock.Unlock()
	h.to = at
}

// describes sends a request with another description. again says that the statement begins again, unless it is over.
func (h *untold) describes(method, sdp string, again bool) {
	now := time.Now()
	h.asks(method, sdp)
	h.answered()
	if again && !h.isTold() {
		h.lock.Lock()
		h.began = now
		h.lock.Unlock()
	}
}

// isTold reports whether the caller has heard the whole statement, at any address.
func (h *untold) isTold() bool {
	h.lock.Lock()
	defer h.lock.Unlock()
	return h.told()
}

// told is isTold with the lock held.
func (h *untold) told() bool {
	for _, is := range h.heard {
		if is.isTold() {
			return true
		}
	}
	return false
}

// moved lets the caller hear and speak at another address, and describes it.
func (h *untold) moved(method string) {
	conn := h.by.newSocket(local(h.by.conn).Addr())
	go h.listen(conn)
	h.lock.Lock()
	h.from, h.rtp = conn, conn
	h.lock.Unlock()
	h.describes(method, h.nextVersion(), true)
}

// awaits waits until the caller's present address has heard as many packets of the statement.
func (h *untold) awaits(packets int) {
	eventually(h.all.T, h.is.name+": the statement is heard", func() bool {
		h.lock.Lock()
		defer h.lock.Unlock()
		is := h.heard[local(h.from)]
		return is != nil && (len(is.before) >= packets*frame || is.agent > 0)
	})
}

// hears judges a packet that comes to the caller.
func (all *untoldCalls) hears(c *partyCall, at netip.AddrPort, pkt []byte) {
	all.mu.Lock()
	h := all.byCall[c]
	all.mu.Unlock()
	h.lock.Lock()
	defer h.lock.Unlock()
	is := h.heard[at]
	if is == nil {
		is = &hearing{}
		h.heard[at] = is
	}
	switch {
	case !bytes.HasPrefix(pkt[12:], []byte(agentSays)):
		if is.agent == 0 {
			is.before = append(is.before, pkt[12:]...)
		}
		return
	case is.agent == 0:
		if !h.told() {
			all.Errorf("%s: an agent is heard after %d packets, untold", h.is.name, len(is.before)/frame)
		}
	}
	is.agent++
}

// overhears notes a caller's word that comes to an agent.
func (all *untoldCalls) overhears(_ *partyCall, _ netip.AddrPort, pkt []byte) {
	word, is := bytes.CutPrefix(pkt[12:], []byte(callerSays))
	if !is {
		return
	}
	all.mu.Lock()
	h := all.byIndex[binary.BigEndian.Uint32(word)]
	all.mu.Unlock()
	n := binary.BigEndian.Uint32(word[4:])
	h.lock.Lock()
	defer h.lock.Unlock()
	h.overheard[n] = true
}

// judge judges what the agent has heard of a caller: nothing that the caller had said more than a second before the
// statement could end.
func (h *untold) judge() {
	h.lock.Lock()
	defer h.lock.Unlock()
	for n := range h.overheard {
		if at := h.words[n]; !at.IsZero() && at.Before(h.began.Add(4*time.Second)) {
			h.all.Errorf("%s: the agent hears word %d, which was said %v after the begin", h.is.name, n, at.Sub(h.began))
		}
	}
}

// connected reports whether the caller hears the agent, and the agent the caller.
func (h *untold) connected() bool {
	h.lock.Lock()
	defer h.lock.Unlock()
	is := h.heard[local(h.from)]
	return is != nil && is.agent > 0 && len(h.overheard) > 0
}

func (h *untold) over() bool {
	select {
	case <-h.partyCall.over:
		return true
	default:
		return false
	}
}

// orders posts an order of the API for the caller's call, and returns the status.
func (h *untold) orders(path, body string) int {
	for _, live := range h.all.server.calls() {
		if live.SIPCallID != h.id {
			continue
		}
		res, err := client.Post(h.all.server.admin+"/api/calls/"+live.ID+"/"+path, "application/json", strings.NewReader(body))
		must(h.all, err)
		must(h.all, res.Body.Close())
		return res.StatusCode
	}
	h.all.Errorf("%s: the call is not live", h.is.name)
	return 0
}

// provisional sends a provisional answer of an agent.
func (c *partyCall) provisional(status, body string) {
	c.replies(reply(c.invite, status, body))
}

// refers sends a REFER to a number.
func (c *partyCall) refers(number string) {
	uri, at, _ := c.peer()
	c.seq++
	text := c.request("REFER", uri, c.seq, "", "REFER")
	to := fmt.Sprintf("Refer-To: <sip:%s@%v>\r\nContent-Length", number, c.by.server.sip)
	c.by.send(at, strings.Replace(text, "Content-Length", to, 1))
}

// presses sends keys in INFO requests.
func (h *untold) presses(keys string) {
	uri, at, _ := h.peer()
	for _, key := range keys {
		h.seq++
		body := fmt.Sprintf("Signal=%c\r\nDuration=100\r\n", key)
		text, _, _ := strings.Cut(h.request("INFO", uri, h.seq, "", "INFO"), "Content-Length")
		text += fmt.Sprintf("Content-Type: application/dtmf-relay\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		h.by.send(at, text)
		h.answered()
	}
}

// progress returns the last provisional answer with a description.
func (h *untold) progress() message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.early
}

// nextVersion returns the caller's description in its next version.
func (h *untold) nextVersion() string {
	h.seq++
	return h.sdp()
}

// held returns the caller's description with another direction.
func (h *untold) held(direction string) string { return h.nextVersion() + "a=" + direction + "\r\n" }

// run makes the call of an attack, and judges it.
func (all *untoldCalls) run(is attack, number int) {
	is.route = cmp.Or(is.route, tellsRoute)
	h := all.call(is, number, nil)
	if is.redial != "" {
		h = h.redials(number)
	}
	go h.talks()
	if is.route != earlyRoute {
		status := h.answered()
		if status != "200" {
			all.Errorf("%s: the call is answered by %s", is.name, status)
			return
		}
		h.meets(h.answer)
	} else {
		eventually(all.T, is.name+": 183", func() bool { return h.progress().raw != "" })
		h.meets(h.progress())
	}
	if is.late {
		uri, at, _ := h.peer()
		h.by.send(at, h.request("ACK", uri, 1, h.sdp(), "ACK"))
	}
	if is.caller != nil {
		is.caller(h)
	}
	if is.ends {
		eventually(all.T, is.name+": the call ends", h.over)
	} else if !within(time.Minute, func() bool { return h.connected() || h.over() }) || h.over() {
		all.Errorf("%s: the caller does not get the agent; over %t", is.name, h.over())
	}
	if !h.over() {
		h.hangUp()
	}
	h.judge()
}

// redials ends a call that was just placed, and places another at once.
func (h *untold) redials(number int) *untold {
	uri := strings.Fields(h.invite.raw)[1]
	var after *untold
	if h.is.sameCallID {
		after = h
	}
	if h.is.redial == "BYE" {
		h.answered()
		h.hangUp()
	} else {
		h.by.send(h.all.server.sip, h.request("CANCEL", uri, 1, "", "INVITE"))
	}
	return h.all.call(h.is, number, after)
}

// TestUntoldCallers: whatever a caller, an agent or an operator does, no caller hears a packet of an agent before the
// whole statement in one piece, and no agent hears what a caller said before.
func TestUntoldCallers(t *testing.T) {
	s := newStage(t) // over 30 calls with RTP at once
	s.agent = s.freePort(s.platform)
	all := &untoldCalls{stage: s, byCall: map[*partyCall]*untold{}}
	agent := s.party(s.agent, "PCMU", func(c *partyCall) {
		user := c.user()
		number, err := strconv.Atoi(user[len(user)-3:])
		switch {
		case err != nil:
			t.Errorf("a call to %s", user)
		case number >= warmUp:
			time.Sleep(3 * time.Second)
			answersAndSpeaks(c)
		case attacks[number].agent != nil:
			attacks[number].agent(c)
		default:
			answersAndSpeaks(c)
		}
	})
	agent.hears = all.overhears
	s.server = startServer(t, s.TempDir(), fmt.Sprintf(`
sip: {listen: ["udp://%[1]v:0"], max_delay: 1m}
media: {listen: ["%[1]v"], timeout: 10m}
trunks:
  - {name: carrier, sources: ["%[2]v"], uri: "sip:{{.To.Number}}@%[3]v", first_response_timeout: 1m}
targets:
  - name: agent
    kind: sip
    uri: "sip:{{.To.Number}}@%[3]v"
    first_response_timeout: 1m
    transfer_numbers: ["^\\+1507"]
routes:
  - {trunk: carrier, to: "^\\+1507", targets: [agent], tell: {sound: eu}, record: told}
  - {trunk: carrier, to: "^\\+1508", targets: [agent], tell: {sound: eu, early: true}}
  - {trunk: carrier, to: "^\\+1509", targets: [agent], tell: {sound: eu, accept: {key: "1", within: 1s}}}
recording: {path: recordings}
store: {path: calls.db}
admin: {listen: "127.0.0.1:0"}
log: {level: debug}
`, s.b2bua, s.carrier, s.agent))
	all.carrier = s.party(s.freePort(s.carrier), "PCMU", func(c *partyCall) {
		t.Errorf("the carrier is called: %s", c.invite.raw)
	})
	all.carrier.hears = all.hears

	var calls sync.WaitGroup
	for i := range 10 { // after which it is known when the agent has to be called
		calls.Go(func() { all.run(attack{name: "an agent that takes 3 s"}, warmUp+i) })
	}
	calls.Wait()
	for i, is := range attacks {
		calls.Go(func() { all.run(is, i) })
	}
	calls.Wait()
	eventually(t, "the calls are over, also those whose CANCEL came too late", func() bool {
		left := s.server.calls()
		for _, live := range left {
			res, err := client.Post(s.server.admin+"/api/calls/"+live.ID+"/hangup", "application/json", nil)
			must(t, err)
			must(t, res.Body.Close())
		}
		return len(left) == 0
	})
	for _, r := range s.server.cdrs() {
		if r.Disposition == record.DispositionAnswered && (r.Told == nil || !r.Told.Whole) {
			t.Errorf("%s got an agent, told %+v", r.To, r.Told)
		}
	}
}

package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"flowbridge/scripts/internal/sip"
)

// probe looks for the tags of another's live call, and takes the call over with what it
// learns: by what a stateless answer may give away, and from a neighbour with the tags
// themselves.
func probe(b *bench) ([]*row, error) {
	s, err := b.start(options{phones: true})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	carrier, err := newPeer(carrierAddr, 5060, nil, nil)
	if err != nil {
		return nil, err
	}
	defer carrier.close()
	var rows []*row
	for _, from := range []struct {
		name string
		addr netip.Addr
		tags bool // it has the dialogs' tags
	}{
		{"tags: a stranger with the ids", strangerAddr(1), false},
		{"tags: a neighbour trunk with the ids", neighbourAddr, false},
		{"tags: a neighbour trunk with the tags, too", neighbourAddr, true},
	} {
		r := &row{Attack: from.name, Calls: 3}
		taken, learned := 0, 0
		began, count := time.Now(), &tally{}
		for range r.Calls {
			t, l, err := takeOver(s, carrier, from.addr, from.tags, count)
			if err != nil {
				return nil, err
			}
			taken, learned = taken+t, learned+l
		}
		r.take(count, began)
		r.Disturbed = taken
		r.Found = fmt.Sprintf("%d tags learned or known, %d calls taken over", learned, taken)
		r.must(taken == 0, "%d calls were taken over", taken)
		rows = append(rows, r)
	}
	return rows, nil
}

// takeOver attacks one live call. It says whether the call was taken, and how many tags
// the attacker tried.
func takeOver(s *system, carrier *peer, from netip.Addr, knows bool, count *tally) (taken, tags int, err error) {
	number := newNumber(answered)
	live, err := dial(carrier, number, credentials{}, false, 5*time.Second)
	if err != nil {
		return 0, 0, fmt.Errorf("the carrier's own call: %w", err)
	}
	attacker, err := newPeer(from, 0, count, nil)
	if err != nil {
		return 0, 0, err
	}
	defer attacker.close()
	ear, err := newPeer(from, 0, nil, nil)
	if err != nil {
		return 0, 0, err
	}
	defer ear.close()
	b := ids{callID: s.agent.inviteTo(number, time.Second).Header("Call-ID"), number: number, cseq: 1}
	b.fromTag = "agent"
	toAgent := s.agent.inviteTo(number, time.Second).Tag("From")

	learned := map[string]bool{}
	for _, via := range []string{"", carrier.addr.String()} {
		for _, branch := range []string{live.branch, "z9hG4bKother" + live.fromTag} {
			for _, m := range askForTags(attacker, live.ids, via, branch) {
				if tag := m.Tag("To"); tag != "" {
					learned[tag] = true
				}
			}
		}
	}
	targets := make([]ids, 0, len(learned)+2)
	for tag := range learned {
		own := live.ids
		own.toTag = tag
		targets = append(targets, own)
	}
	if knows {
		b.toTag = toAgent
		targets = append(targets, live.ids, b)
	}
	for i, t := range targets {
		t.via, t.cseq = "", t.cseq+10+i*10
		t.branch = fmt.Sprintf("z9hG4bKtake%d%08x", i, rand.Uint32())
		attacker.send(t.request("INVITE", attacker.addr, "", sip.Description(ear.addr)))
		t.cseq, t.branch = t.cseq+1, t.branch+"u"
		attacker.send(t.request("UPDATE", attacker.addr, "", sip.Description(ear.addr)))
		t.cseq, t.branch = t.cseq+1, t.branch+"r"
		attacker.send(t.request("REFER", attacker.addr, "Refer-To: <sip:+1900@"+from.String()+">\r\n", ""))
		time.Sleep(50 * time.Millisecond)
		t.cseq, t.branch = t.cseq+1, t.branch+"b"
		attacker.send(t.request("BYE", attacker.addr, "", ""))
	}
	time.Sleep(300 * time.Millisecond)
	if !live.isHeard(s.agent) || ear.media.Load() > 0 || !live.bye() {
		return 1, len(targets), nil
	}
	return 0, len(targets), nil
}

// askForTags sends what is answered without state, and gives the answers.
func askForTags(attacker *peer, i ids, via, branch string) []sip.Message {
	i.via, i.branch, i.toTag = via, branch, ""
	for _, method := range []string{"OPTIONS", "INVITE", "CANCEL", "BYE", "MESSAGE", "REGISTER", "SUBSCRIBE"} {
		for _, more := range []string{"", "Record-Route: <broken\r\n", "Contact: <sip:\r\n", "Authorization: x\r\n", "Require: nonsense\r\n"} {
			attacker.send(i.request(method, attacker.addr, padding+more, ""))
		}
	}
	return attacker.collect(700 * time.Millisecond)
}

// forge answers a call while it rings: with the ids of its INVITE, but another branch.
func forge(b *bench) ([]*row, error) {
	s, err := b.start(options{phones: true})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	carrier, err := newPeer(carrierAddr, 5060, nil, nil)
	if err != nil {
		return nil, err
	}
	defer carrier.close()
	var rows []*row
	for _, from := range []struct {
		name string
		addr netip.Addr
	}{
		{"answers: forged by a stranger", strangerAddr(1)},
		{"answers: forged by a neighbour trunk", neighbourAddr},
		{"answers: forged from the caller's address", carrierAddr},
		{"answers: forged from the target's address", agentAddr},
	} {
		r := &row{Attack: from.name}
		began, count := time.Now(), &tally{}
		for _, status := range []string{"200 OK", "183 Session Progress", "486 Busy Here", "401 Unauthorized", "302 Moved Temporarily"} {
			r.Calls++
			ok, why, err := forgeOne(s, carrier, from.addr, status, count)
			if err != nil {
				return nil, err
			}
			if !ok {
				r.Disturbed++
				r.must(false, "%s: %s", status, why)
			}
		}
		r.take(count, began)
		r.Found = fmt.Sprintf("%d calls answered or ended by the forger", r.Disturbed)
		rows = append(rows, r)
	}
	return rows, nil
}

func forgeOne(s *system, carrier *peer, from netip.Addr, status string, count *tally) (ok bool, why string, err error) {
	number := newNumber(ringing)
	live, err := dial(carrier, number, credentials{}, true, 5*time.Second)
	if err != nil {
		return false, "", fmt.Errorf("the carrier's own call: %w", err)
	}
	defer live.close()
	invite := s.agent.inviteTo(number, time.Second)
	forger, err := newPeer(from, 0, count, nil)
	if err != nil {
		return false, "", err
	}
	defer forger.close()
	ear, err := newPeer(from, 0, nil, nil)
	if err != nil {
		return false, "", err
	}
	defer ear.close()
	own := invite.Branch()
	flipped := own[:len(own)-1] + string('0'+'1'-own[len(own)-1]&1)
	for i, branch := range []string{"z9hG4bKguess", "", own[:len(own)-8], own + "0", flipped, strings.ToUpper(own), live.branch} {
		m := sip.Message(strings.Replace(string(invite), "branch="+own, "branch="+branch, 1))
		forger.send("SIP/2.0 " + status + "\r\n" + m.Lines("Via", "From", "Call-ID", "CSeq") + fmt.Sprintf("To: %s;tag=forger%d\r\n", m.Header("To"), i) +
			"WWW-Authenticate: Digest realm=\"x\", nonce=\"y\"\r\nContact: <sip:" + forger.addr.String() + ">\r\n" + sip.WithBody(sip.Description(ear.addr)))
	}
	early := carrier.await(700*time.Millisecond, func(m sip.Message) bool {
		return m.Header("Call-ID") == live.callID && !m.Is("INVITE") && !m.Is("180")
	})
	if early != "" {
		return false, "the caller got " + early.Start(), nil
	}
	s.agent.answer(invite.Header("Call-ID"))
	live.last = carrier.await(5*time.Second, func(m sip.Message) bool { return m.Header("Call-ID") == live.callID && m.Is("200") })
	if live.last == "" {
		return false, "the agent's own answer does not count any more", nil
	}
	live.toTag, live.port = live.last.Tag("To"), live.last.MediaPort()
	live.ack()
	heard := live.isHeard(s.agent)
	switch {
	case !live.bye() || !heard:
		return false, "the call is not there or silent", nil
	case ear.media.Load() > 0:
		return false, "the forger hears it", nil
	}
	return true, "", nil
}

// branches guesses the branch of a trunk's next INVITE: a neighbour sends one with it
// first, and acknowledges what the trunk gets.
func branches(b *bench) ([]*row, error) {
	s, err := b.start(options{})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	carrier, err := newPeer(carrierAddr, 5060, nil, nil)
	if err != nil {
		return nil, err
	}
	defer carrier.close()
	began, count := time.Now(), &tally{}
	neighbour, err := newPeer(neighbourAddr, 5060, count, func(*peer, sip.Message) {})
	if err != nil {
		return nil, err
	}
	defer neighbour.close()
	r := &row{Attack: "branches: guessed by a neighbour trunk", Calls: 5}
	for n := range r.Calls {
		honest := newIDs(newNumber(answered))
		guess := newIDs(honest.number)
		guess.branch, guess.via = honest.branch, carrier.addr.String()
		ear := netip.AddrPortFrom(neighbourAddr, 20000)
		if n%2 == 0 {
			neighbour.send(guess.request("INVITE", neighbour.addr, "", sip.Description(ear)))
			time.Sleep(200 * time.Millisecond)
		}
		c, err := dialAs(carrier, honest, credentials{}, false, 4*time.Second)
		if err != nil {
			r.Disturbed++
			continue
		}
		guess.toTag = c.toTag
		neighbour.send(guess.request("ACK", neighbour.addr, "", ""))
		if !c.isHeard(s.agent) || !c.bye() {
			r.Disturbed++
		}
	}
	r.take(count, began)
	r.Found = fmt.Sprintf("%d calls had no answer", r.Disturbed)
	r.must(r.Disturbed == 0, "%d of %d calls of the trunk were disturbed", r.Disturbed, r.Calls)
	return []*row{r}, nil
}

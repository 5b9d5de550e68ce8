//go:build e2e

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/media/audio"
	said "flowbridge/sim/conversation"
	"flowbridge/store/record"
)

// spoken is an utterance of a side, with its time since the answer.
type spoken struct {
	said.Packet
	by *side
}

// dialogue returns a conversation of some turns, in chronological order.
func dialogue(one, two *side, turns int) (all []spoken) {
	sounds := said.Synthetic(201)
	c := said.New(201, sounds, turns)
	for i, by := range []*side{one, two} {
		for _, p := range c.Packets(i, said.Conditions()[0], sounds, 201) {
			all = append(all, spoken{p, by})
		}
	}
	slices.SortStableFunc(all, func(a, b spoken) int { return int(a.Arrival - b.Arrival) })
	return all
}

// TestTalk: a call's conversation is in its record, its ladder and the output for people, even after a kill in the
// middle. The accuracy of the figures is not judged here, because machines may be slow: scripts/bench talk and
// TestFiguresOfConversations do that.
func TestTalk(t *testing.T) {
	s := newQuietStage(t)
	r := s.talks(setup{listen: []string{"udp://" + s.freePort(s.b2bua).String()}, media: ", engine: userspace"}, func() {})
	if *r.Talk.MeasuredMS >= r.DurationMS {
		t.Errorf("%d of %d ms are measured, though no process listened for a while", *r.Talk.MeasuredMS, r.DurationMS)
	}
}

// TestTalkInTheKernel is the same test with the kernel relaying. The kernel listens while there is no process, so
// nothing is missing.
func TestTalkInTheKernel(t *testing.T) {
	if !withPins(t) {
		return
	}
	s := newQuietStage(t)
	o := setup{listen: []string{"udp://" + s.freePort(s.b2bua).String()}, media: ", ports: " + s.freePorts(100)}
	r := s.talks(o, func() {
		if health := s.server.text("/healthz"); !strings.Contains(health, "media: kernel: ") {
			t.Skip("needs a kernel that can relay: ", health)
		}
		eventually(t, "the kernel relays both directions", func() bool {
			return strings.Contains(s.server.text("/metrics"), "\nflowbridge_media_streams{path=\"kernel\"} 2\n")
		})
	})
	if missing := r.DurationMS - *r.Talk.MeasuredMS; missing > 1000 {
		t.Errorf("%d of %d ms are not measured, though the kernel listened all the time", missing, r.DurationMS)
	}
}

// talks holds a conversation with a kill in the middle, and returns the call's record. before is called just before the
// kill.
func (s *stage) talks(o setup, before func()) record.Record {
	s.Helper()
	s.prepareCalls()
	s.serve(o)
	one, two := s.newSide(s.carrier, audio.ULaw, ""), s.newSide(s.platform, audio.ULaw, "")
	all := dialogue(one, two, 5)
	call := s.converse(one, two, "-aa")
	began, killed := time.Now(), false
	for _, p := range all {
		time.Sleep(time.Until(began.Add(p.Arrival)))
		if p.Arrival > 24*time.Second && !killed {
			killed = true
			before()
			died := time.Now()
			s.restart(o)
			if strings.Contains(o.media, "userspace") { // no process listens, so both sides wait for it
				began = began.Add(time.Since(died))
			}
		}
		if _, err := p.by.from.WriteToUDPAddrPort(p.by.packet(p.Payload, false), p.by.at); err != nil {
			s.Fatal(err)
		}
	}
	id := s.server.calls()[0].ID
	shown := s.server.prints("calls", "show", id, "--url", s.server.admin)
	if !strings.Contains(shown, "\ntalk       good") || !strings.Contains(shown, "C") || !strings.Contains(shown, "\nagent      ") {
		s.Errorf("calls show prints\n%s", shown)
	}
	if l := s.server.said(id); l.Talk == nil || len(l.Talk.Caller) < 2 || len(l.Talk.Agent) < 2 {
		s.Errorf("the ladder says %+v", l.Talk)
	}
	call.hangUp()
	r := s.server.finish(hungUpByCaller)[0]
	k := r.Talk
	if k == nil || k.Confidence != record.TalkGood || k.FirstAgentMS == nil || k.Turns == nil || k.Agent.SpokeMS < 1000 || k.Caller.SpokeMS < 1000 {
		text, _ := json.Marshal(k)
		s.Fatalf("the conversation was %s", text)
	}
	if r.Restored != 1 {
		s.Errorf("restored %d times; want once", r.Restored)
	}
	return r
}

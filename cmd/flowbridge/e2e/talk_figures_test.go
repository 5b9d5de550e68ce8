//go:build e2e && talk

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/pion/rtp"

	"flowbridge/media/audio"
	said "flowbridge/sim/conversation"
	"flowbridge/store/record"
)

// calledFor is a call with a conversation under a condition.
type calledFor struct {
	condition int
	seed      uint64
	sipCallID string
	to        [2]netip.AddrPort // addresses that caller and agent send to
	words     *said.Conversation
}

// TestFiguresThroughTheBinary prints how far the figures of the real binary are from the truth (scripts/bench talk). It
// tests both paths, undisturbed and with the process killed or replaced in the middle of all calls. TALK_CALLS is the
// number of calls per condition. The kernel's flows outlive a process if /sys/fs/bpf is a BPF file system. Nothing was
// tuned on these voices and noises.
func TestFiguresThroughTheBinary(t *testing.T) {
	calls := 1
	if n, err := strconv.Atoi(os.Getenv("TALK_CALLS")); err == nil {
		calls = n
	}
	for _, engine := range []string{"kernel", "userspace"} {
		for _, event := range []string{"undisturbed", "killed", "upgraded"} {
			t.Run(engine+", "+event, func(t *testing.T) {
				s := newPlace(t)
				s.prepareCalls()
				s.figures(engine, event, calls)
			})
		}
	}
}

func (s *stage) figures(engine, event string, calls int) {
	s.Helper()
	conditions := allConditions()
	o := setup{
		listen: []string{"udp://" + s.freePort(s.b2bua).String()},
		media:  fmt.Sprintf(", engine: %s, ports: %s", engine, s.freePorts(uint16(8*calls*len(conditions)))),
	}
	s.serve(o)
	one, two := s.newSide(s.carrier, audio.ULaw, ""), s.newSide(s.platform, audio.ULaw, "")
	n := calls * len(conditions)
	agent := s.agentPlays("described", []string{"-aa", "-m", strconv.Itoa(n)}, "@SDP@", two.sdp())
	var all []calledFor
	for i := range n {
		c := calledFor{condition: i % len(conditions), seed: 101 + uint64(i/len(conditions))}
		media := strconv.Itoa(10000 + 8*i) // for SIPp, which does not find free ports among so many otherwise
		carrier := s.carrierPlays("described", []string{"-aa", "-mp", media}, "@SDP@", one.sdp())
		c.sipCallID = carrier.answered(1)[0]
		one.meets(carrier.received("SIP/2.0 200", 1)[0])
		two.meets(agent.received("INVITE ", i+1)[i])
		c.to = [2]netip.AddrPort{one.at, two.at}
		all = append(all, c)
	}
	began := s.converseAll(all, one, two, func() {
		switch event {
		case "killed":
			s.restart(o)
		case "upgraded":
			s.server.upgrade()
		}
	})
	s.compare(all, began, engine+", "+event)
}

// converseAll sends the audio of all calls, and calls happens in the middle. It returns when the first packet was sent.
func (s *stage) converseAll(all []calledFor, one, two *side, happens func()) (began time.Time) {
	s.Helper()
	type due struct {
		at  time.Duration
		by  *side
		to  netip.AddrPort
		raw []byte
	}
	var queue []due
	sounds := map[uint64]said.Sounds{}
	for i := range all {
		c := &all[i]
		if _, ok := sounds[c.seed]; !ok {
			sounds[c.seed] = said.Synthetic(c.seed)
		}
		k := allConditions()[c.condition]
		c.words = k.Conversation(c.seed, sounds[c.seed], 8)
		for side, by := range []*side{one, two} {
			for _, p := range c.words.Packets(side, k, sounds[c.seed], c.seed) {
				h := rtp.Header{
					Version: 2, PayloadType: p.PayloadType, SequenceNumber: p.Seq, Timestamp: p.Timestamp, SSRC: uint32(1 + 2*i + side),
				}
				raw, err := (&rtp.Packet{Header: h, Payload: p.Payload}).Marshal()
				must(s, err)
				queue = append(queue, due{p.Arrival, by, c.to[side], raw})
			}
		}
	}
	slices.SortFunc(queue, func(a, b due) int { return cmp.Compare(a.at, b.at) })
	middle := queue[len(queue)/2].at
	done := make(chan struct{})
	began = time.Now()
	time.AfterFunc(middle, func() { happens(); close(done) })
	for _, d := range queue {
		time.Sleep(time.Until(began.Add(d.at)))
		if _, err := d.by.from.WriteToUDPAddrPort(d.raw, d.to); err != nil {
			s.Fatal(err)
		}
	}
	<-done
	time.Sleep(time.Second) // until the figures have been read
	return began
}

// compare prints a row for each condition.
func (s *stage) compare(all []calledFor, began time.Time, what string) {
	s.Helper()
	ids := map[string]string{}
	for _, c := range s.server.calls() {
		ids[c.SIPCallID] = c.ID
	}
	s.Logf("%s: error of turn latency in ms, p50 / p95, found of all, and how many were none; the same of barge-ins; by the "+
		"truth at 20 dB, then at 30 dB", what)
	for i, condition := range allConditions() {
		var scores [2]said.Score
		noisy, calls := 0, 0
		for _, c := range all {
			if c.condition != i {
				continue
			}
			calls++
			status, b := s.server.get("/api/calls/" + ids[c.sipCallID] + "/ladder")
			var l struct {
				Talk *struct {
					Start         time.Time
					Caller, Agent [][2]int64
				}
			}
			var live struct{ Talk *record.Talk }
			if err := json.Unmarshal(b, &l); err != nil || status != http.StatusOK {
				s.Fatalf("%d %s: %v", status, b, err)
			}
			if status, b = s.server.get("/api/calls/" + ids[c.sipCallID]); status != http.StatusOK {
				s.Fatalf("%d %s", status, b)
			}
			must(s, json.Unmarshal(b, &live))
			if live.Talk == nil || l.Talk == nil {
				s.Errorf("%s: no conversation: %s", condition.Name, b)
				continue
			}
			if live.Talk.Confidence == "noisy" {
				noisy++
				continue
			}
			late := began.Sub(l.Talk.Start)
			spans := [2][]said.Span{moved(l.Talk.Caller, late), moved(l.Talk.Agent, late)}
			for j, decibels := range []int{20, 30} {
				scores[j].Compare(c.words.Moments(decibels), said.MomentsOf(spans, c.words.End()))
			}
		}
		s.Logf("%-18s | %v | %v | noisy %d of %d", condition.Name, &scores[0], &scores[1], noisy, calls)
	}
}

func allConditions() []said.Condition { return slices.Concat(said.Conditions(), said.Families()) }

// moved converts the spans of a ladder to times since the first packet.
func moved(spans [][2]int64, late time.Duration) (all []said.Span) {
	for _, s := range spans {
		all = append(all, said.Span{
			From: time.Duration(s[0])*time.Millisecond - late, To: time.Duration(s[1])*time.Millisecond - late,
		})
	}
	return all
}

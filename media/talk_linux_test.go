package media

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/media/audio"
	"flowbridge/media/packet"
	"flowbridge/media/stage"
	"flowbridge/media/stream"
	"flowbridge/media/voice"
	"flowbridge/media/voice/turns"
	said "flowbridge/sim/conversation"
)

// spoken is a packet that one side of a conversation sends.
type spoken struct {
	side Side
	said.Packet
}

// conversed returns the packets of a conversation without noise, in order of arrival, with its figures as computed
// without a relay.
func conversed() ([]spoken, time.Duration, turns.Figures) {
	c := theConversation()
	return c.all, c.end, c.figures
}

// converses holds that conversation. It is made once, because that takes long with the race detector.
type converses struct {
	all     []spoken
	end     time.Duration
	figures turns.Figures
}

var theConversation = sync.OnceValue(func() converses { //nolint:gochecknoglobals // made once for all tests
	const seed = 105
	var all []spoken
	sounds := said.Synthetic(seed)
	c := said.New(seed, sounds, 6)
	for side := range 2 {
		for _, p := range c.Packets(side, said.Conditions()[0], sounds, seed) {
			all = append(all, spoken{Side(side), p})
		}
	}
	slices.SortStableFunc(all, func(a, b spoken) int { return int(a.Arrival - b.Arrival) })
	var heard [2]voice.Detector
	talk := turns.New(0)
	for _, p := range all {
		s, ok := heard[p.side].Packet(voice.Packet{
			Arrival: p.Arrival, SSRC: 7 + uint32(p.side), Timestamp: p.Timestamp, Content: voice.ContentOf(p.PayloadType),
			Payload: p.Payload,
		})
		if ok {
			talk.Hear(turns.Party(p.side), s)
		}
	}
	for side := range heard {
		talk.Look(turns.Party(side), heard[side].View(c.End()))
	}
	talk.Finish(c.End())
	return converses{all, c.End(), talk.Figures()}
})

// talker is a session that relays what both sides say. The test sets the clock of its worker.
type talker struct {
	*bench
	r        *relay
	answered time.Duration
}

func newTalker(t *testing.T) *talker {
	t.Helper()
	b := newBench(t, 1)
	b.w.now = time.Hour
	k := &talker{bench: b, r: b.relays[0], answered: b.w.now}
	k.order(command{op: opOrder, order: Conversation{Agent: SideB}})
	return k
}

func (k *talker) order(c command) {
	k.tb.Helper()
	c.relay = k.r
	must(k.tb, k.w.perform(c))
}

// say makes a side's packet arrive.
func (k *talker) say(side Side, payloadType uint8, seq uint16, timestamp uint32, payload []byte) {
	pkt := k.w.buf[:packet.HeaderLen+len(payload)]
	pkt[0], pkt[1] = 0x80, payloadType
	binary.BigEndian.PutUint16(pkt[2:], seq)
	binary.BigEndian.PutUint32(pkt[4:], timestamp)
	binary.BigEndian.PutUint32(pkt[8:], 7+uint32(side))
	copy(pkt[packet.HeaderLen:], payload)
	k.w.from.set(k.r.party[side].named.RTP)
	k.w.relay(&k.r.endpoint[side][RTP], len(pkt))
}

// hears makes the packets between two times arrive.
func (k *talker) hears(all []spoken, from, to time.Duration) {
	for _, p := range all {
		if p.Arrival >= from && p.Arrival < to {
			k.w.now = k.answered + p.Arrival
			k.say(p.side, p.PayloadType, p.Seq, p.Timestamp, p.Payload)
		}
	}
	k.w.now = k.answered + to
}

// forget resets the stages to those of a new session.
func (k *talker) forget() {
	k.r.stages = stage.Stages{}
	k.r.stages.Init(k.r)
}

// why returns why the call is not a conversation at present.
func (k *talker) why() turns.Why { return k.saved().Talk.Why }

// utterances returns how often a side has said something.
func (k *talker) utterances(side Side) uint64 { return k.saved().Talk.Told[side] }

func (k *talker) saved() (st stage.State) {
	k.r.stages.Save(&st, false, stream.Clock{})
	return st
}

func (k *talker) figures() turns.Figures {
	k.r.stages.End(k.w.now)
	return *k.r.stages.Figures()
}

// TestTalk: the figures of a relay are the figures computed from the packets.
func TestTalk(t *testing.T) {
	all, end, want := conversed()
	if want.Latency.N < 4 || want.Confidence != turns.Good {
		t.Fatalf("not much of a conversation: %+v", want)
	}
	k := newTalker(t)
	k.hears(all, 0, end)
	if diff := cmp.Diff(want, k.figures()); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
}

// TestTalkInTwoLives: an upgrade loses nothing of the figures. A kill loses what was said since the state was taken,
// but makes no figure wrong.
func TestTalkInTwoLives(t *testing.T) {
	all, end, want := conversed()
	for at := 2 * time.Second; at < end-2*time.Second; at += 1300 * ms {
		for _, exact := range []bool{true, false} {
			k := newTalker(t)
			k.hears(all, 0, at)
			st := SessionState{At: k.w.now, Exact: exact}
			k.r.state(&st, 0)
			if !exact {
				k.hears(all, at, at+time.Second)
			}
			next := newTalker(t)
			next.w.now = k.w.now
			next.forget()
			next.r.resume(new(filed(t, st)), stream.Clock{Now: k.w.now})
			next.r.stages.CatchUp(exact, k.w.now)
			for side, ep := range next.r.endpoints() { // the latches belong to another port
				_ = side
				ep.attached = false
			}
			for side := range next.r.party {
				must(t, next.r.setPeer(Side(side), Peer{RTP: k.r.party[side].named.RTP, Believed: prefixes("127.0.0.0/8")}, next.w.now))
			}
			if exact {
				next.hears(all, at, end)
				if diff := cmp.Diff(want, next.figures()); diff != "" {
					t.Fatalf("upgrade after %v: want - got +\n%s", at, diff)
				}
				continue
			}
			next.hears(all, at+time.Second, end)
			got := next.figures()
			if got.Measured > want.Measured-time.Second+20*ms || got.Measured < want.Measured-1500*ms {
				t.Errorf("kill after %v: %v measured; want the second that was not heard missing from %v", at, got.Measured, want.Measured)
			}
			among(t, got.Latency.Values, want.Latency.Values)
			among(t, got.Reaction.Values, want.Reaction.Values)
			if got.CutOffs > want.CutOffs || got.Ignored > want.Ignored || got.BargeIns > want.BargeIns {
				t.Errorf("kill after %v: %+v; there are %+v", at, got, want)
			}
		}
	}
}

// TestLine: times in which caller and agent do not talk with each other are left out of the figures, starting with the
// next packet.
func TestLine(t *testing.T) {
	k := newTalker(t)
	sound, err := audio.NewSound(make([]int16, audio.Rate))
	must(t, err)
	peer := *k.r.party[SideB].named
	held, gone := peer, peer
	held.Held, gone.RTP = true, netip.AddrPort{}
	for _, c := range []struct {
		name string
		c    command
		want turns.Why
	}{
		{"held", command{op: opPeer, side: SideB, peer: &held}, turns.Hold},
		{"resumed", command{op: opPeer, side: SideB, peer: &peer}, 0},
		{"unplugged", command{op: opPeer, side: SideB, peer: &gone}, turns.Hold},
		{"plugged", command{op: opPeer, side: SideB, peer: &peer}, 0},
		{"a transfer", command{op: opOrder, order: stage.Interrupt(true)}, turns.Transfer},
		{"and a hold", command{op: opPeer, side: SideB, peer: &held}, turns.Transfer | turns.Hold},
		{"resumed in it", command{op: opPeer, side: SideB, peer: &peer}, turns.Transfer},
		{"the agent is back", command{op: opOrder, order: stage.Interrupt(false)}, 0},
		{"masked", command{op: opOrder, side: SideA, order: Mask{On: true}}, turns.Mask},
		{"not masked", command{op: opOrder, side: SideA, order: Mask{}}, 0},
		{"a beep", command{op: opOrder, side: SideB, order: Play{Sound: sound, Mix: true}}, 0},
		{"music", command{op: opOrder, side: SideB, order: Play{Sound: sound, Loop: true}}, turns.Sound},
		{"silence", command{op: opOrder, side: SideB, order: stage.Stop{}}, 0},
	} {
		k.w.now += time.Second
		if k.order(c.c); k.why() != c.want {
			t.Errorf("%s: paused for %b; want %b", c.name, k.why(), c.want)
		}
	}
	k.order(command{op: opOrder, side: SideB, order: Play{Sound: sound}})
	for range 60 {
		k.w.now += 20 * ms
		k.w.ring()
	}
	if k.why() != 0 {
		t.Errorf("after a sound: paused for %b", k.why())
	}
}

// TestKeysCutTheLine: the time to an answer is not measured from speech before a key.
func TestKeysCutTheLine(t *testing.T) {
	all, end, want := conversed()
	k := newTalker(t)
	k.order(command{op: opPeer, peer: &Peer{RTP: k.r.party[SideA].named.RTP, Events: setOf(101)}})
	k.order(command{op: opOrder, order: Conversation{Agent: SideB}})
	for at := time.Duration(0); at < end; at += 100 * ms {
		k.hears(all, at, min(at+100*ms, end))
		k.say(SideA, 101, uint16(at/ms), uint32(at/ms)*8, []byte{5, 0x8a, 0, 160})
		k.r.tick(k.w.now)
	}
	if got := k.figures(); got.Latency.N > 0 || got.BargeIns > 0 || got.Parties[turns.Agent].Spoke < want.Parties[turns.Agent].Spoke*9/10 {
		t.Errorf("between keys: %+v; want no turn, and the agent's %v", got, want.Parties[turns.Agent].Spoke)
	}
}

// TestTalkAsksForAState: while the sides speak, a new state is asked for at least every 20 s.
func TestTalkAsksForAState(t *testing.T) {
	all, end, _ := conversed()
	k := newTalker(t)
	asked := 0
	k.r.onEvent = func(e Event) {
		if _, ok := e.(EventChanged); ok {
			asked++
			k.r.noted()
		}
	}
	k.r.noted()
	for at := time.Duration(0); at < end; at += 250 * ms {
		before := asked
		k.hears(all, at, min(at+250*ms, end))
		asked = before // other events are for sources that were learned
		k.r.tick(k.w.now)
	}
	if most := int(end / (20 * time.Second)); asked < 1 || asked > most {
		t.Errorf("%d states were asked for in %v; want 1 to %d", asked, end, most)
	}
	asked = 0
	k.w.now += time.Hour
	if k.r.tick(k.w.now); asked > 1 {
		t.Errorf("%d after an hour of silence", asked)
	}
}

// TestTalkBesideClose: if the figures of a conversation are read while its session is being closed, they are the final
// ones.
func TestTalkBesideClose(t *testing.T) {
	noLeaks(t)
	for range 20 {
		br := newBridge(t, openEngine(t, nil))
		_ = br.Follow(Conversation{Agent: SideB})
		br.Start()
		br.carries(sourcePacket(t, 7, 100))
		var looks sync.WaitGroup
		for range 2 {
			looks.Go(func() {
				for range 100 {
					_, _, _ = br.Speech()
					_ = br.Talk()
				}
			})
		}
		br.Close()
		looks.Wait()
		if first, second := br.Talk(), br.Talk(); first == nil || !cmp.Equal(first, second) {
			t.Errorf("closed: %+v, then %+v", first, second)
		}
		_ = br.engine.Close()
	}
}

//go:build !race

package stage

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
	"flowbridge/media/voice/turns"
	"flowbridge/sim/conversation"
)

// conversed is a session whose conversation is measured, with a transcoder at side A if it has an order.
type conversed struct {
	edges
	moments []turns.Moment
}

func (c *conversed) Pass(from Side, p *Packet) { c.Packet(from, p) }

// hears runs a conversation, in which side A is the caller, through a session.
func hears(t *testing.T, k conversation.Condition, settings [2]*opus.Settings, seed uint64) (*conversed, *conversation.Conversation) {
	t.Helper()
	sounds := conversation.Synthetic(101 + seed)
	conv := conversation.New(seed, sounds, 6)
	type sent struct {
		at   time.Duration
		from Side
		pkt  []byte
	}
	var all []sent
	rng := rand.New(rand.NewPCG(seed, 3))
	loss := k.Loss
	k.Loss = 0 // the encoder hears what is lost
	for side, s := range settings {
		var enc *opus.Encoder
		if s != nil {
			var err error
			if enc, err = opus.NewEncoder(*s); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range conv.Packets(side, k, sounds, seed) {
			number, timestamp, payload := uint8(0), p.Timestamp, p.Payload
			if enc != nil {
				var samples [opus.Frame]int16
				var pkt [opus.MaxPacket]byte
				audio.ULaw.Decode(samples[:], payload)
				n, err := enc.Encode(samples[:], pkt[:])
				if err != nil {
					t.Fatal(err)
				}
				number, timestamp, payload = 111, timestamp*opus.Scale, pkt[:n]
			}
			if len(payload) > 0 && rng.Float64() >= loss {
				all = append(all, sent{p.Arrival, Side(side), rtpOf(number, p.Seq, timestamp, payload)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b sent) int { return cmp.Compare(a.at, b.at) })

	c := &conversed{}
	c.Init(c)
	c.Held = false
	follow := Conversation{Agent: SideB}
	if settings[SideB] != nil {
		follow.Opus = [2]packet.PayloadSet{set(111), set(111)}
	} else if err := c.Order(SideA, opusSide(), 0); err != nil {
		t.Fatal(err)
	}
	ready, err := follow.Ready()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Order(SideA, ready, 0); err != nil {
		t.Fatal(err)
	}
	c.talk.turns.Each = func(m turns.Moment) { c.moments = append(c.moments, m) }
	look := time.Second
	for _, p := range all {
		for ; c.now < p.at; c.now += 10 * time.Millisecond {
			if c.Due(SideA) <= c.now {
				c.Attend(SideA, c.now)
			}
		}
		if p.at > look {
			c.Look(p.at)
			look += time.Second
		}
		h, _ := packet.ParseRTP(p.pkt)
		is := &Packet{Header: h, Data: p.pkt, Now: p.at}
		if !c.Enter(p.from, is) {
			c.Packet(p.from, is)
		}
	}
	c.End(conv.End())
	return c, conv
}

// TestConversationsInOpus: the figures of a conversation in Opus are right within 60 ms, whether it is transcoded or
// passes unchanged.
func TestConversationsInOpus(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for long")
	}
	fec, dtx := &opus.Settings{FEC: true}, &opus.Settings{DTX: true}
	for _, tt := range []struct {
		name   string
		codecs [2]*opus.Settings // of caller and agent; nil: G.711
		loss   float64
	}{
		{"transcoded", [2]*opus.Settings{dtx, nil}, 0},
		{"untouched", [2]*opus.Settings{dtx, dtx}, 0},
		{"untouched, loss", [2]*opus.Settings{fec, fec}, 0.03},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var score conversation.Score
			for seed := range uint64(2) {
				k := conversation.Conditions()[0]
				k.Loss, k.Jitter = tt.loss, 10
				c, conv := hears(t, k, tt.codecs, seed)
				if f := c.Figures(); f.Confidence == turns.NotMeasured {
					t.Fatalf("not measured: %s", f.Reason)
				}
				score.Compare(conv.Moments(30), c.moments)
			}
			t.Logf("turns; barge-ins: error in ms at p50 / p95: %v", &score)
			worst := conversation.Quantile(slices.Concat(score.Turn, score.Barge), 1)
			if worst > 60 || len(score.Turn) < score.Turns || score.ExtraTurns+score.ExtraBarges > 0 {
				t.Errorf("%v; want each within 60 ms", &score)
			}
		})
	}
}

// TestConversationsWithJunk: packets that are no Opus of this side neither count as speech nor end the measurement, and
// decoding costs no more than real time.
func TestConversationsWithJunk(t *testing.T) {
	e := &edges{}
	e.Init(e)
	ready, err := Conversation{Agent: SideB, Opus: [2]packet.PayloadSet{set(111), set(111)}}.Ready()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Order(SideA, ready, 0); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 20000 {
		payload := make([]byte, []int{0, 1, 2, 40, 1275}[rng.IntN(5)])
		for k := range payload {
			payload[k] = byte(rng.Uint32())
		}
		now := time.Duration(i) * 100 * time.Microsecond // 10,000 packets a second
		pkt := rtpOf(111, uint16(rng.Uint32()), rng.Uint32(), payload)
		h, _ := packet.ParseRTP(pkt)
		if v := e.Packet(SideA, &Packet{Header: h, Data: pkt, Now: now}); v != Relay {
			t.Fatalf("verdict %v", v)
		}
	}
	if b := &e.ways[SideA].ear.opus.budget; b.spent > budgetMost {
		t.Errorf("%v ahead of real time; want at most %v", b.spent, budgetMost)
	}
	if e.ways[SideA].ear.opus.broken {
		t.Error("the decoder has failed")
	}
	if e.Plain(SideA, time.Minute) {
		t.Error("the kernel may relay what is decoded here")
	}
}

// BenchmarkOpusEar is one packet of Opus that passes unchanged and is heard.
func BenchmarkOpusEar(b *testing.B) {
	e := &edges{}
	e.Init(e)
	ready, err := Conversation{Agent: SideB, Opus: [2]packet.PayloadSet{set(111), set(111)}}.Ready()
	if err != nil {
		b.Fatal(err)
	}
	_ = e.Order(SideA, ready, 0)
	packets := encoded(b, words(20), opus.Settings{FEC: true})
	b.ReportAllocs()
	i, is := 0, Packet{Data: rtpOf(111, 0, 0, packets[0])}
	for b.Loop() {
		putHeader(is.Data, packet.Header{PayloadType: 111, Seq: uint16(i), Timestamp: uint32(i) * 960, SSRC: 7}, false)
		is.Header, _ = packet.ParseRTP(is.Data)
		is.Data, is.Now = append(is.Data[:packet.HeaderLen], packets[i%len(packets)]...), time.Duration(i)*20*time.Millisecond
		e.Packet(SideA, &is)
		i++
	}
}

// TestStateIsOutdated: a new state of a conversation is due a while after the last one, but only if something was heard.
func TestStateIsOutdated(t *testing.T) {
	e := &edges{}
	e.Init(e)
	if err := e.Order(SideA, Conversation{Agent: SideB}, 0); err != nil {
		t.Fatal(err)
	}
	if e.Tick(time.Minute) {
		t.Error("outdated although nobody has spoken")
	}
	for i := range 100 {
		pkt := rtpOf(0, uint16(i), uint32(160*i), make([]byte, 160))
		h, _ := packet.ParseRTP(pkt)
		e.Packet(SideA, &Packet{Header: h, Data: pkt, Now: time.Minute + time.Duration(20*i)*time.Millisecond})
	}
	if !e.Tick(2*time.Minute) || e.Tick(2*time.Minute+talkNoted-1) || !e.Tick(2*time.Minute+talkNoted) {
		t.Errorf("not outdated %v after it was noted", talkNoted)
	}
	e.Noted()
	if e.Tick(3 * time.Minute) {
		t.Error("outdated although nobody has spoken since")
	}
}

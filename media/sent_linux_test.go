package media

import (
	"net/netip"
	"testing"
	"time"

	"flowbridge/media/packet"
)

// TestSent: what is said of a sound is what side B got of it.
func TestSent(t *testing.T) {
	held := func(l *line, on bool) {
		peer := *l.r.party[SideB].named
		peer.Held = on
		must(t, l.r.setPeer(SideB, peer, l.w.now))
	}
	for _, tt := range []struct {
		name   string
		play   Play
		during func(l *line) // after 50 ms
		at     time.Duration
		missed int64
	}{
		{"whole", Play{}, nil, 200 * ms, 0},
		{"in packets of 60 ms", Play{Frame: 60 * ms}, nil, 200 * ms, 0},
		{"from the middle", Play{From: 115 * ms}, nil, 200 * ms, 0},
		{"from the middle of a packet", Play{From: 115 * ms, Frame: 60 * ms}, nil, 200 * ms, 0},
		{"from its end", Play{From: 200 * ms}, nil, 200 * ms, 0},
		{"from far behind its end", Play{From: time.Hour}, nil, 200 * ms, 0},
		{"from before its beginning", Play{From: -time.Hour}, nil, 200 * ms, 0},
		{"on hold", Play{}, func(l *line) { held(l, true); l.runs(60 * ms); held(l, false) }, 200 * ms, 3},
		{"on hold until the end", Play{}, func(l *line) { held(l, true) }, 200 * ms, 7},
		{"late", Play{}, func(l *line) { l.w.now += 130 * ms }, 200 * ms, 3},
		{"late until the end", Play{}, func(l *line) { l.w.now += time.Second }, 200 * ms, 7},
		{"a digit", Play{}, func(l *line) { l.gives(l.r, SideA, Digit{Digit: '5', PayloadType: 101}) }, 200 * ms, 0},
		{"not sent", Play{}, func(l *line) { l.ep.out.fd = noSocket }, 200 * ms, 7},
		{"mixed with nothing", Play{Mix: true}, nil, 0, 0},
	} {
		l := newLine(t)
		var ended []EventPlayed
		l.r.onEvent = func(e Event) {
			if p, is := e.(EventPlayed); is {
				ended = append(ended, p)
			}
		}
		tt.play.Sound, tt.play.ID = counted(t, 10), 3
		l.play(tt.play)
		got := l.runs(50 * ms)
		id, so := l.r.stages.Playing(SideA)
		if over := len(ended) > 0; over == (id == 3) || !over && !tt.play.Mix && int(so.Packets) != len(got) {
			t.Errorf("%s: sound %d plays, %+v, ended %v", tt.name, id, so, ended)
		}
		if tt.during != nil {
			tt.during(l)
		}
		got = append(got, l.runs(time.Second)...)
		if id, so := l.r.stages.Playing(SideA); id != 0 || so != (Sent{}) {
			t.Errorf("%s: sound %d plays, %+v", tt.name, id, so)
		}
		want := Sent{At: tt.at, Missed: tt.missed}
		for _, p := range got {
			if p.PayloadType != 101 {
				want.Packets++
				if want.Last = l.w.epoch.Add(p.at); want.Packets == 1 {
					want.First = want.Last
				}
			}
		}
		if len(ended) != 1 || ended[0] != (EventPlayed{Side: SideB, ID: 3, Sent: want}) {
			t.Errorf("%s: %+v; want %+v", tt.name, ended, want)
		}
	}
}

// TestSentToAStranger: what an unconfirmed side is not sent counts as missed.
func TestSentToAStranger(t *testing.T) {
	l := newLine(t)
	peer := *l.r.party[SideB].named
	peer.Unconfirmed, peer.Believed = true, nil
	must(t, l.r.setPeer(SideB, peer, l.w.now))
	l.play(Play{Sound: counted(t, 200), ID: 1})
	got := l.runs(3 * time.Second)
	if _, so := l.r.stages.Playing(SideA); int(so.Packets) != len(got) || so.Packets+so.Missed != 151 || so.Missed == 0 {
		t.Errorf("%+v of 151; %d came", so, len(got))
	}
}

// TestFromGoesOn: a sound that is played in two parts is heard once.
func TestFromGoesOn(t *testing.T) {
	sound := counted(t, 10)
	l := newLine(t)
	l.play(Play{Sound: sound})
	got := l.runs(90 * ms)
	_, so := l.r.stages.Playing(SideA)
	next := newLine(t)
	next.play(Play{Sound: sound, From: so.At})
	got = append(got, next.runs(time.Second)...)
	for i, p := range got {
		if want := sound.In(0)[160*i]; p.payload[0] != want {
			t.Errorf("packet %d begins with %d; want %d", i, p.payload[0], want)
		}
	}
	if len(got) != 10 {
		t.Errorf("%d packets; want 10", len(got))
	}
}

// TestSentAfterAMove: a whole sound begins again wherever the worker sends a side's RTP to another address, and what is
// said of it counts only the packets to the last one. Sounds that need not be heard whole go on.
func TestSentAfterAMove(t *testing.T) {
	described := func(l *line, at netip.AddrPort) {
		peer := *l.r.party[SideB].named
		peer.RTP = at
		must(t, l.r.setPeer(SideB, peer, l.w.now))
	}
	learned := func(l *line, at netip.AddrPort) {
		l.r.learn(l.r.heard(SideB), at, packet.Header{SSRC: 7}, l.w.now)
	}
	learnedTwice := func(l *line, at netip.AddrPort) {
		learned(l, netip.AddrPortFrom(at.Addr(), at.Port()^1))
		learned(l, at)
	}
	nominated := func(l *line, at netip.AddrPort) { l.w.moveTo(l.r.heard(SideB), at) }
	for _, tt := range []struct {
		name   string
		play   Play
		moves  func(l *line, at netip.AddrPort)
		stays  bool // the address is the one that the side has had
		begins int  // frame with which it goes on
		sent   int  // packets of which it tells in the end
	}{
		{"described", Play{Whole: true}, described, false, 0, 10},
		{"learned", Play{Whole: true}, learned, false, 0, 10},
		{"nominated", Play{Whole: true}, nominated, false, 0, 10},
		{"learned, after a part of another process", Play{Whole: true, From: 60 * ms}, learned, false, 0, 10},
		{"nominated, after a part of another process", Play{Whole: true, From: 60 * ms}, nominated, false, 0, 10},
		{"learned twice", Play{Whole: true}, learnedTwice, false, 0, 10},
		{"learned where it was", Play{Whole: true}, learned, true, 3, 10},
		{"nominated where it was", Play{Whole: true}, nominated, true, 3, 10},
		{"learned, not whole", Play{}, learned, false, 3, 10},
	} {
		l := newLine(t)
		var events []Event
		l.r.onEvent = func(e Event) { events = append(events, e) }
		sound := counted(t, 10)
		tt.play.Sound, tt.play.ID = sound, 3
		l.play(tt.play)
		l.runs(50 * ms)
		at := l.r.party[SideB].named.RTP
		if !tt.stays {
			l.to, at = bound(t)
		}
		tt.moves(l, at)
		got := l.runs(time.Second)
		restarts := 0
		for _, e := range events {
			if e == Event(EventRestarted{Side: SideB, ID: 3}) {
				restarts++
			}
		}
		if (restarts > 0) != (tt.begins == 0) || restarts > 1 != (tt.name == "learned twice") {
			t.Errorf("%s: events %+v", tt.name, events)
		}
		if len(got) != 10-tt.begins || got[0].payload[0] != sound.In(0)[160*tt.begins] {
			t.Errorf("%s: %d packets", tt.name, len(got))
			continue
		}
		end, _ := events[len(events)-1].(EventPlayed)
		if end.Sent.Packets != int64(tt.sent) || end.Sent.Restarts != restarts || end.Sent.Missed != 0 ||
			tt.begins == 0 && !end.Sent.First.Equal(l.w.epoch.Add(got[0].at)) {
			t.Errorf("%s: %+v", tt.name, end)
		}
	}
}

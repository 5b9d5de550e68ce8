package media

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"flowbridge/media/stage"
)

// pauseLine is a session whose sides send RTP by a script, in a time of its own.
type pauseLine struct {
	*quietSession
	at    time.Duration
	sends [2]bool
	lost  [2]bool // what the side sends does not arrive
}

func newPauseLine(t *testing.T) *pauseLine {
	l := &pauseLine{quietSession: newQuietSession(t), sends: [2]bool{true, true}}
	l.worker.epoch = time.Time{}.Add(time.Hour)
	l.start(0)
	return l
}

// goes lets time pass, in packets of 20 ms and checks for silence every 250 ms.
func (l *pauseLine) goes(d time.Duration) {
	for end := l.at + d; l.at < end; l.at += 10 * ms {
		for side, sends := range l.sends {
			if l.at%(20*ms) != 0 || !sends {
				continue
			}
			l.packet(Side(side), 0)
		}
		if l.at%(250*ms) == 0 {
			l.lookForPauses(l.at)
		}
	}
}

func (l *pauseLine) packet(side Side, payload uint32) {
	c := l.ledger.flow[side][RTP].ofRTP()
	if l.lost[side] {
		c.Lost.Add(1)
		return
	}
	c.PayloadType.Store(payload)
	if c.First.Load() == 0 {
		c.First.Store(max(int64(l.at), 1))
	}
	c.Last.Store(int64(l.at))
	l.hears(side, l.at)
}

// only lets only one side send for a time.
func (l *pauseLine) only(side Side, d time.Duration) {
	was := l.sends
	l.sends = [2]bool{side == SideA, side == SideB}
	l.goes(d)
	l.sends = was
}

// spurts has a side send only while it speaks.
func (l *pauseLine) spurts(side Side, lengths ...time.Duration) {
	for i, d := range lengths {
		if l.sends[side] = i%2 == 0; d > 0 {
			l.goes(d)
		}
	}
	l.sends[side] = true
}

// heard ends the session, and returns its silences as "side from-to", in seconds.
func (l *pauseLine) heard() (all []string) {
	l.endPauses(l.at)
	for side := range l.sends {
		for _, is := range l.ledger.silences(Side(side)) {
			all = append(all, fmt.Sprintf("%v %.0f-%.0f", Side(side), is.From.Seconds(), is.To.Seconds()))
		}
	}
	return all
}

// TestSilences: a side that stops sending is silent.
func TestSilences(t *testing.T) {
	for name, c := range map[string]struct {
		run  func(l *pauseLine)
		want []string
	}{
		"an agent that moves and sends nothing more": {func(l *pauseLine) {
			l.goes(8 * sec)
			l.describe(SideB, l.at, func(p *Peer) { p.RTP = netip.MustParseAddrPort("192.0.2.7:4000") })
			l.only(SideA, 18*sec)
		}, []string{"b 8-26"}},
		"a caller that stops": {func(l *pauseLine) { l.goes(8 * sec); l.only(SideB, 6*sec) }, []string{"a 8-14"}},
		"both stop": {
			func(l *pauseLine) { l.goes(8 * sec); l.sends = [2]bool{}; l.goes(9 * sec) },
			[]string{"a 8-17", "b 8-17"},
		},
		"an agent that comes back": {
			func(l *pauseLine) { l.goes(20 * sec); l.only(SideA, 7*sec); l.goes(20 * sec) },
			[]string{"b 20-27"},
		},
		"an agent whose packets are lost on the way": {func(l *pauseLine) {
			for range 3 {
				l.goes(4 * sec)
				l.lost[SideB] = true
				l.goes(7 * sec)
				l.lost[SideB] = false
			}
			l.goes(2 * sec)
		}, []string{"b 4-11", "b 15-22", "b 26-33"}},
		"packets that are refused": {func(l *pauseLine) {
			l.spurts(SideB, 3*sec, 4*sec, 3*sec, 4*sec, 3*sec)
			l.ledger.flow[SideB][RTP].dropped().Unauthentic.Add(300)
			l.only(SideA, 3*sec)
			l.ledger.flow[SideB][RTP].dropped().Unauthentic.Add(300)
			l.only(SideA, 3*sec)
		}, []string{"b 17-23"}},
		"a side whose SRTP all fails": {func(l *pauseLine) {
			l.ledger.flow[SideB][RTP].dropped().Unauthentic.Add(1)
			l.only(SideA, 8*sec)
		}, []string{"b 0-8"}},
		"speech by fits and starts that ends for over a minute": {func(l *pauseLine) {
			l.spurts(SideB, 3*sec, 4*sec, 3*sec, 4*sec, 3*sec)
			l.only(SideA, 61*sec)
		}, []string{"b 17-78"}},
		"until a hold": {func(l *pauseLine) {
			l.goes(8 * sec)
			l.only(SideA, 6*sec)
			l.describe(SideA, l.at, func(p *Peer) { p.Held = true })
			l.only(SideA, 60*sec)
		}, []string{"b 8-14"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newPauseLine(t)
			c.run(l)
			if got := l.heard(); !slices.Equal(got, c.want) {
				t.Errorf("got %q; want %q", got, c.want)
			}
		})
	}
}

// quietLines are calls in which a side sends nothing for long, and is not silent.
func quietLines(random *rand.Rand) map[string]func(l *pauseLine) {
	between := func(from, to int) time.Duration { return time.Duration(from+random.IntN(to-from+1)) * 100 * ms }
	side := Side(random.IntN(2))
	change := func(l *pauseLine, side Side, do func(*Peer)) { l.describe(side, l.at, do) }
	hold := func(of Side, do func(*Peer, bool)) func(l *pauseLine) {
		return func(l *pauseLine) {
			for range 2 {
				l.goes(between(20, 80))
				change(l, of, func(p *Peer) { do(p, true) })
				l.only(side.Other(), between(60, 300))
				change(l, of, func(p *Peer) { do(p, false) })
				l.only(side.Other(), between(0, 40)) // who was on hold needs a moment
			}
			l.goes(between(20, 80))
		}
	}
	return map[string]func(l *pauseLine){
		"sends only while it speaks": func(l *pauseLine) {
			for range 3 + random.IntN(5) {
				l.spurts(side, between(10, 80), between(20, 160))
			}
			l.spurts(side, between(10, 80), between(0, 200))
		},
		"both send only while they speak": func(l *pauseLine) {
			for range 3 + random.IntN(5) {
				l.spurts(SideA, between(10, 60), between(1, 30))
				l.sends[SideA] = false
				l.spurts(SideB, between(30, 80), between(1, 30))
			}
		},
		"comfort noise": func(l *pauseLine) {
			payload := uint32(13)
			if random.IntN(2) == 0 {
				payload = 97
				change(l, side, func(p *Peer) { p.Comfort = 97 })
			}
			for range 2 {
				l.goes(between(20, 80))
				l.packet(side, payload)
				l.only(side.Other(), between(60, 300))
			}
		},
		"DTX": func(l *pauseLine) {
			change(l, side, func(p *Peer) { p.DTX = true })
			l.goes(between(20, 80))
			l.only(side.Other(), between(60, 300))
		},
		"keys as events": func(l *pauseLine) {
			change(l, side, func(p *Peer) { p.Events.Add(101) })
			l.goes(between(20, 80))
			l.packet(side, 101)
			l.only(side.Other(), between(60, 100))
		},
		"a hold by its side":      hold(side, func(p *Peer, on bool) { p.Held = on }),
		"a hold by the other":     hold(side.Other(), func(p *Peer, on bool) { p.Held = on }),
		"inactive":                hold(side.Other(), func(p *Peer, on bool) { p.Held, p.Mute = on, on }),
		"mute by the description": hold(side, func(p *Peer, on bool) { p.Mute = on }),
		"a transfer": func(l *pauseLine) {
			l.goes(between(20, 80))
			is := *l.party[SideB].named
			change(l, SideB, func(p *Peer) { *p = Peer{} })
			l.only(SideA, between(60, 300))
			change(l, SideB, func(p *Peer) { *p = is })
			l.only(SideA, between(0, 40))
			l.goes(between(20, 80))
		},
		"a sound of ours": func(l *pauseLine) {
			l.goes(between(20, 80))
			must(l.t, l.stages.Order(side, stage.Play{Sound: counted(l.t, 3), Loop: true}, l.at))
			l.sends[side] = false
			l.goes(between(60, 300))
			must(l.t, l.stages.Order(side, stage.Stop{}, l.at))
			l.sends[side] = true
			l.goes(between(20, 80))
		},
		"short pauses": func(l *pauseLine) {
			for range 5 {
				l.goes(between(20, 200))
				l.only(side.Other(), between(1, 49))
			}
			l.goes(sec)
		},
		"nobody was heard yet": func(l *pauseLine) { l.only(side.Other(), between(60, 300)) },
		"a process that stood still": func(l *pauseLine) {
			l.goes(between(20, 80))
			l.at += between(60, 300)
			l.hearing.since = l.at // by worker.turn
			l.lookForPauses(l.at)
			l.goes(between(20, 80))
		},
	}
}

// TestNoSilence: nothing of this is a silence, by 100 calls of each kind. During the call only the first pause of who
// sends only while it speaks may look like one, if it is long.
func TestNoSilence(t *testing.T) {
	for name := range quietLines(rand.New(rand.NewPCG(1, 1))) {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(100) {
				l := newPauseLine(t)
				run := quietLines(rand.New(rand.NewPCG(seed, 7)))[name]
				run(l)
				if got := l.heard(); len(got) > 0 {
					t.Fatalf("call %d: %q", seed, got)
				}
				for _, e := range l.events {
					if is, ok := e.(EventSideSilent); ok && is.For < silentLater {
						t.Fatalf("call %d: %+v", seed, e)
					}
				}
			}
		})
	}
}

package media

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/media/kernel"
	"flowbridge/media/stream"
	"flowbridge/media/voice"
)

// overheard stands for the kernel's program: it detects the speech of both sides. Its clock is ahead by a quarter of an
// hour.
type overheard struct {
	*talker
	heard [2]kernel.Speech
}

const aheadOfUs = 15 * time.Minute

// offloads lets the kernel relay both sides from now on, or so it seems to the worker.
func (k *talker) offloads() *overheard {
	o := &overheard{talker: k}
	for side := range k.r.endpoint {
		ep := k.r.heard(Side(side))
		ep.offload.by, ep.offload.read = &offloader{epoch: aheadOfUs}, k.w.now
		o.heard[side] = *k.r.stages.Hearer(ep.side).Speech(aheadOfUs)
	}
	return o
}

// hears passes the packets between two times to the kernel's detector.
func (o *overheard) hears(all []spoken, from, to time.Duration) {
	for _, p := range all {
		if p.Arrival < from || p.Arrival >= to {
			continue
		}
		s := &o.heard[p.side]
		segment, ok := s.Detector.Packet(voice.Packet{
			Arrival: o.answered + p.Arrival + aheadOfUs, SSRC: 7 + uint32(p.side), Timestamp: p.Timestamp,
			Content: voice.ContentOf(p.PayloadType), Payload: p.Payload,
		})
		if !ok {
			continue
		}
		copy(s.Last[1:], s.Last[:])
		s.Last[0] = kernel.Spoken{
			From: int64(segment.From / voice.Tick), Length: uint32((segment.To - segment.From) / voice.Tick),
			Level: uint16(segment.Level), Noise: uint16(segment.Noise),
		}
		s.Told++
	}
	o.w.now = o.answered + to
}

// read makes the relay read what the kernel has detected.
func (o *overheard) read() {
	for side := range o.heard {
		ep := &o.r.endpoint[side][RTP]
		ep.overhear(&kernel.State{Speech: &o.heard[side], At: o.w.now + aheadOfUs})
		ep.offload.read = o.w.now
	}
	o.r.tick(o.w.now)
}

// comesBack gives the flows back to the worker.
func (o *overheard) comesBack() {
	o.read()
	for side := range o.heard {
		o.r.endpoint[side][RTP].offload.by = nil
	}
}

// TestOverheard: the kernel detects the same speech as the worker would, from the first packet on, also when flows come
// back and are offloaded again. A process that does not read it for a long time loses what the kernel can't keep, but
// measures nothing wrong.
func TestOverheard(t *testing.T) {
	all, end, want := conversed()
	k := newTalker(t)
	o := k.offloads()
	for at := time.Duration(0); at < end; at += time.Second {
		o.hears(all, at, min(at+time.Second, end))
		if o.read(); at%(5*time.Second) == 0 {
			o.comesBack()
			k.hears(all, at+time.Second, min(at+1500*ms, end))
			o = k.offloads()
			o.hears(all, at+1500*ms, min(at+2*time.Second, end))
			at += time.Second
		}
	}
	o.comesBack()
	if diff := cmp.Diff(want, k.figures()); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}

	k = newTalker(t)
	o = k.offloads()
	o.hears(all, 0, end/4)
	o.read()
	o.hears(all, end/4, end)
	o.comesBack()
	got := k.figures()
	if got.Measured == 0 || got.Measured > want.Measured*9/10 {
		t.Errorf("not asked for %v: %v of %v measured", end*3/4, got.Measured, want.Measured)
	}
	among(t, got.Latency.Values, want.Latency.Values)
}

// among fails for values, in ms, that are not close to one of the others.
func among(t *testing.T, values, of []uint16) {
	t.Helper()
	for _, v := range values {
		near := false
		for _, w := range of {
			near = near || max(v, w)-min(v, w) <= 20
		}
		if !near {
			t.Errorf("a turn of %d ms; there are %v", v, of)
		}
	}
}

// TestOverheardInTwoLives: after a kill or an upgrade, the kernel still has the speech of the time in between, and
// nothing is lost. Speech that it could not keep, or that came after its flows had ended, is missing, but the figures
// are not wrong.
func TestOverheardInTwoLives(t *testing.T) {
	all, end, want := conversed()
	for at := 2 * time.Second; at < end-6*time.Second; at += 5300 * ms {
		for _, tt := range []struct {
			exact, kept bool
			away        time.Duration
		}{{true, true, time.Second}, {false, true, 5 * time.Second}, {false, false, 5 * time.Second}, {true, false, 2 * time.Second}} {
			k := newTalker(t)
			o := k.offloads()
			for from := time.Duration(0); from < at; from += time.Second {
				o.hears(all, from, min(from+time.Second, at))
				o.read()
			}
			st := SessionState{At: k.w.now, Exact: tt.exact}
			k.r.state(&st, 0)
			o.hears(all, at, at+tt.away)

			next := newTalker(t)
			next.w.now = k.w.now
			next.forget()
			next.r.resume(new(filed(t, st)), stream.Clock{Now: k.w.now})
			later := &overheard{talker: next, heard: o.heard}
			for side := range next.r.endpoint {
				ep := next.r.heard(Side(side))
				ep.offload.by = &offloader{epoch: aheadOfUs}
				if tt.kept {
					ep.overhear(&kernel.State{Speech: &o.heard[side], At: k.w.now + aheadOfUs})
				}
				ep.offload.read = k.w.now
			}
			next.r.stages.CatchUp(tt.exact, k.w.now)
			if !tt.kept {
				later = next.offloads()
			}
			for from := at + tt.away; from < end; from += time.Second {
				later.hears(all, from, min(from+time.Second, end))
				later.read()
			}
			later.comesBack()
			got := next.figures()
			if !tt.kept {
				if got.Measured >= want.Measured || got.Measured == 0 {
					t.Errorf("killed after %v: %v measured of %v, though the kernel told nothing", at, got.Measured, want.Measured)
				}
				among(t, got.Latency.Values, want.Latency.Values)
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("exact %v, after %v: want - got +\n%s", tt.exact, at, diff)
			}
		}
	}
}

// TestOverheardAsksForAState: a new state is asked for before the kernel has more speech than it can keep.
func TestOverheardAsksForAState(t *testing.T) {
	all, end, _ := conversed()
	k := newTalker(t)
	states, noted := 0, [2]uint64{}
	k.r.onEvent = func(e Event) {
		if _, ok := e.(EventChanged); ok {
			states++
			k.r.noted()
			noted = [2]uint64{k.utterances(SideA), k.utterances(SideB)}
		}
	}
	k.r.noted()
	o := k.offloads()
	for at := time.Duration(0); at < end; at += time.Second {
		o.hears(all, at, min(at+time.Second, end))
		o.read()
		for side := range o.heard {
			if since := k.utterances(Side(side)) - noted[side]; since > kernel.Told-2 {
				t.Fatalf("%d segments since the last state", since)
			}
		}
	}
	if states == 0 {
		t.Error("no state was asked for")
	}
}

// TestOverhearAllocatesNothing: each flow is asked for speech once a second, also before any side has spoken.
func TestOverhearAllocatesNothing(t *testing.T) {
	o := newTalker(t).offloads()
	o.read()
	o.read()
	if n := allocations(100, o.read); n > 0 {
		t.Errorf("%v allocations a second of a call", n)
	}
}

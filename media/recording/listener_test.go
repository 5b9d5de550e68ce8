package recording

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/media"
)

// ears is the connection of a listener.
type ears struct {
	bytes.Buffer
	write func(n int) error // asked before each write; nil: all are taken
	n     int
}

func (e *ears) Write(b []byte) (int, error) {
	if e.n++; e.write != nil {
		if err := e.write(e.n); err != nil {
			return 0, err
		}
	}
	return e.Buffer.Write(b)
}

// samples reads the stream as a player would: the sizes in its header are the largest ones.
func (e *ears) samples(t *testing.T, channels int) (all [][]int16) {
	t.Helper()
	b, le := e.Bytes(), binary.LittleEndian
	if len(b) < 44 || string(b[:4]) != "RIFF" || string(b[36:40]) != "data" || le.Uint32(b[40:]) != 1<<32-1 ||
		int(le.Uint16(b[22:])) != channels || le.Uint32(b[28:]) != uint32(16000*channels) || int(le.Uint16(b[32:])) != 2*channels {
		t.Fatalf("the header % x", b[:min(len(b), 44)])
	}
	all = make([][]int16, channels)
	for i := 44; i+2 <= len(b); i += 2 {
		side := (i - 44) / 2 % channels
		all[side] = append(all[side], int16(le.Uint16(b[i:])))
	}
	return all
}

var errEnd = errors.New("the call has ended")

// listened is a stream of one second, in which side A speaks PCMU and side B PCMA. Then the call ends.
func listened(t *testing.T, e *ears, sides ...media.Side) (l *Listener, took time.Duration) {
	t.Helper()
	l = NewListener(sides...)
	must(t, l.Hear([2]Payloads{g711(), g711()}))
	began, over := time.Now(), make(chan struct{})
	go func() { l.Stream(e); close(over) }()
	for n := range 50 {
		for side, payload := range []byte{0, 8} {
			media.Taps{l, nothing{}}.Packet(media.Tapped{At: time.Now(), Side: media.Side(side), Data: speech(payload, uint32(side), n)})
		}
		time.Sleep(20 * time.Millisecond)
	}
	synctest.Wait()
	if e.write == nil && len(e.samples(t, len(sides))[0]) < 8000*6/10 {
		t.Errorf("the listener has %d samples when the call ends: it is too far behind", len(e.samples(t, len(sides))[0]))
	}
	l.End(errEnd)
	<-over
	return l, time.Since(began)
}

type nothing struct{}

func (nothing) Packet(media.Tapped) {}

// TestListener: a listener hears the sides that it asked for, to the end.
func TestListener(t *testing.T) {
	var speech [2][]int16
	for n := range 50 {
		speech[0], speech[1] = append(speech[0], heard(0, n)...), append(speech[1], heard(8, n)...)
	}
	for _, sides := range [][]media.Side{{media.SideA, media.SideB}, {media.SideA}, {media.SideB}} {
		synctest.Test(t, func(t *testing.T) {
			var e ears
			l, took := listened(t, &e, sides...)
			for i, got := range e.samples(t, len(sides)) {
				if !slices.Equal(got, speech[sides[i]]) {
					t.Errorf("%v: side %v has %d samples, which are not what was said", sides, sides[i], len(got))
				}
			}
			if at, why := l.Ended(); !errors.Is(why, errEnd) || at.IsZero() || took > time.Second+listenEvery {
				t.Errorf("it ended at %v after %v: %v", at, took, why)
			}
		})
	}
}

// TestListenersThatEnd: who does not read, is gone, or hears a codec that can't be decoded ends, and says why. The
// media does not wait for any of them.
func TestListenersThatEnd(t *testing.T) {
	gone := errors.New("gone")
	for name, tt := range map[string]struct {
		write  func(int) error
		during func(*Listener)
		want   string
	}{
		"gone before the header": {write: func(int) error { return gone }, want: "gone"},
		"gone later":             {write: func(n int) error { return map[bool]error{true: gone}[n == 5] }, want: "gone"},
		"never reads":            {write: func(int) error { time.Sleep(10 * time.Second); return nil }, want: errSlow.Error()},
		"another codec": {during: func(l *Listener) {
			p := g711()
			p.Other.Add(9)
			p.OtherName = "G722"
			l.SetPayloads(media.SideA, p)
			l.Packet(media.Tapped{At: time.Now(), Data: speech(9, 1, 1)})
		}, want: "G722 can't be decoded"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, over := NewListener(media.SideA, media.SideB), make(chan struct{})
				must(t, l.Hear([2]Payloads{g711(), g711()}))
				e := &ears{write: tt.write}
				go func() { l.Stream(e); close(over) }()
				began := time.Now()
				if tt.during != nil {
					tt.during(l)
				}
				for n := range 500 {
					l.Packet(media.Tapped{At: time.Now(), Data: speech(0, 1, n)})
					time.Sleep(20 * time.Millisecond)
				}
				<-over
				l.End(errEnd) // too late to be the reason
				if _, why := l.Ended(); !strings.Contains(why.Error(), tt.want) || time.Since(began) > 11*time.Second {
					t.Errorf("after %v: %v; want %q", time.Since(began), why, tt.want)
				}
			})
		})
	}
	p := g711()
	p.ULaw, p.ALaw, p.OtherName = media.PayloadSet{}, media.PayloadSet{}, "opus"
	p.Other.Add(111)
	if err := NewListener(media.SideB).Hear([2]Payloads{g711(), p}); err == nil || !strings.Contains(err.Error(), "opus") {
		t.Errorf("a side of Opus: %v", err)
	}
	if err := NewListener(media.SideA).Hear([2]Payloads{g711(), p}); err != nil {
		t.Errorf("the other side: %v", err)
	}
}

// TestListenerAllocs: a packet costs the media no memory, however many hear it.
func TestListenerAllocs(t *testing.T) {
	var all media.Taps
	for range 16 {
		l := NewListener(media.SideA, media.SideB)
		must(t, l.Hear([2]Payloads{g711(), g711()}))
		all = append(all, l)
	}
	var tap media.Tap = all
	p := media.Tapped{At: time.Now(), Data: speech(0, 1, 1)}
	if n := testing.AllocsPerRun(2000, func() { tap.Packet(p) }); n != 0 { // the rings fill up, too
		t.Errorf("%v allocations a packet", n)
	}
}

// TestListenerWaits: packets that come too late, and the ones that come while the listener is being written to when the
// call ends, are heard in their place.
func TestListenerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, over := NewListener(media.SideA), make(chan struct{})
		must(t, l.Hear([2]Payloads{g711(), g711()}))
		say := func(n int) { l.Packet(media.Tapped{At: time.Now(), Data: speech(0, 1, n)}) }
		e := ears{write: func(int) error {
			if _, why := l.Ended(); why == nil && time.Since(l.began) == time.Second {
				say(49)
				l.End(errEnd)
			}
			return nil
		}}
		go func() { l.Stream(&e); close(over) }()
		var want []int16
		for n := range 49 {
			if n%7 != 3 {
				say(n)
			}
			if late := n - 6; late > 0 && late%7 == 3 { // by 120 ms
				say(late)
			}
			want = append(want, heard(0, n)...)
			time.Sleep(20 * time.Millisecond)
		}
		say(45)
		<-over
		if got := e.samples(t, 1)[0]; !slices.Equal(got, append(want, heard(0, 49)...)) {
			t.Errorf("%d samples, which are not what was said", len(got))
		}
	})
}

package ladder

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/media"
)

// counted is media whose figures grow with each call of Stats.
type counted struct{ now media.Stats }

func (c *counted) Stats() media.Stats {
	c.now.A.RxPackets += 250
	c.now.B.TxPackets += 250
	c.now.B.Lost++
	c.now.A.JitterMS = 1.25
	return c.now
}

// TestSeries: the media's figures are sampled every five seconds, and at longer intervals in a long call.
func TestSeries(t *testing.T) {
	for _, lasts := range []time.Duration{12 * time.Second, 2 * time.Minute, 3 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var k kept
			s := collector(&k)
			c := begun(s, "a", 1)
			figures := &counted{}
			c.Watch(figures)
			time.Sleep(lasts)
			if l, err := c.Ladder(); err != nil || !l.Live || l.Streams == nil {
				t.Errorf("live: %+v, %v", l, err)
			}
			c.Unwatch(figures.Stats())
			c.Ended(cause.CallerHangup, "caller", lasts)
			c.Close()
			time.Sleep(time.Minute)
			synctest.Wait() // so that the sampler ends
			got := k.ladder(t, "a").Streams
			rx, lost, before := 0, 0, int64(0)
			for i, p := range got.Points {
				if p.MS <= before || i > 0 && i < len(got.Points)-1 && p.MS-before > got.Interval+6000 {
					t.Errorf("point %d at %d ms after %d", i, p.MS, before)
				}
				rx, lost, before = rx+p.A.Rx, lost+p.B.Lost, p.MS
				if p.A.Jitter < 1.2 || p.A.Jitter > 1.3 {
					t.Errorf("jitter %v", p.A.Jitter)
				}
			}
			if len(got.Points) > pointsMax || len(got.Points) < 2 || before != lasts.Milliseconds() || rx != int(figures.now.A.RxPackets) || lost != int(figures.now.B.Lost) {
				t.Errorf("%v: %d points to %d ms with %d packets, %d lost; want %d", lasts, len(got.Points), before, rx, lost, figures.now.A.RxPackets)
			}
			s.Shut()
		})
	}
}

// steady is a perfect call's media: 50 packets a second in both directions from first on, and until last if that is set.
type steady struct {
	first time.Time
	last  atomic.Pointer[time.Time]
}

func (f *steady) Stats() media.Stats {
	now := time.Now()
	if last := f.last.Load(); last != nil {
		now = *last
	}
	var s media.SideStats
	if n := now.Sub(f.first).Milliseconds() / 20; n > 0 {
		s.RxPackets, s.TxPackets, s.FirstRTP, s.LastRTP = uint64(n), uint64(n), f.first, now
	}
	return media.Stats{A: s, B: s}
}

// TestSeriesOfAPerfectCall: the first interval begins with the first packet, and the last one ends with the last packet,
// so that the rate is the same at both ends.
func TestSeriesOfAPerfectCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k kept
		s := collector(&k)
		c := begun(s, "a", 1)
		figures := &steady{first: time.Now().Add(1900 * time.Millisecond)} // it rings before
		c.Watch(figures)
		time.Sleep(28 * time.Second)
		figures.last.Store(new(time.Now()))
		time.Sleep(200 * time.Millisecond) // until the BYE
		c.Unwatch(figures.Stats())
		c.Ended(cause.CallerHangup, "caller", 30*time.Second)
		c.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		before := int64(0)
		for i, p := range k.ladder(t, "a").Streams.Points {
			if rate := float64(p.A.Rx) / float64(p.MS-before) * 1000; rate < 49 || rate > 51 {
				t.Errorf("point %d: %.1f packets a second over %d ms", i, rate, p.MS-before)
			}
			before = p.MS
		}
		if before != 26100 {
			t.Errorf("the figures end after %d ms, want 26100", before)
		}
		s.Shut()
	})
}

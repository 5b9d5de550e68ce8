package store

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"flowbridge/store/record"
)

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPut finishes calls from many goroutines, as on a busy machine.
func BenchmarkPut(b *testing.B) {
	for _, callers := range []int{1, 100} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := openTest(b, filepath.Join(b.TempDir(), "f.db"))
			b.SetParallelism(callers)
			var n atomic.Int64
			before := cpuTime(b)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := s.Put(b.Context(), sample(fmt.Sprint(n.Add(1)))); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/put")
		})
	}
}

// BenchmarkCall measures a whole call: three states in the journal and its end.
func BenchmarkCall(b *testing.B) {
	s := openTest(b, filepath.Join(b.TempDir(), "f.db"))
	b.SetParallelism(50)
	var n atomic.Int64
	before := cpuTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := sample(fmt.Sprint(n.Add(1)))
			for range 3 {
				s.Journal(r, nil)
				if err := s.Flush(b.Context()); err != nil {
					b.Error(err)
				}
			}
			if err := s.Put(b.Context(), r); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/call")
}

// BenchmarkBusy measures whole calls that arrive at 500 a second: three states in the journal and the end. The calls do
// not wait for each other.
func BenchmarkBusy(b *testing.B) {
	const every, calls = 20 * time.Millisecond, 10
	s := openTest(b, filepath.Join(b.TempDir(), "f.db"))
	recs := make([]record.Record, b.N)
	random := rand.NewChaCha8([32]byte{})
	for i := range recs {
		r := &recs[i]
		*r = bare(fmt.Sprintf("%016x", random.Uint64()))
		r.SIPCallID, r.TargetSIPCallID, r.SynthflowCallID = r.ID+"@carrier", "t"+r.ID, "sf-"+r.ID
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var all sync.WaitGroup
	before := cpuTime(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%calls == 0 {
			<-tick.C
		}
		all.Go(func() {
			r := recs[i]
			r.StartedAt = record.TimeOf(time.Now())
			for range 3 {
				s.Journal(r, nil)
				time.Sleep(every)
			}
			if err := s.Put(b.Context(), r); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/call")
}

// BenchmarkPutOutbox finishes calls that add an item to the outbox.
func BenchmarkPutOutbox(b *testing.B) {
	for consumers := range 3 {
		b.Run(fmt.Sprintf("consumers=%d", consumers), func(b *testing.B) {
			s := openOutbox(b, filepath.Join(b.TempDir(), "f.db"), []string{"fleet", "webhook"}[:consumers]...)
			b.SetParallelism(100)
			var n atomic.Int64
			before := cpuTime(b)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := s.Put(b.Context(), bare(fmt.Sprint(n.Add(1)))); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/put")
		})
	}
}

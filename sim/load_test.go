package sim

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(0, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestLoadX(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("LOAD"))
	if n == 0 {
		t.Skip()
	}
	s, c := startPlatform(t, SynthflowOptions{}), startCarrier(t)
	var wg sync.WaitGroup
	res := make([]CarrierResult, n)
	ids := make([]string, n)
	c0 := cpu()
	t0 := time.Now()
	for i := range n {
		id := prepareCall(t, s)
		ids[i] = id
		cc := withXEI(s, "S."+id+";")
		cc.Hold = 10 * time.Second
		cc.Seed = uint64(i)
		wg.Add(1)
		go func() {
			defer wg.Done()
			r, err := c.Call(t.Context(), cc)
			if err != nil {
				t.Error(err)
			}
			res[i] = r
		}()
	}
	t.Logf("placed in %v, goroutines %d", time.Since(t0), runtime.NumGoroutine())
	time.Sleep(5 * time.Second)
	c1 := cpu()
	t1 := time.Now()
	time.Sleep(3 * time.Second)
	t.Logf("steady cpu %.2f cores, goroutines %d", float64(cpu()-c1)/float64(time.Since(t1)), runtime.NumGoroutine())
	wg.Wait()
	t.Logf("total cpu %v", cpu()-c0)
	var pairs, back []MarkPair
	bad := 0
	var lost, rx uint64
	worst := 1.0
	m0 := time.Now()
	for i, r := range res {
		a, _ := s.Call(ids[i])
		pairs = append(pairs, MarkPair{r.SentMarks, a.HeardMarks})
		back = append(back, MarkPair{a.SentMarks, r.HeardMarks})
		lost += a.RTP.Lost + r.RTP.Lost
		rx += a.RTP.Received + r.RTP.Received
		_, sc := Match(r.Heard, Greeting(ids[i]))
		worst = min(worst, sc)
		if r.Status != 200 || sc < .9 {
			bad++
		}
	}
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	t.Logf("bad %d worst %.3f lost %d rx %d match %v each; heap %d MB sys %d MB", bad, worst, lost, rx, time.Since(m0)/time.Duration(n), ms.HeapAlloc>>20, ms.Sys>>20)
	t.Logf("%+v", PooledDelays(pairs))
	t.Logf("%+v", PooledDelays(back))
}

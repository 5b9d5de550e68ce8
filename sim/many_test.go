package sim

import (
	"sync"
	"testing"
	"time"
)

func TestManyCallsKeepApart(t *testing.T) {
	t.Parallel()
	const calls = 20
	s, c := startPlatform(t, SynthflowOptions{}), startCarrier(t)
	ids, results := make([]string, calls), make([]CarrierResult, calls)
	var wg sync.WaitGroup
	for i := range calls {
		ids[i] = prepareCall(t, s)
		cc := withXEI(s, "S."+ids[i]+";")
		cc.Hold, cc.Seed = greetingLength+500*time.Millisecond, uint64(i)
		wg.Go(func() {
			var err error
			if results[i], err = c.Call(t.Context(), cc); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var pairs []MarkPair
	for i, r := range results {
		a := ended(t, s, ids[i])
		if _, score := Match(r.Heard, Greeting(ids[i])); r.Status != 200 || score < 0.9 {
			t.Errorf("call %d: %d, greeting %.2f", i, r.Status, score)
		}
		if _, score := Match(a.Heard, Words(uint64(i))[:2*sampleRate]); score < 0.9 {
			t.Errorf("call %d: words %.2f", i, score)
		}
		pairs = append(pairs, MarkPair{r.SentMarks, a.HeardMarks}, MarkPair{a.SentMarks, r.HeardMarks})
	}
	if d := PooledDelays(pairs); d.Packets < calls*2*100 {
		t.Errorf("got %+v", d)
	}
	if n := len(s.Calls()); n != calls {
		t.Errorf("got %d calls; want %d", n, calls)
	}
}

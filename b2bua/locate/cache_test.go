package locate

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// While a name server is slow, the number of queries for names that peers sent is limited. Queries for names from the
// configuration are not.
func TestNamesOfPeersAreBounded(t *testing.T) {
	with(t, "a.test. 60 IN A 192.0.2.1", func(t *testing.T, r *Resolver, z *zone) {
		z.after = 3 * time.Second
		var failed atomic.Int64
		var group sync.WaitGroup
		for i := range 2 * maxForeign {
			group.Go(func() {
				began := time.Now()
				_, err := r.Locate(t.Context(), "", Query{fmt.Sprintf("n%d.test", i), 1, udp})
				if errors.Is(err, errTooMany) && time.Since(began) == 0 {
					failed.Add(1)
				}
			})
		}
		synctest.Wait()
		if r.foreign != maxForeign || failed.Load() == 0 {
			t.Errorf("%d are under way, %d failed at once", r.foreign, failed.Load())
		}
		if got := r.leads(t.Context(), Query{"a.test", 1, udp}); got != "udp://192.0.2.1:1" {
			t.Errorf("a name of the configuration: %s", got)
		}
		group.Wait()
		if r.foreign != 0 {
			t.Errorf("%d are left", r.foreign)
		}
	})
}

// Names that peers sent don't displace names from the configuration in the cache.
func TestNamesOfPeersGoFirst(t *testing.T) {
	with(t, "a.test. 3600 IN A 192.0.2.1", func(t *testing.T, r *Resolver, z *zone) {
		r.leads(t.Context(), Query{"a.test", 1, udp})
		for i := range maxEntries {
			_, _ = r.Locate(t.Context(), "", Query{fmt.Sprintf("n%d.test", i), 1, udp})
		}
		z.asks()
		if r.leads(t.Context(), Query{"a.test", 1, udp}); z.asks() != "" || len(r.cache) > maxEntries {
			t.Errorf("asked again, of %d entries", len(r.cache))
		}
	})
}

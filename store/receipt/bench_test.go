package receipt

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkWrite measures receipts of calls that end their statement at once:
// go test ./store/receipt -run - -bench Write
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			c := openTest(b, b.TempDir())
			var all sync.WaitGroup
			took := make([][]time.Duration, writers)
			for i := range writers {
				all.Go(func() {
					for range b.N/writers + 1 {
						begun := time.Now()
						if err := c.Write("0193a5d2-0213-7000-8000-000000000000", at, told()); err != nil {
							b.Error(err)
						}
						took[i] = append(took[i], time.Since(begun))
					}
				})
			}
			all.Wait()
			waits := slices.Sorted(slices.Values(slices.Concat(took...)))
			b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"flowbridge/admin"
)

// frames measures how long frames take while an expression runs in each: the differences of requestAnimationFrame for
// some seconds, in milliseconds.
const frames = `new Promise((done) => {
	const deltas = [], tasks = [], watch = new PerformanceObserver((l) => tasks.push(...l.getEntries().map((e) => e.duration)));
	watch.observe({ type: 'longtask' });
	const end = performance.now() + 1000 * %d;
	let last = performance.now(), n = 0;
	const step = (now) => {
		deltas.push(now - last);
		last = now;
		n++;
		%s;
		if (now < end) requestAnimationFrame(step);
		else {
			deltas.sort((a, b) => a - b);
			const at = (p) => deltas[Math.min(deltas.length - 1, Math.floor(p * deltas.length))].toFixed(0);
			done('frames ' + deltas.length + ', ms p50 ' + at(.5) + ', p95 ' + at(.95) + ', p99 ' + at(.99) + ', longest ' + at(1) + ', over 50 ms: ' + deltas.filter((d) => d > 50).length + '; scripts over 50 ms: ' + tasks.length + ', longest ' + Math.max(0, ...tasks).toFixed(0));
		}
	};
	requestAnimationFrame(step);
})`

// TestPageWithTenThousandCalls has 10,000 live calls, of which 300 change, start or end each second. It prints how long
// the page's frames take and how much memory it needs. It judges only what the page shows: all calls, in a document of
// a hundred rows.
//
//	scripts/bench page
func TestPageWithTenThousandCalls(t *testing.T) {
	const calls, changes = 10000, 300
	seconds, err := strconv.Atoi(cmp.Or(os.Getenv("SECONDS_PER_STEP"), "1"))
	must(t, err)
	n := newFakeNode(t, "127.0.0.1:0")
	n.stats, n.targets = fakeStats(calls), fakeTargets("none")
	for i := range calls {
		n.add(liveCallOf(i))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second / changes)
		defer tick.Stop()
		up := make([]int, calls) // the numbers of the calls; a number is never used again
		for i := range up {
			up[i] = i
		}
		for next := calls; ; next++ {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			at := rand.IntN(len(up))
			c := liveCallOf(up[at])
			switch next % 10 {
			case 0: // one call ends, and another one starts
				n.end(c)
				up[at] = next
				n.add(liveCallOf(next))
			default:
				c.Phase = []string{"preparing", "dialing", "bridged"}[rand.IntN(3)]
				n.add(admin.Call{Record: c.Record, Phase: c.Phase, Masked: next%2 == 0})
			}
		}
	}()
	defer func() { close(stop); <-stopped }()

	page := newTab(t)
	page.size(1280, 860, false)
	began := time.Now()
	page.open(n.url + "/#/live")
	page.shows(`parseInt(document.querySelector('.calls .hint').textContent.replace(',', '')) > 9990`)
	t.Logf("all calls are there %v after the page was opened", time.Since(began).Round(10*time.Millisecond))
	heap := func() float64 {
		return value[float64](page, `(gc(), performance.memory.usedJSHeapSize / (1 << 20))`)
	}
	first := heap()
	for _, m := range []struct{ what, each string }{
		{"calls change", ""},
		{"and the table is scrolled", "scrollTo(0, (scrollY + 137) % (document.documentElement.scrollHeight - innerHeight))"},
		{"and it is sorted again and again", "if (n % 30 === 0) document.querySelectorAll('.vtable .head button')[n / 30 % 7].click()"},
		{"and a filter is typed", "const f = document.querySelector('.calls input'); if (n % 10 === 0) { f.value = ['', '+1', '+15', '+1507', '555', 'vapi'][n / 10 % 6]; f.dispatchEvent(new Event('input')); }"},
	} {
		t.Logf("%-34s %s", m.what+":", value[string](page, fmt.Sprintf(frames, seconds, m.each)))
	}
	t.Logf("JavaScript heap: %.1f MB with all calls, %.1f MB at the end", first, heap())
	if rows := value[int](page, `document.querySelectorAll('.vtable a.tr').length`); rows > 100 {
		t.Errorf("the document has %d rows", rows)
	}
	value[int](page, `(() => { const f = document.querySelector('.calls input'); f.value = ''; f.dispatchEvent(new Event('input')); return 0; })()`)
	page.shows(`document.querySelector('#state').textContent === 'live' && parseInt(document.querySelector('.calls .hint').textContent.replace(',', '')) > 9990`)
}

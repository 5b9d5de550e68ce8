//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

func TestZZShots(t *testing.T) {
	dir := os.Getenv("PICTURES")
	full := func(b *tab, name string) {
		b.run(chromedp.Sleep(400 * time.Millisecond))
		shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name+".png"), shot, 0o644))
	}
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	n.mu.Lock()
	clear(n.live)
	n.stats, n.targets = fakeStats(50), fakeTargets("")
	n.mu.Unlock()
	for i := range 50 {
		n.add(liveCallOf(i))
	}
	n.fleet = theFleet
	b := newTab(t)
	for _, w := range []struct {
		name          string
		width, height int64
		dark          bool
	}{{"1440-light", 1440, 900, false}, {"1440-dark", 1440, 900, true}, {"390-light", 390, 844, false}, {"390-dark", 390, 844, true}} {
		b.size(w.width, w.height, w.dark)
		views := map[string]string{
			"live": "/#/live", "finished": "/#/finished", "call": "/#/calls/" + n.records[0].ID, "targets": "/#/targets",
			"compare": "/#/compare?last=168h", "fleet": "/#/fleet", "config": "/#/config",
		}
		for v, u := range views {
			b.open(n.url + u)
			full(b, "fake-"+v+"-"+w.name)
		}
		if demo := os.Getenv("DEMO"); demo != "" {
			for _, v := range []string{"live", "finished", "targets", "compare", "config", "calls/" + os.Getenv("CALL")} {
				b.open(demo + "/#/" + v)
				name := v
				if len(v) > 6 && v[:6] == "calls/" {
					name = "call"
				}
				full(b, "real-"+name+"-"+w.name)
			}
			b.open(demo + "/docs/")
			full(b, "real-docs-"+w.name)
		}
	}
}

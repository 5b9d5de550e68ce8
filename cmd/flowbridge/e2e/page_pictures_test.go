//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"testing"
)

// TestPagePictures opens each view, light and dark, on a desktop and on a phone: nothing may be wider than its window.
// It also takes the pictures of docs/guides/page.md, if the environment names a directory for them:
//
//	PICTURES=../../../docs/images go test -tags e2e -count=1 -run TestPagePictures ./cmd/flowbridge/e2e
func TestPagePictures(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	b := newTab(t)
	one := n.records[0].ID
	for _, w := range []struct {
		name          string
		width, height int64
		dark          bool
	}{{"light", 1240, 780, false}, {"dark", 1240, 780, true}, {"phone", 360, 720, false}} {
		b.size(w.width, w.height, w.dark)
		b.open(n.url + "/#/live")
		b.shows(`document.querySelectorAll('.vtable a.tr:not([hidden])').length > 5 && document.querySelector('.health.failing')`)
		b.shows(rows + `.some((r) => r.querySelector('.c-speaks').textContent === 'agent')`)
		b.fits()
		b.picture("page-live-" + w.name)
		b.open(n.url + "/#/finished")
		b.reads("100 calls")
		b.fits()
		if w.name == "light" {
			b.picture("page-finished-" + w.name)
		}
		b.open(n.url + "/#/calls/" + one)
		b.reads("next: vapi")
		b.fits()
		b.picture("page-call-" + w.name)
		value[int](b, `document.querySelectorAll('.arrow')[0].click(), 0`)
		b.shows(`!document.querySelector('.message').hidden`)
		value[int](b, `document.querySelector('.ladder').scrollIntoView(), 0`)
		b.fits()
		if w.name != "dark" {
			b.picture("page-ladder-" + w.name)
		}
		value[int](b, `document.querySelector('.message button').click(), document.querySelector('.charts').scrollIntoView(), 0`)
		if w.name == "light" {
			b.picture("page-audio-" + w.name)
		}
	}
}

// axe looks for accessibility problems, if the environment says where axe-core is.
func (b *tab) axe(where string) {
	b.Helper()
	path := os.Getenv("AXE")
	if path == "" {
		return
	}
	script, err := os.ReadFile(path)
	must(b, err)
	if found := value[string](b, string(script)+`; axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations.map((v) =>
		v.id + ': ' + v.nodes.map((n) => n.target + ' ' + n.any.map((a) => a.message)).slice(0, 3).join(' | ')).join('\n'))`); found != "" {
		b.Errorf("%s: %s", where, found)
	}
}

// TestPageAtEverySize opens each view on a desktop and on a phone, light and dark, with no calls, with 50 and with
// 10,000: nothing may be wider than its window. With axe-core it also looks for accessibility problems:
//
//	AXE=/path/to/axe.min.js go test -tags e2e -count=1 -run TestPageAtEverySize ./cmd/flowbridge/e2e
func TestPageAtEverySize(t *testing.T) {
	runIn(t, cores)
	for _, calls := range []int{0, 50, 10000} {
		n := newFakeNode(t, "127.0.0.1:0")
		if calls > 0 {
			n.fill()
		}
		n.mu.Lock()
		clear(n.live)
		n.stats, n.targets = fakeStats(calls), fakeTargets("")
		n.mu.Unlock()
		for i := range calls {
			n.add(liveCallOf(i))
		}
		views := map[string]string{"live": `document.querySelector('.first')`}
		if calls > 0 {
			views["live"] = rows + `.length >= 20`
		}
		if calls == 50 {
			views["targets"], views["compare?last=168h"], views["finished"] = `document.querySelectorAll('.targets tbody tr').length === 4`, `!document.querySelector('main').innerText.includes('Reading')`, `document.querySelectorAll('.records tbody tr').length === 100`
			n.fleet = theFleet
			views["fleet"] = `document.querySelectorAll('main tbody tr').length === 5`
			views["calls/"+n.records[0].ID] = `document.querySelectorAll('.arrow').length > 10 && document.querySelector('.timeline .said')`
		}
		page := newTab(t)
		for _, width := range []int64{1280, 390} {
			for _, dark := range []bool{false, true} {
				page.size(width, map[int64]int64{1280: 800, 390: 844}[width], dark)
				for view, isThere := range views {
					page.open(n.url + "/#/" + view)
					page.shows(isThere)
					page.fits()
					page.axe(fmt.Sprintf("%s with %d calls, %d wide, dark %v", view, calls, width, dark))
				}
			}
		}
	}
}

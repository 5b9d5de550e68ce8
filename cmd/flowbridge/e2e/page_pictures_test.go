//go:build e2e

package e2e

import (
	"testing"
)

// TestPagePictures looks at each view, light and dark, on a desk and on a phone: nothing is wider than its window. It takes the
// pictures of docs/guides/page.md, too, if the environment says where they go:
//
//	PICTURES=../../../docs/images go test -tags e2e -count=1 -run TestPagePictures ./cmd/flowbridge/e2e
func TestPagePictures(t *testing.T) {
	t.Parallel()
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

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// tab is a page in a real Chromium.
type tab struct {
	*testing.T
	ctx context.Context

	problems []string // complaints in the console, once the tab is closed
}

// browserFlags keep Chromium from contacting other hosts, and allow it to run as root.
var browserFlags = []chromedp.ExecAllocatorOption{
	chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
	chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
	chromedp.Flag("disable-sync", true), chromedp.Flag("enable-precise-memory-info", true), chromedp.Flag("disable-dev-shm-usage", true),
	chromedp.Flag("hide-scrollbars", false), chromedp.Flag("lang", "en-GB"), chromedp.Flag("js-flags", "--expose-gc"),
	// Several tests have a tab each. Chromium must not slow down a tab because it is in the background.
	chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-backgrounding-occluded-windows", true),
	chromedp.Flag("disable-renderer-backgrounding", true),
	// A microphone that says the same words again and again, and calls over loopback.
	chromedp.Flag("use-fake-device-for-media-stream", true), chromedp.Flag("use-fake-ui-for-media-stream", true),
	chromedp.Flag("allow-loopback-in-peer-connection", true),
	chromedp.WSURLReadTimeout(patience),
}

// browser is the Chromium of all tests, because starting one takes a second of a processor. closeBrowser ends it.
var (
	browser      = sync.OnceValues(startBrowser)
	closeBrowser = func() {}
)

func startBrowser() (context.Context, error) {
	microphone, err := os.CreateTemp("", "microphone-*.wav")
	if err != nil {
		return nil, err
	}
	_, err = microphone.Write(wav(microphoneWords()))
	if err = errors.Join(err, microphone.Close()); err != nil {
		return nil, err
	}
	flags := append(slices.Clone(browserFlags), chromedp.Flag("use-file-for-fake-audio-capture", microphone.Name()))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, end := chromedp.NewContext(allocated)
	closeBrowser = func() {
		_ = chromedp.Cancel(ctx)
		end()
		stop()
		_ = os.Remove(microphone.Name())
	}
	return ctx, chromedp.Do(ctx)
}

// newTab opens a tab with a new profile. At the end, no script may have failed, and the page's policy must not have
// blocked anything.
func newTab(t *testing.T) *tab {
	t.Helper()
	started, err := browser()
	must(t, err)
	ctx, end := chromedp.NewContext(started, chromedp.WithNewBrowserContext())
	ctx, over := context.WithTimeout(ctx, 4*patience)
	b := &tab{T: t, ctx: ctx}
	console, heard := chromedp.Console(ctx), make(chan struct{})
	go func() {
		defer close(heard)
		for m, err := range console {
			if err != nil {
				return
			}
			if (m.Type == chromedp.ConsoleError || m.IsException()) && m.Source != "network" { // a 404 is not its fault
				b.problems = append(b.problems, m.String())
			}
		}
	}()
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		over()
		end()
		<-heard
		for _, p := range b.problems {
			t.Errorf("the browser complains: %s", p)
		}
	})
	return b
}

// run runs actions.
func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.Fatalf("browser: %v\n%s", err, b.text())
	}
}

// open goes to an address.
func (b *tab) open(url string) {
	b.Helper()
	b.run(chromedp.Navigate(url))
}

// value evaluates an expression.
func value[T any](b *tab, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("browser: %s: %v", expression, err)
	}
	return v
}

// shows waits until an expression is true in the page.
func (b *tab) shows(expression string) {
	b.Helper()
	if !within(patience, func() bool {
		v, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		return err == nil && v
	}) {
		b.Fatalf("the page never shows %s\n%s", expression, b.text())
	}
}

// reads waits until the page has this text.
func (b *tab) reads(text string) {
	b.Helper()
	b.shows(fmt.Sprintf("document.querySelector('main').innerText.includes(%q)", text))
}

// text returns the text that the page shows.
func (b *tab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("location.hash + '\\n' + document.body.innerText"))
	return text
}

// click clicks the element that a selector finds.
func (b *tab) click(selector string) {
	b.Helper()
	b.hit(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// hit clicks. If the page has replaced the node since it was found, nothing was clicked, and hit looks for the node
// again.
func (b *tab) hit(click chromedp.Action[chromedp.Void]) {
	b.Helper()
	err := chromedp.Do(b.ctx, click)
	for err != nil && strings.Contains(err.Error(), "Could not find node with given id") {
		err = chromedp.Do(b.ctx, click)
	}
	if err != nil {
		b.Fatalf("browser: %v\n%s", err, b.text())
	}
}

// press clicks the button with this text.
func (b *tab) press(text string) {
	b.Helper()
	b.hit(chromedp.Click(fmt.Sprintf(`//button[normalize-space()=%q and not(ancestor::dialog[not(@open)])]`, text), chromedp.NodeVisible))
}

// size sets the size of the window, dark or light mode, and reduced motion.
func (b *tab) size(width, height int64, dark bool) {
	b.Helper()
	scheme := map[bool]string{false: "light", true: "dark"}[dark]
	b.run(chromedp.EmulateViewport(width, height))
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}); err != nil {
		b.Fatal(err)
	}
}

// picture writes a screenshot to the directory that PICTURES names, if that is set.
func (b *tab) picture(name string) {
	b.Helper()
	dir := os.Getenv("PICTURES")
	if dir == "" {
		return
	}
	b.run(chromedp.Sleep(300 * time.Millisecond))
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	must(b, err)
	must(b, os.WriteFile(filepath.Join(dir, name+".png"), smaller(b.T, shot), 0o644))
}

// near reports whether two colours are hardly distinguishable to the eye.
func near(a, b color.RGBA) bool {
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r+g*g+bl*bl < 80
}

// smaller returns a picture with its 256 most frequent colours: a third of the bytes, and no visible difference.
func smaller(t *testing.T, shot []byte) []byte {
	t.Helper()
	whole, err := png.Decode(bytes.NewReader(shot))
	must(t, err)
	at, often := whole.Bounds(), map[color.RGBA]int{}
	colour := func(x, y int) color.RGBA { return color.RGBAModel.Convert(whole.At(x, y)).(color.RGBA) }
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			often[colour(x, y)]++
		}
	}
	order := slices.SortedFunc(maps.Keys(often), func(a, b color.RGBA) int { return often[b] - often[a] })
	var few color.Palette
	for _, c := range order {
		if len(few) < 256 && !slices.ContainsFunc(few, func(f color.Color) bool { return near(f.(color.RGBA), c) }) {
			few = append(few, c)
		}
	}
	nearest, out := map[color.RGBA]uint8{}, image.NewPaletted(at, few)
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			c := colour(x, y)
			i, ok := nearest[c]
			if !ok {
				i = uint8(few.Index(c))
				nearest[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	var b bytes.Buffer
	must(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, out))
	return b.Bytes()
}

// fits checks that nothing is wider than the window.
func (b *tab) fits() {
	b.Helper()
	if wide := value[string](b, `(() => {
		const w = document.documentElement.clientWidth;
		if (document.documentElement.scrollWidth <= w) return '';
		return [...document.querySelectorAll('main *, header *')].filter((e) => e.getBoundingClientRect().right > w + 1 && !e.closest('.wrap, .drawing'))
			.slice(0, 5).map((e) => e.tagName + '.' + e.className).join(', ') || 'something';
	})()`); wide != "" {
		b.Errorf("wider than the window: %s", strings.TrimSpace(wide))
	}
}

//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"flowbridge/store/record"
)

// keysTyped types keys one after the other, like a keyboard. A key that a script intercepts does not become text.
func (b *tab) keysTyped(keys string) {
	b.Helper()
	for _, k := range keys {
		for _, event := range []input.DispatchKeyEventParams{{Type: "keyDown", Key: string(k), Text: string(k)}, {Type: "keyUp", Key: string(k)}} {
			if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, event); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// TestPageOverTime: tiles and targets show the last hour as lines, which events continue. Twenty rows fit into 800
// pixels, each with who speaks, the quality and the loss.
func TestPageOverTime(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	page := newTab(t)
	page.size(1280, 800, false)
	page.open(n.url + "/#/live")
	page.shows(`document.querySelectorAll('.tiles .spark:not(.empty)').length === 12`)
	page.shows(`/^Live calls since \d\d:\d\d: [\d.]+ to [\d.]+, now [\d.]+$/.test(document.querySelector('.tiles .spark').getAttribute('aria-label'))`)
	page.shows(`/since \d\d:\d\d/.test(document.querySelector('main section').innerText)`)
	page.shows(rows + `.filter((r) => {
		const row = r.getBoundingClientRect(), list = document.querySelector('.vtable .scroll').getBoundingClientRect();
		return row.top >= list.top + 23 && row.bottom <= Math.min(innerHeight, list.bottom);
	}).length >= 20`)
	page.shows(rows + `.some((r) => r.querySelector('.c-speaks').innerText === 'agent' && /^\d\.\d$/.test(r.querySelector('.c-mos').innerText) && /^\d\.\d %$/.test(r.querySelector('.c-loss').innerText))`)
	page.shows(`performance.getEntriesByType('resource').filter((e) => e.name.includes('/api/calls?ids=')).length >= 2`)
	if got := value[int](page, `performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/api/history')).length`); got != 1 {
		t.Errorf("the history was read %d times; want once", got)
	}
	page.reads("Look at this: 2 things are not well.")
	page.shows(`document.querySelector('#banner .bad').innerText === 'synthflow fails: its API answered 503 Service Unavailable' && document.querySelector('#banner .warn').innerText.startsWith('80 : 20')`)
	page.shows(`document.querySelectorAll('.marks .mark').length === 2 && document.querySelector('.trend .ticks').getAttribute('d').split('M').length === 3`)
	value[int](page, `document.querySelector('.trend svg').focus(), 0`)
	page.run(chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.ArrowLeft))
	page.shows(`[...document.querySelectorAll('.tiles:not(.small) .more')].every((m) => /^\d\d:\d\d:\d\d: [\d.]+/.test(m.innerText))`)
	value[int](page, `document.querySelector('.marks').focus(), 0`)
	page.run(chromedp.KeyEvent(kb.ArrowLeft))
	page.shows(`document.querySelector('.said-event').innerText.endsWith('synthflow is out of use: it fails')`)
	page.press("24 h")
	page.shows(`document.querySelectorAll('.marks .mark').length === 3`)
	page.shows(`new URLSearchParams([...document.querySelectorAll('.tiles a')].find((a) => a.innerText === 'Answered').hash.split('?')[1]).get('disposition') === 'failed'`)
	page.press("1 h")
	page.reads("synthflow failing: ")
	page.click(`.targetline a[href="#/targets"]`)
	page.shows(`document.querySelectorAll('.targets tbody tr:first-child .spark:not(.empty)').length === 6`)
	page.reads("900 ms / 2.1 s")
	page.fits()
}

// TestPageFirstCall: a node that has never had a call explains how to place one.
func TestPageFirstCall(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.stats = fakeStats(0)
	page := newTab(t)
	page.open(n.url + "/")
	page.reads("flowbridge call --to sip:")
	page.shows(`document.querySelector('.vtable').hidden`)
	n.add(liveCallOf(1))
	page.shows(rows + `.length === 1 && document.querySelector('.first').offsetHeight === 0 && document.querySelector('.vtable').offsetHeight > 0`)
}

// TestPageTimeline: a call has one time axis with the messages, the waits of the caller and its interruptions. Keys
// zoom it and move along it. It leads to a message, and plays the recording with the waveforms of both sides.
func TestPageTimeline(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	page := newTab(t)
	page.size(1240, 900, false)
	page.open(n.url + "/#/calls/" + n.records[0].ID)
	page.shows(`document.querySelectorAll('.timeline .said.s0').length === 5 && document.querySelectorAll('.timeline .said.s1').length === 6`)
	for what, want := range map[string]string{
		".wait.good": "3", ".wait.slow": "1", ".wait.bad": "1", ".over.obeyed": "2", ".tick": "23", ".phase": "4", ".figure": "4",
	} {
		page.shows(`String(document.querySelectorAll('.timeline ` + what + `').length) === '` + want + `'`)
	}
	page.reads("The caller waited 5 times for an answer, at most 3.7 s")
	value[int](page, `document.querySelector('.timeline svg').focus(), 0`)
	page.run(chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.ArrowRight))
	page.shows(`document.querySelector('.timeline .cursor').getAttribute('visibility') === 'visible'`)
	all := value[int](page, `document.querySelectorAll('.timeline .said').length`)
	page.keysTyped("++++")
	page.shows(`document.querySelectorAll('.timeline .said').length < ` + string(rune('0'+all/2)))
	page.press("All")
	value[int](page, `document.querySelector('.timeline .tick').dispatchEvent(new MouseEvent('click', { bubbles: true })), 0`)
	page.shows(`document.querySelector('.message h3').innerText === 'INVITE (SDP)'`)
	page.press("Listen")
	page.shows(`[...document.querySelectorAll('.timeline .wave')].every((w) => w.getAttribute('d').split('M').length > 100) && document.querySelectorAll('.timeline .wave').length === 2`)
	page.press("Pause")
	page.press("Play")
	page.shows(`[...document.querySelectorAll('.timeline button')].some((b) => b.innerText === 'Pause')`)
	if got := value[string](page, `document.querySelector('.story a[target]').href`); got != "https://dashboard.vapi.ai/calls/01J9-vapi" {
		t.Errorf("the platform's page is %s", got)
	}
	page.click(`nav a[data-view=live]`) // ends the sound
	page.shows(rows + `.length > 5`)
}

// TestPageLeavesALoadingRecording: if a call is left while its recording is loading, the recording is not played in
// another view.
func TestPageLeavesALoadingRecording(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	page := newTab(t)
	page.size(1240, 900, false)
	page.open(n.url + "/#/calls/" + n.records[0].ID)
	page.reads("next: vapi")
	value[int](page, `(() => {
		const { fetch } = window;
		window.contexts = 0;
		window.AudioContext = class extends AudioContext { constructor() { super(); window.contexts++; } };
		window.fetch = async (url, options) => {
			const res = await fetch(url, { ...options, signal: null });
			if (!String(url).includes('/api/recordings/')) return res;
			window.loading = true;
			await new Promise((go) => { window.release = go; });
			setTimeout(() => { window.arrived = true; }, 500);
			return res;
		};
		return 0;
	})()`)
	page.press("Listen")
	page.shows(`window.loading`)
	page.click(`nav a[data-view=live]`)
	page.shows(rows + `.length > 5`)
	value[int](page, `(window.release(), 0)`)
	page.shows(`window.arrived`)
	if got := value[int](page, `window.contexts`); got != 0 {
		t.Errorf("it is played %d times after its call was left", got)
	}
}

// TestPageComparesMessages: the page shows the differences between two messages.
func TestPageComparesMessages(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	page := newTab(t)
	page.size(1240, 900, false)
	page.open(n.url + "/#/calls/" + n.records[0].ID)
	page.reads("next: vapi")
	value[int](page, `document.querySelector('.messages button').click(), 0`)
	page.press("Compare with …")
	page.reads("Choose the message to compare it with.")
	value[int](page, `[...document.querySelectorAll('.arrow')].filter((a) => a.innerText.startsWith('INVITE')).at(-1).click(), 0`)
	page.reads("2 lines differ")
	page.shows(`document.querySelector('.line.gone').innerText.includes('192.0.2.10 SIP/2.0') && document.querySelector('.line.come').innerText.includes('sip.vapi.ai SIP/2.0')`)
	value[int](page, `document.querySelector('.messages button[tabindex="0"]').focus(), 0`)
	page.run(chromedp.KeyEvent(kb.Escape))
	page.shows(`document.querySelector('.message').hidden && document.querySelectorAll('.msg.open').length === 0`)
}

// TestPageKeys: / leads to the search, ? opens a list of keys, j and k move through the calls and messages.
func TestPageKeys(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	page := newTab(t)
	page.size(1280, 860, false)
	page.open(n.url + "/#/live")
	page.shows(rows + `.length > 5`)
	page.keysTyped("jjk")
	page.shows(`document.querySelector('.vtable a.cursor').getAttribute('aria-rowindex') === '2'`)
	page.keysTyped("?")
	page.shows(`document.querySelector('#keys').open`)
	page.keysTyped("j")
	page.run(chromedp.KeyEvent(kb.Escape))
	page.shows(`!document.querySelector('#keys').open && document.querySelector('.vtable a.cursor').getAttribute('aria-rowindex') === '2'`)
	page.keysTyped("/jk?")
	page.shows(`document.activeElement.matches('.find input') && document.activeElement.value === 'jk?'`)
	page.run(chromedp.KeyEvent(kb.Escape))

	page.open(n.url + "/#/finished")
	page.reads("100 calls")
	page.keysTyped("jj")
	page.shows(`document.activeElement === document.querySelectorAll('.records tbody a')[1]`)
	page.open(n.url + "/#/calls/" + n.records[0].ID)
	page.reads("next: vapi")
	page.keysTyped("jj")
	page.run(chromedp.KeyEvent(kb.Enter))
	page.shows(`document.querySelector('.message h3').innerText === '100 Trying'`)
}

// TestPageFoldsFilters: on a phone the filters of finished calls are folded, on a desktop they are not.
func TestPageFoldsFilters(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	page := newTab(t)
	for width, folded := range map[int64]string{390: "true", 1280: "false"} {
		page.size(width, 844, false)
		page.open("about:blank")
		page.open(n.url + "/#/finished?trunk=carrier")
		page.reads("calls")
		page.shows(`String(!document.querySelector('.fold').open && document.querySelector('.fold summary').offsetHeight > 0) === '` + folded + `'`)
	}
}

// TestPageComparesCalls: finished calls are compared by group, with the choice in the address.
func TestPageComparesCalls(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	for i := range 20 {
		c := liveCallOf(i).Record
		c.EndedAt, c.Disposition, c.Cause, c.DurationMS = now(), record.DispositionAnswered, "caller_hangup", 60_000
		c.Attempts = []record.Attempt{{Target: c.Target, SIPStatus: 200}}
		c.Talk = &record.Talk{Confidence: record.TalkGood, Turns: &record.Durations{N: 2, Values: []uint16{900, uint16(1000 + 100*(i%2))}}}
		n.records = append(n.records, c)
	}
	page := newTab(t)
	page.size(1240, 780, false)
	page.open(n.url + "/#/compare")
	page.reads("20 calls.")
	page.shows(`[...document.querySelectorAll('.compared thead th')].map((h) => h.innerText).join() === 'synthflow,vapi'`)
	page.shows(`[...document.querySelectorAll('.compared tbody tr')].some((r) => r.innerText.startsWith('Answers p95') && r.innerText.includes('1.0 s (20 measured)') && r.innerText.includes('1.1 s (20 measured)'))`)
	value[int](page, `(() => { const s = document.querySelector('select[name=by]'); s.value = 'trunk'; s.dispatchEvent(new Event('change')); return 0; })()`)
	page.shows(`document.querySelectorAll('.compared thead th').length === 3 && location.hash.includes('by=trunk')`)
	page.fits()
}

// TestPageOfACallWithoutRoute: for a real call that no route takes, the page says for each route why not.
func TestPageOfACallWithoutRoute(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	s.refusedCarrier(404, "+15095550199").finish()
	eventually(t, "the record is there", func() bool { return len(b.cdrs()) == 1 })
	page := newTab(t)
	page.open(b.admin + "/#/calls/" + b.cdrs()[0].ID)
	page.reads("no route")
	page.shows(`document.querySelector('.routes li')?.innerText.startsWith('routes[0] does not match: the called number +15095550199 does not match to: ^')`)
}

// TestPageShowsWhoSpeaks places a real call. While it is up, its row shows who speaks, and its quality. The server's
// history has the quality, too.
func TestPageShowsWhoSpeaks(t *testing.T) {
	s := newStage(t)
	s.simulate()
	b := s.serve(setup{media: ", engine: userspace"})
	cmd := exec.Command(program, "call", "--to", s.to(), "--from", caller, "--seconds", "600", "--listen", s.carrier.String()+":0")
	cmd.Env = append(os.Environ(), "NO_COLOR=1", raceEnv)
	page := newTab(t)
	page.size(1280, 800, false)
	page.open(b.admin + "/")
	page.shows(`document.querySelector('#state').textContent === 'live'`)
	call := start(t, "flowbridge call", cmd)
	page.shows(rows + `.some((r) => ['caller', 'agent', 'both'].includes(r.querySelector('.c-speaks').innerText))`)
	page.shows(rows + `.some((r) => r.querySelector('.c-mos').innerText.startsWith('4.') && r.querySelector('.c-loss').innerText === '0.0 %')`)
	page.shows(`fetch('/api/history').then((r) => r.json()).then((h) => { window.hour = h; }) && window.hour?.figures.calls.at(-1) === 1`)
	page.shows(`window.hour.targets[0].series.turns_ms.length === window.hour.figures.calls.length`)
	page.click(`.vtable a.tr:not([hidden])`)
	page.shows(`document.querySelectorAll('.timeline .phase').length >= 3 && document.querySelectorAll('.timeline .figure').length === 4`)
	page.press("Hang up")
	page.click(`#confirm button.main`)
	page.reads("An operator hung up.")
	call.exit()
}

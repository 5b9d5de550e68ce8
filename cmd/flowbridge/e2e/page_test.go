//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"flowbridge/admin"
	"flowbridge/store/record"
)

// rows counts the live calls that the page shows.
const rows = `[...document.querySelectorAll('.vtable a.tr:not([hidden])')]`

// TestPage follows a real call through the page: it appears without a reload, its ladder is read and a message opened,
// it is hung up in the page, and it is found among the finished calls by a part of its number.
func TestPage(t *testing.T) {
	s := newPreparedStage(t)
	b := s.serve(setup{})
	agent := s.sippAgent("caller_hangup")
	page := newTab(t)
	page.size(1240, 780, false)
	page.open(b.admin + "/")
	page.shows(`document.querySelector('#state').textContent === 'live'`)
	page.shows(rows + `.length === 0`)
	page.reads("No live calls.")
	value[int](page, `window.notReloaded = 1`)

	carrier := s.sippCarrier("agent_hangup")
	carrier.answered(1)
	page.shows(rows + fmt.Sprintf(`.some((r) => r.innerText.includes(%q) && r.innerText.includes('in call'))`, caller))
	page.shows(`document.querySelector('.none').hidden`)
	page.click(`.vtable a.tr:not([hidden])`)
	page.reads("It was answered after")
	page.shows(`document.querySelectorAll('.arrow').length >= 6`)
	value[int](page, `document.querySelector('.messages button.arrow').click(), 0`)
	page.shows(`document.querySelector('.message pre').innerText.startsWith('INVITE sip:')`)
	page.press("Hang up")
	page.shows(`document.querySelector('#confirm').open`)
	page.click(`#confirm button.main`)
	page.reads("Done: the call has ended (operator hangup).")
	page.reads("An operator hung up.")
	if value[int](page, `window.notReloaded ?? 0`) != 1 {
		t.Error("the page was loaded again")
	}
	carrier.finish()
	agent.finish()
	if got := value[string](page, `fetch('/api/' + location.hash.slice(2) + '/capsule').then((r) => r.status + ' ' + r.headers.get('Content-Type'))`); got != "200 application/zip" {
		t.Errorf("the capsule is %s", got)
	}
	page.press("Download capsule")

	page.run(chromedp.SendKeys(chromedp.CSS(".find input"), called[3:9]+kb.Enter))
	page.reads("1 call.")
	page.shows(`document.querySelector('.records tbody').innerText.includes('operator hangup')`)
	page.click(".records tbody td:nth-child(5)") // anywhere in the row
	page.reads("An operator hung up.")
	id := b.cdrs()[0].ID
	if got := value[string](page, `location.hash`); got != "#/calls/"+id {
		t.Errorf("the page is at %s", got)
	}
}

// TestPageAsksForToken: without a token the page itself loads, asks once, and keeps the token in the tab. A token that
// may only read shows no buttons. After a wrong token the page asks again.
func TestPageAsksForToken(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	n.access = admin.Access{Tokens: []admin.Token{{Name: "anna", Secret: "aaa", Rights: admin.RightsOperate, Listen: true}, {Name: "bob", Secret: "bbb", Rights: admin.RightsRead}}}
	page := newTab(t)
	give := func(token string) {
		t.Helper()
		page.shows(`document.querySelector('#ask-token').open`)
		page.run(chromedp.SendKeys(chromedp.CSS("#ask-token input"), token+kb.Enter))
	}
	id := liveCallOf(20).ID
	page.open(n.url + "/#/calls/" + id)
	page.shows(`document.querySelector('#ask-token').innerText.includes('This node wants a token')`)
	give("wrong")
	page.shows(`document.querySelector('#ask-token').innerText.includes('token is missing or wrong')`)
	give("bbb")
	page.reads("It was answered after")
	page.shows(`document.querySelector('#state').textContent === 'live'`)
	if value[bool](page, `[...document.querySelectorAll('main button')].some((b) => b.textContent === 'Hang up' || b.textContent === 'Listen')`) {
		t.Error("who may only read is shown orders")
	}
	page.open("about:blank")
	page.open(n.url + "/#/calls/" + id) // the same tab still knows it
	page.reads("It was answered after")
	page.click("#token")
	give("aaa")
	page.shows(`[...document.querySelectorAll('main button')].some((b) => b.textContent === 'Hang up')`)
	if kept := value[string](page, `JSON.stringify([sessionStorage.length, localStorage.length, document.cookie])`); kept != `[1,0,""]` {
		t.Errorf("kept: %s", kept)
	}
	value[int](page, `(() => {
		const start = AudioBufferSourceNode.prototype.start;
		window.loud = [0, 0];
		AudioBufferSourceNode.prototype.start = function (at) {
			window.loud = [0, 1].map((side) => Math.max(window.loud[side], ...this.buffer.getChannelData(side)));
			return start.call(this, at);
		};
		return 0;
	})()`)
	page.press("Listen")
	page.click("#confirm button.main")
	page.reads("Listening …")
	page.shows(`window.loud[0] > 0`)
	page.press("Stop listening")
	page.reads("No longer listening.")
	if why := <-n.heard; !strings.Contains(why.Error(), "left") {
		t.Errorf("the listener ended with %v", why)
	}
	if got := value[string](page, `JSON.stringify(window.loud)`); got != `[0.25,0]` {
		t.Errorf("the caller's and the called side's sound: %s; want it of the caller only", got)
	}
}

// TestPageOrders: each order is confirmed first, its result is shown, and so is a refusal with its reason.
func TestPageOrders(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	page := newTab(t)
	id := liveCallOf(20).ID
	page.open(n.url + "/#/calls/" + id)
	page.press("Record")
	page.click("#confirm button[value=cancel]")
	page.shows(`!document.querySelector('#confirm').open`)
	page.press("Record")
	page.click("#confirm button.main")
	page.reads("Done: recording on, keys not masked.")
	page.press("Mask keys")
	page.click("#confirm button.main")
	page.reads("Done: recording on, keys masked.")
	page.reads("keys masked")
	n.mu.Lock()
	n.refuse = &admin.RefusedError{Problem: "the route's mask_dtmf is always", Remedy: "change the route"}
	n.mu.Unlock()
	page.press("Unmask keys")
	page.click("#confirm button.main")
	page.reads("Not done: the route's mask_dtmf is always. change the route")
	page.click("#place")
	page.shows(`document.querySelector('form[aria-label="Call me"] select[name=target]').options.length === 4`)
	value[int](page, `(Object.entries({ to: '+15075785607', from: '+12125550100', trunk: 'pbx' }).forEach(([n, v]) => { document.querySelector('form[aria-label="Call me"]').elements[n].value = v; }), 0)`)
	page.press("Call me")
	page.shows(`document.querySelector('#confirm').innerText.includes('Both may charge for it.')`)
	page.click("#confirm button.main")
	page.reads("No call: the route's mask_dtmf is always. change the route")
	n.mu.Lock()
	defer n.mu.Unlock()
	if want := []string{id + " start", id + " mask", "call +15075785607 over pbx"}; !slices.Equal(n.orders, want) {
		t.Errorf("orders %v; want %v", n.orders, want)
	}
}

// TestPageByKeyboard: Tab and arrows reach calls, messages and charts, and the focused element is visible.
func TestPageByKeyboard(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	page := newTab(t)
	page.size(1280, 860, false)
	page.open(n.url + "/#/live")
	page.shows(rows + `.length > 5`)
	value[int](page, `document.querySelector('.vtable .scroll').focus(), 0`)
	page.run(chromedp.KeyEvent(kb.End), chromedp.KeyEvent(kb.ArrowUp))
	page.shows(`document.querySelector('.vtable a.cursor').getAttribute('aria-rowindex') === '121'`)
	page.shows(`document.querySelector('.scroll').getAttribute('aria-activedescendant') === document.querySelector('a.cursor').id`)
	page.run(chromedp.KeyEvent(kb.Enter))
	page.shows(`location.hash.startsWith('#/calls/')`)

	page.open(n.url + "/#/calls/" + n.records[0].ID)
	page.reads("next: vapi")
	value[int](page, `document.querySelector('.messages [tabindex="0"]').focus(), 0`)
	page.run(chromedp.KeyEvent(kb.Enter))
	page.shows(`document.querySelector('.message h3').innerText === 'INVITE (SDP)'`)
	page.run(chromedp.KeyEvent(kb.ArrowDown))
	page.shows(`document.querySelector('.message h3').innerText === '100 Trying'`)
	if outline := value[string](page, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
		t.Error("what has the focus cannot be seen")
	}
	page.run(chromedp.KeyEvent(kb.ArrowDown))
	page.shows(`document.querySelector('.message').innerText.includes('trunk carrier by its source address')`)
	page.run(chromedp.KeyEvent(kb.Escape))
	page.shows(`document.querySelector('.message').hidden`)
	page.shows(`document.querySelectorAll('.arrow.again').length === 1`)
	value[int](page, `document.querySelector('.chart svg').focus(), 0`)
	page.run(chromedp.KeyEvent(kb.ArrowRight))
	page.shows(`document.querySelector('.chart .read').innerText.startsWith('0:05')`)

	unnamed := value[string](page, `[...document.querySelectorAll('button, input, select, a')].filter((e) => !e.closest('dialog') &&
		!(e.innerText.trim() || e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML).join()`)
	if unnamed != "" {
		t.Errorf("a screen reader has no name for %s", unnamed)
	}
}

// TestPageWithHostileTexts: everything that a peer sends is shown as text. It runs no script, loads nothing, does not
// reverse a line, and does not break the layout, not even with 10 KB of it.
func TestPageWithHostileTexts(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	long := strings.Repeat("W", 10<<10)
	texts := []string{
		`<img src=x onerror="window.ran=1">`, `"><script>window.ran=1</script>`, `javascript:window.ran=1`, "\u202e0015+\u2066evil", "a\x00\x07\x1b[31mb\r\nc\u2028d", long, "'\"&lt;`${window.ran=1}", "../../api/drain", "%2e%2e%2f",
	}
	at := time.Now().Add(-time.Hour)
	var ids []string
	n.mu.Lock()
	n.live, n.records, n.targets = map[string]admin.Call{}, nil, nil
	for i, text := range texts {
		r, l := failedOver(at)
		r.ID = fmt.Sprintf("hostile/%d?#%s", i, text[:min(len(text), 40)])
		r.From, r.To, r.Trunk, r.Target, r.Route, r.SIPCallID, r.TargetSIPCallID, r.SynthflowCallID, r.ExternalID, r.Codec, r.Node = text, text, text, text, text, text, text, text, text, text, text
		r.Media.A.Source, r.Media.A.Codec = text, text
		r.Attempts = slices.Clone(r.Attempts)
		r.Attempts[0].Target = text
		r.Recordings = []record.Recording{{File: text, Format: text, Error: text}}
		r.Report = &record.Report{Status: text, EndReason: text}
		for _, lane := range l["lanes"].([]any) {
			lane.(map[string]string)["name"] = text
		}
		for _, m := range l["messages"].([]any) {
			m := m.(map[string]any)
			m["summary"], m["text"], m["method"], m["local"], m["remote"], m["transport"] = text, "INVITE "+text+"\r\n"+text+": "+text+"\r\n\r\n"+text, text, text, text, text
		}
		n.records = append(n.records, r)
		n.ladders[r.ID] = l
		live := r
		live.ID, live.EndedAt = "live-"+r.ID, record.Time{}
		n.live[live.ID] = admin.Call{Record: live, Phase: "bridged"}
		target := fakeTargets(r.ID)[0]
		target.Name, target.Kind, target.Address, target.Health = text, text, text, text
		target.LastError.Text, target.LastError.Cause = text, text
		n.targets = append(n.targets, target)
		ids = append(ids, r.ID)
	}
	n.stats.Rejected, n.stats.Causes = map[string]uint64{texts[0]: 1, long: 2}, map[string]uint64{texts[1]: 1, long: 2}
	n.mu.Unlock()
	page := newTab(t)
	for _, width := range []int64{1280, 360} {
		page.size(width, 800, false)
		page.open(n.url + "/#/live")
		page.shows(rows + fmt.Sprintf(`.length === %d`, len(texts)))
		page.shows(`document.querySelectorAll('.targetline .chip').length === 6`)
		page.fits()
		if width > 1000 {
			page.picture("hostile-live")
		}
		for _, view := range []string{"targets", "compare?by=target&last=168h"} {
			page.open(n.url + "/#/" + view)
			page.shows(`document.querySelectorAll('.targets tbody tr, .compared thead th').length >= 7`)
			page.fits()
		}
		page.open(n.url + "/#/finished")
		page.reads(fmt.Sprintf("%d calls", len(texts)))
		page.fits()
		for i, id := range ids {
			page.open(n.url + "/#/calls/" + url.PathEscape(id))
			page.shows(`document.querySelectorAll('.arrow').length > 10`)
			value[int](page, `document.querySelectorAll('.arrow')[0].click(), 0`)
			page.fits()
			if width > 1000 {
				page.picture(fmt.Sprintf("hostile-%d", i))
			}
			if bad := value[string](page, `/[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u000e-\u001f]/.exec(document.body.textContent)?.[0].codePointAt(0).toString(16) ?? ''`); bad != "" {
				t.Errorf("the page has the character U+%s of %q as it came", bad, texts[i])
			}
		}
	}
	if value[bool](page, `Boolean(window.ran) || Boolean(document.querySelector('main img, main script, main iframe'))`) {
		t.Error("a text became markup")
	}
	links := value[[]string](page, `[...document.querySelectorAll('a')].map((a) => a.getAttribute('href') ?? '').filter((h) => !h.startsWith('#') && h !== 'docs/')`)
	if len(links) > 0 {
		t.Errorf("links lead away: %v", links)
	}
}

// TestPageSearchesAgain: the results of a search that is started twice are shown once.
func TestPageSearchesAgain(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	page := newTab(t)
	page.open(n.url + "/#/finished")
	page.reads("100 calls")
	value[int](page, `(document.querySelector('form.filters').requestSubmit(), document.querySelector('form.filters').requestSubmit(), 0)`)
	page.shows(`performance.getEntriesByType('resource').filter((e) => e.name.includes('/api/cdrs')).length === 3`)
	page.reads("100 calls, more below")
	if got := value[int](page, `document.querySelectorAll('.records tbody tr').length`); got != 100 {
		t.Errorf("%d rows; want one page of 100", got)
	}
	first := `document.querySelector('.records tbody tr [data-label="MOS"]').innerText`
	page.press("MOS")
	page.shows(first + ` === '4.2' && document.querySelector('.records th[aria-sort=descending]').innerText.startsWith('MOS')`)
	page.reads("Sorted among these.")
	page.shows(`[...document.querySelector('select[name=route]').options].some((o) => o.value === 'routes[0]')`)
	page.shows(`document.querySelectorAll('.bars .failed').length > 5 && /^251 calls over their time; at most \d+ in a bar/.test(document.querySelector('.bars').ariaLabel)`)
	value[int](page, `document.querySelector('.bars').focus(), 0`)
	page.run(chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.Enter))
	page.shows(`/since=.*until=/.test(location.hash) && document.querySelectorAll('.records tbody tr').length < 100`)
}

// TestPageKeepsSelection: text selected in the record of a live call stays selected while the page requests the record
// again.
func TestPageKeepsSelection(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	page := newTab(t)
	page.open(n.url + "/#/calls/" + liveCallOf(20).ID)
	page.shows(`document.querySelector('.record dd')`)
	value[int](page, `(getSelection().selectAllChildren(document.querySelector('.record dd')), 0)`)
	asked := `performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/ladder')).length`
	before := value[int](page, asked)
	page.shows(fmt.Sprintf("%s > %d", asked, before+1)) // the record is requested before each ladder
	if got := value[string](page, `getSelection().toString()`); got != liveCallOf(20).ID {
		t.Errorf("selected is %q", got)
	}
}

// TestPageOffline: everything that the page loads comes from the node.
func TestPageOffline(t *testing.T) {
	files, err := filepath.Glob("../../../admin/web/*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		rest := strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", "")
		if strings.Contains(rest, "://") && filepath.Ext(file) != ".json" {
			t.Errorf("%s names another host", file)
		}
	}
}

// TestPageThroughStrangersBounds: connections of senders without a token end after each answer, and the page loads all
// the same.
func TestPageThroughStrangersBounds(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.access = admin.Access{Tokens: []admin.Token{{Name: "anna", Secret: "aaa", Rights: admin.RightsOperate}}}
	page := newTab(t)
	began := time.Now()
	page.open(n.url + "/")
	page.shows(`document.querySelector('#ask-token').open`)
	t.Logf("the page asks for the token %v after it was opened, with %d requests", time.Since(began).Round(time.Millisecond),
		value[int](page, `performance.getEntriesByType('resource').length`))
	if res, err := http.Get(n.url + "/"); err != nil || !res.Close {
		t.Errorf("the connection of a stranger stays: %v", err)
	}
}

// TestPageAnswersAnOperator asks an operator's questions at night about real calls: one that failed, and one that
// another target took. It counts the clicks. Typing words counts as one click.
func TestPageAnswersAnOperator(t *testing.T) {
	s := newPreparedStage(t)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
	}))
	defer broken.Close()
	config := replaceOnce(t, s.config(setup{}), "routes:\n", `  - {name: backup, kind: synthflow, uri: "sip:{{.To.Number}}@`+s.agent.String()+`",
     prepare: {api: "`+broken.URL+`", token_env: E2E_TOKEN, workspace_id: "e2e", model_id: "agent", timeout: 1m}, headers: {X-EI: "S.{{.Prepare.CallID}};"}}
routes:
  - {trunk: carrier, to: "^\\+1508", targets: [backup]}
`)
	config = replaceOnce(t, config, "targets: [synthflow]", "targets: [backup, synthflow]")
	b := startServer(t, t.TempDir(), config)
	s.server = b
	s.refusedCarrier(503, "+15085550199").finish()
	agent := s.sippAgent("agent_hangup")
	carrier := s.sippCarrier("agent_hangup")
	carrier.answered(1)
	agent.proceed(agent.confirmed(1)...)
	carrier.finish()
	agent.finish()
	eventually(t, "both records are there", func() bool { return len(b.cdrs()) == 2 })

	page := newTab(t)
	page.size(1240, 780, false)
	page.open(b.admin + "/")
	page.shows(`document.querySelector('#state').textContent === 'live'`)
	clicks := 0
	click := func(selector string) { t.Helper(); clicks++; page.click(selector) }
	answered := func(question string, shows ...string) {
		t.Helper()
		for _, text := range shows {
			page.reads(text)
		}
		t.Logf("%-38s %d clicks", question, clicks)
		clicks = 0
	}

	answered("which target is slow, or fails?", "failing", "prepare failed HTTP 503")
	clicks++
	page.run(chromedp.SendKeys(chromedp.CSS(".find input"), "5085550199"+kb.Enter))
	page.reads("1 call.")
	click(".records tbody a")
	answered("why did the call of 02:13 fail?", "backup: its API answered 503", "It was never answered.", "The caller got SIP 503.", "no connection to the API, or an HTTP error")
	answered("is it us or the carrier?", "Look at the platform first.")
	clicks++
	page.hit(chromedp.Click(`//button[contains(@class,"arrow") and contains(@class,"http") and starts-with(normalize-space(),"POST")]`, chromedp.NodeVisible))
	answered("what did we send?", "POST /v2/prepare_inbound", `"from_number"`, "***")
	click(`nav a[data-view=finished]`)
	page.reads("2 calls.")
	page.shows(`[...document.querySelectorAll('.records tbody tr')].some((r) => r.innerText.includes('agent hangup') && r.querySelector('[data-label="Ended by"]').innerText === 'agent')`)
	answered("who hung up?")
	click(`.records tbody tr:first-child a`)
	page.reads("but target backup failed first (prepare failed)")
	page.shows(`document.querySelector('.phases').ariaLabel.startsWith('failed targets ')`)
	page.reads("so the next target was tried")
	page.reads("The called side hung up.")
}

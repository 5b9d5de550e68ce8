//go:build e2e

package e2e

import (
	"testing"
	"time"

	"flowbridge/store/record"
)

// TestPageAtFirstSight: at 1440 pixels no text is cut, only problems are red, and what is empty says what to do next.
// On a phone the menu has one row, and a call fits in three screens.
func TestPageAtFirstSight(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	recorded := liveCallOf(7) // without loss
	recorded.ID, recorded.Recording = "0193a5d2-0000-7000-8000-00000000bbbb", "on"
	n.add(recorded)
	b := newTab(t)
	b.size(1440, 900, false)
	b.open(n.url + "/#/live")
	b.shows(rows + `.some((r) => r.querySelector('.c-flags').textContent === 'rec')`)
	if cut := value[string](b, `[...document.querySelectorAll('.tile .more, .said-event, .machine, .verdict, .chip, .tile dt')].filter((e) =>
		e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent).join(' | ')`); cut != "" {
		t.Errorf("cut at 1440 pixels: %s", cut)
	}
	b.shows(`document.querySelectorAll('#banner p').length > 1`)
	if value[bool](b, `[...document.querySelectorAll('#banner p')].some((p) => getComputedStyle(p).color === getComputedStyle(document.getElementById('banner')).backgroundColor)`) {
		t.Error("the banner has the colour of its text")
	}
	if value[bool](b, `[...document.querySelectorAll('.c-flags')].some((f) => f.textContent === 'rec' && getComputedStyle(f).color !== getComputedStyle(document.body).color)`) {
		t.Error("rec is coloured as if it were a problem")
	}
	b.open(n.url + "/#/targets")
	b.shows(`document.querySelectorAll('.next a').length === 4 && document.querySelectorAll('.targets tbody tr').length === 4`)
	if value[bool](b, `document.querySelector('.wrap').scrollWidth > document.querySelector('.wrap').clientWidth`) {
		t.Error("the table of targets is wider than 1440 pixels")
	}

	n.mu.Lock()
	for i := range n.records {
		n.records[i].StartedAt = record.TimeOf(time.Now().Add(-time.Duration(i) * time.Minute))
		if r := &n.records[i]; r.Target == "vapi" && r.Disposition == "answered" {
			r.SetupMS, r.Disposition = r.SetupMS+9000, "answered"
		}
	}
	n.mu.Unlock()
	b.open(n.url + "/#/compare?last=24h")
	b.shows(`[...document.querySelectorAll('.compared tr')].some((r) => r.textContent.startsWith('Set-up p50') && r.querySelectorAll('.worse').length === 1)`)
	b.shows(`document.querySelectorAll('.compared .amount').length > 8`)

	b.size(390, 844, false)
	b.open(n.url + "/#/live")
	b.shows(rows + `.some((r) => r.querySelector('.c-flags').textContent === 'rec' && r.querySelector('.c-flags').offsetWidth > 0)`)
	b.open(n.url + "/#/calls/" + n.records[0].ID)
	b.reads("failed first (prepare failed). It also had: dead air.")
	b.shows(`document.querySelectorAll('.arrow').length > 10`)
	if rows := value[int](b, `new Set([...document.querySelectorAll('.bar nav a:not([hidden])')].map((a) => a.offsetTop)).size`); rows != 1 {
		t.Errorf("the menu of a phone has %d rows", rows)
	}
	if h := value[int](b, `document.documentElement.scrollHeight`); h > 3*844 {
		t.Errorf("a call on a phone is %d pixels high", h)
	}
	b.press("Token") // what looks like a button is one
}

// TestPageTestCall: a test that lasted as long as a test lasts ended well, and the page says so.
func TestPageTestCall(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	n.mu.Lock()
	r := &n.records[1]
	r.Trunk, r.Cause, r.EndedBy, r.Disposition, r.Problems = "test caller", "max_duration", "system", "answered", nil
	r.DurationMS, r.AnsweredAt = 30001, record.TimeOf(r.StartedAt.Add(time.Second))
	r.Media.A.Rx, r.Media.B.Rx = 1500, 1500
	r.Attempts = []record.Attempt{{Target: "test caller", Reason: "customer", SIPStatus: 200, MS: 206}, {Target: "synthflow", SIPStatus: 200, MS: 5}}
	id := r.ID
	n.mu.Unlock()
	b := newTab(t)
	b.open(n.url + "/#/calls/" + id)
	b.reads("synthflow answered after 5 ms, and was heard.")
	b.reads("test over")
	if value[bool](b, `/max duration|tried test caller/.test(document.querySelector('main').innerText)`) {
		t.Errorf("a test is told like a call that was cut off:\n%s", b.text())
	}
}

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/admin"
	"flowbridge/store/record"
)

// fakeOperator shows a configuration whose file has changed since it was read.
type fakeOperator struct{ *fakeNode }

const fakeConfig = "trunks:\n- name: carrier\n  sources: [203.0.113.0/24]\ntargets:\n- {name: synthflow, kind: synthflow}\nroutes:\n- {trunk: carrier, targets: [synthflow]}\n"

func (fakeOperator) Drain() (admin.Drained, error) { return admin.Drained{}, nil }

func (o fakeOperator) Reload(context.Context) (admin.Reloaded, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.orders = append(o.orders, "reload")
	return admin.Reloaded{Trunks: 1, Targets: 1, Routes: 1}, nil
}

func (fakeOperator) Upgrade(context.Context) (admin.Upgraded, error) { return admin.Upgraded{}, nil }

func (fakeOperator) Configuration() (any, error) {
	return map[string]any{
		"file": "/etc/flowbridge/flowbridge.yaml", "since": record.TimeOf(time.Now().Add(-40 * time.Minute)), "in_force": fakeConfig,
		"before":  strings.Replace(fakeConfig, "synthflow}", "synthflow, max_calls: 10}", 1),
		"on_disk": strings.Replace(fakeConfig, "/24", "/8", 1), "need_restart": []string{"sip"},
		"check": map[string]any{"errors": []any{}, "warnings": []map[string]any{
			{"line": 3, "key": "trunks[0].sources[0]", "problem": "is a large network: 203.0.113.0/8", "remedy": "write the carrier's networks"},
			{"line": 0, "key": "", "problem": "transfers of synthflow lead nowhere", "remedy": "write transfer"},
		}},
		"names": map[string][]string{"trunk": {"carrier", "pbx"}, "target": {"synthflow", "vapi"}, "route": {"routes[0]"}},
	}, nil
}

// triesATarget calls the program's own platform by the test caller, watches the call, and finds its record, marked as a
// test.
func triesATarget(page *tab, b *server) {
	page.Helper()
	page.open(b.admin + "/#/targets")
	page.shows(`document.querySelector('a.try')`)
	page.click("a.try")
	page.shows(`document.querySelector('form[aria-label="Try a target"] select').value !== ''`)
	page.press("Try a target")
	page.shows(`!document.querySelector('#confirm').open`) // the number is missing
	value[int](page, `(document.querySelector('form[aria-label="Try a target"]').elements.to.value = '+15075785607', 0)`)
	page.press("Try a target")
	page.shows(`document.querySelector('#confirm').innerText.includes('may charge')`)
	page.click("#confirm button.main")
	page.reads("a test by the built-in test caller")
	page.shows(`document.querySelectorAll('.arrow').length >= 8 && document.querySelectorAll('.chart .line').length === 8`)
	page.press("Hang up")
	page.click("#confirm button.main")
	page.reads("An operator hung up.")
	page.open(b.admin + "/#/finished?trunk=test+caller")
	page.reads("1 call.")
	page.shows(`document.querySelector('.records .test') && [...document.querySelector('select[name=trunk]').options].some((o) => o.value === 'carrier')`)
	if r := b.cdrs()[0]; r.Trunk != admin.TestTrunk || r.Direction != record.DirectionOutbound || r.AnsweredAt.IsZero() || r.Media.B.Rx == 0 {
		page.Errorf("the record says %+v", r)
	}
}

// reloadsAChange changes the file on disk, sees the difference, and reloads. The change is among the events of the node.
func reloadsAChange(page *tab, b *server) {
	page.Helper()
	file := filepath.Join(b.dir, "flowbridge.yaml")
	text, err := os.ReadFile(file)
	must(page, err)
	must(page, os.WriteFile(file, append(text, "# password: hunter2\n"...), 0o600))
	page.open(b.admin + "/#/config")
	page.reads("1 lines differ: − in force, + on disk.")
	page.shows(`document.querySelector('.config .come').innerText.includes('# password: ***')`)
	page.press("Reload")
	page.click("#confirm button.main")
	page.reads("Done: ")
	page.reads("1 lines differ: − before, + in force.")
	page.open(b.admin + "/#/live")
	page.shows(`document.querySelector('.marks').ariaLabel.includes('the configuration was reloaded')`)
	page.shows(`/^Flowbridge .+ · up .+ · CPU .+ of \d+ · memory .+ · disk .+ left of /.test(document.querySelector('.machine').innerText)`)
}

// TestPageShowsAudio places a call with real RTP through the program's own platform, and opens it while it is up: the
// four streams are drawn and grow without a reload. When the call is over, its quality is shown.
func TestPageShowsAudio(t *testing.T) {
	s := newStage(t)
	s.simulate()
	b := s.serve(setup{})
	cmd := exec.Command(program, "call", "--to", s.to(), "--from", caller, "--seconds", "20", "--listen", s.carrier.String()+":0")
	cmd.Env = append(os.Environ(), "NO_COLOR=1", raceEnv)
	page := newTab(t)
	page.size(1240, 780, false)
	page.open(b.admin + "/")
	page.shows(`document.querySelector('#state').textContent === 'live'`)
	call := start(t, "flowbridge call", cmd)
	page.shows(rows + `.some((r) => r.innerText.includes('in call'))`)
	page.click(`.vtable a.tr:not([hidden])`)
	points := `Math.min(...[...document.querySelectorAll('.chart .line')].map((l) => l.getAttribute('d').split(/[ML]/).length - 1))`
	page.shows(points + ` >= 3 && document.querySelectorAll('.chart .line').length === 8`)
	if code := call.exit(); code != 0 {
		t.Errorf("flowbridge call: exit code %d", code)
	}
	page.reads("The caller hung up.")
	page.reads("(MOS ")
	page.shows(`[...document.querySelectorAll('.chart figcaption')].some((c) => c.innerText === 'Caller: packets per second') && /received [1-9]/.test(document.querySelector('.chart .read').innerText)`)
	triesATarget(page, b)
	reloadsAChange(page, b)
}

// TestPageNamesSilence: a call that ended as usual, but in which a side sent no audio, is not said to be fine. One-way
// audio is known only after some seconds, and not at all if both sides are silent.
func TestPageNamesSilence(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	n.mu.Lock()
	r := n.records[0]
	r.Attempts = r.Attempts[1:] // the target that failed before is not what is tested here
	r.Talk, r.Media.MOS, r.Media.A.Lost = nil, 0, 0
	heard := r.Media
	n.mu.Unlock()
	page := newTab(t)
	page.size(1240, 900, false)
	for i, tt := range []struct {
		a, b int64
		want string
	}{
		{50, 50, "Nothing is wrong"},
		{50, 0, "but no audio came from the called side. Look at the called side (198.51.100.3:40100) and the way from there"},
		{0, 50, "but no audio came from the caller. Look at the caller (203.0.113.7:17000) and the way from there"},
		{0, 0, "but no audio came from either side."},
	} {
		n.mu.Lock()
		r.ID, r.Media = fmt.Sprintf("0193a5d2-0213-7000-8000-00000000bbb%d", i), heard
		r.Media.A.Rx, r.Media.B.Rx = tt.a, tt.b
		n.records = append(n.records, r)
		n.mu.Unlock()
		page.open(n.url + "/#/calls/" + r.ID)
		page.reads(tt.want)
	}
}

// TestPageSaysWhatWasTold: a call's record says what was sent to the caller, and a call whose caller was not told the
// whole statement is found, and not said to be fine.
func TestPageSaysWhatWasTold(t *testing.T) {
	runIn(t, cores)
	n := newFakeNode(t, "127.0.0.1:0")
	n.fill()
	n.mu.Lock()
	r := n.records[0]
	r.Problems = []string{record.ProblemNotTold}
	r.ID, r.Told = "0193a5d2-0213-7000-8000-00000000ccc0", &record.Told{Sound: "ai-en", FromMS: 20, ToMS: 1620, TalkedOver: true, Packets: 80}
	n.records = append(n.records, r)
	r.Problems = nil
	r.ID, r.Told = "0193a5d2-0213-7000-8000-00000000ccc1", &record.Told{Sound: "ai-en", FromMS: 20, ToMS: 3020, Whole: true, Key: "1", Packets: 150, Lost: new(int64(2))}
	n.records = append(n.records, r)
	n.mu.Unlock()
	page := newTab(t)
	page.open(n.url + "/#/finished?problem=not-told")
	page.shows(`document.querySelectorAll('.records tbody tr').length === 1`)
	page.open(n.url + "/#/calls/0193a5d2-0213-7000-8000-00000000ccc0")
	page.reads("the caller was not told the whole statement of its route.")
	page.reads("ai-en, NOT whole: 80 packets sent, from 20 ms to 1.6 s of the call; no RTCP report of lost packets; the caller spoke during it")
	page.open(n.url + "/#/calls/0193a5d2-0213-7000-8000-00000000ccc1")
	page.reads("ai-en, whole: 150 packets sent, from 20 ms to 3.0 s of the call; the caller's RTCP reports 2 lost; key 1")
}

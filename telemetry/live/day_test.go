package live

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A day is kept, a point each four minutes, and outlives the process with its events. The time between is empty. A
// process that did not stop was killed.
func TestDayOutlivesTheProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "day.json")
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		if killed, err := n.LoadDay(file); killed || err != nil {
			t.Errorf("without a file: %v, %v", killed, err)
		}
		n.is.Unwritten = 3
		n.Note("start", "started")
		for range 3 {
			n.Tend()
			time.Sleep(dayStep)
		}
		must(t, n.SaveDay(file))
		time.Sleep(2 * dayStep)

		n = newNode()
		n.Note("upgrade", "upgraded")
		if killed, err := n.LoadDay(file); !killed || err != nil {
			t.Errorf("after a kill: %v, %v", killed, err)
		}
		n.Tend()
		h := n.History(true)
		if got := floats(h.Figures["unwritten"]); h.StepS != 240 || !cmp.Equal(got, []float64{3, 3, 3, -1, -1, 0}) {
			t.Errorf("points %v of %d s", got, h.StepS)
		}
		if len(h.Events) != 2 || h.Events[0].Text != "started" || h.Events[1].Kind != "upgrade" || len(h.Targets) != 2 || n.Stats().Changes != 1 {
			t.Errorf("events %+v, targets %d, changes %d", h.Events, len(h.Targets), n.Stats().Changes)
		}
		n.Note(EventStop, strings.Repeat("x", 2*maxEventText))
		must(t, n.SaveDay(file))

		n = newNode()
		if killed, err := n.LoadDay(file); killed || err != nil {
			t.Errorf("after a stop: %v, %v", killed, err)
		}
		if all := n.History(true).Events; len(all) != 3 || len(all[2].Text) != maxEventText {
			t.Errorf("events %+v", all)
		}
		time.Sleep(25 * time.Hour)
		n = newNode()
		_, err := n.LoadDay(file)
		must(t, err)
		if h := n.History(true); len(h.Events) != 0 || len(h.Figures) != 0 {
			t.Errorf("after a day: %+v", h)
		}
		for i := range 2 * maxEvents {
			n.Note("reload", strings.Repeat("r", i%10))
		}
		if got := len(n.History(false).Events); got != maxEvents {
			t.Errorf("%d events", got)
		}
	})
}

// A file that can't be written or read is told, and changes nothing.
func TestDayOfABadDisk(t *testing.T) {
	dir := t.TempDir()
	n := newNode()
	if err := n.SaveDay(filepath.Join(dir, "none", "day.json")); err != nil {
		t.Errorf("there is nothing to write yet: %v", err)
	}
	n.Tend()
	if n.SaveDay(filepath.Join(dir, "none", "day.json")) == nil {
		t.Error("it is written into no directory")
	}
	must(t, os.Mkdir(filepath.Join(dir, "day.json"), 0o700))
	if n.SaveDay(filepath.Join(dir, "day.json")) == nil {
		t.Error("it is written over a directory")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.new")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if _, err := n.LoadDay(filepath.Join(dir, "day.json")); err == nil {
		t.Error("a directory is read")
	}
}

// FuzzDay: whatever the file has, it is refused, or the history of it has its bounds and can be written again.
func FuzzDay(f *testing.F) {
	n := newNode()
	n.Tend()
	n.Note("reload", "the configuration was reloaded")
	whole, err := json.Marshal(n.History(true))
	must(f, err)
	for _, text := range []string{
		string(whole), "", "{}", "null", `{"step_s":240}`, `{"step_s":10}`,
		`{"step_s":240,"start":"9999-01-01T00:00:00Z","figures":{"calls":[1e300,null],"mos":[1,2]}}`,
		`{"step_s":240,"figures":{"calls":[1]},"targets":[{"name":"a","series":{"calls":[1,2]}}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		day, err := readDay(bytes.NewReader(text))
		if err != nil {
			return
		}
		h := history{every: dayStep}
		h.load(&day, time.Now())
		s := Stats{}
		h.add(time.Now(), &s, nil)
		if out := h.told(); h.points > historyPoints || len(out.Figures["calls"]) != h.points {
			t.Errorf("%d points, %d told", h.points, len(out.Figures["calls"]))
		} else if _, err := json.Marshal(out); err != nil {
			t.Error(err)
		}
	})
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

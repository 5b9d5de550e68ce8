package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"time"

	"flowbridge/store/record"
)

// The kinds of events.
const (
	EventStart       = "start"
	EventStop        = "stop"
	EventKill        = "kill" // the process before ended without a stop
	EventUpgrade     = "upgrade"
	EventReload      = "reload"
	EventDrain       = "drain"
	EventTarget      = "target" // out of use, or back
	EventCertificate = "certificate"
	EventSeat        = "seat"
)

// Event is a change of the node that may explain a change of its figures.
type Event struct {
	At   record.Time `json:"at"`
	Kind string      `json:"kind"`
	Text string      `json:"text"`
}

// The bounds of the file of the day, and of the events in it.
const (
	maxDayFile   = 16 << 20
	maxEvents    = 500
	maxEventText = 300 // bytes
)

// kept is the file of the day.
type kept struct {
	Version int     `json:"version"`
	Day     History `json:"day"`
}

// dayVersion is the version of the file's format.
const dayVersion = 1

// Note adds an event.
func (w *Watcher) Note(kind, text string) {
	w.past.Lock()
	defer w.past.Unlock()
	w.events = append(w.events, Event{record.TimeOf(time.Now()), kind, text[:min(len(text), maxEventText)]})
	w.events = w.events[max(0, len(w.events)-maxEvents):]
	w.noted.Add(1)
}

// LoadDay reads the last day from a file of an earlier process, before the first point. killed reports that the
// process ended without a stop. A file that does not exist is no error.
func (w *Watcher) LoadDay(file string) (killed bool, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // it was only used for reading
	text, err := io.ReadAll(io.LimitReader(f, maxDayFile+1))
	if err != nil {
		return false, err
	}
	k, err := parseDay(text)
	if err != nil {
		return false, fmt.Errorf("%s: %w", file, err)
	}
	w.past.Lock()
	defer w.past.Unlock()
	n := len(k.Day.Events)
	killed = n > 0 && k.Day.Events[n-1].Kind != EventStop
	all := slices.Concat(k.Day.Events, w.events)
	w.events = all[max(0, len(all)-maxEvents):]
	w.day.load(&k.Day, time.Now())
	return killed, nil
}

var errDay = errors.New("this is not the file of a day's history")

// parseDay checks the content of the file.
func parseDay(text []byte) (k kept, err error) {
	if len(text) > maxDayFile {
		return k, errDay
	}
	if err := json.Unmarshal(text, &k); err != nil {
		return k, fmt.Errorf("%w: %w", errDay, err)
	}
	d := &k.Day
	if k.Version != dayVersion || time.Duration(d.StepS)*time.Second != dayStep || len(d.Targets) > historyTargets ||
		len(d.Events) > maxEvents {
		return k, errDay
	}
	all := []Series{d.Figures}
	for _, t := range d.Targets {
		all = append(all, t.Series)
	}
	for _, s := range all {
		for name, points := range s {
			if len(points) > historyPoints || len(points) != len(d.Figures["calls"]) {
				return k, fmt.Errorf("%w: %s has %d points", errDay, name, len(points))
			}
		}
	}
	return k, nil
}

// load fills an empty history from an answer. now is the current time; points of more than a day ago are left out by
// the next add.
func (h *history) load(from *History, now time.Time) {
	n := len(from.Figures["calls"])
	if n == 0 || h.points > 0 {
		return
	}
	last := from.Start.Add(time.Duration(n-1) * h.every)
	age := max(0, now.Sub(last)) // the clock may have been set back
	if age > historyPoints*h.every {
		return
	}
	h.began = now.Add(-age - time.Duration(n-1)*h.every)
	h.points, h.step, h.at, h.answer = n, n-1, record.TimeOf(now.Add(-age)), nil
	h.node = fromSeries(from.Figures, figuresOfNode())
	h.targets = map[string][]ring{}
	for _, t := range from.Targets {
		h.targets[t.Name], h.order = fromSeries(t.Series, figuresOfTarget()), append(h.order, t.Name)
	}
}

func fromSeries[T any](s Series, figures []figure[T]) []ring {
	rings := emptyRings(len(figures))
	for i, f := range figures {
		for k, v := range s[f.name] {
			if v != nil && !math.IsInf(float64(float32(*v)), 0) {
				rings[i][k] = float32(*v)
			}
		}
	}
	return rings
}

// SaveDay writes the last day to a file if it has changed since the last call.
func (w *Watcher) SaveDay(file string) error {
	w.saving.Lock()
	defer w.saving.Unlock()
	w.past.Lock()
	is := [2]int64{int64(w.day.step) + 1, w.noted.Load()}
	empty := w.day.points == 0
	w.past.Unlock()
	if empty || w.saved == is {
		return nil
	}
	text, err := json.Marshal(kept{dayVersion, w.History(true)})
	if err != nil {
		return err
	}
	next := file + ".new"
	if err = os.WriteFile(next, text, 0o600); err == nil {
		err = os.Rename(next, file)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(next))
	}
	w.saved = is
	return nil
}

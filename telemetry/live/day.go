package live

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"flowbridge/store/record"
)

// Event is a change of the node that may explain a change of its figures.
type Event struct {
	At   record.Time `json:"at"`
	Kind string      `json:"kind"`
	Text string      `json:"text"`
}

// EventStop is the kind of the last event of a process that was not killed.
const EventStop = "stop"

// The bounds of the file of a day, in bytes, and of the events in it and their texts.
const maxDayFile, maxEvents, maxEventText = 16 << 20, 500, 300

// Note adds an event.
func (w *Watcher) Note(kind, text string) {
	w.past.Lock()
	defer w.past.Unlock()
	w.events = append(w.events, Event{record.TimeOf(time.Now()), kind, text[:min(len(text), maxEventText)]})
	w.events = w.events[max(0, len(w.events)-maxEvents):]
	w.noted.Add(1)
	w.dirty = true
}

// LoadDay reads the last day from a file of an earlier process, before the first point. killed reports that the
// process ended without a stop. A file that does not exist is no error.
func (w *Watcher) LoadDay(file string) (killed bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	defer func() { _ = f.Close() }() // it was only used for reading
	day, err := readDay(io.LimitReader(f, maxDayFile))
	if err != nil {
		return false, err
	}
	w.past.Lock()
	defer w.past.Unlock()
	n := len(day.Events)
	w.events = append(day.Events, w.events...)
	w.day.load(&day, time.Now())
	return n > 0 && day.Events[n-1].Kind != EventStop, nil
}

// readDay reads an answer of GET /api/history/day.
func readDay(from io.Reader) (day History, err error) {
	err = json.NewDecoder(from).Decode(&day)
	ok := day.StepS == int(dayStep/time.Second) && len(day.Targets) <= historyTargets && len(day.Events) <= maxEvents
	for _, t := range append(day.Targets, TargetHistory{Series: day.Figures}) {
		for _, points := range t.Series {
			ok = ok && len(points) <= historyPoints && len(points) == len(day.Figures["calls"])
		}
	}
	if err == nil && !ok {
		err = errors.New("the file has no history of a day") //nolint:err113 // told, not handled
	}
	return day, err
}

// load fills an empty history from an answer. The next add leaves out what is older than the history may be.
func (h *history) load(from *History, now time.Time) {
	n := len(from.Figures["calls"])
	length := time.Duration(n-1) * h.every
	age := max(0, now.Sub(from.Start.Add(length))) // the clock may have been set back
	if n == 0 || h.points > 0 || age > historyPoints*h.every {
		return
	}
	h.began, h.at = now.Add(-age-length), record.TimeOf(now.Add(-age))
	h.points, h.step, h.answer = n, n-1, nil
	h.node, h.targets = fromSeries(from.Figures, figuresOfNode()), map[string][]ring{}
	for _, t := range from.Targets {
		h.targets[t.Name], h.order = fromSeries(t.Series, figuresOfTarget()), append(h.order, t.Name)
	}
}

func fromSeries[T any](s Series, figures []figure[T]) (rings []ring) {
	rings = emptyRings(len(figures))
	for i, f := range figures {
		for k, v := range s[f.name] {
			if v != nil && *v < 1e30 && *v > -1e30 { // it must be finite as a float32, too
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
	dirty := w.dirty && w.day.points > 0
	w.dirty = w.dirty && !dirty
	w.past.Unlock()
	if !dirty {
		return nil
	}
	text, err := json.Marshal(w.History(true))
	if err == nil {
		err = os.WriteFile(file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err == nil {
		return nil
	}
	w.past.Lock()
	w.dirty = true
	w.past.Unlock()
	return errors.Join(err, os.RemoveAll(file+".new"))
}

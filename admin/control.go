package admin

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path"
	"time"

	"flowbridge/store"
)

// Order is what may be asked of a live call.
type Order string

// The orders.
const (
	OrderRecord Order = "start"
	OrderStop   Order = "stop"
	OrderPause  Order = "pause"
	OrderResume Order = "resume"
	OrderMask   Order = "mask"
	OrderUnmask Order = "unmask"
)

// ErrNoCall says that no such call is live.
var ErrNoCall = errors.New("no such call is live")

// RefusedError says why a call does not do what it was asked for.
type RefusedError struct {
	// Problem and Remedy are in words.
	Problem, Remedy string
}

func (e *RefusedError) Error() string { return e.Problem }

// PlayRequest is what a side of a live call is to hear.
type PlayRequest struct {
	// Side is a, who calls, or b, who is called.
	Side string `json:"side"`
	// Sound is the name of a tone or of a sound in the configuration; none ends what is heard.
	Sound string `json:"sound"`
	// Loop has it begin again until it is ended.
	Loop bool `json:"loop"`
}

// Control has live calls do something.
type Control interface {
	// Play has a side hear a sound. Its error is as that of Order.
	Play(ctx context.Context, id string, s PlayRequest) (Call, error)
	// Order gives the call's state afterwards. Its error is ErrNoCall or a *RefusedError.
	Order(ctx context.Context, id string, o Order) (Call, error)
}

// Recordings gives the files of recordings.
type Recordings interface {
	// OpenFile opens a finished recording by its name in a record. Its error is fs.ErrNotExist for every other name.
	OpenFile(name string) (*os.File, error)
}

// downloadLimit is how long a recording may take to be sent.
const downloadLimit = 30 * time.Minute

// state is how an order is answered.
type state struct {
	Recording string `json:"recording"`
	Masked    bool   `json:"masked"`
}

// record starts, stops, pauses or resumes the recording of a call.
func (a *api) record(w http.ResponseWriter, r *http.Request) {
	switch o := Order(r.PathValue("order")); o {
	case OrderRecord, OrderStop, OrderPause, OrderResume:
		a.order(w, r, o)
	default:
		a.fail(w, http.StatusNotFound, "no such path", "take one of start, stop, pause, resume")
	}
}

// mask masks the keys that a caller presses, or no longer.
func (a *api) mask(w http.ResponseWriter, r *http.Request) {
	var body struct {
		On *bool `json:"on"`
	}
	const remedy = `send {"on": true} or {"on": false}`
	if status, problem := readBody(r, &body); problem != "" {
		a.fail(w, status, problem, remedy)
		return
	}
	if body.On == nil {
		a.fail(w, http.StatusBadRequest, "the body does not say whether to mask", remedy)
		return
	}
	if *body.On {
		a.order(w, r, OrderMask)
	} else {
		a.order(w, r, OrderUnmask)
	}
}

// play has a side hear a sound.
func (a *api) play(w http.ResponseWriter, r *http.Request) {
	var body PlayRequest
	const remedy = `send {"side": "a", "sound": "NAME"}; side b is who is called, sound none ends what is heard`
	if status, problem := readBody(r, &body); problem != "" {
		a.fail(w, status, problem, remedy)
		return
	}
	if body.Sound == "" || (body.Side != "a" && body.Side != "b") {
		a.fail(w, http.StatusBadRequest, "the body does not say what to play to whom", remedy)
		return
	}
	c, err := a.Control.Play(r.Context(), r.PathValue("id"), body)
	a.ordered(w, r, c, err)
}

func (a *api) order(w http.ResponseWriter, r *http.Request, o Order) {
	c, err := a.Control.Order(r.Context(), r.PathValue("id"), o)
	a.ordered(w, r, c, err)
}

// ordered answers with what a call made of an order.
func (a *api) ordered(w http.ResponseWriter, r *http.Request, c Call, err error) {
	id := r.PathValue("id")
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		a.fail(w, http.StatusConflict, refused.Problem, refused.Remedy)
	case errors.Is(err, ErrNoCall):
		a.fail(w, http.StatusNotFound, "no call "+quoted(id)+" is live", "take an id from /api/calls")
	case err != nil:
		a.fail(w, http.StatusServiceUnavailable, "the call did not answer", "try again")
	default:
		a.write(w, http.StatusOK, state{c.Recording, c.Masked})
	}
}

// callRecordings lists the recordings of a call, live or finished.
func (a *api) callRecordings(w http.ResponseWriter, r *http.Request) {
	if c, ok := a.find(w, r); ok {
		a.write(w, http.StatusOK, page[store.Recording]{Items: c.Recordings})
	}
}

// recording sends a finished recording.
func (a *api) recording(w http.ResponseWriter, r *http.Request) {
	if _, bad := parseQuery(r.URL.RawQuery); bad != nil {
		a.write(w, http.StatusBadRequest, bad)
		return
	}
	name := r.PathValue("name")
	f, err := a.Recordings.OpenFile(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.Log.Error().Err(err).Msg("recording not readable")
		}
		a.fail(w, http.StatusNotFound, "there is no recording "+quoted(name),
			"take the file of a recording of a call, from /api/calls/{id}/recordings; it is there when it has ended_at")
		return
	}
	defer func() { _ = f.Close() }() // it was only read
	kind := "application/octet-stream"
	if path.Ext(name) == ".wav" {
		kind = "audio/wav"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+path.Base(name)+`"`)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadLimit)) // else it is the server's
	http.ServeContent(w, r, "", time.Time{}, f)
}

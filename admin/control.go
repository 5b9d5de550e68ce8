package admin

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path"
	"time"

	"flowbridge/store/record"
)

// Order is a command for a live call.
type Order string

// The orders.
const (
	OrderRecord Order = "start"
	OrderStop   Order = "stop"
	OrderPause  Order = "pause"
	OrderResume Order = "resume"
	OrderMask   Order = "mask"
	OrderUnmask Order = "unmask"
	OrderHold   Order = "hold"
	OrderUnhold Order = "unhold"
	OrderHangup Order = "hangup"
)

// ErrNoCall means that no such call is live.
var ErrNoCall = errors.New("no such call is live")

// RefusedError says why a call refuses an order.
type RefusedError struct {
	Problem, Remedy string
	Status          int           // 0 means 409
	RetryAfter      time.Duration // when it is worth trying again; 0: not said
}

func (e *RefusedError) Error() string { return e.Problem }

// PlayRequest asks for a sound to be played to a side of a live call.
type PlayRequest struct {
	// Side is a (the caller) or b (the called party).
	Side string `json:"side"`
	// Sound is the name of a tone or of a configured sound. If it is empty, the current sound is stopped.
	Sound string `json:"sound"`
	// Loop repeats the sound until it is stopped.
	Loop bool `json:"loop"`
}

// TransferRequest asks to transfer a live call to another party.
type TransferRequest struct {
	// To is a number, a host or a URI of the target's lists, or the name of a target.
	To string `json:"to"`
	// Trunk is the trunk over which the number is called. If it is empty, the rules for a REFER apply.
	Trunk string `json:"trunk"`
	// Headers are set in the new INVITE. Only headers that a Refer-To may set are allowed.
	Headers map[string]string `json:"headers"`
	// Announce is the sound that the new party hears before it is connected. If empty, it is connected at once.
	Announce string `json:"announce"`
	// Accept is the key with which the new party takes the call. If it is empty, the party takes the call when the sound
	// is over.
	Accept string `json:"accept"`
	// WithinMS is how long the party may take to accept; 0 means 20 s.
	WithinMS int `json:"within_ms"`
}

// DigitsRequest asks to press keys towards a side of a live call.
type DigitsRequest struct {
	// Side is a (the caller) or b (the called party). If it is empty, it is b.
	Side   string `json:"side"`
	Digits string `json:"digits"`
	// MS is how long each key is pressed, in milliseconds; 0 means 100.
	MS int `json:"ms"`
}

// Control gives orders to live calls.
type Control interface {
	// Transfer starts a transfer, and Press presses keys. They return the same errors as Order. by names the sender of the
	// order.
	Transfer(ctx context.Context, id, by string, t TransferRequest) (Call, error)
	Press(ctx context.Context, id string, d DigitsRequest) (Call, error)
	// Called finds a live call by an id of any origin, and returns Flowbridge's id, which the other methods take. It
	// returns the same errors as Order.
	Called(id string) (ours string, err error)
	// Variables returns the variables that the hook gives an agent.
	Variables(ctx context.Context, id string) (any, error)
	// SetVariables sets variables of a call; an empty value removes one. It returns the same errors as Order. by names the
	// sender.
	SetVariables(ctx context.Context, id, by string, all map[string]string) (Call, error)
	// Play plays a sound to a side. It returns the same errors as Order.
	Play(ctx context.Context, id string, s PlayRequest) (Call, error)
	// Order returns the call's state afterwards. Its error is ErrNoCall or a *RefusedError. A hangup returns when the call
	// has ended, and may be repeated.
	Order(ctx context.Context, id string, o Order) (Call, error)
	// Originate places a call and returns its state. Its error may be a *RefusedError.
	Originate(ctx context.Context, o Origination) (Call, error)
}

// serveControl serves the list of calls, listeners and the orders.
func (a *api) serveControl(mux *router) {
	list := a.closed(a.calls)
	if a.Listen != nil {
		mux.HandleFunc("/api/calls/{id}/audio", a.allowed(RightsRead, a.audio))
	}
	if a.Control == nil {
		mux.HandleFunc("/api/calls", list)
		return
	}
	mux.HandleFunc("/api/calls", a.showOrChange(list, a.operateAs(a.originate)))
	mux.HandleFunc("/api/calls/{id}/recording/{order}", a.operate(a.withoutFields(a.record)))
	mux.HandleFunc("/api/calls/{id}/mask", a.operate(a.mask))
	mux.HandleFunc("/api/calls/{id}/play", a.operate(a.play))
	mux.HandleFunc("/api/calls/{id}/hangup", a.operate(a.withoutFields(a.hangup)))
	mux.HandleFunc("/api/calls/{id}/transfer", a.operateAs(a.transfer))
	mux.HandleFunc("/api/calls/{id}/hold", a.operate(a.withoutFields(a.orders(OrderHold))))
	mux.HandleFunc("/api/calls/{id}/resume", a.operate(a.withoutFields(a.orders(OrderUnhold))))
	mux.HandleFunc("/api/calls/{id}/dtmf", a.operate(a.press))
	mux.HandleFunc("/api/calls/{id}/variables", a.showOrChange(a.bare(a.variables), a.operateAs(a.setVariables)))
}

// Recordings provides the files of recordings.
type Recordings interface {
	// OpenFile opens a finished recording by its name in a record. For every other name its error is fs.ErrNotExist.
	OpenFile(name string) (*os.File, error)
}

// downloadLimit bounds the time of a download.
const downloadLimit = 30 * time.Minute

// state is the answer to an order.
type state struct {
	Recording string `json:"recording"`
	Masked    bool   `json:"masked"`
	OnHold    bool   `json:"on_hold,omitempty"`
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

// mask starts or ends masking the caller's keys.
func (a *api) mask(w http.ResponseWriter, r *http.Request) {
	var body struct {
		On *bool `json:"on"`
	}
	const remedy = `send {"on": true} or {"on": false}`
	if !a.body(w, r, &body, remedy) {
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

func (a *api) play(w http.ResponseWriter, r *http.Request) {
	var body PlayRequest
	const remedy = `send {"side": "a", "sound": "NAME"}; side b is who is called, sound none ends what is heard`
	if !a.body(w, r, &body, remedy) {
		return
	}
	if body.Sound == "" || (body.Side != "a" && body.Side != "b") {
		a.fail(w, http.StatusBadRequest, "the body does not say what to play to whom", remedy)
		return
	}
	c, err := a.Control.Play(r.Context(), r.PathValue("id"), body)
	a.ordered(w, r, c, err)
}

func (a *api) transfer(w http.ResponseWriter, r *http.Request, who sender) {
	var body TransferRequest
	const remedy = `send {"to": "+15075550100"}: a number, a host or a URI of the target's lists, or the name of a target`
	if !a.body(w, r, &body, remedy) {
		return
	}
	switch {
	case body.To == "":
		a.fail(w, http.StatusBadRequest, "the body does not say to whom", remedy)
		return
	case body.WithinMS < 0:
		a.fail(w, http.StatusBadRequest, "within_ms is negative", "send 1 to 300000, or leave it out for 20 s")
		return
	}
	c, err := a.Control.Transfer(r.Context(), r.PathValue("id"), who.name, body)
	a.answered(w, r, http.StatusAccepted, struct {
		ID       string           `json:"id"`
		Transfer *record.Transfer `json:"transfer"`
	}{c.ID, c.Transfer}, c, err)
}

// press presses keys towards a side.
func (a *api) press(w http.ResponseWriter, r *http.Request) {
	var body DigitsRequest
	const remedy = `send {"digits": "12#"}, and "side": "a" for the caller`
	if !a.body(w, r, &body, remedy) {
		return
	}
	switch body.Side = cmp.Or(body.Side, "b"); {
	case body.Side != "a" && body.Side != "b":
		a.fail(w, http.StatusBadRequest, "side is neither a nor b", remedy)
		return
	case body.MS < 0 || body.MS > 5000:
		a.fail(w, http.StatusBadRequest, "ms is not 0 to 5000", "send how long each key is pressed, like 100")
		return
	}
	c, err := a.Control.Press(r.Context(), r.PathValue("id"), body)
	a.ordered(w, r, c, err)
}

// variables answers with the variables that an agent gets about its call.
func (a *api) variables(w http.ResponseWriter, r *http.Request) {
	all, err := a.Control.Variables(r.Context(), r.PathValue("id"))
	a.answered(w, r, http.StatusOK, all, Call{}, err)
}

func (a *api) setVariables(w http.ResponseWriter, r *http.Request, who sender) {
	var body struct {
		Variables map[string]string `json:"variables"`
	}
	const remedy = `send {"variables": {"name": "value"}}`
	if !a.body(w, r, &body, remedy) {
		return
	}
	if len(body.Variables) == 0 {
		a.fail(w, http.StatusBadRequest, "the body has no variables", remedy)
		return
	}
	c, err := a.Control.SetVariables(r.Context(), r.PathValue("id"), who.name, body.Variables)
	a.answered(w, r, http.StatusOK, struct {
		ID        string            `json:"id"`
		Variables map[string]string `json:"variables"`
	}{c.ID, c.Variables}, c, err)
}

// hangup ends a call, and answers with the ended call. If the call is already over, nothing changes.
func (a *api) hangup(w http.ResponseWriter, r *http.Request) {
	c, err := a.Control.Order(r.Context(), r.PathValue("id"), OrderHangup)
	switch {
	case errors.Is(err, ErrNoCall):
		a.call(w, r) // the call may have ended since, and have a record
	case err != nil:
		a.ordered(w, r, c, err)
	default:
		a.write(w, http.StatusOK, whole(c))
	}
}

// orders returns a handler for an order that has no body.
func (a *api) orders(o Order) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { a.order(w, r, o) }
}

func (a *api) order(w http.ResponseWriter, r *http.Request, o Order) {
	c, err := a.Control.Order(r.Context(), r.PathValue("id"), o)
	a.ordered(w, r, c, err)
}

// ordered answers with the result of an order.
func (a *api) ordered(w http.ResponseWriter, r *http.Request, c Call, err error) {
	a.answered(w, r, http.StatusOK, state{c.Recording, c.Masked, c.OnHold}, c, err)
}

// answered is like ordered, with a different answer for success.
func (a *api) answered(w http.ResponseWriter, r *http.Request, status int, answer any, c Call, err error) {
	id := r.PathValue("id")
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		a.fail(w, cmp.Or(refused.Status, http.StatusConflict), refused.Problem, refused.Remedy)
	case errors.Is(err, ErrNoCall):
		a.fail(w, http.StatusNotFound, "no call "+quoted(id)+" is live", "take an id from /api/calls")
	case err != nil:
		a.fail(w, http.StatusServiceUnavailable, "the call did not answer", "try again")
	default:
		if a.Events != nil && c.ID != "" {
			a.Events.note(change{call: c}) // the record does not show every effect of an order
		}
		a.write(w, status, answer)
	}
}

// callRecordings lists the recordings of a call, live or finished.
func (a *api) callRecordings(w http.ResponseWriter, r *http.Request) {
	if c, ok := a.find(w, r); ok {
		a.write(w, http.StatusOK, page[record.Recording]{Items: c.Recordings})
	}
}

// recording sends a finished recording.
func (a *api) recording(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	f, err := a.openRecording(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			a.Log.Error().Err(err).Msg("recording not readable")
		}
		if a.recordedElsewhere(w, r, name) {
			return
		}
		a.fail(w, http.StatusNotFound, "there is no recording "+quoted(name),
			"take the file of a recording of a call, from /api/calls/{id}/recordings; it is there when it has ended_at")
		return
	}
	defer func() { _ = f.Close() }() // it was only used for reading
	kind := "application/octet-stream"
	if path.Ext(name) == ".wav" {
		kind = "audio/wav"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+path.Base(name)+`"`)
	http.ServeContent(&paced{ResponseWriter: w, until: time.Now().Add(downloadLimit)}, r, "", time.Time{}, f)
}

// openRecording opens a recording on this node.
func (a *api) openRecording(name string) (*os.File, error) {
	if a.Recordings == nil {
		return nil, fs.ErrNotExist
	}
	return a.Recordings.OpenFile(name)
}

// paced is a long answer. Each part of it has writeTimeout, and the whole answer may have a limit. So it serves a slow
// client, but not one that stops reading.
type paced struct {
	http.ResponseWriter

	until time.Time // zero for no limit
	live  bool      // the client gets each part at once
}

// Write writes a part.
func (p *paced) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		part := b[:min(len(b), pacedPart)]
		deadline := time.Now().Add(writeTimeout)
		if !p.until.IsZero() && deadline.After(p.until) {
			deadline = p.until
		}
		conn := http.NewResponseController(p.ResponseWriter)
		_ = conn.SetWriteDeadline(deadline) // replaces the server's deadline
		var k int
		k, err = p.ResponseWriter.Write(part)
		n, b = n+k, b[k:]
		if err == nil && p.live {
			err = conn.Flush()
		}
	}
	return n, err
}

// pacedPart is the size of a part, in bytes.
const pacedPart = 32 << 10

package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/httpd"
	"flowbridge/internal/rest"
)

// Call is a call that rings at OpenAI.
type Call struct {
	ID   string // OpenAI's id of the call
	Live bool   // the session is for GPT-Live, not for the Realtime API
	// The INVITE's headers as OpenAI reports them; any caller of the project's address may have written
	// them.
	Headers http.Header
}

// Decision says what to do with a call.
type Decision struct {
	Session rest.Object // the session to accept the call with; nil rejects the call
	Status  int         // the SIP status of a rejection
	// Attempt identifies our ringing INVITE. One call is accepted for it; calls with other ids are rejected.
	Attempt string
	// Accepted is called when OpenAI has taken the acceptance. It may be nil.
	Accepted func()
}

// Options are the options of a Webhook.
type Options struct {
	Secret string // whsec_…
	// API says how to reach OpenAI's API. Its Timeout is the limit for one request.
	API rest.Options
	// Decide decides about a call. It returns when ctx ends. After an error, OpenAI sends the webhook again.
	Decide func(ctx context.Context, c Call) (Decision, error)
	// Timeout bounds the handling of a webhook as a whole.
	Timeout time.Duration
	Log     zerolog.Logger
	// Before is the handler that this one replaces, or nil. Webhooks and calls that it has taken are not
	// taken again.
	Before *Webhook
}

// These are the limits for webhooks.
const (
	maxBody  = 256 << 10 // bytes of the body, which is little more than the headers of an INVITE
	maxCalls = 256       // calls handled at a time
	maxTaken = 10_000    // remembered
	// maxTries limits the requests for one decision. pause is the wait before the second request; it doubles
	// each time.
	maxTries = 3
	pause    = 200 * time.Millisecond
	// statusTaken is the SIP status for a call whose INVITE was accepted under another id.
	statusTaken = 603
)

// Webhook is the handler of OpenAI's webhooks about calls.
type Webhook struct {
	key       []byte
	opts      Options
	api       *rest.Client
	bodies    httpd.Bodies
	places    httpd.Places
	strangers zerolog.Logger
	*memory
}

// memory remembers the ids that were taken.
type memory struct {
	mu    sync.Mutex
	taken map[string]taken // by the webhook's id, and by attempt
}

// taken is an id that must not be taken again.
type taken struct {
	by    string    // the call that may take it again; may be empty
	until time.Time // when it is forgotten
}

// NewWebhook returns the handler. An error means that the secret or the API is wrong.
func NewWebhook(o Options) (*Webhook, error) {
	key, err := keyOf(o.Secret)
	if err != nil {
		return nil, err
	}
	api, err := rest.New(o.API)
	if err != nil {
		return nil, err
	}
	h := &Webhook{
		key: key, opts: o, api: api, strangers: httpd.Strangers(o.Log), bodies: httpd.Bodies{Max: maxBody, Wait: o.Timeout},
		places: make(httpd.Places, maxCalls), memory: &memory{taken: map[string]taken{}},
	}
	if o.Before != nil {
		h.memory, h.opts.Before = o.Before.memory, nil
	}
	return h, nil
}

// ServeHTTP answers one webhook.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		httpd.Refuse(w, http.StatusMethodNotAllowed, "use POST")
		return
	case !httpd.HasType(r, "application/json"):
		httpd.Refuse(w, http.StatusUnsupportedMediaType, "Content-Type must be application/json")
		return
	}
	body, release, no := h.bodies.Read(w, r)
	if no != nil {
		httpd.Refuse(w, no.Status, no.Words)
		return
	}
	defer release()
	id, err := signed(h.key, r.Header, body, time.Now())
	if err != nil {
		h.strangers.Warn().Err(err).Str("src", r.RemoteAddr).
			Msg("openai webhook without a right signature: is hooks.openai.secret_file that of the webhook?")
		httpd.Refuse(w, http.StatusUnauthorized, err.Error())
		return
	}
	call, rings, err := parseEvent(body)
	if err != nil {
		h.opts.Log.Warn().Err(err).Str("webhook_id", id).
			Msg("openai event not understood: a call that rings stays without an answer")
	}
	switch {
	case err != nil && !errors.Is(err, errUnknown): // an unknown event would still be unknown if sent again
		httpd.Refuse(w, http.StatusBadRequest, err.Error())
	case !rings:
		httpd.Answer(w, http.StatusOK, map[string]string{"status": "not for us"})
	case !h.take(id, "", time.Now()):
		httpd.Answer(w, http.StatusOK, map[string]string{"status": "known already"})
	default:
		h.answer(w, r, id, call)
	}
}

// answer gets the decision about a call, and answers the webhook.
func (h *Webhook) answer(w http.ResponseWriter, r *http.Request, id string, call Call) {
	if !h.places.Take() {
		h.forget(id)
		w.Header().Set("Retry-After", "1")
		httpd.Refuse(w, http.StatusServiceUnavailable, "too many calls at a time")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.opts.Timeout)
	defer cancel()
	word, err := httpd.Decide(ctx, h.places, func() (string, error) { return h.decide(ctx, call) })
	if err != nil {
		h.forget(id)
		h.opts.Log.Warn().Err(err).Str("openai_call_id", call.ID).Msg("openai call not decided in time")
		httpd.Refuse(w, http.StatusServiceUnavailable, "not decided, send it again")
		return
	}
	h.opts.Log.Info().Str("openai_call_id", call.ID).Str("outcome", word).Msg("openai call")
	httpd.Answer(w, http.StatusOK, map[string]string{"status": word})
}

// decide tells OpenAI the decision about a call. word is the decision for the log.
func (h *Webhook) decide(ctx context.Context, call Call) (word string, err error) {
	d, err := h.opts.Decide(ctx, call)
	if err != nil {
		return "", err
	}
	if d.Session != nil && call.Live != (d.Session["type"] == "live") {
		// OpenAI may report one call with both events. The session fits only one of them.
		h.strangers.Warn().Str("openai_call_id", call.ID).Bool("live", call.Live).
			Msg("openai event does not fit the type of hooks.openai.session: it is left alone")
		return "left alone", nil
	}
	if d.Session != nil && !h.take("attempt "+d.Attempt, call.ID, time.Now()) {
		h.opts.Log.Warn().Str("openai_call_id", call.ID).
			Msg("openai call shows the header of one that was accepted: it is rejected")
		d.Session, d.Status = nil, statusTaken
	}
	action, word, body := "accept", "accepted", d.Session
	switch {
	case d.Session == nil:
		action, word, body = "reject", "rejected", rest.Object{"status_code": d.Status}
	case call.Live:
		body = rest.Object{"session": d.Session}
	}
	err = h.tell(ctx, call, action, body)
	if d.Session != nil && final(rest.StatusOf(err)) {
		h.opts.Log.Warn().Err(err).Str("openai_call_id", call.ID).
			Msg("openai does not take the session: the call is rejected")
		d.Session, word = nil, "rejected"
		// Flowbridge gets this status in SIP, and tries the next target.
		err = h.tell(ctx, call, "reject", rest.Object{"status_code": http.StatusInternalServerError})
	}
	if status := rest.StatusOf(err); status == http.StatusNotFound || status == http.StatusGone {
		return "gone", nil // the caller has hung up
	}
	if err == nil && d.Session != nil && d.Accepted != nil {
		d.Accepted()
	}
	return word, err
}

// final reports whether a request that got this status would get the same status again.
func final(status int) bool {
	return status >= 400 && status < 500 && !slices.Contains([]int{
		http.StatusNotFound, http.StatusRequestTimeout,
		http.StatusGone, http.StatusTooManyRequests,
	}, status)
}

// tell sends the request, and repeats it within ctx's time if the API is overloaded or does not answer.
func (h *Webhook) tell(ctx context.Context, call Call, action string, body rest.Object) (err error) {
	wait, path := pause, "/v1/realtime/calls/"
	if call.Live {
		path = "/v1/live/sessions/"
	}
	for try := 1; ; try++ {
		_, err = h.api.Do(ctx, rest.Request{
			Method: http.MethodPost,
			Path:   path + rest.Segment(call.ID) + "/" + action, Body: body,
		})
		status := rest.StatusOf(err)
		if err == nil || try == maxTries || status > 0 && status < 500 && status != http.StatusTooManyRequests ||
			!rest.Fits(ctx, wait) {
			return err
		}
		if rest.Pause(ctx, wait) != nil {
			return err
		}
		wait *= 2
	}
}

// take records that an id was taken. It returns false if another call has already taken it.
func (h *Webhook) take(id, by string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if was := h.taken[id]; now.Before(was.until) {
		return by != "" && by == was.by
	}
	if len(h.taken) >= maxTaken {
		for one, was := range h.taken {
			if !now.Before(was.until) || len(h.taken) >= maxTaken { // makes room for at least one
				delete(h.taken, one)
			}
		}
	}
	h.taken[id] = taken{by, now.Add(2 * tolerance)}
	return true
}

func (h *Webhook) forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.taken, id)
}

// errUnknown means an unknown event that seems to be about a call.
var errUnknown = errors.New("unknown type of event")

// parseEvent parses a webhook. rings reports that the event is about a ringing call.
func parseEvent(body []byte) (c Call, rings bool, err error) {
	var e struct {
		Type string `json:"type"`
		Data struct {
			Transport string `json:"type"`
			CallID    string `json:"call_id"`
			SessionID string `json:"session_id"`
			Headers   []struct {
				Name  string `json:"name"`
				Value string `json:"value"`
			} `json:"sip_headers"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return c, false, errors.New("the body is no event as JSON")
	}
	key := "call_id"
	switch live := e.Type == "live.transport.incoming" || e.Type == "live.call.incoming"; { // the second is the older name
	case e.Type == "realtime.call.incoming":
		c.ID = e.Data.CallID
	case live && (e.Data.Transport == "" || e.Data.Transport == "sip"):
		key, c.ID, c.Live = "session_id", e.Data.SessionID, true
	case strings.HasSuffix(e.Type, ".incoming"), len(e.Data.Headers) > 0:
		return c, false, fmt.Errorf("%w: type %.64q, data.type %.64q", errUnknown, e.Type, e.Data.Transport)
	default:
		return c, false, nil
	}
	if why := rest.BadID(c.ID); why != "" || !rest.IsSegment(c.ID) {
		return c, false, fmt.Errorf("data.%s can't be one: %s", key, why)
	}
	c.Headers = http.Header{}
	for _, h := range e.Data.Headers {
		c.Headers.Add(h.Name, strings.TrimSpace(h.Value))
	}
	return c, true, nil
}

package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"flowbridge/store/record"
)

// Origination is a call that a request orders: first the customer is called over a trunk, then an agent.
type Origination struct {
	// ID is the call's id if the request has an idempotency key. It is not part of the body.
	ID string `json:"-"`
	// By is the name of the sender. It is not part of the body.
	By string `json:"-"`
	// To is the customer's number. From is the number that the customer sees.
	To   string `json:"to"`
	From string `json:"from"`
	// Trunk and Target are names in the configuration. Without a target, a route selects the agent.
	Trunk  string `json:"trunk"`
	Target string `json:"target"`
	// Test calls Flowbridge's own test caller in the customer's place. Then Trunk is TestTrunk.
	Test bool `json:"test"`
	// Variables are headers X-NAME for the target's templates and pass_headers. Headers are such headers with their full
	// names.
	Variables map[string]string `json:"variables"`
	Headers   map[string]string `json:"headers"`
	// IdempotencyKey makes a repeated request refer to the same call, for as long as its record is kept.
	IdempotencyKey string `json:"idempotency_key"`
	// AnswerWithin is how long the customer may take to answer, in seconds; 0 means the trunk's ring_timeout.
	AnswerWithin int `json:"answer_within"`
}

// TestTrunk is the trunk of test calls in records. A configuration can't have this name.
const TestTrunk = "test caller"

// The bounds of an origination.
const (
	maxKey          = 200 // bytes
	maxAnswerWithin = 300 // seconds
)

// originate places a call. A repeated request gets the call of the first request, live or finished.
func (a *api) originate(w http.ResponseWriter, r *http.Request, who sender) {
	var o Origination
	const remedy = `send {"to": "+15075785607", "from": "+12125550100", "trunk": "carrier"}`
	if !a.body(w, r, &o, remedy) {
		return
	}
	switch {
	case len(o.IdempotencyKey) > maxKey:
		a.fail(w, http.StatusBadRequest, "idempotency_key is longer than 200 bytes", "send a shorter one")
		return
	case o.AnswerWithin < 0 || o.AnswerWithin > maxAnswerWithin:
		a.fail(w, http.StatusBadRequest, "answer_within is not 0 to 300 seconds",
			"send 1 to 300, or leave it out for ring_timeout of the trunk")
		return
	case o.Test && (o.Trunk != "" || o.Target == ""):
		a.fail(w, http.StatusBadRequest, "a test call has a target and no trunk",
			`send {"test": true, "target": "NAME", "to": "+15075785607", "from": "+12125550100"}`)
		return
	case o.Test:
		o.Trunk = TestTrunk
	}
	o.By = who.name
	if o.IdempotencyKey != "" {
		o.ID = record.IDOf(o.IdempotencyKey)
		over, ok := a.placeAlone(r.Context(), o.ID)
		if !ok {
			return // the sender has gone
		}
		defer over()
		if before, ok := a.placedBefore(w, r, &o); !ok {
			return
		} else if before != nil {
			r.SetPathValue("id", before.ID) // for the log
			a.write(w, http.StatusOK, *before)
			return
		}
	}
	c, err := a.Control.Originate(r.Context(), o)
	var not *RefusedError
	switch {
	case errors.As(err, &not):
		if not.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "10")
		}
		a.fail(w, not.Status, not.Problem, not.Remedy)
	case err != nil:
		a.fail(w, http.StatusServiceUnavailable, "the call did not answer", "look for it in /api/calls")
	default:
		r.SetPathValue("id", c.ID) // for the log
		w.Header().Set("Location", "/api/calls/"+c.ID)
		a.write(w, http.StatusCreated, whole(c))
	}
}

// placeAlone waits until no other request is placing the call with an id. It returns a function that ends this
// request's turn. Without it, another request's call could start, end and be recorded after this request has looked for
// it.
func (a *api) placeAlone(ctx context.Context, id string) (over func(), ok bool) {
	mine := make(chan struct{})
	for {
		other, taken := a.placing.LoadOrStore(id, mine)
		if !taken {
			return func() {
				a.placing.Delete(id)
				close(mine)
			}, true
		}
		select {
		case <-other.(chan struct{}): //nolint:forcetypeassert // nothing else is stored
		case <-ctx.Done():
			return nil, false
		}
	}
}

// elsewhereWithin bounds the time spent searching for a placed call at other nodes.
const elsewhereWithin = time.Second

// placedBefore returns the call that an earlier request with this key has placed, or nil. If the key belongs to another
// call, or the call can't be looked up, it answers the request, and ok is false.
func (a *api) placedBefore(w http.ResponseWriter, r *http.Request, o *Origination) (before *Call, ok bool) {
	c, found := a.Calls.Find(r.Context(), o.ID)
	if !found {
		rec, finished, err := a.Records.Get(r.Context(), o.ID)
		if err != nil {
			a.broken(w, r, err)
			return nil, false
		}
		c, found = Call{Record: rec, Phase: phaseEnded}, finished
	}
	if !found {
		ctx, cancel := context.WithTimeout(r.Context(), elsewhereWithin)
		defer cancel()
		var err error
		if c, found, err = a.findElsewhere(ctx, o.ID); err != nil {
			w.Header().Set("Retry-After", "10")
		}
		if a.fleetAway(w, r, err, "it is not known whether another node has placed a call with this idempotency_key: "+
			"send the request again when the database is back") {
			return nil, false
		}
	}
	if found && (c.Trunk != o.Trunk || !sameNumber(c.To, o.To) || !sameNumber(c.From, o.From)) {
		a.fail(w, http.StatusConflict, "the idempotency_key was used for another call: "+c.ID,
			"use another key for each call")
		return nil, false
	}
	if !found {
		return nil, true
	}
	c = whole(c)
	return &c, true
}

// sameNumber reports whether the number in a record can be the number in a request, which may be a national number.
func sameNumber(ofRecord, asked string) bool {
	asked = strings.ReplaceAll(asked, "#", "%23")
	if asked == ofRecord { // a record may have # escaped in this way
		return true
	}
	n := len(ofRecord) - len(asked)
	for len(asked) > 0 && (asked[0] == '+' || asked[0] == '0') {
		asked, n = asked[1:], n+1
	}
	return asked != "" && n >= 0 && ofRecord[n:] == asked
}

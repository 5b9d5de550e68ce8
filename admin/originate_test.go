package admin

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"flowbridge/store/record"
)

func TestPlaceCall(t *testing.T) {
	const body = `{"to": "+15075785607", "from": "+12125550100", "trunk": "carrier", "variables": {"first_name": "Ann"}, "answer_within": 20}`
	opts := everything()
	control := &fakeControl{}
	opts.Control = control
	h := New(opts)
	res, got := post(t, h, "/api/calls", body)
	if res.StatusCode != http.StatusCreated || res.Header.Get("Location") != "/api/calls/placed" || !strings.Contains(got, `"phase":"dialing"`) {
		t.Errorf("%d %s: %s", res.StatusCode, res.Header.Get("Location"), got)
	}
	if len(control.asked) != 1 || !strings.Contains(control.asked[0], "first_name:Ann") || !strings.Contains(control.asked[0], "AnswerWithin:20") {
		t.Errorf("asked %v", control.asked)
	}
	if res, _ := post(t, h, "/api/calls", `{"to": "1", "from": "2", "test": true, "target": "vapi"}`); res.StatusCode != http.StatusCreated || !strings.Contains(control.asked[1], "Trunk:test caller") {
		t.Errorf("a test call: %d, asked %v", res.StatusCode, control.asked)
	}
	control.err = &RefusedError{Problem: "no agent can take the call", Remedy: "try again later", Status: http.StatusServiceUnavailable}
	if res, _ := post(t, h, "/api/calls", body); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d", res.StatusCode)
	}
	for name, bad := range map[string]string{
		"no JSON":             `to=1`,
		"another field":       `{"to": "1", "number": "2"}`,
		"too long a wait":     `{"to": "1", "from": "2", "trunk": "x", "answer_within": 301}`,
		"a test over a trunk": `{"to": "1", "from": "2", "trunk": "x", "test": true, "target": "vapi"}`, "a test of nothing": `{"to": "1", "from": "2", "test": true}`,
		"too long a key": `{"to": "1", "from": "2", "trunk": "x", "idempotency_key": "` + strings.Repeat("k", 201) + `"}`,
	} {
		if res, got := post(t, h, "/api/calls", bad); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, res.StatusCode, got)
		}
	}
}

// A repeated request is the call of the first one, while that lives and when it is over; and no other call.
func TestPlaceCallAgain(t *testing.T) {
	again := func(to, key string) string {
		return `{"to": "` + to + `", "from": "+12125550100", "trunk": "carrier", "idempotency_key": "` + key + `"}`
	}
	opts, records := fixture()
	control := &fakeControl{}
	of := func(key string) record.Record {
		return record.Record{ID: record.IDOf(key), StartedAt: start, Trunk: "carrier", To: "+15075785607", From: "+12125550100"}
	}
	opts.Control, opts.Calls = control, fakeCalls{{Record: of("live"), Phase: "bridged"}}
	records.records = append(records.records, of("done"))
	h := New(opts)
	for key, phase := range map[string]string{"live": "bridged", "done": "ended"} {
		res, got := post(t, h, "/api/calls", again("+15075785607", key))
		if res.StatusCode != http.StatusOK || !strings.Contains(got, `"phase":"`+phase+`"`) {
			t.Errorf("%s: %d %s", key, res.StatusCode, got)
		}
		if res, _ := post(t, h, "/api/calls", again("5075785607", key)); res.StatusCode != http.StatusOK {
			t.Errorf("%s, the national number: %d", key, res.StatusCode)
		}
		if res, got := post(t, h, "/api/calls", again("+15075785608", key)); res.StatusCode != http.StatusConflict {
			t.Errorf("%s, another number: %d %s", key, res.StatusCode, got)
		}
	}
	if len(control.asked) > 0 {
		t.Errorf("placed again: %v", control.asked)
	}
	if res, _ := post(t, h, "/api/calls", again("+15075785607", "new")); res.StatusCode != http.StatusCreated || len(control.asked) != 1 {
		t.Errorf("a new key: %d, %v", res.StatusCode, control.asked)
	}
}

// A record has the # of a number as a URI has it. A text without a digit is no number of a record.
func TestSameNumber(t *testing.T) {
	for _, tt := range []struct {
		ofRecord, asked string
		same            bool
	}{
		{"*21%23", "*21#", true},
		{"*21%23", "*21%23", true},
		{"+4930123", "030123", true},
		{"0", "0", true},
		{"+4930123", "+", false},
		{"+4930123", "", false},
		{"+4930123", "0", false},
		{"+4930123", "+4930124", false},
	} {
		if got := sameNumber(tt.ofRecord, tt.asked); got != tt.same {
			t.Errorf("%q, asked for %q: %v", tt.ofRecord, tt.asked, got)
		}
	}
}

// store is a node whose calls end as they begin: they are never live, and have their record at once.
type store struct {
	fakeControl
	records map[string]record.Record
	looks   int
	held    chan struct{} // the first look goes on when it is closed, with what it has seen before
}

func (s *store) Find(context.Context, string) (Call, bool) { return Call{}, false }
func (s *store) Live(context.Context) []Call               { return nil }
func (s *store) List(context.Context, record.Filter) ([]record.Record, string, error) {
	return nil, "", nil
}

func (s *store) Get(_ context.Context, id string) (record.Record, bool, error) {
	r, ok := s.records[id]
	if s.looks++; s.looks == 1 {
		<-s.held
	}
	return r, ok, nil
}

func (s *store) Originate(ctx context.Context, o Origination) (Call, error) {
	c, err := s.fakeControl.Originate(ctx, o)
	c.ID = o.ID
	s.records[o.ID] = c.Record
	return c, err
}

// A request has looked for the call of its key in vain, when another one with this key places it. The call ends, and is
// recorded, before the first one goes on: it places no second call.
func TestPlaceCallAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const body = `{"to": "+15075785607", "from": "+12125550100", "trunk": "carrier", "idempotency_key": "k"}`
		opts, _ := fixture()
		s := &store{records: map[string]record.Record{}, held: make(chan struct{})}
		opts.Calls, opts.Records, opts.Control = s, s, s
		h := New(opts)
		var all sync.WaitGroup
		answers := make(chan int, 2)
		for range 2 {
			all.Go(func() {
				res, _ := post(t, h, "/api/calls", body)
				answers <- res.StatusCode
			})
			synctest.Wait()
		}
		if res, _ := post(t, h, "/api/calls", strings.Replace(body, `"k"`, `"another"`, 1)); res.StatusCode != http.StatusCreated {
			t.Errorf("another key waits: %d", res.StatusCode)
		}
		close(s.held)
		all.Wait()
		if a, b := <-answers, <-answers; a+b != http.StatusCreated+http.StatusOK {
			t.Errorf("answered %d and %d", a, b)
		}
		if len(s.asked) != 2 { // with that of the other key
			t.Errorf("placed %v", s.asked)
		}
	})
}

package synthflow

import (
	"strings"
	"sync"
	"time"
)

const (
	maxIDs      = 100_000
	maxPrepared = 64 << 20 // bytes of custom variables that are kept
)

// prepared is a call that prepare_inbound has announced.
type prepared struct {
	request prepareRequest
	at      time.Time
	expires time.Time
	used    bool
}

// idTable holds the ids of prepared calls. Each is good for one INVITE.
type idTable struct {
	lifetime time.Duration

	mu    sync.Mutex
	ids   map[string]*prepared
	order []string // by age
	held  int      // bytes of custom variables
}

func newIDTable(lifetime time.Duration) *idTable {
	return &idTable{lifetime: lifetime, ids: map[string]*prepared{}}
}

func (t *idTable) add(id string, req prepareRequest, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.order) > 0 {
		oldest := t.ids[t.order[0]]
		if len(t.order) < maxIDs && t.held < maxPrepared && now.Before(oldest.expires.Add(t.lifetime)) {
			break
		}
		t.held -= len(oldest.request.Variables)
		delete(t.ids, t.order[0])
		t.order = t.order[1:]
	}
	t.ids[id] = &prepared{request: req, at: now, expires: now.Add(t.lifetime)}
	t.order = append(t.order, id)
	t.held += len(req.Variables)
}

// use spends an id on an INVITE to a number and returns what was prepared. The
// string is the reason of a refusal.
func (t *idTable) use(id, to string, now time.Time) (prepareRequest, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.ids[id]
	switch {
	case p == nil:
		return prepareRequest{}, "X-EI S token is no prepared call"
	case p.used:
		return prepareRequest{}, "X-EI S token was used before"
	case now.After(p.expires):
		return prepareRequest{}, "X-EI S token has expired"
	case bareNumber(p.request.To) != bareNumber(to):
		return prepareRequest{}, "Request-URI user is not the prepared to_number"
	}
	p.used = true
	return p.request, ""
}

// find returns what was prepared under an id, and the time.
func (t *idTable) find(id string) (req prepareRequest, at time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.ids[id]; p != nil {
		return p.request, p.at, true
	}
	return req, at, false
}

func bareNumber(s string) string { return strings.TrimPrefix(s, "+") }

package sim

import (
	"strings"
	"sync"
	"time"
)

const maxIDs = 100_000

// prepared is what prepare_inbound was told about a call to come.
type prepared struct {
	to      string
	expires time.Time
	used    bool
}

// idTable holds the ids that were given out. Each serves one INVITE.
type idTable struct {
	lifetime time.Duration

	mu    sync.Mutex
	ids   map[string]*prepared
	order []string // by age
}

func newIDTable(lifetime time.Duration) *idTable {
	return &idTable{lifetime: lifetime, ids: map[string]*prepared{}}
}

func (t *idTable) add(id, to string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.order) > 0 {
		oldest := t.ids[t.order[0]]
		if len(t.order) < maxIDs && now.Before(oldest.expires.Add(t.lifetime)) {
			break
		}
		delete(t.ids, t.order[0])
		t.order = t.order[1:]
	}
	t.ids[id] = &prepared{to: to, expires: now.Add(t.lifetime)}
	t.order = append(t.order, id)
}

// use spends an id on an INVITE to a number; the string says why it cannot.
func (t *idTable) use(id, to string, now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.ids[id]
	switch {
	case p == nil:
		return "X-EI S token is no prepared call"
	case p.used:
		return "X-EI S token was used before"
	case now.After(p.expires):
		return "X-EI S token has expired"
	case bareNumber(p.to) != bareNumber(to):
		return "Request-URI user is not the prepared to_number"
	}
	p.used = true
	return ""
}

func bareNumber(s string) string { return strings.TrimPrefix(s, "+") }

package locate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"flowbridge/internal/coroutine"
)

// The limits for keeping answers, which override their TTL.
const (
	minTTL         = time.Second
	maxTTL         = time.Hour
	maxNegativeTTL = time.Minute     // for an answer that says that there is no such name or record
	failureTTL     = 2 * time.Second // if no name server answered
	staleFor       = 24 * time.Hour
	// refresh is how long a call waits for a new answer if there is an old one.
	refresh = 100 * time.Millisecond
)

// question is a query, without the final dot of the name.
type question struct {
	name string
	kind uint16
}

// entry is a cached answer, or a query that waits for one.
type entry struct {
	records []record
	err     error
	until   time.Time     // the answer is valid until then
	stale   time.Time     // without a newer answer, it is used until then; zero if there was no answer
	owned   bool          // the name is from the configuration
	asking  chan struct{} // closed when the query is answered; nil if there is no query
}

// begin sends a query, unless the answer is known or the same query waits for its answer already. The entry is nil if
// too many queries wait.
func (r *Resolver) begin(q question, owned bool) (*entry, chan struct{}) {
	q.name = strings.ToLower(strings.TrimSuffix(q.name, "."))
	r.mu.Lock()
	defer r.mu.Unlock()
	now, e := time.Now(), r.cache[q]
	switch {
	case e != nil && (e.asking != nil || now.Before(e.until)):
		e.owned = e.owned || owned
		return e, e.asking
	case !owned && r.foreign >= maxForeign && e != nil && now.Before(e.stale):
		return e, nil
	case !owned && r.foreign >= maxForeign:
		return nil, nil
	case e == nil:
		r.makeRoom(now)
		e = &entry{}
		r.cache[q] = e
	}
	asking := make(chan struct{})
	e.asking, e.owned = asking, e.owned || owned
	if !owned {
		r.foreign++
	}
	r.group.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, wholeTimeout)
		defer cancel()
		records, ttl, err := r.fetch(ctx, q)
		r.mu.Lock()
		defer r.mu.Unlock()
		e.take(time.Now(), records, ttl, err)
		if !owned {
			r.foreign--
		}
		close(asking)
	})
	return e, asking
}

// makeRoom makes room for an entry: it removes names from peers first, and among these expired ones first. r.mu is
// held.
func (r *Resolver) makeRoom(now time.Time) {
	if len(r.cache) < maxEntries {
		return
	}
	maps.DeleteFunc(r.cache, func(_ question, e *entry) bool {
		return !e.owned && e.asking == nil &&
			!now.Before(e.until)
	})
	if len(r.cache) > maxEntries*3/4 { // otherwise the next entry would need room again soon
		maps.DeleteFunc(r.cache, func(_ question, e *entry) bool { return !e.owned && e.asking == nil })
	}
	if len(r.cache) >= maxEntries {
		clear(r.cache)
	}
}

// take stores an answer. If err is set, the last answer stays in use.
func (e *entry) take(now time.Time, records []record, ttl time.Duration, err error) {
	e.asking = nil
	if err != nil && now.Before(e.stale) {
		e.until = now.Add(failureTTL)
		return
	}
	e.records, e.err, e.stale = records, err, now.Add(staleFor)
	switch {
	case err != nil:
		e.until, e.stale = now.Add(failureTTL), time.Time{}
	case len(records) == 0:
		e.until = now.Add(min(max(ttl, minTTL), maxNegativeTTL))
	default:
		e.until = now.Add(min(max(ttl, minTTL), maxTTL))
	}
}

// records returns the records for a query. An empty result is not an error.
func (r *Resolver) records(ctx context.Context, q question, owned bool) ([]record, error) {
	e, asking := r.begin(q, owned)
	if e == nil {
		return nil, errTooMany
	}
	if asking != nil {
		r.mu.Lock()
		stale := time.Now().Before(e.stale)
		r.mu.Unlock()
		if err := await(ctx, asking, stale); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(e.records), e.err
}

// await waits for an answer. If there is a stale one, it waits only briefly.
func await(ctx context.Context, asking <-chan struct{}, stale bool) error {
	var enough <-chan time.Time
	if stale {
		t := time.NewTimer(refresh)
		defer t.Stop()
		enough = t.C
	}
	coroutine.Leave(ctx)
	select {
	case <-asking:
	case <-enough:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

var errTooMany = errors.New("too many lookups of peers' names are under way")

var errTooManyLinks = errors.New("too many aliases, or they lead in a circle")

// fetch asks a name server, and follows aliases that the server did not follow.
func (r *Resolver) fetch(ctx context.Context, q question) ([]record, time.Duration, error) {
	name, ttl := q.name, maxTTL
	for range maxLinks {
		m, err := r.ask(ctx, name+".", q.kind)
		if err != nil {
			return nil, 0, err
		}
		records, next, keeps, err := readAnswer(m, name, q.kind)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", name, err)
		}
		ttl = min(ttl, keeps)
		if next == "" {
			return records, ttl, nil
		}
		name = next
	}
	return nil, 0, errTooManyLinks
}

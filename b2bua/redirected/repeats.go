package redirected

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// repeats gives a repeated request of the dialling party the answer that its first one got or will get. The calls are
// not followed. Its methods may be called from any goroutine.
type repeats struct {
	log     zerolog.Logger
	ctx     context.Context //nolint:containedctx // of what runs in the background, until close
	stop    context.CancelFunc
	working sync.WaitGroup

	mu    sync.Mutex
	byKey map[string]*firstRequest // by call.request
	queue []*firstRequest          // oldest first
}

// firstRequest is a call's first request. Its decision is the target.
type firstRequest struct {
	key string
	at  time.Time
	decision
}

func newRepeats(log zerolog.Logger) *repeats {
	ctx, stop := context.WithCancel(context.Background())
	return &repeats{log: log, ctx: ctx, stop: stop, byKey: map[string]*firstRequest{}}
}

// decide returns the decision about a call with a CallSid. It calls how to make the decision, unless the same request
// has done so while its target can be dialled (preparedFor), or is doing so. If ctx ends first, how continues in the
// background.
func (r *repeats) decide(ctx context.Context, c *call, how func(context.Context) (Next, error)) (Next, error) {
	r.mu.Lock()
	for len(r.queue) > 0 && (len(r.queue) >= maxFollowed || c.began.Sub(r.queue[0].at) >= preparedFor) {
		r.forget(r.queue[0])
		r.queue = r.queue[1:]
	}
	key := c.request()
	first := r.byKey[key]
	if first == nil && r.ctx.Err() == nil {
		first = &firstRequest{key: key, at: c.began, decision: decision{done: make(chan struct{})}}
		r.byKey[key], r.queue = first, append(r.queue, first)
		r.working.Go(func() {
			if first.run(r.ctx, r.log, c.id, how, func() {}); first.err != nil { // so the next request tries it again
				r.mu.Lock()
				r.forget(first)
				r.mu.Unlock()
			}
		})
	}
	r.mu.Unlock()
	if first == nil {
		return Next{Fallback: true}, errStopping
	}
	return first.wait(ctx)
}

func (r *repeats) forget(f *firstRequest) {
	if r.byKey[f.key] == f {
		delete(r.byKey, f.key)
	}
}

// close stops the decisions that are being made.
func (r *repeats) close() {
	r.mu.Lock()
	r.stop()
	r.mu.Unlock()
	r.working.Wait()
}

package fleet

import (
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// outageEvery is the minimum time between log lines of a recurring outage.
const outageEvery = time.Minute

// outage is a time in which an operation fails. It logs one line at its start and one at its end.
type outage struct {
	log         zerolog.Logger // constant, like the messages
	began, over string

	mu     sync.Mutex // guards the fields below
	since  time.Time  // zero if there is no outage
	logged time.Time  // when a start was last logged
	quiet  bool       // this outage is not logged
	err    error
}

// begin notes a failure.
func (o *outage) begin(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
	now := time.Now()
	if o.since.IsZero() {
		o.since, o.quiet = now, true
	}
	if o.quiet && (o.logged.IsZero() || now.Sub(o.logged) >= outageEvery) {
		o.logged, o.quiet = now, false
		o.log.Warn().Err(err).Msg(o.began)
	}
}

// end notes a success.
func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	if !o.quiet {
		o.log.Info().Dur("after_ms", time.Since(o.since)).Msg(o.over)
	}
	o.since, o.err = time.Time{}, nil
}

// state returns the error of the current outage, or nil if there is none.
func (o *outage) state() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

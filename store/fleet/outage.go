package fleet

import (
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// outageEvery bounds the log lines of an outage that comes and goes.
const outageEvery = time.Minute

// outage is a time in which something does not work. Its beginning and its end are one log line each.
type outage struct {
	log         zerolog.Logger // constant, as the messages
	began, over string

	mu     sync.Mutex // guards what follows
	since  time.Time  // zero: there is none
	logged time.Time  // when a beginning was logged last
	quiet  bool       // this one is not logged
	err    error
}

// begin notes that it does not work.
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

// end notes that it works.
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

// state is why it does not work; nil: it does.
func (o *outage) state() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

package node

import (
	"context"

	"flowbridge/b2bua/snapshot"
	"flowbridge/store/record"
)

// watcher is told about calls at the same time as the journal and the store. It must not block.
type watcher interface {
	// Changed receives the current record of a live call: at its start, and when it is dialled, answered, recorded or
	// transferred.
	Changed(r record.Record)
	// Ended receives the record of a finished call: after the commit succeeded or failed, or at once (watchedSink).
	Ended(r record.Record)
}

// watchedSink is a Sink that also shows records to watchers.
type watchedSink struct {
	snapshot.Sink

	// counts and events are told about the end of a call at once: they are needed most while the disk can't be written.
	counts, events watcher
	watchers       []watcher
	refused        func() // called when a record could not be written
}

// sink returns the store as a Sink whose records also go to all watchers of calls.
func (n *Node) sink() *watchedSink {
	s := &watchedSink{Sink: n.store, counts: n.live, events: n.events, refused: n.metrics.NotWritten}
	for _, p := range n.parts {
		if p.watcher != nil {
			s.watchers = append(s.watchers, p.watcher)
		}
	}
	return s
}

// Journal writes the state of a live call.
func (s *watchedSink) Journal(r record.Record, state []byte) {
	s.Sink.Journal(r, state)
	s.counts.Changed(r)
	s.events.Changed(r)
	for _, w := range s.watchers {
		w.Changed(r)
	}
}

// Put stores the record of a finished call. The watchers see it even if it could not be written.
func (s *watchedSink) Put(ctx context.Context, r record.Record) error {
	s.counts.Ended(r)
	s.events.Ended(r)
	err := s.Sink.Put(ctx, r)
	s.ended(ctx, r, err)
	return err
}

// Keep is like Put, but does not wait.
func (s *watchedSink) Keep(ctx context.Context, r *record.Record, owes []byte, done func(error)) {
	s.counts.Ended(*r)
	s.events.Ended(*r)
	s.Sink.Keep(ctx, r, owes, func(err error) {
		s.ended(ctx, *r, err)
		done(err)
	})
}

// ended tells the watchers of a finished call, whether or not its record was kept.
func (s *watchedSink) ended(ctx context.Context, r record.Record, err error) {
	if err != nil && ctx.Err() == nil {
		s.refused()
	}
	for _, w := range s.watchers {
		w.Ended(r)
	}
}

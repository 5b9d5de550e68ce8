package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"flowbridge/admin"
	"flowbridge/b2bua/ladder"
	"flowbridge/media/recording"
	"flowbridge/store/fleet"
	"flowbridge/store/record"
)

// A number may be in the messages of a call only, for example in a Diversion, while its record lacks it. Such a call
// loses what has its messages, which are its ladder and its pcapng files, and keeps its record.

// searchWithin bounds how long an erasure searches messages.
const searchWithin = 2 * time.Minute

// messages is the search for a subject's number in messages.
type messages struct {
	*eraser

	subject fleet.Subject
	done    *admin.Erasure
	held    []string        // the calls under a legal hold
	whole   map[string]bool // the calls that are erased as a whole

	ids   []string // the calls with the number in messages only
	files []string // their pcapng files

	// Not searched: calls whose ladders are not complete, and finished calls with a pcapng file and without a ladder.
	live map[string]bool
	bare int

	err error // of reading the records of ids
}

// pass looks at a call whose record lacks the subject's number.
func (m *messages) pass(ctx context.Context, r *record.Record, lives bool) {
	switch {
	case !m.searches():
	case lives || m.lives(ctx, r.ID):
		m.live[r.ID] = true
	case len(m.pcapng(r)) > 0:
		m.bare += int(1 - m.ladders.count(ctx, []string{r.ID}))
	}
}

// searches reports whether the node has messages in which the subject's number is sought.
func (m *messages) searches() bool {
	return m.subject.Calls == nil && !m.subject.Short && (m.ladders.kept != nil || m.archive != nil)
}

// pcapng returns a call's pcapng files that are still there.
func (m *messages) pcapng(r *record.Record) (files []string) {
	for _, f := range r.Recordings {
		if f.Format != recording.FormatPcapng || m.archive == nil {
			continue
		}
		if _, _, err := m.archive.Finished(f.File); err == nil {
			files = append(files, f.File)
		}
	}
	return files
}

// search searches the ladders of all calls, and says in done.Unreached which messages it has not searched.
func (m *messages) search(ctx context.Context) {
	not := func(format string, args ...any) {
		m.done.Unreached = append(m.done.Unreached, fmt.Sprintf(format, args...))
	}
	if m.subject.Short {
		not("messages: a number of fewer than %d digits is not sought in them", record.MinSought)
	}
	if !m.searches() {
		return
	}
	if m.ladders.kept != nil {
		limited, cancel := context.WithTimeout(ctx, searchWithin)
		defer cancel()
		unreadable := 0
		left, err := m.ladders.kept.Each(limited, func(id string, data []byte) {
			if !m.look(ctx, id, data) {
				unreadable++
			}
		})
		if err != nil {
			not("messages of finished calls: %v", err)
		}
		if left > 0 {
			not("messages of %d older calls, for which %v were too short: their ladders go after store.ladders", left, searchWithin)
		}
		if unreadable > 0 {
			not("ladders that can't be read: %d", unreadable)
		}
	}
	if len(m.live) > 0 {
		not("messages of %d calls that are live or just over: order it again after their end", len(m.live))
	}
	if m.bare > 0 {
		not("pcapng recordings of %d calls that have no ladder any more: erase the calls, or wait for recording.keep", m.bare)
	}
}

// look searches a ladder. It reports whether the ladder could be read.
func (m *messages) look(ctx context.Context, id string, data []byte) bool {
	if m.whole[id] || m.live[id] || slices.Contains(m.done.Live, id) || slices.Contains(m.done.Held, id) {
		return true
	}
	found, err := ladder.Search(data, func(text string) bool { return record.NumberInMessage(text, m.subject.Is) })
	switch {
	case !found || slices.Contains(m.ids, id):
	case slices.Contains(m.held, id):
		m.done.Held = append(m.done.Held, id)
	default:
		m.ids = append(m.ids, id)
		r, _, err := m.store.Get(ctx, id)
		m.files, m.err = append(m.files, m.pcapng(&r)...), errors.Join(m.err, err)
	}
	return err == nil
}

// count returns how many of these calls have a ladder in the file.
func (l *ladders) count(ctx context.Context, ids []string) (n int64) {
	for _, id := range ids {
		if l.kept == nil {
			break
		}
		if data, err := l.kept.Get(ctx, id); err == nil && data != nil {
			n++
		}
	}
	return n
}

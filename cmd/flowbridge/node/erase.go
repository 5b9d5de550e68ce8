package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"flowbridge/admin"
	"flowbridge/internal/periodic"
	"flowbridge/store"
	"flowbridge/store/fleet"
	"flowbridge/store/record"
)

// eraser erases calls at this node, for its operator or for another node of the fleet.
type eraser struct {
	*Node

	begun     atomic.Bool // the node has begun, so that all its live calls are known
	mu        sync.Mutex  // held while calls are erased, held or freed, and while their notes change
	scrubbing sync.Mutex
}

// held returns the calls under a legal hold.
func (e *eraser) held() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return e.store.NotedIDs(ctx, store.NoteHeld)
}

// Erase erases a number or a call here, and has the fleet erase it.
func (e *eraser) Erase(ctx context.Context, by string, r admin.ErasureRequest) (admin.Erasure, error) {
	if !e.begun.Load() {
		return admin.Erasure{}, &admin.RefusedError{
			Status: http.StatusServiceUnavailable, Problem: "this node does not serve calls yet, or stands by",
			Remedy: "order it at a node that serves calls; this one erases what it has once it serves",
		}
	}
	if r.LegalHold != nil && r.Call == "" {
		all, err := e.held()
		return admin.Erasure{DryRun: true, Held: all}, err
	}
	if r.LegalHold != nil {
		all, err := e.hold(ctx, by, r.Call, *r.LegalHold)
		return admin.Erasure{Held: all}, err
	}
	s := fleet.Subject{Is: func(digits string) bool { return digits == r.Number }, Short: len(r.Number) < record.MinSought}
	if r.Call != "" {
		s = fleet.Subject{Calls: []string{r.Call}}
	}
	done, err := e.everywhere(ctx, by, s, r.Number, r.DryRun)
	if err == nil && r.Call != "" && done.Calls+done.Fleet+int64(len(done.Held)+len(done.Live)+len(done.Waits)) == 0 {
		err = errNoCall("there is no call "+r.Call, "take an id from flowbridge cdr list: a SIP Call-ID is none")
	}
	return done, err
}

// errNoCall refuses an order about a call that is not there.
func errNoCall(problem, remedy string) error {
	return &admin.RefusedError{Status: http.StatusNotFound, Problem: problem, Remedy: remedy}
}

// everywhere erases a subject here and in the fleet. digits are the number's, if there is one.
func (e *eraser) everywhere(ctx context.Context, by string, s fleet.Subject, digits string, dry bool,
) (done admin.Erasure, err error) {
	if e.fleet != nil { // without its database nothing is erased: a later try would miss what only this node can find
		if _, err := e.fleet.Waits(ctx); err != nil {
			return done, err
		}
	}
	done, ids, err := e.here(ctx, s, dry)
	if e.fleet != nil && err == nil {
		var alone []string
		done.Fleet, alone, err = e.fleet.Erase(ctx, s, digits, ids, dry)
		for _, name := range alone {
			done.Unreached = append(done.Unreached, "node "+name+
				": order it there, too; this node has neither its fleet.takeover.key_file nor a password in fleet.dsn_file "+
				"to hide the number from the database, and to prove who ordered it")
		}
		if s.Calls == nil && !dry {
			done.Unreached = append(done.Unreached, "messages of other nodes that can't be searched: the nodes list them in their logs, at erased")
		}
		if err == nil {
			done.Waits, err = e.fleet.Waits(ctx)
		}
	}
	if !dry && err == nil {
		if scrubErr := e.scrub(ctx); scrubErr != nil {
			done.Unreached = append(done.Unreached,
				"bytes of deleted rows in the node's files, which is tried again: "+scrubErr.Error())
		}
	}
	if done.Unreached = append(done.Unreached, e.unreached()...); !dry {
		err = errors.Join(err, e.note(by, s.Calls, "erased", &done, err))
	}
	return done, err
}

// ofOthers erases what another node was asked to erase. look scrubs the files and sees to what is left in the fleet.
func (e *eraser) ofOthers(ctx context.Context, s fleet.Subject) (ids []string, err error) {
	done, ids, err := e.here(ctx, s, false)
	return ids, errors.Join(err, e.note("fleet", s.Calls, "erased", &done, err))
}

// here erases what this node has of a subject. Live calls are erased at their end.
func (e *eraser) here(ctx context.Context, s fleet.Subject, dry bool) (done admin.Erasure, ids []string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	done.DryRun = dry
	held, err := e.held()
	if err != nil {
		return done, nil, err
	}
	m := &messages{eraser: e, subject: s, done: &done, held: held, live: map[string]bool{}, whole: map[string]bool{}}
	for _, c := range e.server.Live(ctx) {
		transferred := s.Calls == nil && c.Transfer != nil && record.NumberIn(c.Transfer.To, s.Is)
		switch {
		case !transferred && !s.Of(&c.Record):
			m.pass(ctx, &c.Record, true)
		case slices.Contains(held, c.Record.ID):
			done.Held = append(done.Held, c.Record.ID)
		default:
			done.Live = append(done.Live, c.Record.ID)
		}
	}
	if err := e.store.Flush(ctx); err != nil { // of calls that have just ended
		return done, nil, err
	}
	files, ids, err := m.find(ctx)
	if dry {
		files = slices.DeleteFunc(files, func(name string) bool {
			_, _, err := e.archive.Finished(name)
			return err != nil
		})
	}
	files = append(files, m.files...)
	done.Calls, done.Mentioned, done.Recordings = int64(len(ids)), int64(len(m.ids)), int64(len(files))
	if dry {
		done.Ladders = e.ladders.count(ctx, slices.Concat(ids, m.ids))
	}
	if err != nil || dry {
		return done, ids, err
	}
	if len(done.Live) > 0 {
		if _, err := e.store.NoteIDs(ctx, store.NoteErase, true, done.Live...); err != nil {
			return done, nil, err
		}
	}
	return done, ids, e.remove(ctx, &done, ids, files, m.ids)
}

// find returns the finished calls of the subject with the files of their recordings, and searches messages.
func (m *messages) find(ctx context.Context) (files, ids []string, err error) {
	look := func(r record.Record) error {
		switch {
		case !m.subject.Of(&r) && !m.transferred(ctx, &r, m.subject):
			m.pass(ctx, &r, false)
		case slices.Contains(m.held, r.ID):
			m.done.Held = append(m.done.Held, r.ID)
		case m.lives(ctx, r.ID):
			m.done.Live = append(m.done.Live, r.ID)
		default:
			ids = append(ids, r.ID)
			m.whole[r.ID] = true
			for _, f := range r.Recordings {
				if m.archive != nil && f.File != "" {
					files = append(files, f.File)
				}
			}
		}
		return nil
	}
	if m.subject.Calls == nil {
		err = record.Each(ctx, m.store, record.Filter{}, look)
	}
	for _, id := range m.subject.Calls {
		r, ok, getErr := m.store.Get(ctx, id)
		if err = errors.Join(err, getErr); ok {
			_ = look(r) // it has no error
		}
	}
	if err == nil {
		m.search(ctx)
	}
	return files, ids, errors.Join(err, m.err)
}

// lives reports whether a call is live, or has a ladder that is not handed over yet.
func (e *eraser) lives(ctx context.Context, id string) bool {
	_, live := e.server.Find(ctx, id)
	return live || e.server.Ladder(id) != nil
}

// transferred reports whether the subject's number was the destination of a transfer, which only the ladder says.
func (e *eraser) transferred(ctx context.Context, r *record.Record, s fleet.Subject) bool {
	wasTransfer := func(a record.Attempt) bool { return a.Reason == record.ReasonTransfer }
	if s.Calls != nil || !slices.ContainsFunc(r.Attempts, wasTransfer) {
		return false
	}
	said, err := e.ladders.of(ctx, r.ID)
	if err != nil { // it is too old, or none is kept
		return false
	}
	text, err := json.Marshal(said)
	return err == nil && record.NumberIn(string(text), s.Is)
}

// remove deletes calls, and the ladders of the mentioned ones. The records come last: they say which files there are.
// Notes say what is left to do, because a second erasure does not find these calls.
func (e *eraser) remove(ctx context.Context, done *admin.Erasure, ids, files, mentioned []string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, eraseTimeout)
	defer cancel()
	if done.Recordings = 0; len(ids)+len(mentioned) == 0 {
		return nil
	}
	if err = e.store.Note(ctx, noteUnscrubbed, time.Now().Format(time.RFC3339Nano)); err != nil {
		return err
	}
	if e.fleet != nil && len(ids) > 0 {
		if _, err = e.store.NoteIDs(ctx, store.NoteErased, true, ids...); err != nil {
			return err
		}
	}
	for _, name := range files {
		was, err := e.archive.Remove(name)
		if err != nil {
			return fmt.Errorf("recording %s: %w", name, err)
		}
		if was {
			done.Recordings++
		}
	}
	if e.ladders.kept != nil {
		if done.Ladders, err = e.ladders.kept.Erase(ctx, slices.Concat(ids, mentioned)); err != nil {
			return err
		}
	}
	done.Calls, err = e.store.Erase(ctx, ids)
	return err
}

// noteUnscrubbed is the note that the files have bytes of deleted rows. Its text is the time of the last erasure.
const noteUnscrubbed = "unscrubbed"

const (
	eraseTimeout = 2 * time.Minute  // bounds how long an erasure waits for the disk
	scrubTimeout = 30 * time.Second // bounds how long it waits for readers of old data, like a backup
)

// scrub overwrites what erasures have left in the files.
func (e *eraser) scrub(ctx context.Context) error {
	e.scrubbing.Lock()
	defer e.scrubbing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, scrubTimeout)
	defer cancel()
	since, err := e.store.Noted(ctx, noteUnscrubbed)
	if err != nil || since == "" {
		return err
	}
	if err = e.store.Scrub(ctx); err == nil && e.ladders.kept != nil {
		err = e.ladders.kept.Scrub(ctx)
	}
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if now, err := e.store.Noted(ctx, noteUnscrubbed); err != nil || now != since { // there was another erasure
		return err
	}
	return e.store.Note(ctx, noteUnscrubbed, "")
}

// hold sets or lifts the legal hold of a call that this node has. It returns all calls under one.
func (e *eraser) hold(ctx context.Context, by, id string, on bool) (all []string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, found, err := e.store.Get(ctx, id)
	if err == nil && !found && !e.lives(ctx, id) {
		if all, err = e.held(); err == nil && (on || !slices.Contains(all, id)) {
			return nil, errNoCall("this node has no call "+id, "take an id from flowbridge cdr list, and ask the node of its record")
		}
	}
	if err == nil && e.fleet != nil {
		err = e.fleet.Hold(ctx, id, on)
	}
	if err == nil {
		all, err = e.store.NoteIDs(ctx, store.NoteHeld, on, id)
	}
	what := "legal hold lifted"
	if on {
		what = "legal hold set"
	}
	return all, errors.Join(err, e.note(by, []string{id}, what, &admin.Erasure{Held: []string{id}}, err))
}

const (
	eraseEvery = 5 * time.Second // how often calls are looked for that were live at an erasure, and are over
	scrubEvery = time.Minute     // the time between two tries to scrub: each reads the whole database
)

// run does what erasures have left to do.
func (e *eraser) run(ctx context.Context) {
	said := false
	var scrubbed time.Time
	periodic.Run(ctx, eraseEvery, func() {
		err := errors.Join(e.ended(ctx), e.fromFleet(ctx))
		if time.Since(scrubbed) >= scrubEvery {
			scrubErr := e.scrub(ctx)
			err = errors.Join(err, scrubErr)
			if scrubErr != nil {
				scrubbed = time.Now()
			}
		}
		if err != nil && !said && ctx.Err() == nil {
			e.log.Warn().Err(err).Msg("not erased: will retry")
		}
		said = err != nil
	})
}

// ended erases calls that were live at an erasure, and are over.
func (e *eraser) ended(ctx context.Context) error {
	ids, err := e.store.NotedIDs(ctx, store.NoteErase)
	ids = slices.DeleteFunc(ids, func(id string) bool { return e.lives(ctx, id) })
	if err != nil || len(ids) == 0 {
		return err
	}
	ids = ids[:min(len(ids), fleet.MaxErased)] // the others are erased next time
	done, err := e.everywhere(ctx, "end of the call", fleet.Subject{Calls: ids}, "", false)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	ids = slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(done.Live, id) })
	_, err = e.store.NoteIDs(ctx, store.NoteErase, false, ids...)
	return err
}

// fromFleet deletes the rows of erased calls from the fleet's database, also if their erasure ended in between.
func (e *eraser) fromFleet(ctx context.Context) error {
	if e.fleet == nil {
		return nil
	}
	ids, err := e.store.NotedIDs(ctx, store.NoteErased)
	if err != nil || len(ids) == 0 {
		return err
	}
	if err = e.fleet.Remove(ctx, ids); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	_, err = e.store.NoteIDs(ctx, store.NoteErased, false, ids...)
	return err
}

// note writes a line into the log, and into the file of erasures, which outlives the log. It has no number.
func (e *eraser) note(by string, calls []string, what string, done *admin.Erasure, failed error) error {
	if done.Calls+int64(len(done.Held)+len(done.Live)) == 0 {
		calls = nil // they may be anything
	}
	var line bytes.Buffer // zerolog does not return errors of writing
	for _, to := range []zerolog.Logger{e.log, zerolog.New(&line).With().Timestamp().Logger()} {
		to.Info().Err(failed).Str("by", by).Strs("asked", calls).Int64("calls", done.Calls).Int64("ladders", done.Ladders).
			Int64("recordings", done.Recordings).Int64("fleet", done.Fleet).Strs("held", done.Held).Strs("live", done.Live).
			Strs("waits", done.Waits).Int64("mentioned", done.Mentioned).Strs("unreached", done.Unreached).Msg(what)
	}
	f, err := os.OpenFile(e.config().Store.Path+".erasures.jsonl",
		os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(line.Bytes())
	return errors.Join(err, f.Sync(), f.Close())
}

// unreached lists where else there may be something of a call.
func (e *eraser) unreached() []string {
	cfg := e.config()
	all := []string{"log files, which have numbers in call ended", "backups", "the carriers and platforms of the calls"}
	for i := range cfg.Webhooks {
		all = append(all, "the receiver of webhook "+cfg.Webhooks[i].Name)
	}
	if cfg.Telemetry.HEP.On() {
		all = append(all, "the SIP mirror at "+cfg.Telemetry.HEP.To)
	}
	if e.fleet != nil {
		all = append(all, "old rows in the fleet's database until its VACUUM, its WAL and its backups")
	}
	for _, pattern := range []string{".damaged-*", ".unwritten.jsonl*"} {
		names, _ := filepath.Glob(cfg.Store.Path + pattern) // the pattern is valid
		all = append(all, names...)
	}
	return all
}

package store

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"sync"
	"time"

	"flowbridge/store/record"
)

const (
	// journalFile is the size of a file at which its live calls move to the other file. It is larger if live calls take
	// more than a quarter of it.
	journalFile = 32 << 20
	// journalWaiting bounds the entries that wait for the disk, in bytes.
	journalWaiting = 16 << 20
	// moveStep is how many entries move at a time while callers wait.
	moveStep = 32
	// journalPatience bounds how long a caller waits for the write of another caller, which its own entry follows. A
	// healthy disk takes some microseconds.
	journalPatience = 20 * time.Millisecond
)

// journal keeps the states of live calls in files, so that the next process finds the calls that were live when this
// one was killed. The caller that adds an entry writes it. If another caller is writing, the new caller leaves its
// entry to that one. It waits until the entry is in the file, because after that it tells a peer. A slow disk delays
// one call and not all: after one waiter times out, later callers don't wait for that write.
type journal struct {
	path    string
	seal    cipher.AEAD                                // cipher for states
	machine func() (uptime time.Duration, boot uint64) // Uptime

	mu       sync.Mutex // guards the fields below; not held while a caller writes
	live     map[string]place
	size     int64 // total size of the last entries of live calls, in bytes
	file     *journalSegment
	old      *journalSegment // the previous file, as long as live calls have their last entry there
	held     bool            // old must stay, because its process may continue
	unopened bool            // a file of an earlier process could not be opened
	renews   bool            // live calls move to a new file now, so that nothing is left of others
	writing  bool            // a caller is writing to file
	landed   chan struct{}   // closed at the end of that write; nil if no caller waits for it
	late     bool            // a caller has timed out waiting for that write
	// entries that are not in the file yet; they go to file.written, or behind the current write
	waiting []byte
	spare   []byte // buffer for waiting
	dropped int64
	unread  int   // entries that could not be read for the move, and are not reported yet
	err     error // error of the last write or tend
}

// place says where the last entry of a call is.
type place struct {
	in   *journalSegment
	at   int64
	size int
}

// openJournal starts a new journal in place of one that was read. If it can't create a file, entries wait, and it tries
// again.
func openJournal(path string, seal cipher.AEAD) *journal {
	j := newJournal(path, seal)
	j.begin(&journalSegment{name: journalNames(path)[1]})
	return j
}

// openBeside starts a journal beside another process's journal, whose states stay until Taken is called. On a full disk
// it fails, and the other process continues.
func openBeside(path string, seal cipher.AEAD) (*journal, error) {
	j := newJournal(path, seal)
	for _, name := range journalNames(path) {
		s, err := oldSegment(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if j.old == nil || s.number > j.old.number {
			j.old, s = s, j.old
		}
		if s != nil {
			_ = s.f.Close() // its calls have moved to the newer file
		}
	}
	if j.old == nil {
		j.begin(&journalSegment{name: journalNames(path)[1]})
		return j, nil
	}
	j.held = true
	j.begin(j.old)
	if j.err != nil {
		return nil, errors.Join(fmt.Errorf("journal: no room for its next file: %w", j.err), j.leave())
	}
	return j, nil
}

// predecessorGone records that the old process will not continue.
func (j *journal) predecessorGone() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held = false
}

// removeStray removes the files that another process has started beside this journal and then abandoned.
func (j *journal) removeStray() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.old == nil && j.file != nil {
		_ = os.Remove(j.otherName(j.file))
	}
}

// begin starts the file after before. If that fails, entries wait for a file.
func (j *journal) begin(before *journalSegment) {
	if j.file, j.err = newSegment(j.otherName(before), before.number+1); j.err != nil {
		j.file = &journalSegment{name: before.name, number: before.number}
	}
}

func newJournal(path string, seal cipher.AEAD) *journal {
	return &journal{path: path, live: map[string]place{}, seal: seal, machine: Uptime}
}

// beatEvery is how often the file's time is set. From that time the next process knows when this one was killed.
const beatEvery = 100 * time.Millisecond

// beat sets the file's time until the store has closed. If the disk takes no changes, the process seems to have died
// earlier than it did.
func (j *journal) beat(closed <-chan struct{}) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		j.mu.Lock()
		file := j.file
		j.mu.Unlock()
		if file != nil {
			_ = os.Chtimes(file.name, time.Time{}, time.Now())
		}
		select {
		case <-tick.C:
		case <-closed:
			return
		}
	}
}

// adopt continues an earlier process's files. states has every call in them; left has the calls that are still live.
func (j *journal) adopt(files *journalFiles, states, left map[string]lastState) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var segments [2]*journalSegment
	for i, text := range files.texts {
		if text != nil {
			size := int64(len(text))
			segments[i] = &journalSegment{name: files.names[i], number: fileNumber(text), written: size, end: size}
		}
	}
	j.old, j.file = segments[0], segments[1]
	if j.file == nil { // two files without a header have no known order
		j.old, j.file = nil, j.old
	}
	j.unopened = true
	j.err = j.reopen()
	for id, s := range states {
		j.live[id] = place{in: segments[s.in], at: s.at, size: s.size}
		j.size += int64(s.size)
		if _, ok := left[id]; !ok {
			j.end(id)
		}
	}
	j.write()
}

// keep replaces the state of a call by the record in room and by kept, from which the call can continue. If kept is
// nil, it can continue only from an earlier state. For a callEnded, kept holds the messages that the call owes, if any.
func (j *journal) keep(kind entryKind, id string, room *room, kept []byte, now time.Time) {
	noted, keptID := j.moment(now), id
	if kept != nil {
		if kind == callEnded {
			keptID = owedID(keptID)
		}
		room.seal(j.seal, keptID, kept)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil || len(j.waiting) > journalWaiting { // the journal is closed, or the disk takes nothing
		j.dropped++
		return
	}
	from := len(j.waiting)
	b := beginEntry(j.waiting, kind, id)
	b = append(b, room.noted...)
	if kind == callState {
		b = noted.append(b)
	}
	endEntry(b, from)
	if kept != nil && kind == callState {
		at := len(b)
		b = append(beginEntry(b, callKept, id), room.sealed...)
		endEntry(b, at)
	}
	if len(b)-from > maxState {
		j.dropped++
		return
	}
	j.waiting = b
	j.placed(id, len(b)-from)
	if kept != nil && kind == callEnded {
		j.place(callOwes, keptID, room.sealed)
	}
	j.land()
}

// placeSealed seals and writes the only entry of its id: the messages that a finished call owes its peers, or the
// bindings of a holder that the database does not have yet.
func (j *journal) placeSealed(kind entryKind, id string, state []byte) {
	room := takeRoom()
	defer room.release()
	room.seal(j.seal, id, state)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.place(kind, id, room.sealed)
	j.land()
}

// place appends the only entry of its id. The caller holds the lock.
func (j *journal) place(kind entryKind, id string, state []byte) {
	if j.file == nil || len(j.waiting) > journalWaiting || len(state) > maxState/2 {
		j.dropped++
		return
	}
	from := len(j.waiting)
	j.waiting = append(beginEntry(j.waiting, kind, id), state...)
	endEntry(j.waiting, from)
	j.placed(id, len(j.waiting)-from)
}

// paid records that a call no longer owes any messages. The next entry's write includes this: sending the messages
// twice does no harm.
func (j *journal) paid(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end(owedID(id))
}

// placed records that the entry appended last is now the call's last one.
func (j *journal) placed(id string, size int) {
	j.size += int64(size - j.live[id].size)
	j.live[id] = place{in: j.file, at: j.file.end, size: size}
	j.file.end += int64(size)
}

// over records that the records of calls are in the database.
func (j *journal) over(finished []*finish) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range finished {
		j.end(f.id)
	}
	j.write()
}

// hasBound records that the database has the bindings of holders.
func (j *journal) hasBound(holders iter.Seq[string]) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for holder := range holders {
		j.end(record.BoundMark + holder)
	}
	j.write()
}

// end appends an entry that ends an id. The caller holds the lock.
func (j *journal) end(id string) {
	p, ok := j.live[id]
	if !ok || j.file == nil {
		return
	}
	delete(j.live, id)
	j.size -= int64(p.size)
	from := len(j.waiting)
	j.waiting = beginEntry(j.waiting, callOver, id)
	endEntry(j.waiting, from)
	j.file.end += int64(len(j.waiting) - from)
}

// write writes the waiting entries, unless another caller is writing. It unlocks j.mu during the write. Entries that
// can't be written stay in waiting.
func (j *journal) write() {
	if j.writing || j.file == nil || j.file.f == nil || j.unopened {
		return
	}
	j.writing = true
	for len(j.waiting) > 0 {
		b, to := j.waiting, j.file
		j.waiting, j.late = j.spare[:0], false
		j.mu.Unlock()
		_, err := to.f.WriteAt(b, to.written)
		j.mu.Lock()
		if j.landed != nil {
			close(j.landed)
			j.landed = nil
		}
		if j.err = err; err != nil {
			j.err = fmt.Errorf("journal: %w", err)
			j.waiting = append(b, j.waiting...)
			break
		}
		to.written += int64(len(b))
		j.spare = b
		if cap(b) > journalWaiting/16 { // it grew while the disk was slow
			j.spare = nil
		}
	}
	j.writing = false
}

// land writes the waiting entries, or waits until the caller that is writing has written them, too. It unlocks j.mu
// until then.
func (j *journal) land() {
	if j.write(); !j.writing {
		return
	}
	file, end := j.file, j.file.end
	patience := time.NewTimer(journalPatience)
	defer patience.Stop()
	for j.writing && !j.late && j.file == file && file.written < end {
		if !j.untilLanded(patience.C) {
			return
		}
	}
}

// untilLanded waits until the current write is over, and reports false if enough fired first. It unlocks j.mu while
// waiting.
func (j *journal) untilLanded(enough <-chan time.Time) bool {
	landed := j.landing()
	j.mu.Unlock()
	select {
	case <-landed:
		j.mu.Lock()
		return true
	case <-enough:
		j.mu.Lock()
		j.late = j.late || j.landed == landed // otherwise another write has started
		return false
	}
}

// landing returns a channel that is closed at the end of the current write.
func (j *journal) landing() <-chan struct{} {
	if j.landed == nil {
		j.landed = make(chan struct{})
	}
	return j.landed
}

// moves reports whether calls are in two files.
func (j *journal) moves() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.old != nil
}

// renew makes the next tends move the live calls to a new file and remove the old one.
func (j *journal) renew() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.renews = true
}

// renewing reports whether finished calls may be in a file that renew replaces.
func (j *journal) renewing() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file != nil && (j.renews || j.old != nil)
}

// wait returns when all entries so far are in the file or can't be written.
func (j *journal) wait(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var file *journalSegment
	var end int64
	for j.writing && j.file != nil {
		if j.file != file { // the new file gets the entries that the old one did not take
			file, end = j.file, j.file.end
		}
		if file.written >= end {
			return nil
		}
		landed := j.landing()
		j.mu.Unlock()
		select {
		case <-landed:
		case <-ctx.Done():
		}
		j.mu.Lock()
		if ctx.Err() != nil {
			return fmt.Errorf("journal: it is not written yet: %w", ctx.Err())
		}
	}
	return j.err
}

// tend retries entries that could not be written. It moves live calls to the other file if this one has become long or
// was removed. Only one goroutine calls it.
func (j *journal) tend() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil { // the journal is closed
		return j.err
	}
	if j.unopened {
		if j.err = j.reopen(); j.err != nil {
			return j.err
		}
	}
	j.err = nil // the error of the last try; a caller that is writing sets it again
	j.write()
	if j.file.f == nil || j.old == nil && (j.renews || j.file.written > max(journalFile, 4*j.size) || j.removed()) {
		j.turn()
	}
	if j.old != nil && !j.held {
		j.move()
	}
	return j.err
}

// close writes the waiting entries and closes the files. It removes them if no call is live.
func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.write()
	err := j.closeFiles()
	if len(j.live) == 0 && !j.held {
		err = errors.Join(err, removeJournal(j.path))
	}
	return err
}

// leave closes the files without writing to them.
func (j *journal) leave() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closeFiles()
}

// lost reports, once, the entries that could not be read for the move.
func (j *journal) lost() (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.unread > 0 {
		err = fmt.Errorf("journal: the states of %d live calls can't be read: until their next change, a kill ends them",
			j.unread)
	}
	j.unread = 0
	return err
}

// state returns how many entries were dropped, and why the last write failed.
func (j *journal) state() (dropped int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped, j.err
}

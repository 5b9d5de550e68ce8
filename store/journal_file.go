package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/store/record"
)

// The journal is a pair of files; one at a time grows. Each starts with a header: magic, and a number that grows from
// file to file (8 bytes, little endian). Entries follow: mark, kind, length of the body (4 bytes, little endian),
// CRC-32C of kind, length and body (4 bytes), body. The body is the length of the call's id (uvarint), the id, and the
// state.
const (
	journalMagic = "FBlive1\n"
	headSize     = len(journalMagic) + 8
	entryHead    = 2 + 1 + 4 + 4
	// maxState bounds an entry. A record takes 2 KB, or 20 KB with many attempts and recordings.
	maxState = 1 << 20
)

// journalMark starts an entry. It is not UTF-8, so no text contains it.
var journalMark = []byte{0xfb, 0xf1}

// entryKind says what an entry holds.
type entryKind byte

const (
	// callState holds the time, as text of record.Time, and the record so far, as JSON.
	callState entryKind = 1
	// callOver is empty: the record is in the database.
	callOver entryKind = 2
	// callEnded is a callState with the record of a finished call, which waits for the database.
	callEnded entryKind = 3
	// callKept follows a callState. It holds the sealed state from which the call can continue. Earlier versions skip it.
	callKept entryKind = 4
	// callOwes holds the sealed messages that a finished call owes its peers. Its id is made by owedID.
	callOwes entryKind = 5
	// holderBound holds the bindings of a holder, as JSON, until the database has them. Its id is record.BoundMark and the
	// holder.
	holderBound entryKind = 6
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginEntry appends the head of an entry and its id. The state follows; endEntry then fills in the head.
func beginEntry(b []byte, kind entryKind, id string) []byte {
	b = append(append(b, journalMark...), byte(kind), 0, 0, 0, 0, 0, 0, 0, 0)
	return append(binary.AppendUvarint(b, uint64(len(id))), id...)
}

// endEntry completes the entry that starts at from.
func endEntry(b []byte, from int) {
	e := b[from:]
	binary.LittleEndian.PutUint32(e[3:], uint32(len(e)-entryHead))
	binary.LittleEndian.PutUint32(e[7:], entrySum(e))
}

func entrySum(e []byte) uint32 {
	return crc32.Update(crc32.Checksum(e[2:7], castagnoli), castagnoli, e[entryHead:])
}

// owedID returns the id of the entry with the messages that a call owes. That entry outlives the record's.
func owedID(id string) string { return id + owedMark }

const owedMark = "#legs"

// entry is an entry as read. Its fields refer to the file's bytes.
type entry struct {
	kind      entryKind
	id, state []byte
}

// lastState is the last entry of a call, with the callKept that follows it.
type lastState struct {
	entry
	kept []byte // nil if there is none
	in   int    // index of its file
	at   int64
	size int
}

// nextEntry finds the first whole entry. It skips the remains of a torn write or a lost block.
func nextEntry(b []byte) (e entry, rest []byte, ok bool) {
	for {
		at := bytes.Index(b, journalMark)
		if at < 0 || len(b)-at < entryHead {
			return entry{}, nil, false
		}
		b = b[at:]
		if e, size, ok := wholeEntry(b); ok {
			return e, b[size:], true
		}
		b = b[len(journalMark):]
	}
}

func wholeEntry(b []byte) (e entry, size int, ok bool) {
	n := binary.LittleEndian.Uint32(b[3:])
	if n > maxState || int(n) > len(b)-entryHead {
		return entry{}, 0, false
	}
	b = b[:entryHead+int(n)]
	if binary.LittleEndian.Uint32(b[7:]) != entrySum(b) {
		return entry{}, 0, false
	}
	body := b[entryHead:]
	idLen, used := binary.Uvarint(body)
	if used <= 0 || idLen == 0 || idLen > uint64(len(body)-used) {
		return entry{}, 0, false
	}
	at := used + int(idLen)
	return entry{kind: entryKind(b[2]), id: body[used:at], state: body[at:]}, len(b), true
}

// journalNames returns the names of the two files beside the database.
func journalNames(path string) [2]string { return [2]string{path + ".live-a", path + ".live-b"} }

// journalFiles holds the contents of an earlier process's files. The newer file comes last.
type journalFiles struct {
	names [2]string
	texts [2][]byte // nil if the file does not exist
	alive time.Time // the newest beat
	lost  error     // says which data could not be read
}

// beat returns the moment of the newest beat. It is never after now, even if the wall clock was set back since.
func (j *journalFiles) beat() moment {
	up, boot := Uptime()
	return moment{Wall: record.TimeOf(j.alive).Time, Uptime: up - max(0, time.Since(j.alive)), Boot: boot}
}

func readJournal(path string) (j journalFiles, err error) {
	j.names = journalNames(path)
	for i, name := range j.names {
		text, lost, err := readWhole(name)
		if errors.Is(err, errJournalSize) {
			j.lost = errors.Join(j.lost, fmt.Errorf("journal %s: %w: the states of calls that are there are lost", name, err))
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return j, fmt.Errorf("journal %s: %w", name, err)
		}
		if st, err := os.Stat(name); err == nil && st.ModTime().After(j.alive) {
			j.alive = st.ModTime()
		}
		j.texts[i] = text
		if lost > 0 {
			j.lost = errors.Join(j.lost,
				fmt.Errorf("journal %s: %d bytes can't be read: the states of calls that were there are lost: %w", name,
					lost, unix.EIO))
		}
	}
	if fileNumber(j.texts[0]) > fileNumber(j.texts[1]) {
		j.names[0], j.names[1] = j.names[1], j.names[0]
		j.texts[0], j.texts[1] = j.texts[1], j.texts[0]
	}
	return j, nil
}

// readWhole reads a file except for the blocks that the disk can't read.
func readWhole(name string) (text []byte, lost int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }() // it was only used for reading
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if st.Size() > journalMost {
		return nil, 0, fmt.Errorf("%w: %d bytes of at most %d", errJournalSize, st.Size(), int64(journalMost))
	}
	return readAround(f, st.Size())
}

// journalMost bounds the part of a file that is read, in bytes. The journal changes files at four times the size of its
// live calls' states: 50,000 calls of 5 KB reach the limit.
const journalMost = 1 << 30

var errJournalSize = errors.New("it is too large")

// lostBlock is how many bytes are given up at a place that the disk can't read: a page of the kernel.
const lostBlock = 4096

// readAround reads size bytes of a file. Blocks that the disk can't read (EIO) are left as
// zeros; lost is their total size in bytes.
func readAround(f io.ReaderAt, size int64) (text []byte, lost int, err error) {
	text = make([]byte, size)
	for at := 0; at < len(text); {
		n, err := f.ReadAt(text[at:], int64(at))
		at += n
		switch {
		case errors.Is(err, unix.EIO):
			next := min((at/lostBlock+1)*lostBlock, len(text))
			clear(text[at:next])
			lost += next - at
			at = next
		case errors.Is(err, io.EOF): // the file has become shorter
			return text[:at], lost, nil
		case err != nil:
			return nil, 0, err
		}
	}
	return text, lost, nil
}

// lastStates returns the last entry of each call that was not over, and of each holder. A kill may have torn a write
// between a state and its callKept. In that case no peer was told (except on a slow disk), and the older state counts.
func (j *journalFiles) lastStates() map[string]lastState {
	states := map[string]lastState{}
	for in, text := range j.texts {
		var half lastState // the last callState
		for e, rest, ok := nextEntry(text); ok; e, rest, ok = nextEntry(rest) {
			size := entryHead + len(binary.AppendUvarint(nil, uint64(len(e.id)))) + len(e.id) + len(e.state)
			end := len(text) - len(rest)
			last := lastState{entry: e, in: in, at: int64(end - size), size: size}
			switch e.kind {
			case callState:
				half = last
				if states[string(e.id)].kept == nil {
					states[string(e.id)] = last
				}
			case callEnded, callOwes, holderBound:
				states[string(e.id)] = last
			case callKept:
				if string(half.id) == string(e.id) && half.at+int64(half.size) == last.at {
					half.kept = e.state
					half.size += size
					states[string(e.id)] = half
				}
			case callOver:
				delete(states, string(e.id))
			}
		}
	}
	return states
}

// fileNumber returns the number in a file's header, or 0 if the header is missing or damaged. Entries have their own
// checksums, so they count all the same, as older ones.
func fileNumber(text []byte) uint64 {
	if len(text) < headSize || string(text[:len(journalMagic)]) != journalMagic {
		return 0
	}
	return binary.LittleEndian.Uint64(text[len(journalMagic):])
}

// removeJournal removes the files once their calls have reached the database.
func removeJournal(path string) error {
	var errs []error
	for _, name := range journalNames(path) {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

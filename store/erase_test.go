package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"flowbridge/store/record"
)

// An erased call is in none of the files any more, as the number of another one, which was purged, is in none; the
// others stay, also those that are live.
func TestEraseLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s := openOutbox(t, path, "webhook")
	l, _, err := OpenLadders(t.Context(), LadderOptions{Path: LaddersPath(path), Keep: time.Hour, MaxSize: 1e9})
	must(t, err)
	defer l.Close()
	var erased []string
	var writing sync.WaitGroup
	for i := range 600 {
		r := sample(fmt.Sprint(i))
		switch i % 3 {
		case 0:
			r.From = "+4930111222333"
			erased = append(erased, r.ID)
		case 1:
			r.From, r.StartedAt = "+4930444555666", record.TimeOf(start.Add(-time.Hour))
		default:
			r.From = "+4930777888999"
		}
		r.Attempts = []record.Attempt{{SIPCallID: "other-" + r.From}}
		s.Journal(r, []byte("state"))
		writing.Go(func() { mustPut(t, s, r) })
		l.Put(&said{id: r.ID, text: []byte("INVITE " + r.From)})
	}
	writing.Wait()
	_, err = s.PutReport(t.Context(), erased[0], record.Report{CallID: "p+4930111222333", ReceivedAt: record.TimeOf(start)})
	must(t, err)
	r := sample("live")
	r.From = "+4930101010101"
	s.Journal(r, []byte("state"))

	if n, err := s.Purge(t.Context(), start); n != 200 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if n, err := l.Erase(t.Context(), erased); n != 200 || err != nil {
		t.Errorf("%d ladders, %v", n, err)
	}
	if n, err := s.Erase(t.Context(), erased); n != 200 || err != nil {
		t.Errorf("%d calls, %v", n, err)
	}
	must(t, s.Scrub(t.Context()))
	must(t, l.Scrub(t.Context()))
	want := map[string]bool{"4930111222333": false, "4930444555666": false, "4930777888999": true, "4930101010101": true}
	in := map[string]bool{}
	for _, name := range []string{path, path + "-wal", path + ".live-a", path + ".live-b"} {
		text, _ := os.ReadFile(name)
		for number := range want {
			in[number] = in[number] || bytes.Contains(text, []byte(number))
		}
	}
	for number, there := range want {
		if in[number] != there {
			t.Errorf("%s is in the files: %v", number, in[number])
		}
	}
	for _, name := range []string{LaddersPath(path), LaddersPath(path) + "-wal"} {
		if text, _ := os.ReadFile(name); bytes.Contains(text, []byte("4930111222333")) {
			t.Errorf("the number is in %s", name)
		}
	}
	for id, want := range map[string]string{"0": "", "2": "INVITE +4930777888999"} {
		if got, err := l.Get(t.Context(), id); err != nil || string(got) != want {
			t.Errorf("ladder %s: %q, %v", id, got, err)
		}
	}
	if states, err := statesAt(path); err != nil || states["live"].kept == nil {
		t.Errorf("the live call is lost: %v", err)
	}
	if sizes, err := s.OutboxSize(t.Context()); err != nil || sizes["webhook"] != 800 {
		t.Errorf("outbox %v, %v", sizes, err)
	}
	for _, name := range []string{path, LaddersPath(path)} {
		var found string
		must(t, rawDB(t, name).QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&found))
		if found != "ok" {
			t.Errorf("%s: %s", name, found)
		}
	}
	if n, err := s.Erase(t.Context(), erased); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}

// A reader that still needs old data does not hold up the writer, and Scrub waits for it.
func TestScrubWaitsForReaders(t *testing.T) {
	path, s := openNew(t)
	mustPut(t, s, sample("1"))
	tx, err := rawDB(t, path).BeginTx(t.Context(), nil)
	must(t, err)
	must(t, tx.QueryRowContext(t.Context(), `SELECT count(*) FROM calls`).Scan(new(int)))
	_, err = s.Erase(t.Context(), []string{"1"})
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- s.Scrub(t.Context()) }()
	mustPut(t, s, sample("2"))
	select {
	case err := <-done:
		t.Errorf("scrubbed beside a reader: %v", err)
	default:
	}
	must(t, tx.Rollback())
	must(t, <-done)
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() != 0 {
		t.Errorf("the log has %d bytes, %v", info.Size(), err)
	}
}

// A call under a legal hold outlives erasure and age, until it is lifted.
func TestHold(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	o := testLadders(t)
	held := []string{"1"}
	o.Held = func() ([]string, error) { return held, nil }
	l, w := laddersAt(t, o)
	for _, id := range []string{"1", "2"} {
		mustPut(t, s, sample(id))
		l.Put(&said{id: id, text: []byte(id)})
	}
	must(t, w.step())
	for _, on := range []bool{true, true, false} {
		all, err := s.NoteIDs(t.Context(), NoteHeld, on, "1")
		if text, _ := json.Marshal(all); err != nil || on != (string(text) == `["1"]`) {
			t.Fatalf("%s, %v", text, err)
		}
		if !on {
			held = nil
		}
		n, err := s.Erase(t.Context(), []string{"1"})
		must(t, err)
		purged, err := s.Purge(t.Context(), time.Now())
		must(t, err)
		w.checked = time.Time{}
		must(t, w.purge(t.Context(), time.Now().Add(2*time.Hour)))
		_, there, err := s.Get(t.Context(), "1")
		must(t, err)
		ladder, err := l.Get(t.Context(), "1")
		if there != on || (len(ladder) > 0) != on || err != nil {
			t.Errorf("held %v: erased %d, purged %d, there %v, ladder %q, %v", on, n, purged, there, ladder, err)
		}
	}
	if all, err := s.NotedIDs(t.Context(), NoteErase); len(all) > 0 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
}

// A number is found in each form that people write, and no other number.
func TestHasNumber(t *testing.T) {
	is := func(digits string) bool { return digits == "4930123456" }
	for text, want := range map[string]bool{
		"+4930123456": true, "004930123456": true, "4930123456": true, "sip:+4930123456;phone-context=x@h": true,
		"call +49 (30) 123-456 back": true, "tel:+49-30-123456": true, "030123456": false, "+493012345": false,
		"+49301234567": false, "14930123456": false, "": false, "anonymous": false, "id 7 4930123456": true,
	} {
		for i, r := range []record.Record{
			{From: text},
			{To: text},
			{Lead: text},
			{Target: text},
			{Variables: map[string]string{"v": text}},
			{Attempts: []record.Attempt{{}, {Target: text}}},
		} {
			if r.HasNumber(is) != want {
				t.Errorf("%q in place %d: %v", text, i, !want)
			}
		}
	}
}

// A number of seven digits or more is found in ids and texts that others chose, too.
func TestHasNumberInIDs(t *testing.T) {
	for text, want := range map[string]bool{
		"4930123456@h": true, "a-4930123456-7": true, "493012345": false, "1-493-0@h": false,
	} {
		is := func(digits string) bool { return digits == "4930123456" || digits == "14930" }
		for i, r := range []record.Record{
			{SIPCallID: text},
			{TargetSIPCallID: text},
			{SynthflowCallID: text},
			{ExternalID: text},
			{OrigID: text},
			{Attempts: []record.Attempt{{}, {SIPCallID: text}}},
			{Attempts: []record.Attempt{{Error: text}}},
			{Attempts: []record.Attempt{{Tried: []string{"", text}}}},
			{Report: &record.Report{CallID: text}},
			{Report: &record.Report{EndReason: text}},
			{Report: &record.Report{ExternalID: text}},
		} {
			if r.HasNumber(is) != want {
				t.Errorf("%q in place %d: %v", text, i, !want)
			}
		}
	}
}

// FuzzGap: the unallocated part of any page is within it, and behind its header.
func FuzzGap(f *testing.F) {
	f.Add([]byte{13, 0, 0, 0, 1, 0, 14, 0, 0, 9, 1, 2, 3, 4, 5, 6}, int64(2))
	f.Add(make([]byte, 112), int64(1))
	f.Fuzz(func(t *testing.T, page []byte, number int64) {
		was := bytes.Clone(page)
		gap := gapOf(page, number)
		clear(gap)
		if len(gap) > max(0, len(page)-8) || len(page) > 8 && !bytes.Equal(page[:8], was[:8]) {
			t.Errorf("%d bytes of page %x", len(gap), was)
		}
	})
}

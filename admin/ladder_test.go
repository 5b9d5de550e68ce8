package admin

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"flowbridge/store/record"
)

// fakeLadders has one ladder, or an error. With of it has the ladder of that call alone.
type fakeLadders struct {
	err error
	of  string
}

func (f fakeLadders) Ladder(_ context.Context, id string) (Ladder, error) {
	if f.of != "" && f.of != id {
		return nil, &NoLadderError{"it is too old", "look at its record"}
	}
	return fakeLadder{ID: "a\x00\u202e<b>", Lanes: []int{}, Messages: []int{}}, f.err
}

type fakeLadder struct {
	ID       string `json:"id"`
	Lanes    []int  `json:"lanes"`
	Messages []int  `json:"messages"`
	Dropped  int    `json:"dropped"`
	Live     bool   `json:"live"`
	Streams  *int   `json:"streams"`
}

func (fakeLadder) Pcapng(w io.Writer) error { _, err := io.WriteString(w, "pcapng"); return err }

func TestLadder(t *testing.T) {
	opts, _ := fixture()
	opts.Ladders = fakeLadders{}
	h := New(opts)
	if r, body := do(t, h, "GET", "/api/calls/live/ladder"); r.StatusCode != http.StatusOK || !strings.Contains(body, `"id":"a\u0000`) || strings.Contains(body, "<b>") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	r, body := do(t, h, "GET", "/api/calls/live/capsule")
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/zip" || r.Header.Get("Content-Disposition") != `attachment; filename="flowbridge-live.zip"` {
		t.Errorf("status %d, headers %v; want 200, a ZIP file named flowbridge-live.zip", r.StatusCode, r.Header)
	}
	z, err := zip.NewReader(strings.NewReader(body), int64(len(body)))
	must(t, err)
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "README.txt call.json ladder.json messages.pcapng" {
		t.Errorf("the capsule has %s", got)
	}
	opts.Ladders = fakeLadders{err: &NoLadderError{"it is too old", "look at its record"}}
	h = New(opts)
	for path, want := range map[string]string{
		"/api/calls/live/ladder": "it is too old", "/api/calls/live/capsule": "it is too old", "/api/calls/none/ladder": "there is no call",
	} {
		if r, body := do(t, h, "GET", path); r.StatusCode != http.StatusNotFound || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
	if r, body := do(t, h, "GET", "/api/calls/live/ladder?x=1"); r.StatusCode != http.StatusBadRequest {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	opts.Ladders = fakeLadders{err: errors.New("disk")}
	if r, body := do(t, New(opts), "GET", "/api/calls/live/ladder"); r.StatusCode != http.StatusInternalServerError || strings.Contains(body, "disk") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	if got := fileName("../a\x00\"b"); got != "___a__b" {
		t.Errorf("file name %q", got)
	}
	var out bytes.Buffer
	must(t, pack(&out, Call{}, fakeLadder{}))
}

// TestFinishedCallByCallID: a finished call is found by any of its ids, with its ladder and its capsule, unless another
// call has that id, too.
func TestFinishedCallByCallID(t *testing.T) {
	opts, recs := fixture()
	recs.records[0].SIPCallID = "a@carrier"
	opts.Ladders = fakeLadders{of: "done"}
	h := New(opts)
	for path, want := range map[string]string{
		"/api/calls/a@carrier":         `"id":"done"`,
		"/api/calls/a@carrier/ladder":  `"lanes":[]`,
		"/api/calls/a@carrier/capsule": "README.txt",
	} {
		if r, body := do(t, h, "GET", path); r.StatusCode != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
	recs.records = append(recs.records, record.Record{ID: "again", StartedAt: start, SIPCallID: "a@carrier"})
	for _, path := range []string{"/api/calls/a@carrier", "/api/calls/a@carrier/ladder"} {
		r, body := do(t, h, "GET", path)
		if r.StatusCode != http.StatusConflict || !strings.Contains(body, "among them done and again") {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
	opts.Control = &fakeControl{}
	recs.records[0].SIPCallID, recs.records[1].ID = "twice", "callid-of-live"
	h = New(opts)
	if r, body := do(t, h, "GET", "/api/calls/twice"); r.StatusCode != http.StatusConflict {
		t.Errorf("two live calls have this id: %d %s", r.StatusCode, body)
	}
	r, body := do(t, h, "GET", "/api/calls/callid-of-live")
	if r.StatusCode != http.StatusOK || !strings.Contains(body, `"id":"callid-of-live"`) {
		t.Errorf("the Call-ID of a live call hides the finished call with that id: %d %s", r.StatusCode, body)
	}
	r, body = do(t, h, "GET", "/api/calls/b@carrier/capsule")
	if r.StatusCode != http.StatusNotFound || !strings.Contains(body, "there is no call") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	recs.records = nil
	opts.Fleet = &fakeRecords{records: []record.Record{{ID: "a", Node: "b"}, {ID: "b", Node: "b", SIPCallID: "a"}}}
	r, body = do(t, New(opts), "GET", "/api/calls/a")
	if r.StatusCode != http.StatusOK || !strings.Contains(body, `"id":"a"`) {
		t.Errorf("the Call-ID of a call hides another node's call with that id: %d %s", r.StatusCode, body)
	}
}

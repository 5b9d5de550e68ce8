package admin

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"flowbridge/store/record"
)

// With a fleet, the records of all nodes are there on request, and a finished call of another node by its id. A fleet
// that is away is said to be, with what to do; the node's own records are there as ever.
func TestFleetRecords(t *testing.T) {
	opts, own := fixture()
	if res, body := do(t, New(opts), "GET", "/api/cdrs?fleet=true"); res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "in no fleet") {
		t.Errorf("without a fleet: got %d %s", res.StatusCode, body)
	}
	all := &fakeRecords{records: []record.Record{{ID: "elsewhere", Node: "other", StartedAt: start}}}
	opts.Fleet = all
	h := New(opts)
	want := func(path string, status int, text ...string) {
		t.Helper()
		res, body := do(t, h, "GET", path)
		if res.StatusCode != status {
			t.Errorf("%s: status %d; want %d", path, res.StatusCode, status)
		}
		for _, s := range text {
			if !strings.Contains(body, s) {
				t.Errorf("%s: got %s; want %s", path, body, s)
			}
		}
	}
	want("/api/cdrs?fleet=true&trunk=carrier&limit=7", http.StatusOK, `"elsewhere"`)
	if all.asked.Trunk != "carrier" || all.asked.Limit != 7 {
		t.Errorf("the fleet was asked for %+v", all.asked)
	}
	want("/api/cdrs?fleet=true&format=jsonl", http.StatusOK, `"elsewhere"`)
	want("/api/cdrs", http.StatusOK, `"done"`)
	want("/api/cdrs?fleet=false", http.StatusOK, `"done"`)
	want("/api/cdrs?fleet=yes", http.StatusBadRequest, "neither true nor false")
	want("/api/calls/elsewhere", http.StatusOK, `"node":"other"`, `"phase":"ended"`)
	want("/api/calls/done", http.StatusOK)
	want("/api/calls/nothing", http.StatusNotFound)

	all.err, all.records = errors.New("the fleet's database is not reached; does it run?"), nil
	want("/api/cdrs?fleet=true", http.StatusServiceUnavailable, "is not reached", "leave fleet out")
	want("/api/cdrs?fleet=true&format=csv", http.StatusServiceUnavailable, "is not reached")
	want("/api/calls/elsewhere", http.StatusServiceUnavailable, "is not reached", "another node")
	want("/api/calls/done", http.StatusOK)
	want("/api/cdrs", http.StatusOK)
	all.err = record.ErrCursor
	want("/api/cdrs?fleet=true&cursor=x", http.StatusBadRequest, "cursor")
	own.err = errors.New("disk")
	want("/api/cdrs", http.StatusInternalServerError)
}

package admin

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/store/record"
)

// many are n records, in pages; the one at broken can't be read.
type many struct {
	fakeRecords

	n, broken int
	open      atomic.Int64 // reads under way
	asked     atomic.Int64
}

func (m *many) List(_ context.Context, f record.Filter) ([]record.Record, string, error) {
	m.open.Add(1)
	defer m.open.Add(-1)
	m.asked.Add(1)
	first, _ := strconv.Atoi(f.Cursor)
	var page []record.Record
	for i := first; i < m.n && len(page) < f.Limit; i++ {
		if m.broken > 0 && i >= m.broken {
			return nil, "", errors.New("disk on fire")
		}
		page = append(page, record.Record{ID: fmt.Sprintf("call-%d", i), From: "=1+1", StartedAt: start})
	}
	if first+len(page) < m.n {
		return page, strconv.Itoa(first + len(page)), nil
	}
	return page, "", nil
}

func TestExport(t *testing.T) {
	opts, _ := fixture()
	opts.Records = &many{n: 1234}
	h := New(opts)
	res, body := do(t, h, "GET", "/api/cdrs?format=csv")
	lines, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || res.StatusCode != 200 || len(lines) != 1235 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/csv") ||
		res.Header.Get("Content-Disposition") != `attachment; filename="calls.csv"` || strings.Contains(body, ",=1") {
		t.Errorf("%d, %d lines, %v, %v", res.StatusCode, len(lines), err, res.Header)
	}
	res, body = do(t, h, "GET", "/api/cdrs", "Accept", "application/x-ndjson;q=0.9, */*;q=0.1")
	n := 0
	for line := range strings.Lines(body) {
		var r record.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.ID != fmt.Sprintf("call-%d", n) {
			t.Fatalf("%v: %s", err, line)
		}
		n++
	}
	if n != 1234 || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/jsonl") {
		t.Errorf("%d lines, %v", n, res.Header)
	}
	if _, body := do(t, h, "GET", "/api/cdrs?format=jsonl&limit=250"); strings.Count(body, "\n") != 250 {
		t.Errorf("%d lines", strings.Count(body, "\n"))
	}
	if res, body := do(t, h, "HEAD", "/api/cdrs?format=csv"); res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/csv") || len(body) > 2000 {
		t.Errorf("HEAD: %v, %d bytes", res, len(body))
	}
	for _, accept := range []string{"", "text/html,*/*", "application/json", "image/png", ";;"} {
		if res, _ := do(t, h, "GET", "/api/cdrs", "Accept", accept); !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json;") {
			t.Errorf("Accept %q: %v", accept, res.Header)
		}
	}
	opts.Records = &many{}
	h = New(opts)
	if res, body := do(t, h, "GET", "/api/cdrs?format=jsonl"); res.StatusCode != 200 || body != "" || res.Header.Get("Content-Disposition") == "" {
		t.Errorf("no records: %v, %q", res, body)
	}
	if _, body := do(t, h, "GET", "/api/cdrs?format=csv"); strings.Count(body, "\n") != 1 {
		t.Errorf("no records: %q", body)
	}
}

func TestSearchParameters(t *testing.T) {
	opts, recs := fixture()
	h := New(opts)
	if res, body := do(t, h, "GET", "/api/cdrs?number=%2B1%20(507)%20555-0100&id=a@b&route=routes[0]&direction=outbound&cause=busy"); res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	want := record.Filter{Number: "15075550100", ID: "a@b", Route: "routes[0]", Direction: "outbound", Cause: "busy"}
	if diff := cmp.Diff(want, recs.asked); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
	for query, says := range map[string]string{
		"number=alice": "number", "number=%2B": "number", "direction=up": "direction", "format=xml": "format", "format=csv&style=asterisk": "style",
		"format=csv&cursor=x&limit=0": "limit",
	} {
		if res, body := do(t, h, "GET", "/api/cdrs?"+query); res.StatusCode != 400 || !strings.Contains(body, says) {
			t.Errorf("%s: %d %s", query, res.StatusCode, body)
		}
	}
}

// An export that can't go on ends its connection: a client never takes a part for the whole. Before it has begun, the error is
// an answer.
func TestExportThatBreaks(t *testing.T) {
	opts, _ := fixture()
	opts.Records = &many{n: 10_000, broken: 5000}
	opts.Access = func() Access { return Access{Local: RightsOperate} }
	srv := httptest.NewServer(New(opts))
	defer srv.Close()
	res, err := http.Get(srv.URL + "/api/cdrs?format=jsonl")
	must(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != 200 || err == nil {
		t.Errorf("%d, %d bytes, %v; want an answer that is cut off", res.StatusCode, len(body), err)
	}
	opts.Records = &many{n: 10, broken: 1}
	if res, body := do(t, New(opts), "GET", "/api/cdrs?format=csv"); res.StatusCode != 500 || !strings.Contains(body, "remedy") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// A client that stops to read holds no read of the database, and no more than one page of records; further exports find
// places up to their bound.
func TestExportThatNobodyReads(t *testing.T) {
	opts, _ := fixture()
	recs := &many{n: 1 << 40}
	opts.Records = recs
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = Server(New(opts), opts.Log)
	srv.Start()
	defer srv.Close()
	var bodies []io.ReadCloser
	for i := range maxExports + 1 {
		req, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/api/cdrs?format=jsonl", nil)
		must(t, err)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		bodies = append(bodies, res.Body)
		if want := map[bool]int{true: 429, false: 200}[i == maxExports]; res.StatusCode != want {
			t.Errorf("export %d: %d; want %d", i, res.StatusCode, want)
		}
		if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || line == "" {
			t.Errorf("export %d: %q, %v", i, line, err)
		}
	}
	// They fill the connections' buffers, and then wait: with no read of the database under way.
	for before := int64(-1); before != recs.asked.Load() || recs.open.Load() != 0; time.Sleep(100 * time.Millisecond) {
		before = recs.asked.Load()
	}
	for _, b := range bodies {
		_ = b.Close()
	}
	for { // the places come back when the clients have gone
		res, err := http.Get(srv.URL + "/api/cdrs?format=jsonl&limit=1")
		must(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode == 200 {
			return
		}
	}
}

package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// listener reads /api/events of a handler, without a network.
type listener struct {
	t      *testing.T
	status int
	header http.Header
	out    *io.PipeWriter
	told   chan [2]string // name and data
	gone   context.CancelFunc
	ended  chan struct{}
}

func (l *listener) Header() http.Header { return l.header }
func (l *listener) WriteHeader(s int)   { l.status = s }
func (l *listener) Flush()              {}
func (l *listener) Write(b []byte) (int, error) {
	if l.status == 0 {
		l.status = 200
	}
	return l.out.Write(b)
}

// listen opens /api/events and reads it, if reads says so.
func listen(t *testing.T, h http.Handler, query string, reads bool, header ...string) *listener {
	t.Helper()
	return listenAt(t, h, "/api/events"+query, reads, header...)
}

// listenAt is listen with another path.
func listenAt(t *testing.T, h http.Handler, path string, reads bool, header ...string) *listener {
	t.Helper()
	ctx, gone := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", "http://127.0.0.1:8080"+path, nil)
	r.RemoteAddr = "127.0.0.1:4000"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	in, out := io.Pipe()
	l := &listener{t: t, header: http.Header{}, out: out, told: make(chan [2]string, 1000), gone: gone, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		h.ServeHTTP(l, r)
		out.Close()
	}()
	if reads {
		go l.read(in)
	}
	t.Cleanup(func() { gone(); in.Close(); <-l.ended })
	return l
}

func (l *listener) read(in io.Reader) {
	defer close(l.told)
	name := ""
	for lines := bufio.NewReader(in); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "event: "):
			name = line[7:]
		case strings.HasPrefix(line, "data: "):
			l.told <- [2]string{name, line[6:]}
		case line == ":":
			l.told <- [2]string{"heartbeat", ""}
		}
	}
}

// next is the next event, whose name has to be this.
func (l *listener) next(name string) string {
	l.t.Helper()
	ev, ok := <-l.told
	if !ok || ev[0] != name {
		l.t.Fatalf("got the event %q %s; want %s", ev[0], ev[1], name)
	}
	return ev[1]
}

// countedFigures count how often they were asked for. open are the calls of the one target.
type countedFigures struct{ asked, open atomic.Int32 }

func (c *countedFigures) Stats() live.Stats {
	c.asked.Add(1)
	return live.Stats{Media: live.Media{Engine: "kernel", Detail: "tcx on eth0"}}
}

func (c *countedFigures) Targets() []live.Target {
	return []live.Target{{Name: "a", Circuits: []live.Circuit{}, Addresses: []live.Address{}, Shares: []live.Share{}, Calls: int(c.open.Load())}}
}

func (c *countedFigures) History(bool) live.History { return live.History{} }

// told is a fixture with events.
func told(from EventSources) (http.Handler, *Events, *Options) {
	opts, _ := fixture()
	opts.Events = NewEvents(from)
	return New(opts), opts.Events, &opts
}

// A reader hears who answers and what it may do, how things are, and then each change, four times a second, the latest of each call.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var figures countedFigures
		h, e, _ := told(EventSources{Node: "n1", Version: "v1", Figures: &figures})
		l := listen(t, h, "", true)
		if got := l.next("hello"); got != `{"node":"n1","version":"v1","rights":"operate","fleet":false,"listen":false,"call":false}` {
			t.Errorf("hello is %s", got)
		}
		l.next("stats")
		l.next("targets")
		var calls []Call
		if err := json.Unmarshal([]byte(l.next("calls")), &calls); err != nil || len(calls) != 2 || calls[0].Attempts == nil {
			t.Errorf("%v, %v", calls, err)
		}
		for i := range 100 {
			e.Changed(record.Record{ID: "new", SetupMS: int64(i)})
			e.Changed(record.Record{ID: "live", SetupMS: int64(i)})
		}
		e.Ended(record.Record{ID: "old", Cause: "caller_hangup"})
		e.Changed(record.Record{ID: "old"}) // comes late
		began := time.Now()
		if got := l.next("call"); !strings.Contains(got, `"setup_ms":99,`) || !strings.Contains(got, `"phase":"preparing"`) {
			t.Errorf("a call that only the record knows: %s", got)
		}
		if got := l.next("call"); !strings.Contains(got, `"phase":"dialing"`) {
			t.Errorf("a call that can be asked: %s", got)
		}
		if got := l.next("ended"); !strings.Contains(got, `"cause":"caller_hangup"`) || !strings.Contains(got, `"attempts":[]`) {
			t.Errorf("ended: %s", got)
		}
		if took := time.Since(began); took > frame {
			t.Errorf("it took %v", took)
		}
		l.next("stats")
		l.next("targets") // once, for readers that have come meanwhile
		l.next("stats")
		figures.open.Store(2)
		l.next("stats")
		if got := l.next("targets"); !strings.HasPrefix(got, `[{"name":"a"`) || !strings.Contains(got, `"calls":2`) || l.header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
			t.Errorf("targets %s, headers %v", got, l.header)
		}
	})
}

// Without figures there is a heartbeat. Without calls, none come. A reader may read only, and then hello says so.
func TestEventsWithoutCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, e, opts := told(EventSources{})
		var access atomic.Pointer[Access]
		access.Store(&Access{Tokens: staff})
		opts.Access = func() Access { return *access.Load() }
		h := New(*opts)
		l := listen(t, h, "?calls=0", true, "Authorization", "Bearer bbb")
		if got := l.next("hello"); !strings.Contains(got, `"rights":"read"`) {
			t.Error(got)
		}
		e.Changed(record.Record{ID: "live"})
		l.next("heartbeat")
		access.Store(&Access{Tokens: staff[:1]}) // the token is taken away
		if ev, ok := <-l.told; ok {
			t.Errorf("a reader without a right hears %v", ev)
		}
		for query, want := range map[string]int{"?calls=2": 400, "?all=1": 400, "": 401} {
			token := "Bearer aaa"
			if want == 401 {
				token = "Bearer bbb"
			}
			if res, body := do(t, h, "GET", "/api/events"+query, "Authorization", token); res.StatusCode != want {
				t.Errorf("%s: %d %s", query, res.StatusCode, body)
			}
		}
		if res, body := do(t, h, "HEAD", "/api/events", "Authorization", "Bearer aaa"); res.StatusCode != 200 || body != "" {
			t.Errorf("HEAD: %d %s", res.StatusCode, body)
		}
	})
}

// The number of readers is bounded; nothing is kept and nothing runs without a reader; a closed Events ends them.
func TestEventsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var figures countedFigures
		h, e, _ := told(EventSources{Figures: &figures})
		for i := range 1000 {
			e.Changed(record.Record{ID: fmt.Sprint(i)})
		}
		time.Sleep(time.Minute)
		if len(e.changed) > 0 || figures.asked.Load() > 0 {
			t.Errorf("%d changes are kept, figures were asked for %d times, and nobody reads", len(e.changed), figures.asked.Load())
		}
		var all []*listener
		for range maxReaders {
			l := listen(t, h, "", true)
			l.next("hello")
			all = append(all, l)
		}
		if res, body := do(t, h, "GET", "/api/events"); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "32 readers") {
			t.Errorf("one more: %d %s", res.StatusCode, body)
		}
		all[0].gone()
		<-all[0].ended
		listen(t, h, "", true).next("hello")
		e.Close()
		for _, l := range all {
			<-l.ended
		}
		if res, _ := do(t, h, "GET", "/api/events"); res.StatusCode != 503 {
			t.Errorf("closed: %d", res.StatusCode)
		}
	})
}

// One token can't take the places of the others: each has its part of them, and one that may only read gives way to one that
// may operate.
func TestReadersShareThePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, e, opts := told(EventSources{})
		opts.Access = func() Access {
			return Access{Tokens: []Token{{"wall", "w", RightsRead, false, 0}, {"desk", "d", RightsRead, false, 0}, {"night", "n", RightsOperate, false, 0}}}
		}
		h := New(*opts)
		open := func(token string, n int) (all []*listener) {
			for range n {
				l := listen(t, h, "", true, "Authorization", "Bearer "+token)
				synctest.Wait()
				all = append(all, l)
			}
			return all
		}
		want := func(wall, desk, night int) {
			t.Helper()
			synctest.Wait()
			of := map[string]int{}
			e.mu.Lock()
			defer e.mu.Unlock()
			for r := range e.readers {
				of[r.who.name]++
			}
			if of["wall"] != wall || of["desk"] != desk || of["night"] != night {
				t.Errorf("readers are %v; want %d, %d and %d", of, wall, desk, night)
			}
		}
		open("w", maxReaders+1)
		want(maxReaders, 0, 0)
		open("d", 20)
		want(16, 16, 0)
		night := open("n", 20)
		want(6, 6, 20)
		open("d", 1)
		want(6, 6, 20)
		open("n", 13)
		want(0, 0, maxReaders)
		if refused := open("w", 1)[0]; refused.status != 503 {
			t.Errorf("one that may only read: %d", refused.status)
		}
		night[0].next("hello")
	})
}

// A reader that does not read delays no other: they hear everything, and it is dropped with the event lagged.
func TestSlowReaderIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, e, _ := told(EventSources{})
		slow := listen(t, h, "", false)
		good := listen(t, h, "", true)
		good.next("hello")
		good.next("calls")
		heard := map[string]bool{}
		var mu sync.Mutex
		go func() {
			for ev := range good.told {
				var r record.Record
				_ = json.Unmarshal([]byte(ev[1]), &r)
				mu.Lock()
				heard[r.ID] = true
				mu.Unlock()
			}
		}()
		for i := range maxPending + 200 {
			e.Changed(record.Record{ID: fmt.Sprint("call-", i)})
			if i%100 == 0 {
				time.Sleep(frame)
			}
		}
		time.Sleep(frame)
		synctest.Wait()
		mu.Lock()
		if len(heard) < maxPending+200 {
			t.Errorf("the other reader heard of %d calls; want %d", len(heard), maxPending+200)
		}
		mu.Unlock()
		e.mu.Lock()
		if len(e.readers) != 1 {
			t.Errorf("%d readers; want 1", len(e.readers))
		}
		e.mu.Unlock()
		slow.out.CloseWithError(io.ErrClosedPipe) // as the deadline of its write does
	})
}

// Over a real connection: events outlive the server's time-outs, a reader that stops reading is dropped by a deadline, a
// lagging one is told, and at the end no reader is left.
func TestEventsOverTheNetwork(t *testing.T) {
	h, e, _ := told(EventSources{Figures: fakeFigures{}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ReadTimeout: 2 * time.Second, WriteTimeout: 50 * time.Millisecond}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	res, err := http.Get("http://" + l.Addr().String() + "/api/events")
	must(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	await := func(want string) {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == want {
				return
			}
		}
		t.Fatalf("the stream ended without %q: %v", want, lines.Err())
	}
	for range 4 {
		await("event: stats") // one each second: later than both time-outs
	}
	e.mu.Lock()
	var readers []*reader
	for r := range e.readers {
		readers = append(readers, r)
	}
	e.mu.Unlock()
	many := make([]event, maxPending+1)
	for i := range many {
		many[i] = event{key: fmt.Sprint(i), text: []byte(":\n\n")}
	}
	e.offer(many, true)
	await("event: lagged")
	if slices.ContainsFunc(readers, func(r *reader) bool { _, ok := e.readers[r]; return ok }) {
		t.Error("the reader is still there")
	}
	server.Close()
	<-served
}

// marker is a Control that masks.
type marker struct{ fakeControl }

func (*marker) Order(context.Context, string, Order) (Call, error) {
	return Call{Record: record.Record{ID: "masked"}, Phase: "bridged", Masked: true}, nil
}

// What an order changes is told at once, also if no record has it.
func TestOrdersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, opts := told(EventSources{})
		opts.Control = &marker{}
		h := New(*opts)
		l := listen(t, h, "", true)
		l.next("hello")
		l.next("calls")
		if res, body := do(t, h, "POST", "/api/calls/masked/recording/start"); res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		if got := l.next("call"); !strings.Contains(got, `"masked":true`) {
			t.Error(got)
		}
	})
}

// BenchmarkEvents is what a change of a call costs the call, with and without readers.
func BenchmarkEvents(b *testing.B) {
	for _, readers := range []int{0, 1, 8} {
		b.Run(fmt.Sprint(readers), func(b *testing.B) {
			e := NewEvents(EventSources{})
			for range readers {
				r := e.join(fakeCalls(nil), true, sender{})
				go func() {
					for {
						select {
						case <-r.wake:
							r.take()
						case <-r.done:
							return
						}
					}
				}()
				b.Cleanup(func() { e.leave(r) })
			}
			records := make([]record.Record, 10000)
			for i := range records {
				records[i] = record.Record{ID: fmt.Sprint(i), From: "+15075550100", StartedAt: start}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e.Changed(records[i%len(records)])
			}
		})
	}
}

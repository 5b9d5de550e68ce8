package admin

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"flowbridge/telemetry/live"

	"flowbridge/internal/openapitest"
)

// spec is the description that every answer in these tests is held to.
var spec = sync.OnceValues(func() (*openapitest.Spec, error) {
	text, err := described()
	if err != nil {
		return nil, err
	}
	return openapitest.Load(text)
})

// fits holds an answer to the description.
func fits(t *testing.T, method, target string, res reply, body string) {
	t.Helper()
	s, err := spec()
	must(t, err)
	path, _, _ := strings.Cut(target, "?")
	if path == "/" || strings.HasPrefix(path, "/web/") || strings.HasPrefix(path, "/docs/") || strings.HasSuffix(path, ".md") { // the page
		return
	}
	if path == "/nothing" && method != "OPTIONS" || res.StatusCode == http.StatusNotFound && strings.Contains(body, "no such path") {
		path, method = "/api/calls", "GET" // an error like those of other paths
	}
	if err := s.Answer(method, path, res.StatusCode, res.Header.Get("Content-Type"), []byte(body)); err != nil {
		t.Errorf("%s %s does not fit the description: %v", method, target, err)
	}
}

// everything is an API with all its routes.
func everything() Options {
	opts, _ := fixture()
	opts.Operator, opts.Control, opts.Recordings = &fakeOperator{}, &fakeControl{}, fakeFiles{}
	opts.Registrations = func() Registrations { return Registrations{Outgoing: []Outgoing{}, Incoming: []Incoming{}} }
	opts.Figures, opts.Leveller, opts.Events = fakeFigures{}, &fakeLeveller{}, NewEvents(EventSources{})
	opts.Report, opts.Nodes, opts.Seats, opts.Eraser = fakeReport, &fakeNodes{}, fakeSeats{}, fakeEraser{}
	opts.Listen = func(context.Context, string, ListenRequest) (Audio, error) { return nil, ErrNoCall }
	opts.Weights = func(context.Context, string, string, map[string]int) *RefusedError { return nil }
	opts.Status = func() Status {
		return Status{Troubles: []live.Trouble{}, Targets: []StatusPeer{{Name: "vapi", Health: live.HealthRefusing}}, Trunks: []StatusPeer{}, Fleet: &StatusFleet{}}
	}
	opts.Browsers = &fakeBrowsers{}
	opts.Metrics, opts.Ladders = http.NotFoundHandler(), noLadders{}
	return opts
}

// noLadders has none.
type noLadders struct{}

func (noLadders) Ladder(context.Context, string) (Ladder, error) {
	return nil, &NoLadderError{Reason: "there is none", Remedy: "switch them on"}
}

// TestOpenAPI: the description has each route with its methods and parameters, and no others; its examples are right.
func TestOpenAPI(t *testing.T) {
	s, err := spec()
	must(t, err)
	must(t, s.Examples())
	_, mux := newAPI(everything())
	h := New(everything())
	paths := s.Paths()
	for _, pattern := range mux.patterns {
		path := strings.ReplaceAll(pattern, "...}", "}")
		switch pattern {
		case "/debug/pprof/":
			path = "/debug/pprof/{profile}"
		case "/", "/{$}": // what there is not, and the page
			continue
		}
		if strings.HasPrefix(pattern, "/web/") || pattern == "/docs/" || strings.HasSuffix(pattern, ".md") { // the page's files, and the documents
			continue
		}
		methods := paths[path]
		delete(paths, path)
		concrete := regexp.MustCompile(`\{order\}`).ReplaceAllString(path, "start")
		concrete = regexp.MustCompile(`\{[a-z.]+\}`).ReplaceAllString(concrete, "live")
		if path == "/debug/pprof/{profile}" { // its query is that of net/http/pprof
			continue
		}
		res, _ := do(t, h, "OPTIONS", concrete)
		allowed := strings.Split(res.Header.Get("Allow"), ", ")
		allowed = slices.DeleteFunc(allowed, func(m string) bool { return m == "HEAD" || m == "OPTIONS" })
		if slices.Sort(allowed); !slices.Equal(allowed, methods) {
			t.Errorf("%s allows %v, and is described with %v", pattern, allowed, methods)
		}
		if strings.HasPrefix(path, "/api/") {
			for _, m := range methods {
				if got, want := s.QueryParameters(path, m), parametersOf(t, h, m, concrete); !slices.Equal(got, want) {
					t.Errorf("%s %s takes %v, and is described with %v", m, path, want, got)
				}
			}
		}
	}
	for path := range maps.Keys(paths) {
		t.Errorf("%s is described, and there is no such route", path)
	}
}

// parametersOf are the parameters that a path says it has.
func parametersOf(t *testing.T, h http.Handler, method, path string) []string {
	t.Helper()
	res, body := do(t, h, method, path+"?qqqq=1")
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("%s %s takes any parameter: %d %s", method, path, res.StatusCode, body)
	}
	m := regexp.MustCompile(`the parameters are ([a-z_, ]+)"`).FindStringSubmatch(body)
	if m == nil {
		return nil
	}
	names := strings.Split(m[1], ", ")
	slices.Sort(names)
	return names
}

// The description is served to those who may read, as JSON.
func TestOpenAPIServed(t *testing.T) {
	opts, _ := fixture()
	res, body := do(t, New(opts), "GET", "/api/openapi.json")
	if res.StatusCode != 200 || !strings.Contains(body, `"openapi":"3.1.0"`) || strings.Contains(fmt.Sprint(res.Header), "yaml") {
		t.Errorf("got %d %.100s", res.StatusCode, body)
	}
}

//go:build e2e

package e2e

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// traces is an OpenTelemetry collector.
type traces struct {
	t  *testing.T
	mu sync.Mutex
	// Spans by name, as 00-trace-span-parent.
	spans map[string]string
}

// collect starts a collector that requires a token.
func (s *stage) collect() (c *traces, url string) {
	s.Helper()
	c = &traces{t: s.T, spans: map[string]string{}}
	listener, err := net.Listen("tcp", netip.AddrPortFrom(s.stranger, 0).String())
	must(s, err)
	server := httptest.NewUnstartedServer(c)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	s.Cleanup(server.Close)
	return c, server.URL
}

// ServeHTTP receives OTLP over HTTP.
func (c *traces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	z, err := gzip.NewReader(r.Body)
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Authorization") != "Bearer c0llect" {
		c.t.Errorf("%s %s %v: %v", r.Method, r.URL, r.Header, err)
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	body, _ := io.ReadAll(z)
	var req collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &req); err != nil {
		c.t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range req.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, span := range ss.GetSpans() {
				c.spans[span.GetName()] = fmt.Sprintf("%x %x %x", span.GetTraceId(), span.GetSpanId(), span.GetParentSpanId())
			}
		}
	}
}

// span returns the ids of the span with this name.
func (c *traces) span(name string) (trace, id, parent string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := append(strings.Split(c.spans[name], " "), "", "")
	return ids[0], ids[1], ids[2]
}

// TestTraces makes a carrier send traceparent. The platform's API and the agent get spans of the same trace, the record
// and the log have the trace's id, and the collector gets those spans.
func TestTraces(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for name, brought := range map[string]bool{"the caller's": true, "our own": false} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			api := s.prepareCalls()
			collected, url := s.collect()
			token := filepath.Join(s.TempDir(), "token")
			must(t, os.WriteFile(token, []byte("c0llect\n"), 0o600))
			b := s.serve(setup{telemetry: fmt.Sprintf("{otlp: {endpoint: %q, token_file: %q}}", url, token)})
			agent := s.sippAgent("caller_hangup")
			with := "Max-Forwards: 70"
			if brought {
				with = "Traceparent: 00-" + trace + "-" + span + "-01\n      Max-Forwards: 70"
			}
			carrier := s.sipp("carrier", "caller_hangup/uac.xml", s.freePort(s.carrier), []string{"-s", called, s.server.sip.String()}, "Max-Forwards: 70", with)
			carrier.leaves(agent, carrier.answered(1)...)
			r := b.finish(hungUpByCaller)[0]
			want, parent := strings.ReplaceAll(r.ID, "-", ""), ""
			if brought {
				want, parent = trace, span
			}
			if r.TraceID != want {
				t.Errorf("the record has trace %q; want %q", r.TraceID, want)
			}
			if _, ok := b.find(`"trace_id":"` + want + `"`); !ok {
				t.Error("the log does not have the trace")
			}
			eventually(t, "the collector has the call", func() bool { id, _, _ := collected.span("call"); return id != "" })
			gotTrace, call, of := collected.span("call")
			_, attempt, ofAttempt := collected.span("attempt")
			_, prepare, ofPrepare := collected.span("prepare")
			_, _, ofAnswered := collected.span("answered")
			if gotTrace != want || of != parent || ofAttempt != call || ofPrepare != attempt || ofAnswered != call {
				t.Errorf("spans: %v", collected.spans)
			}
			if sent := api.requests()[0].Trace; sent != "00-"+want+"-"+prepare+"-01" {
				t.Errorf("the API was given %s; the span is %s", sent, prepare)
			}
			invite := agent.received("INVITE ", 1)[0].raw
			if has := strings.Contains(invite, "traceparent: 00-"+want+"-"+attempt+"-01\r\n"); has != brought || strings.Contains(invite, "traceparent") != brought {
				t.Errorf("the agent was given\n%s\nthe span is %s", invite, attempt)
			}
		})
	}
}

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// simulate starts the program's own platform, with these additional flags.
func (s *stage) simulate(flags ...string) *process {
	s.Helper()
	host := s.platform.String()
	cmd := exec.Command(program, append([]string{
		"simulate", "synthflow", "--http", host + ":0", "--sip", host + ":0", "--token", apiToken, "--echo", "600ms",
	}, flags...)...)
	cmd.Env = append(os.Environ(), "NO_COLOR=1", raceEnv)
	p := start(s.T, "flowbridge simulate", cmd)
	eventually(s.T, "the platform listens", func() bool {
		api, ok := p.find("API   ")
		agent, too := p.find("agent sip:")
		if ok && too {
			s.api, _, _ = strings.Cut(api, " ")
			s.agent = netip.MustParseAddrPort(agent)
		}
		return ok && too
	})
	return p
}

// prepareAPI is the platform's HTTP API for tests in which SIPp is the agent. It assigns ids to
// calls.
type prepareAPI struct {
	mu    sync.Mutex
	asked []prepareRequest
}

// prepareRequest is a request of the B2BUA.
type prepareRequest struct {
	From      string            `json:"from_number"`
	To        string            `json:"to_number"`
	Model     string            `json:"model_id"`
	Variables map[string]string `json:"custom_variables"`
	ID        string            `json:"-"` // the id in the answer
	Trace     string            `json:"-"` // traceparent
}

// prepareCalls starts the API, and chooses the agent's address.
func (s *stage) prepareCalls() *prepareAPI {
	s.Helper()
	a := &prepareAPI{}
	listener, err := net.Listen("tcp", netip.AddrPortFrom(s.platform, 0).String())
	if err != nil {
		s.Fatal(err)
	}
	server := httptest.NewUnstartedServer(a)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	s.Cleanup(server.Close)
	s.api, s.agent = server.URL, s.freePort(s.platform)
	return a
}

// ServeHTTP answers prepare_inbound.
func (a *prepareAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req prepareRequest
	if r.Method != http.MethodPost || r.URL.Path != "/v2/prepare_inbound" || r.Header.Get("Authorization") != "Bearer "+apiToken ||
		json.NewDecoder(r.Body).Decode(&req) != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	req.ID = fmt.Sprintf("%08x-e2e0-4000-8000-000000000000", len(a.asked)+1)
	req.Trace = r.Header.Get("Traceparent")
	a.asked = append(a.asked, req)
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"call_status":"registered","synthflow_call_id":%q,"direction":"inbound","custom_variables":{}}`, req.ID)
}

// requests returns the requests so far.
func (a *prepareAPI) requests() []prepareRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]prepareRequest(nil), a.asked...)
}

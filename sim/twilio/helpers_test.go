package twilio

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/platform/twilio"
	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
	"flowbridge/sim/synthflow"
)

const (
	number       = "+15075785607"
	twilioToken  = "0123456789abcdef0123456789abcdef"
	twilioCaller = "+15550100001"
)

func startTwilio(t *testing.T, o Options) *Platform {
	t.Helper()
	tw, err := Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tw.Close(); err != nil {
			t.Errorf("close twilio: %v", err)
		}
	})
	return tw
}

// callee accepts or refuses calls and stores their INVITEs.
type callee struct {
	addr netip.AddrPort

	mu      sync.Mutex
	invites []string
}

const greeting = "what the callee says"

// startCallee starts a callee that refuses with the status, or accepts if the status is 0.
func startCallee(t *testing.T, status int) *callee {
	t.Helper()
	if status != 0 {
		return startRefusing(t, status)
	}
	a, err := sim.OpenAgent(context.Background(), sim.AgentOptions{Name: "callee", RingFor: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("close callee: %v", err)
		}
	})
	c := &callee{addr: a.SIPAddr()}
	a.Serve(c)
	return c
}

// startRefusing starts a callee that writes its refusals itself, because an agent's refusals have
// no headers.
func startRefusing(t *testing.T, status int) *callee {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &callee{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if raw := string(b[:n]); strings.HasPrefix(raw, "INVITE ") {
				c.keep(raw)
				res := fmt.Sprintf("SIP/2.0 %d No\r\nX-Why: closed\r\n", status)
				for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
					res += name + ": " + c.header(t, name)[0] + "\r\n"
				}
				_, _ = conn.WriteToUDPAddrPort([]byte(res+"Content-Length: 0\r\n\r\n"), from)
			}
		}
	}()
	return c
}

func (c *callee) keep(raw string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invites = append(c.invites, raw)
}

func (c *callee) Challenger(sim.Invite) *sim.Challenger { return nil }

func (c *callee) NewCall(in *sim.Incoming) sim.Handler {
	c.keep(in.Seen().Raw)
	return answered{in}
}

type answered struct{ in *sim.Incoming }

func (a answered) Admit() (int, string)               { a.in.Greets = greeting; return 0, "" }
func (answered) Settle(context.Context) (int, string) { return 0, "" }
func (answered) Describe(*zerolog.Event)              {}
func (answered) Over()                                {}

func (c *callee) uri() string { return "sip:" + number + "@" + c.addr.String() }

// invite returns the last INVITE.
func (c *callee) invite(t *testing.T) string {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.invites) == 0 {
		t.Fatal("no INVITE came")
	}
	return c.invites[len(c.invites)-1]
}

// header returns the values of a header of the last INVITE.
func (c *callee) header(t *testing.T, name string) (all []string) {
	t.Helper()
	for line := range strings.SplitSeq(c.invite(t), "\r\n") {
		if got, value, _ := strings.Cut(line, ":"); strings.EqualFold(got, name) {
			all = append(all, strings.TrimSpace(value))
		}
	}
	return all
}

// startWebhook serves the handler of package twilio.
func startWebhook(t *testing.T, o twilio.Options) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	if o.AuthToken != "" && o.URL == "" {
		o.URL = "http://" + server.Listener.Addr().String()
	}
	h, err := twilio.NewHandler(o)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/redirect_call", h)
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	return "http://" + server.Listener.Addr().String() + "/redirect_call"
}

// serveTwiML serves a document for each path.
func serveTwiML(t *testing.T, documents map[string]string) (string, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		asked = append(asked, r.Method+" "+r.URL.Path+" "+string(body))
		mu.Unlock()
		w.Header().Set("Content-Type", "text/xml")
		_, _ = io.WriteString(w, strings.ReplaceAll(documents[r.URL.Path], "{host}", "http://"+r.Host))
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), asked...)
	}
}

func call(t *testing.T, tw *Platform, c Call) Result {
	t.Helper()
	c.Hold, c.Heard = 1, 60
	if c.Called == "" {
		c.Called, c.From = number, twilioCaller
	}
	r, err := tw.Call(t.Context(), c)
	if err != nil {
		t.Fatalf("%v; %+v", err, r)
	}
	return r
}

// wantHeard checks that an answered call received the callee's audio.
func wantHeard(t *testing.T, r Result, reference []int16) sim.CarrierResult {
	t.Helper()
	if r.Outcome != OutcomeDialled || len(r.Dials) != 1 {
		t.Fatalf("result %+v; want one call dialled", r)
	}
	d := r.Dials[0].Result
	if d.Status != 200 || d.ByeStatus != 200 {
		t.Fatalf("%d %s, bye %d", d.Status, d.Reason, d.ByeStatus)
	}
	if _, score := sim.Match(d.Heard, reference); score < 0.9 {
		t.Errorf("heard: score %.2f", score)
	}
	return d
}

func startSynthflow(t *testing.T, o synthflow.Options) *synthflow.Platform {
	t.Helper()
	p, err := synthflow.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close platform: %v", err)
		}
	})
	return p
}

func target(p *synthflow.Platform) string { return "sip:" + number + "@" + p.SIPAddr().String() }

// prepareCall prepares a call and returns its id.
func prepareCall(t *testing.T, p *synthflow.Platform) string {
	t.Helper()
	body := `{"from_number":"+15550100001","to_number":"` + number + `","model_id":"m","workspace_id":"w","custom_variables":{}}`
	answer, err := standin.Post(t.Context(), p.APIURL()+"/v2/prepare_inbound", http.Header{"Authorization": {"Bearer " + p.Token()}}, []byte(body), 1<<20)
	var a struct {
		ID string `json:"synthflow_call_id"`
	}
	if err != nil || json.Unmarshal(answer.Body, &a) != nil || a.ID == "" {
		t.Fatalf("prepare: %d %s (%v)", answer.Status, answer.Body, err)
	}
	return a.ID
}

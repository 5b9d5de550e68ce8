package sim

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/twilio"
)

const (
	twilioToken  = "0123456789abcdef0123456789abcdef"
	twilioCaller = "+15550100001"
)

func startTwilio(t *testing.T, o TwilioOptions) *Twilio {
	t.Helper()
	tw, err := StartTwilio(context.Background(), o)
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

// callee answers every INVITE, says something and keeps the INVITE.
type callee struct {
	*endpoint
	clock  *clock
	status int // 0: answered

	mu      sync.Mutex
	invites []*sip.Request
	streams []*stream
}

const calleeSeed = 99

func startCallee(t *testing.T, status int) *callee {
	t.Helper()
	e, err := openEndpoint(context.Background(), "127.0.0.1:0", "callee", zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &callee{endpoint: e, clock: startClock(), status: status}
	e.server.OnInvite(c.onInvite)
	e.server.OnAck(func(*sip.Request, sip.ServerTransaction) {})
	e.server.OnBye(ok)
	e.serve()
	t.Cleanup(func() {
		if err := e.close(); err != nil {
			t.Errorf("close callee: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, st := range c.streams {
			c.clock.remove(st)
			st.close()
		}
		c.clock.close()
	})
	return c
}

func (c *callee) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invites = append(c.invites, req)
	media, err := parseSDP(req.Body())
	if c.status != 0 || err != nil {
		res := sip.NewResponseFromRequest(req, max(c.status, 400), "No", nil)
		res.AppendHeader(sip.NewHeader("X-Why", "closed"))
		_ = tx.Respond(res)
		return
	}
	st, err := openStream(c.local.Addr())
	if err != nil {
		reply(req, tx, 500, "No")
		return
	}
	c.streams = append(c.streams, st)
	st.tones, _ = newTones("")
	st.peer.Store(&media)
	st.say(media.codec.encodeAll(Words(calleeSeed)), true)
	c.clock.add(st)
	u, _ := codecFor(payloadPCMU)
	res := sip.NewSDPResponseFromRequest(req, writeSDP(netip.AddrPortFrom(c.local.Addr(), st.local.Port()), 1, []codec{u}, payloadEvent))
	res.AppendHeader(c.contact("callee", req.Source()))
	_ = tx.Respond(res)
}

func (c *callee) uri() string { return "sip:" + number + "@" + c.local.String() }

// invite gives the last INVITE.
func (c *callee) invite(t *testing.T) *sip.Request {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.invites) == 0 {
		t.Fatal("no INVITE came")
	}
	return c.invites[len(c.invites)-1]
}

// header gives the values of a header of the last INVITE.
func (c *callee) header(t *testing.T, name string) (all []string) {
	t.Helper()
	for _, h := range c.invite(t).GetHeaders(name) {
		all = append(all, h.Value())
	}
	return all
}

// startWebhook serves our own handler.
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

func call(t *testing.T, tw *Twilio, c TwilioCall) TwilioResult {
	t.Helper()
	if c.Hold == 0 {
		c.Hold = 1500 * time.Millisecond
	}
	if c.Called == "" {
		c.Called, c.From = number, twilioCaller
	}
	r, err := tw.Call(t.Context(), c)
	if err != nil {
		t.Fatalf("%v; %+v", err, r)
	}
	return r
}

// wantHeard checks that an answered call has audio of the callee.
func wantHeard(t *testing.T, r TwilioResult, reference []int16) CarrierResult {
	t.Helper()
	if r.Outcome != TwilioDialled || len(r.Dials) != 1 {
		t.Fatalf("%+v", r)
	}
	d := r.Dials[0].Result
	if d.Status != 200 || d.ByeStatus != 200 {
		t.Fatalf("%d %s, bye %d", d.Status, d.Reason, d.ByeStatus)
	}
	if _, score := Match(d.Heard, reference); score < 0.9 {
		t.Errorf("heard: score %.2f", score)
	}
	return d
}

package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
)

const (
	defaultToken     = "sim-token"
	defaultEchoDelay = 600 * time.Millisecond
	defaultRingFor   = 200 * time.Millisecond
	maxHistory       = 4096 // calls remembered
)

// SynthflowOptions say where the stand-in listens and how it behaves.
type SynthflowOptions struct {
	HTTPListen string        // "127.0.0.1:0" if empty
	SIPListen  string        // UDP; "127.0.0.1:0" if empty
	MediaAddr  netip.Addr    // address of RTP; the SIP listener's if zero
	Token      string        // bearer token that is required; "sim-token" if empty
	EchoDelay  time.Duration // 600ms if zero
	RingFor    time.Duration // between 180 and 200; 200ms if zero, none if negative
	IDLifetime time.Duration // of a prepared id; 60s if zero
	Auth       SIPAuth       // what an INVITE has to show; zero: nothing
	Fault      Fault
	Log        zerolog.Logger
}

// Synthflow is the stand-in platform: its HTTP API and its SIP agent.
type Synthflow struct {
	opts   SynthflowOptions
	sip    *endpoint
	api    net.Listener
	http   *http.Server
	served chan struct{}
	clock  *clock
	fault  atomic.Pointer[Fault]
	ids    *idTable

	challenger *challenger // nil: nobody is challenged

	mu      sync.Mutex
	dialogs map[string]*agentCall // by Call-ID and our tag
	history []*agentCall
	closed  bool
}

// StartSynthflow listens on both addresses and serves until Close. Cancelling
// ctx ends the calls, but not the listeners.
func StartSynthflow(ctx context.Context, o SynthflowOptions) (*Synthflow, error) {
	o = o.withDefaults()
	s := &Synthflow{
		opts:    o,
		served:  make(chan struct{}),
		dialogs: map[string]*agentCall{},
		ids:     newIDTable(o.IDLifetime),
	}
	s.SetFault(o.Fault)
	err := o.Auth.Validate()
	if err != nil {
		return nil, err
	}
	s.challenger = newChallenger(o.Auth)
	if s.sip, err = openEndpoint(ctx, o.SIPListen, "synthflow-sim", o.Log, s.drops); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	if s.api, err = lc.Listen(ctx, "tcp", o.HTTPListen); err != nil {
		_ = s.sip.sock.Close()
		s.sip.cancel()
		return nil, fmt.Errorf("synthflow-sim: %w", err)
	}
	s.clock = startClock()
	s.route()
	s.sip.serve()
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(s.api) // ends with Close
	}()
	return s, nil
}

func (o SynthflowOptions) withDefaults() SynthflowOptions {
	if o.HTTPListen == "" {
		o.HTTPListen = "127.0.0.1:0"
	}
	if o.SIPListen == "" {
		o.SIPListen = "127.0.0.1:0"
	}
	if o.Token == "" {
		o.Token = defaultToken
	}
	if o.EchoDelay == 0 {
		o.EchoDelay = defaultEchoDelay
	}
	if o.RingFor == 0 {
		o.RingFor = defaultRingFor
	}
	if o.IDLifetime == 0 {
		o.IDLifetime = time.Minute
	}
	return o
}

// APIURL is the base URL of the HTTP API.
func (s *Synthflow) APIURL() string { return "http://" + s.api.Addr().String() }

// SIPAddr is where INVITEs go.
func (s *Synthflow) SIPAddr() netip.AddrPort { return s.sip.local }

// Token is the bearer token that the API requires.
func (s *Synthflow) Token() string { return s.opts.Token }

// SetFault changes the behaviour towards what comes from now on.
func (s *Synthflow) SetFault(f Fault) { s.fault.Store(&f) }

// Fault is the behaviour at present.
func (s *Synthflow) Fault() Fault { return *s.fault.Load() }

// Close hangs up, stops listening and waits until nothing of it runs.
func (s *Synthflow) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	sipErr := s.sip.close() // ends API requests that hang, too
	httpErr := s.http.Close()
	<-s.served
	s.clock.close()
	return errors.Join(sipErr, httpErr)
}

// drops is asked for every datagram.
func (s *Synthflow) drops(b []byte) bool {
	if s.Fault().Kind != FaultSilent {
		return false
	}
	for _, method := range []string{"INVITE ", "CANCEL ", "ACK "} {
		if len(b) >= len(method) && string(b[:len(method)]) == method {
			return true
		}
	}
	return false
}

func (s *Synthflow) route() {
	s.sip.server.OnInvite(s.onInvite)
	s.sip.server.OnAck(s.onAck)
	s.sip.server.OnBye(s.onBye)
	s.sip.server.OnOptions(s.onOptions)
	s.sip.server.OnInfo(s.inDialog)
	s.sip.server.OnUpdate(s.inDialog)
	s.sip.server.OnCancel(func(req *sip.Request, tx sip.ServerTransaction) {
		reply(req, tx, sip.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
	})
}

func (s *Synthflow) remember(c *agentCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = append(s.history, c)
	if len(s.history) > maxHistory {
		s.history = s.history[1:]
	}
	s.dialogs[c.key] = c
}

func (s *Synthflow) forget(c *agentCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.dialogs, c.key)
}

func (s *Synthflow) find(req *sip.Request) *agentCall {
	if req.CallID() == nil || req.To() == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialogs[dialogKey(req.CallID().Value(), tagOf(req.To().Params))]
}

func dialogKey(callID, localTag string) string { return callID + " " + localTag }

// Calls returns every INVITE so far that was not dropped or challenged, refused
// ones included, oldest first; of very many only the latest.
func (s *Synthflow) Calls() []AgentCall {
	s.mu.Lock()
	list := append([]*agentCall(nil), s.history...)
	s.mu.Unlock()
	out := make([]AgentCall, 0, len(list))
	for _, c := range list {
		out = append(out, c.snapshot())
	}
	return out
}

// Call returns the call with this id: the one that used it, not one that was
// refused for using it again.
func (s *Synthflow) Call(synthflowID string) (AgentCall, bool) {
	c := s.byID(synthflowID)
	if c == nil {
		return AgentCall{}, false
	}
	return c.snapshot(), true
}

func (s *Synthflow) byID(id string) *agentCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range slices.Backward(s.history) {
		if c.id == id {
			return c
		}
	}
	return nil
}

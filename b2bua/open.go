package b2bua

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/call"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/redirected"
	"flowbridge/b2bua/registrar"
	"flowbridge/b2bua/registration"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/stir"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/internal/processors"
	"flowbridge/media/dtls"
	"flowbridge/media/recording"
	"flowbridge/store/record"
)

// Options are the parts of a server. Every field is needed unless its comment says
// otherwise.
type Options struct {
	Config    *config.Config
	Relay     bridge.Relay
	Sink      snapshot.Sink
	Preparers map[string]peers.Preparer // by target name; only targets with an API request before calls have one
	Key       [32]byte                  // secret behind our tags, branches and DTLS certificate, stored with the records
	Node      string                    // name of this node in records; "" for none
	Log       zerolog.Logger

	// Ladders configures how the messages of calls are collected. The server sets Record and Source.
	Ladders ladder.Options

	// Admission, if set, is called with the server's admission before the first call.
	Admission func(*peers.Admission)

	// Archive stores the recordings of calls. nil means that calls can't be recorded.
	Archive *recording.Archive

	// Left has the calls that a killed process left.
	Left []record.Saved

	// Await waits until other machines have the state of a call that was last given to Sink, or until that takes too
	// long. Then it calls told, exactly one time, on any goroutine. It returns false if the call need not wait. It may be
	// nil.
	Await func(id string, told func()) bool

	// Transferred is called after each transfer that an operator or a tool ordered, with the call's record so far. It
	// must not block. It may be nil.
	Transferred func(record.Transfer, record.Record)

	// Receipts writes the receipt of what a caller was told, and returns when it is on the disk. It may be nil if no route
	// tells callers anything.
	Receipts interface {
		Write(id string, at time.Time, t record.Told) error
	}

	// Machine returns how long the machine has been running, whatever its wall clock says, and an id of the boot. If nil,
	// restored calls trust the wall clock.
	Machine func() (uptime time.Duration, boot uint64)

	// Bindings has the registrations that the old process accepted, by holder. KeepBindings is called when a holder's
	// registrations change, and must not block. Both may be nil.
	Bindings     map[string][]record.Binding
	KeepBindings func(holder string, all []record.Binding)

	// Others has the other nodes of the fleet, with the registrations there. It may be nil.
	Others registrar.Others

	Network transport.Network // nil fields mean the kernel's network

	// Certificates fetches the certificates for verifying callers. nil means over HTTPS.
	Certificates http.RoundTripper

	// Before is the old process that hands over its calls, or nil. If it is set, the server reads no message and handles
	// no call until Serve is called.
	Before snapshot.Predecessor
}

// strayRate limits how many stray responses per second are answered. Normally there are few: a 200 is repeated at most
// ten times per call.
const strayRate = 100

// NewServer opens the sockets, restores the calls of an earlier process and starts to serve. If Options.Before is set,
// the caller must call Serve to start it.
func NewServer(o Options) (*Server, error) {
	s, err := newServer(o, transport.Listen)
	if err != nil {
		return nil, err
	}
	if o.Before != nil {
		return s, s.successor.replace(o.Before)
	}
	s.successor.restore(o.Left)
	s.Serve()
	return s, nil
}

// Serve starts to answer messages, and to register at registrars.
func (s *Server) Serve() {
	s.stack.Serve()
	s.clients.Go()
}

// newServer creates a server on the sockets that listen opens.
func newServer(o Options, listen func(context.Context, transport.Options) (*transport.Stack, error)) (*Server, error) {
	s := &Server{
		cfg: o.Config, log: o.Log,
		mint:      message.NewMinter(o.Key),
		admission: peers.NewAdmission(o.Config, o.Preparers),
		registry:  registry.New[*call.Call, *call.LegOnWire](),
		registrar: registrar.New(o.Bindings, o.KeepBindings, o.Others),
		strays:    rate.NewLimiter(strayRate, strayRate),
	}
	s.successor.server, s.admission.Held = s, s.successor.held
	if o.Admission != nil {
		o.Admission(s.admission)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.openHost(o); err != nil {
		s.cancel()
		return nil, err
	}
	t := transport.Options{
		Config: s.cfg.SIP, Minter: s.mint, Handler: front{s}, Log: s.log, Tap: s.collect(o),
		Network: o.Network,
	}
	if o.Before != nil {
		t.Take = o.Before.Take
	}
	var err error
	if s.stack, err = listen(s.ctx, t); err != nil {
		s.cancel()
		return nil, err
	}
	s.host.Stack, s.host.Bridges.Names = s.stack, s.stack
	s.coroutines.Go = s.stack.Turns().Go
	s.clients = registration.NewClients(registration.ClientsOptions{
		Stack: s.stack, Minter: s.mint, Log: s.log, Reached: s.admission.Registered,
	})
	s.clients.Use(s.cfg.Trunks)
	return s, nil
}

// openHost creates what all calls share, except the stack.
func (s *Server) openHost(o Options) error {
	own := &o.Config.SIP.TLS
	s.host = call.Host{
		Context: s.ctx, Config: s.cfg, Node: o.Node, Log: s.log, Minter: s.mint,
		CallerTLS: config.TargetTLS{CA: own.ClientCA, Cert: own.Cert, Key: own.Key},
		Admission: s.admission, Registry: s.registry, Registrar: s.registrar,
		Verifier: stir.New(s.ctx, o.Certificates), Sink: o.Sink,
		KeepsNames: o.Config.Hooks.AskForCalls(),
		Await:      o.Await, Machine: o.Machine, Transferred: o.Transferred, Receipts: o.Receipts,
		Left:       s.successor.left,
		Coroutines: &s.coroutines, Beside: s.beside, Calls: &s.calls, Unwritten: &s.unwritten, Panicked: s.panicked,
	}
	if s.host.Machine == nil {
		s.host.Machine = func() (time.Duration, uint64) { return 0, 0 }
	}
	return s.openBridges(o)
}

// openBridges creates the resources that all bridges share, except the addresses that only the stack knows.
func (s *Server) openBridges(o Options) error {
	identity, err := dtls.NewIdentity(o.Key)
	places := s.cfg.Media.Transcoded(processors.Count())
	trunks := func() int { return len(s.admission.Peers.Load().Trunks) }
	s.host.Bridges = bridge.Resources{
		Context: s.ctx, Relay: o.Relay, Archive: o.Archive, Identity: identity, Lines: &s.log, Config: &s.cfg.Media,
		Beep:        s.cfg.Recording.Beep,
		Transcoders: agreement.NewPlaces(places, trunks),
		Listeners:   agreement.NewPlaces((places+1)/2, trunks),
		Beside: func(what string, do func()) {
			s.beside(func() {
				defer s.host.Recovered(what)
				do()
			})
		},
	}
	return err
}

// Transcoders returns the limiter for transcoded calls, or nil if calls can't be transcoded.
func (s *Server) Transcoders() *agreement.Places { return s.host.Bridges.Transcoders }

// collect creates the collector of the calls' messages, and returns it as a Tap. It returns nil if the configuration
// wants no messages collected.
func (s *Server) collect(o Options) transport.Tap {
	o.Ladders.Record = o.Archive != nil && slices.Contains(s.cfg.Recording.Formats, recording.FormatPcapng)
	o.Ladders.Source = func(remote netip.Addr) (netip.Addr, error) { return s.stack.SourceToward(remote) }
	s.host.Ladders = ladder.New(o.Ladders)
	if s.host.Ladders == nil {
		return nil
	}
	return s.host.Ladders
}

// Redirected returns a new redirected.Calls, which redirects calls to the server's targets.
func (s *Server) Redirected(o redirected.Options) *redirected.Calls {
	return redirected.New(redirected.Server{
		Peers:    s.admission.Peers.Load,
		Draining: s.Draining,
		Journal:  func(r record.Record) { s.host.Sink.Journal(r, nil) }, Put: s.host.Sink.Put,
		Node: s.host.Node, OTLP: &s.cfg.Telemetry.OTLP, Log: s.log,
	}, o)
}

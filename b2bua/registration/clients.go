package registration

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
)

// ClientsOptions are the options of Clients.
type ClientsOptions struct {
	Stack  *transport.Stack
	Minter *message.Minter
	Log    zerolog.Logger
	// Reached tells the server how to recognise a trunk's calls: token is the user of our Contact, and at is the address
	// of the registrar. A zero at means that the trunk is no longer registered. Reached must not block.
	Reached func(trunk, token string, at netip.Addr)
}

// Clients holds the registrations of the trunks with `register`. Its methods may be called from any goroutine.
type Clients struct {
	o     ClientsOptions
	ctx   context.Context
	stop  context.CancelFunc
	group sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	all     map[string]*client
	last    map[string]*client // by trunk name: clients that were told to leave, and may still be leaving
	paused  bool               // no registration starts before Go is called
	leaving bool               // Leave was called
}

// NewClients returns a Clients without registrations. Registrations send nothing before Go.
func NewClients(o ClientsOptions) *Clients {
	c := &Clients{o: o, all: map[string]*client{}, last: map[string]*client{}, paused: true}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Use registers these trunks, and no others. A registration whose configuration has not changed continues. A
// registration that is no longer wanted is removed at its registrar. If a registration replaces another, it starts
// when the old one has left: both have the same Contact, and removing the old binding later would remove the new one.
func (c *Clients) Use(trunks []config.Trunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving { // all registrations are leaving, and no new one may start
		return
	}
	maps.DeleteFunc(c.last, func(_ string, one *client) bool { return one.ended() })
	wanted := map[string]bool{}
	for i := range trunks {
		t := &trunks[i]
		if t.Register == nil {
			continue
		}
		wanted[t.Name] = true
		if now := c.all[t.Name]; now != nil {
			if now.isOf(t) {
				continue
			}
			c.retire(now)
		}
		c.all[t.Name] = c.newClient(t)
		if !c.paused {
			c.begin(c.all[t.Name])
		}
	}
	for name, one := range c.all {
		if !wanted[name] {
			c.retire(one)
			delete(c.all, name)
		}
	}
}

// retire makes a client leave because its registration is no longer wanted. The caller must hold c.mu.
func (c *Clients) retire(one *client) {
	if one.begun {
		one.askToLeave()
		c.last[one.trunk.Name] = one
	}
}

// Go starts the registrations that were waiting for it.
func (c *Clients) Go() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = false
	for _, one := range c.all {
		c.begin(one)
	}
}

// begin starts a client unless it was started before. The caller must hold c.mu.
func (c *Clients) begin(one *client) {
	if !one.begun && c.ctx.Err() == nil {
		one.begun = true
		c.group.Go(one.run)
	}
}

// Leave removes every registration, without waiting. Left reports when that is done.
func (c *Clients) Leave() {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	for _, one := range c.clients() {
		one.askToLeave()
	}
}

// Left reports whether all registrations are removed. It is also true before Leave, because then there is nothing to
// wait for.
func (c *Clients) Left() bool {
	c.mu.Lock()
	leaving := c.leaving
	c.mu.Unlock()
	return !leaving || !slices.ContainsFunc(c.clients(), func(one *client) bool { return !one.ended() })
}

// clients returns the running clients in the order of their names, and before them those that a reload has told to
// leave.
func (c *Clients) clients() (all []*client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.last {
		all = append(all, one)
	}
	for _, name := range slices.Sorted(maps.Keys(c.all)) {
		if one := c.all[name]; one.begun {
			all = append(all, one)
		}
	}
	return all
}

// Close ends every registration without sending anything, so the bindings stay.
func (c *Clients) Close() {
	c.stop()
	c.group.Wait()
}

// TrunkStatus is the registration of a trunk.
type TrunkStatus struct {
	Trunk string
	Status
}

// Statuses returns the status of each registration, in the order of the trunks' names.
func (c *Clients) Statuses() (all []TrunkStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.all)) {
		one := c.all[name]
		one.mu.Lock()
		all = append(all, TrunkStatus{Trunk: name, Status: one.status})
		one.mu.Unlock()
	}
	return all
}

// client is one registration. Its goroutine owns every field that is not marked otherwise.
type client struct {
	of       *Clients
	trunk    config.Trunk
	log      zerolog.Logger
	inbox    chan inboxItem
	leave    chan struct{} // tells the client to leave; has room for one signal
	waitsFor *client       // the client that must leave before this one starts; nil if there is none
	done     chan struct{} // closed when the client has ended
	begun    bool          // started; guarded by Clients.mu

	machine    *Machine
	wire       *transport.Wire
	local      leg.Local
	hop        locate.Hop
	flow       *transport.Stream // nil over UDP, and before there is a connection
	cancelFind context.CancelFunc

	mu     sync.Mutex // guards status
	status Status
}

// waiting bounds the queued inputs: the answer to one request, and the events that may come before it.
const waiting = 16

func (c *Clients) newClient(t *config.Trunk) *client {
	one := &client{
		of: c, trunk: *t, log: c.o.Log.With().Str("trunk", t.Name).Logger(), waitsFor: c.last[t.Name], cancelFind: func() {},
		inbox: make(chan inboxItem, waiting), leave: make(chan struct{}, 1), done: make(chan struct{}),
	}
	one.machine = New(Options{
		Config: t.Register, Transport: t.Transport, Token: c.o.Minter.TrunkToken(t.Name), Minter: c.o.Minter,
		Random: rand.Float64,
	})
	one.status = Status{State: Registering, Registrar: t.Register.Registrars[0]}
	return one
}

// isOf reports whether the client registers a trunk with this configuration.
func (c *client) isOf(t *config.Trunk) bool {
	return reflect.DeepEqual(c.trunk.Register, t.Register) && c.trunk.Transport == t.Transport && c.trunk.TLS == t.TLS
}

// ended reports whether the client has ended.
func (c *client) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// deliver queues an input. If the queue is full, it returns false, and the input is lost; the machine's deadlines make
// up for that.
func (c *client) deliver(in Input) bool { return c.enqueue(inboxItem{in: in}) }

func (c *client) enqueue(t inboxItem) bool {
	select {
	case c.inbox <- t:
		return true
	default:
		return false
	}
}

// askToLeave tells the client to leave. This signal has its own channel, so that it is never lost: no deadline would
// make up for it.
func (c *client) askToLeave() {
	select {
	case c.leave <- struct{}{}:
	default: // the client was told before
	}
}

// begin starts the registration, after a client that it replaces has left. If the client was told to leave meanwhile,
// it only leaves.
func (c *client) begin() {
	if c.waitsFor != nil {
		select {
		case <-c.waitsFor.done:
			c.waitsFor = nil
		case <-c.of.ctx.Done():
			return
		}
	}
	select {
	case <-c.leave:
		c.step(Leave{})
	default:
		c.step(Begin{})
	}
}

// take passes a queued input to the machine, unless it is the result of a search that a newer search has replaced.
func (c *client) take(t inboxItem) {
	if t.found == nil || c.use(t.found) {
		c.step(t.in)
	}
}

func (c *client) run() {
	defer close(c.done)
	defer c.hangup()
	timer := time.NewTimer(0)
	<-timer.C
	c.begin()
	for c.machine.Status().State != Left {
		timer.Stop()
		if at := c.machine.Deadline(); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
		select {
		case t := <-c.inbox:
			c.take(t)
		case <-c.leave:
			c.step(Leave{})
		case <-timer.C:
			c.step(DeadlineReached{})
		case <-c.flow.Gone():
			gone := c.flow
			for len(c.inbox) > 0 { // handle what came over the connection before it ended
				c.take(<-c.inbox)
			}
			if c.flow == gone {
				c.flow = nil
				c.step(Broken{})
			}
		case <-c.of.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// hangup ends the search or request in progress.
func (c *client) hangup() {
	c.cancelFind()
	if c.wire != nil {
		c.wire.Close()
	}
}

func (c *client) step(in Input) {
	before := c.machine.Status()
	for _, e := range c.machine.Step(time.Now(), in) {
		switch e := e.(type) {
		case Reach:
			c.find(e)
		case Send:
			c.wire.Perform([]leg.Effect{leg.SendRequest{
				Req: e.Req,
				To:  leg.Hop{Transport: c.local.Transport, Addr: c.hop.Addr},
			}})
		case Avoid:
			c.log.Debug().Stringer("at", e.Hop).Str("reason", e.Why).Msg("registrar address failed")
			c.of.o.Stack.Names().Failed(e.Hop, e.Why, e.After)
		case Ping:
			if c.flow != nil {
				c.flow.Ping()
			}
		case Changed:
			c.changed(before)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = c.machine.Status()
}

// changed logs how the status has changed since before, and tells the server from where the trunk's calls come.
func (c *client) changed(before Status) {
	now := c.machine.Status()
	switch now.State {
	case Registered:
		if now.Failures > 0 || now.Reason != "" {
			c.log.Warn().Str("registrar", before.Registrar).Int("code", now.Code).Str("reason", now.Reason).
				Time("until", now.Until).Msg("registration not renewed")
			return
		}
		c.of.o.Reached(c.trunk.Name, c.machine.o.Token, c.hop.Addr.Addr())
		c.of.o.Stack.Names().Worked(c.hop)
		c.log.Info().Str("registrar", now.Registrar).Str("contact", now.Contact).Time("until", now.Until).Msg("registered")
	case Unavailable:
		c.withdraw()
		c.log.Warn().Str("registrar", before.Registrar).Int("code", now.Code).Str("reason", now.Reason).
			Time("next", now.Next).Msg("not registered")
	case Registering:
		if now.Reason != "" && now.Reason != before.Reason {
			c.log.Info().Str("registrar", before.Registrar).Int("code", now.Code).Str("reason", now.Reason).
				Msg("the next registrar is tried")
		}
	case Left:
		c.of.mu.Lock()
		ends := c.of.leaving
		c.of.mu.Unlock()
		if !ends { // when the server stops, calls that cross the removal must still get a refusal
			c.withdraw()
		}
		c.log.Info().Str("registrar", now.Registrar).Msg("registration removed")
	}
}

// withdraw tells the server that the trunk's calls no longer come from a registrar.
func (c *client) withdraw() { c.of.o.Reached(c.trunk.Name, c.machine.o.Token, netip.Addr{}) }

// inboxItem is an item in a client's queue.
type inboxItem struct {
	in    Input
	found *found // set for Reached and Unreached
}

// found is the part of a search's result that the machine does not need.
type found struct {
	ctx  context.Context
	at   Reached           // zero if no address was found
	flow *transport.Stream // nil over UDP
}

// find looks for an address of a registrar and connects to it, on a goroutine of its own. The result comes as Reached
// or Unreached.
func (c *client) find(e Reach) {
	c.hangup()
	c.wire, c.flow = nil, nil
	ctx, cancel := context.WithCancel(c.of.ctx)
	c.cancelFind = cancel
	c.of.group.Go(func() {
		at, flow, err := c.connect(ctx, e)
		t := inboxItem{in: at, found: &found{ctx: ctx, at: at, flow: flow}}
		if err != nil {
			t = inboxItem{in: Unreached{Err: err, Place: at.Place}, found: &found{ctx: ctx}}
		}
		c.enqueue(t)
	})
}

func (c *client) connect(ctx context.Context, e Reach) (in Reached, flow *transport.Stream, err error) {
	stack := c.of.o.Stack
	hops, err := stack.Locate(ctx, "registrar of trunk "+c.trunk.Name, e.Query)
	if err != nil {
		return in, nil, err
	}
	hops = slices.DeleteFunc(slices.Clone(hops), func(h locate.Hop) bool { return slices.Contains(e.Tried, h) })
	if len(hops) == 0 {
		return in, nil, errNoOther
	}
	in.Hop, in.More = hops[0], len(hops) > 1
	if !message.IsStream(in.Hop.Transport) {
		in.Local, err = stack.LocalFor("", in.Hop.Addr.Addr())
		return in, nil, err
	}
	if flow, err = stack.Connect(ctx, c.trunk.TLS, in.Hop.Transport, sip.Uri{Host: e.Host}, in.Hop.Addr); err == nil {
		in.Local, err = stack.LocalOver(flow)
	}
	return in, flow, err
}

// use makes the next requests go to the address that a search has found. It returns false if a newer search has
// started.
func (c *client) use(f *found) bool {
	if f.ctx.Err() != nil {
		return false
	}
	if f.at.Local.Host != "" {
		c.local, c.hop, c.flow = f.at.Local, f.at.Hop, f.flow
		c.wire = new(transport.Wire)
		c.wire.Open(c.of.o.Stack, &f.at.Local, &c.trunk.TLS, f.flow, c.post)
	}
	return true
}

// post passes the outcome of a request to the client. It returns false if the queue is full.
func (c *client) post(in leg.Input) bool {
	if r, ok := in.(leg.ResponseIn); ok {
		return r.Res.StatusCode < 200 || c.deliver(Answered{Res: r.Res})
	}
	f, ok := in.(leg.RequestFailed)
	if !ok {
		return true
	}
	reason := string(f.Cause)
	if f.Err != nil {
		reason += ": " + f.Err.Error()
	}
	return c.deliver(Failed{Method: f.Method, Seq: f.Seq, Err: failure(reason)})
}

// errNoOther means that DNS has no further address for a host, although it had one when the last address failed.
const errNoOther = failure("the host has no further address")

type failure string

func (f failure) Error() string { return string(f) }

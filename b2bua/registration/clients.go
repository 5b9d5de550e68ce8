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

// ClientsOptions are the parts of Clients.
type ClientsOptions struct {
	Stack  *transport.Stack
	Minter *message.Minter
	Agent  string // User-Agent
	Log    zerolog.Logger
	// Reached is told how the calls of a trunk come: for the user of the Contact, and from the address where it is
	// registered. The zero address: it is registered nowhere any more. It does not block.
	Reached func(trunk, token string, at netip.Addr)
}

// Clients are the registrations of the trunks with `register`. Its methods may be called from any goroutine.
type Clients struct {
	o     ClientsOptions
	ctx   context.Context
	stop  context.CancelFunc
	group sync.WaitGroup

	mu      sync.Mutex // guards what follows
	all     map[string]*client
	last    map[string]*client // that was told to leave, and may not have yet
	paused  bool               // no registration starts before Go
	leaving bool               // Leave was called
}

// NewClients makes the registrations of a server. Nothing is sent before Go.
func NewClients(o ClientsOptions) *Clients {
	c := &Clients{o: o, all: map[string]*client{}, last: map[string]*client{}, paused: true}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Use registers these trunks, and no others. A registration whose configuration has not changed goes on; one that is
// no longer wanted is removed at its registrar. One that replaces another starts when that one has left: both have the
// same Contact, and removing the old binding would remove the new one.
func (c *Clients) Use(trunks []config.Trunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving { // all that there are leave, and none begins any more
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

// retire has a client leave that is not wanted any more. The lock is held.
func (c *Clients) retire(one *client) {
	if one.begun {
		one.askToLeave()
		c.last[one.trunk.Name] = one
	}
}

// Go begins what waits for it.
func (c *Clients) Go() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = false
	for _, one := range c.all {
		c.begin(one)
	}
}

// begin has a client run, once. The lock is held.
func (c *Clients) begin(one *client) {
	if !one.begun && c.ctx.Err() == nil {
		one.begun = true
		c.group.Go(one.run)
	}
}

// Leave removes every registration. Left says when that is done.
func (c *Clients) Leave() {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	for _, one := range c.clients() {
		one.askToLeave()
	}
}

// Left says whether every registration is removed, or none is to be.
func (c *Clients) Left() bool {
	c.mu.Lock()
	leaving := c.leaving
	c.mu.Unlock()
	return !leaving || !slices.ContainsFunc(c.clients(), func(one *client) bool { return !one.ended() })
}

// clients returns the clients that run, in the order of their names, and the clients that a reload has told to leave.
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

// Close ends every registration without a word: the bindings stay.
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
	leave    chan struct{} // has room for the one Leave that counts
	waitsFor *client       // that it waits for, if any
	done     chan struct{} // closed when it has ended
	begun    bool          // guarded by the lock of Clients

	machine    *Machine
	wire       *transport.Wire
	local      leg.Local
	hop        locate.Hop
	flow       *transport.Stream // nil: over UDP, or none yet
	cancelFind context.CancelFunc

	mu     sync.Mutex // guards status
	status Status
}

// waiting bounds the inputs that wait: the answer to one request, and what may happen before it comes.
const waiting = 16

func (c *Clients) newClient(t *config.Trunk) *client {
	one := &client{
		of: c, trunk: *t, log: c.o.Log.With().Str("trunk", t.Name).Logger(), waitsFor: c.last[t.Name], cancelFind: func() {},
		inbox: make(chan inboxItem, waiting), leave: make(chan struct{}, 1), done: make(chan struct{}),
	}
	one.machine = New(Options{
		Config: t.Register, Transport: t.Transport, Token: c.o.Minter.TrunkToken(t.Name), Minter: c.o.Minter,
		Agent: c.o.Agent, Random: rand.Float64,
	})
	one.status = Status{State: Registering, Registrar: t.Register.Registrars[0]}
	return one
}

// isOf reports whether the client belongs to a trunk with the same configuration.
func (c *client) isOf(t *config.Trunk) bool {
	return reflect.DeepEqual(c.trunk.Register, t.Register) && c.trunk.Transport == t.Transport && c.trunk.TLS == t.TLS
}

// ended says whether it has.
func (c *client) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// deliver leaves an input; false: there are too many. Deadlines make up for what is lost.
func (c *client) deliver(in Input) bool { return c.enqueue(inboxItem{in: in}) }

func (c *client) enqueue(t inboxItem) bool {
	select {
	case c.inbox <- t:
		return true
	default:
		return false
	}
}

// askToLeave has it leave. That is never lost: no deadline makes up for it.
func (c *client) askToLeave() {
	select {
	case c.leave <- struct{}{}:
	default: // it was told before
	}
}

// begin begins, unless it is to leave by now.
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

// take takes what has waited for it.
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
			for len(c.inbox) > 0 { // what came over it before its end
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

// hangup ends what is under way.
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
			c.log.Debug().Stringer("at", e.Hop).Str("reason", e.Why).Msg("an address of the registrar has failed")
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

// changed tells what has become of the registration.
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
		if !ends { // a call that has crossed the last removal gets its refusal
			c.withdraw()
		}
		c.log.Info().Str("registrar", now.Registrar).Msg("registration removed")
	}
}

// withdraw says that the trunk's calls come from no registrar.
func (c *client) withdraw() { c.of.o.Reached(c.trunk.Name, c.machine.o.Token, netip.Addr{}) }

// inboxItem is what waits for a client.
type inboxItem struct {
	in    Input
	found *found // with Reached and Unreached
}

// found is what find found besides.
type found struct {
	ctx  context.Context
	at   Reached           // zero: nothing
	flow *transport.Stream // nil: over UDP
}

// find finds the address of a registrar, and connects to it, beside.
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

// use takes what find found for the next requests; false: another try has begun since.
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

// post takes the outcome of a request from the wire.
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

// errNoOther means that the records of a host have changed since its last address failed.
const errNoOther = failure("the host has no further address")

type failure string

func (f failure) Error() string { return string(f) }

package b2bua

import (
	"maps"
	"slices"
	"sync"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transport"
)

// legOnWire is one leg with its wire, and the keys by which the server finds it. The
// leg and the order of its peer's requests belong to its call's goroutine; the rest
// is constant.
type legOnWire struct {
	bridge.Half
	call     *Call
	wire     *transport.Wire
	tag      string // our tag: the key in the registry
	callID   string
	branch   string // of the INVITE that made a UAS leg
	merged   string // what that INVITE shares with its copies: see peers.Trunk.MergeKey
	senders  peers.Senders
	sequence leg.Sequence
}

// Step gives the leg an input, in the call's turn.
func (l *legOnWire) Step(in leg.Input) { l.call.step(l, in) }

// Trying answers 100 once the call is noted: its peer does not repeat the INVITE then.
func (l *legOnWire) Trying() {
	l.call.notes.before(true)
	l.wire.Trying()
}

// post leaves an input in the inbox of the leg's call. False: the call is over.
func (l *legOnWire) post(in leg.Input) bool { return l.call.mailbox.Post(item{line: l, in: in}) }

// registry knows the live calls and their legs. Its lock is held for a map
// access at a time.
type registry struct {
	mu     sync.RWMutex
	legs   map[string]*legOnWire // by our tag
	merged map[string]*legOnWire // by peers.Trunk.MergeKey
	calls  map[string]*Call      // by our id
	gone   *leg.Memory           // tags of legs that are over
	names  names                 // further ids of calls
}

func newRegistry() *registry {
	return &registry{
		legs: map[string]*legOnWire{}, merged: map[string]*legOnWire{}, calls: map[string]*Call{}, names: newNames(),
		gone: leg.NewMemory(),
	}
}

// addCall enters a call and its first leg. It fails if their INVITE, or a copy of it, has
// made a call already.
func (r *registry) addCall(c *Call, l *legOnWire) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.legs[l.tag] != nil || r.merged[l.merged] != nil {
		return false
	}
	r.legs[l.tag], r.merged[l.merged], r.calls[c.id] = l, l, c
	return true
}

// resume enters the legs of a call that was taken up, and the call if it is live.
func (r *registry) resume(c *Call, live bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range c.legs {
		if r.legs[l.tag] = l; l.merged != "" {
			r.merged[l.merged] = l
		}
	}
	if live {
		r.calls[c.id] = c
	}
}

// mergedWith gives the leg that another copy of an INVITE has made; nil: none.
func (r *registry) mergedWith(key string) *legOnWire {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.merged[key]
}

func (r *registry) addLeg(l *legOnWire) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.legs[l.tag] = l
}

func (r *registry) removeLeg(l *legOnWire) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.legs, l.tag)
	delete(r.merged, l.merged)
	r.gone.Add(l.tag, l.branch, l.Leg.AnsweredBye)
}

// byeAnswered says whether the BYE of this branch ended the leg with this tag. Then
// it is repeated, because our answer was lost.
func (r *registry) byeAnswered(tag, branch string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.gone.EndedBy(tag, branch)
}

// knowsTag says whether there is a leg with this tag, or was one 64*T1 ago. It
// allocates nothing.
func (r *registry) knowsTag(tag []byte) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.legs[string(tag)] != nil || r.gone.Has(tag)
}

// isYoung says whether the server began less than 64*T1 ago. So long there may be answers to a process before it.
func (r *registry) isYoung() bool { return r.gone.IsYoung() }

// isGone says whether the leg with this tag, made by the INVITE of this branch, ended
// less than 64*T1 ago. So long the INVITE may be retransmitted.
func (r *registry) isGone(tag, branch string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.gone.MadeBy(tag, branch)
}

// removeCall removes a call from the live ones. Its legs may stay.
func (r *registry) removeCall(c *Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.calls, c.id)
	r.names.forget(c)
}

func (r *registry) leg(tag string) *legOnWire {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.legs[tag]
}

// has says whether there is a leg of this tag.
func (r *registry) has(tag message.Minted) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.legs[string(tag[:])] != nil
}

func (r *registry) call(id string) *Call {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.calls[id]
}

func (r *registry) all() []*Call {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.calls))
}

// open gives the calls that are live, or have a leg that is.
func (r *registry) open() (all []*Call) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all = slices.Collect(maps.Values(r.calls))
	for _, l := range r.legs {
		all = append(all, l.call)
	}
	return all
}

func (r *registry) counts() (calls, lines int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.calls), len(r.legs)
}

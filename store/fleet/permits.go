package fleet

import (
	"math"
	"time"
)

// The times of leases.
const (
	// leaseFor is how long a lease holds by the database's clock.
	leaseFor = 15 * time.Second
	// leaseMargin is how much earlier a node stops to use it: clocks may differ in speed.
	leaseMargin = 3 * time.Second
	// renewEvery is the time between two renewals, and shortEvery when a call found no room.
	renewEvery = 2 * time.Second
	shortEvery = 250 * time.Millisecond
	// fade is what is left after a second of how many calls are expected.
	fade = 0.9
	// quietAfter is how long a cap without calls keeps some permits in hand.
	quietAfter = 30 * time.Second
	// rememberMembers is how long a node that went without a word counts at another one's start.
	rememberMembers = 24 * time.Hour
)

// Cap is a limit of the configuration.
type Cap struct {
	// Callee tells targets from trunks.
	Callee bool
	Name   string
	// Rate tells max_cps from max_calls.
	Rate bool
}

// Demand is what this node uses of a cap and would use, as the admission has it.
type Demand struct {
	Cap
	// Limit is the whole, by the configuration.
	Limit int
	// Used is how many calls are open; 0 for a rate.
	Used int
	// Asked is how many calls there were since the last Demands.
	Asked int
}

// Quotas is this node's part of the caps.
type Quotas struct {
	Until time.Time
	Parts map[Cap]int
	Nodes int
}

// Admission is who keeps to the permits.
type Admission interface {
	Demands() []Demand
	Allot(q Quotas)
	Short() <-chan struct{}
}

// lease is a row of another member's.
type lease struct {
	Cap
	node    string
	permits int
	wanted  int
}

// order is what a member writes: permits is what others must leave it, granted what it uses from then on.
type order struct {
	Cap
	permits, wanted, granted int
}

// permits is this node's state of all caps. It has no lock and no clock of its own.
type permits struct {
	until time.Time   // of the lease
	parts map[Cap]int // in force until then
	nodes int         // last known, at least 1
	// settled is when every other node has had the time to say what it has; zero: there was no exchange since the lapse.
	settled time.Time
	idle    bool // no call can have come yet
	asked   map[Cap]*pace
	last    time.Time // of the last exchange
}

// pace is how often calls come.
type pace struct {
	perSecond float64 // the highest lately
	at        time.Time
}

func newPermits(nodes int) *permits {
	return &permits{nodes: max(1, nodes), idle: true, asked: map[Cap]*pace{}}
}

// inForce is what this node may use at a moment.
func (p *permits) inForce(d Demand, now time.Time) int {
	if n, ok := p.parts[d.Cap]; ok && now.Before(p.until) {
		return min(n, d.Limit)
	}
	return max(1, d.Limit/p.nodes)
}

// wants is what the node would have of a cap: what it has, and some for the calls until the next renewals.
func (p *permits) wants(d Demand, now time.Time) int {
	at := p.asked[d.Cap]
	if at == nil {
		at = &pace{}
		p.asked[d.Cap] = at
	}
	if d.Asked > 0 {
		at.at = now
	}
	since := max(now.Sub(p.last), shortEvery)
	at.perSecond = max(float64(d.Asked)/since.Seconds(), at.perSecond*math.Pow(fade, since.Seconds()))
	quiet := at.at.IsZero() || now.Sub(at.at) > quietAfter
	switch {
	case d.Rate && quiet:
		return 0
	case d.Rate:
		return min(d.Limit, int(at.perSecond*1.5)+1)
	case quiet:
		return min(d.Limit, d.Used)
	}
	soon := int(at.perSecond * 2 * renewEvery.Seconds())
	return min(d.Limit, d.Used+max(soon, d.Limit/(8*p.nodes), 1))
}

// exchange is one renewal. The node asks (begin), the database says what others have (decide, while nobody else
// changes it), and the node goes by the answer once it is committed (finish).
type exchange struct {
	p       *permits
	began   time.Time // monotonic
	lapsed  bool
	demands []Demand
	wanted  []int
	atLeast []int // permits that calls may be using while the exchange is under way
	nodes   int
	orders  []order
}

func (p *permits) begin(demands []Demand, now time.Time) *exchange {
	x := &exchange{p: p, began: now, demands: demands, lapsed: !now.Before(p.until)}
	for _, d := range demands {
		x.wanted = append(x.wanted, p.wants(d, now))
		using := d.Used
		if !p.idle {
			using = max(using, p.inForce(d, now))
		}
		x.atLeast = append(x.atLeast, using)
	}
	p.idle = false
	if x.lapsed { // calls may come within the share while the exchange is under way
		p.settled = time.Time{}
	}
	p.last = now
	return x
}

// decide has this node's id, the leases of the others that hold, the number of members, and the number of those who may
// have calls.
func (x *exchange) decide(node string, others []lease, nodes, known int) []order {
	x.nodes = max(1, nodes)
	settling := x.lapsed || x.began.Before(x.p.settled)
	for i, d := range x.demands {
		claims := []claim{{node, x.wanted[i]}}
		left := d.Limit
		for _, l := range others {
			if l.Cap == d.Cap {
				claims = append(claims, claim{l.node, l.wanted})
				left -= l.permits
			}
		}
		target := allot(d.Limit, claims)[node]
		if settling {
			target = min(target, max(1, d.Limit/max(known, x.nodes, x.p.nodes)))
		}
		granted := max(0, min(target, left))
		x.orders = append(x.orders, order{d.Cap, max(granted, x.atLeast[i]), x.wanted[i], granted})
	}
	return x.orders
}

// finish puts the grants into force. again says that there are permits to give back, now that they are not used.
func (x *exchange) finish(now time.Time) (q Quotas, again bool) {
	p := x.p
	if !now.Before(p.until) { // meanwhile, at the latest
		p.settled = time.Time{}
	}
	p.until = x.began.Add(leaseFor - leaseMargin)
	p.nodes = x.nodes
	if p.settled.IsZero() {
		p.settled = now.Add(leaseFor)
	}
	p.parts = map[Cap]int{}
	for i, o := range x.orders {
		p.parts[o.Cap] = o.granted
		if o.permits > max(o.granted, x.demands[i].Used) {
			again = true
		}
	}
	return Quotas{Until: p.until, Parts: p.parts, Nodes: p.nodes}, again
}

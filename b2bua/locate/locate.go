package locate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// The transports of a Hop, in the configuration's spelling. auto asks for what the records say.
const (
	udp  = "udp"
	tcp  = "tcp"
	tls  = "tls"
	auto = "auto"
)

// ErrNotFound means that a name has no address.
var ErrNotFound = errors.New("name not found")

// Bounds of what is read and given.
const (
	maxRecords = 32 // of an answer
	maxHops    = 16 // of a list
	maxNames   = 8  // that the SRV records of a list name
	maxLinks   = 8  // of a chain of aliases
	maxEntries = 10_000
	maxForeign = 256 // questions under way about names that are not configured here: peers wrote them
)

// wholeTimeout bounds all questions about one host.
const wholeTimeout = 4 * time.Second

// Query is the part of a URI that says where it leads.
type Query struct {
	Host      string
	Port      int    // 0: none
	Transport string // udp, tcp or tls; auto: what the records say, udp where they say nothing
}

// Hop is one place to send a request to.
type Hop struct {
	Transport string
	Addr      netip.AddrPort
}

// String is the hop as transport://address:port.
func (h Hop) String() string { return h.Transport + "://" + h.Addr.String() }

// Options are what a resolver works with. The zero value is the system's.
type Options struct {
	// Ask asks a name server; nil: the name servers of /etc/resolv.conf, behind /etc/hosts.
	Ask Ask
	// Random gives a number from 0 to n-1, for the weights of SRV records; nil: math/rand.
	Random func(n int) int
}

// Ask asks for the records of a name, which ends with a dot. An error means that no name server gave an answer; that
// there is no such name or record is an answer.
type Ask func(ctx context.Context, name string, kind uint16) (*dns.Msg, error)

// Resolver finds addresses. Its methods may be called from any goroutine.
type Resolver struct {
	ask    Ask // constant, as are the next
	random func(n int) int
	ctx    context.Context
	group  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	cache   map[question]*entry
	foreign int // questions under way about names that are not configured here
	avoided map[Hop]avoidance
	found   map[string]found
}

// New makes a resolver whose questions end with ctx.
func New(ctx context.Context, o Options) *Resolver {
	r := &Resolver{
		ask: o.Ask, random: o.Random, ctx: ctx, cache: map[question]*entry{}, avoided: map[Hop]avoidance{},
		found: map[string]found{},
	}
	if r.ask == nil {
		r.ask = newSystem().ask
	}
	if r.random == nil {
		r.random = rand.IntN
	}
	return r
}

// Wait returns when no question is under way any more. ctx of New must be over.
func (r *Resolver) Wait() { r.group.Wait() }

// Locate gives the places for requests to a URI, those to be tried first in front. There is at least one without an
// error. of is their owner, for States; empty: they have none. Then it fails at once while too many such questions are
// under way.
func (r *Resolver) Locate(ctx context.Context, of string, q Query) ([]Hop, error) {
	if a, err := netip.ParseAddr(strings.Trim(q.Host, "[]")); err == nil {
		return r.usableFirst(of, []Hop{q.hop(a.Unmap(), 0)}), nil // RFC 3263 section 4.1: there is nothing to ask
	}
	bounded, cancel := context.WithTimeout(ctx, wholeTimeout)
	defer cancel()
	hops, err := r.locate(bounded, q, of != "")
	switch {
	case len(hops) > 0:
	case ctx.Err() != nil:
		return nil, ctx.Err() // the caller has given up: the name is not at fault
	case err != nil:
		return nil, fmt.Errorf("look up %s: %w: %w", q.Host, ErrNotFound, err)
	default:
		return nil, fmt.Errorf("look up %s: %w", q.Host, ErrNotFound)
	}
	hops = hops[:min(len(hops), maxHops)]
	return r.usableFirst(of, hops), nil
}

// hop is a place at an address. port is what the records say, 0 for nothing.
func (q Query) hop(a netip.Addr, port uint16) Hop {
	h := Hop{Transport: q.Transport}
	if h.Transport == auto || h.Transport == "" {
		h.Transport = udp // RFC 3263 section 4.1, for a SIP URI with a port or an address
	}
	switch {
	case q.Port > 0 && q.Port <= 65535:
		port = uint16(q.Port)
	case port == 0 && h.Transport == tls:
		port = 5061
	case port == 0:
		port = 5060
	}
	h.Addr = netip.AddrPortFrom(a, port)
	return h
}

// locate asks. owned: the name is one of the configuration.
func (r *Resolver) locate(ctx context.Context, q Query, owned bool) ([]Hop, error) {
	if q.Port != 0 {
		return r.addresses(ctx, q, hostPort{q.Host, 0}, owned)
	}
	var absent error
	for _, s := range r.services(ctx, q, owned) {
		by := q
		by.Transport = s.transport
		hops, none, err := r.byService(ctx, by, s.name, owned)
		switch {
		case none: // RFC 2782: the target "."; another service may be there
			absent = cmp.Or(absent, fmt.Errorf("%s says that there is no such service", s.name))
		case len(hops) > 0:
			return hops, nil
		case err != nil && ctx.Err() != nil:
			return nil, err
		}
	}
	if absent != nil {
		return nil, absent
	}
	return r.addresses(ctx, q, hostPort{q.Host, 0}, owned)
}

// service is the name of SRV records, with the transport that they are for.
type service struct{ name, transport string }

// services are the SRV names of a host: of its NAPTR records if no transport is given, else those by the rule.
func (r *Resolver) services(ctx context.Context, q Query, owned bool) []service {
	rule := []service{{"_sip._udp." + q.Host, udp}, {"_sip._tcp." + q.Host, tcp}, {"_sips._tcp." + q.Host, tls}}
	switch q.Transport {
	case auto:
	case tcp:
		return rule[1:2]
	case tls:
		return rule[2:]
	default:
		return rule[:1]
	}
	records, err := r.records(ctx, question{q.Host, dns.TypeNAPTR}, owned)
	if err != nil {
		return rule
	}
	slices.SortStableFunc(records, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.weight, b.weight)) // order and preference
	})
	var all []service
	for _, n := range records {
		transport := map[string]string{"SIP+D2U": udp, "SIP+D2T": tcp, "SIPS+D2T": tls}[strings.ToUpper(n.service)]
		if transport != "" && strings.EqualFold(n.flags, "s") && n.target != "" {
			all = append(all, service{n.target, transport})
		}
	}
	if all = all[:min(len(all), maxNames)]; len(all) == 0 {
		return rule
	}
	return all
}

// byService gives the places of SRV records. none: the service is said not to exist.
func (r *Resolver) byService(ctx context.Context, q Query, name string, owned bool) (hops []Hop, none bool, err error) {
	records, err := r.records(ctx, question{name, dns.TypeSRV}, owned)
	if err != nil {
		return nil, false, err
	}
	if len(records) == 1 && records[0].target == "" {
		return nil, true, nil
	}
	names := 0
	for _, s := range ordered(records, r.random) {
		if s.target == "" {
			continue
		}
		if names++; names > maxNames {
			break
		}
		more, failed := r.addresses(ctx, q, hostPort{s.target, s.port}, owned)
		hops, err = append(hops, more...), cmp.Or(err, failed)
	}
	return hops, false, err
}

// hostPort is a host, and the port that the records say; 0: nothing.
type hostPort struct {
	host string
	port uint16
}

// addresses gives the places of a host: IPv4 first, because the platforms publish it and more networks carry it.
func (r *Resolver) addresses(ctx context.Context, q Query, at hostPort, owned bool) (hops []Hop, err error) {
	four, six := question{at.host, dns.TypeA}, question{at.host, dns.TypeAAAA}
	r.begin(six, owned) // at the same time
	for _, ask := range []question{four, six} {
		records, failed := r.records(ctx, ask, owned)
		if err == nil {
			err = failed
		}
		for _, a := range records {
			hops = append(hops, q.hop(a.addr, at.port))
		}
	}
	return hops, err
}

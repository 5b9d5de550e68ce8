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

// The values of Hop.Transport, as in the configuration. With auto, DNS records decide.
const (
	udp  = "udp"
	tcp  = "tcp"
	tls  = "tls"
	auto = "auto"
)

// ErrNotFound means that a name has no address.
var ErrNotFound = errors.New("name not found")

// Limits on what is read from DNS, kept in the cache and returned, and on queries in progress.
const (
	maxRecords = 32 // records of an answer
	maxHops    = 16 // hops of a list
	maxNames   = 8  // names in the SRV records for a list
	maxLinks   = 8  // links of a chain of aliases
	maxEntries = 10_000
	maxForeign = 256 // unanswered queries for names that are not configured, but come from peers
)

// wholeTimeout bounds all queries about one host.
const wholeTimeout = 4 * time.Second

// Query is the part of a URI that determines its addresses.
type Query struct {
	Host      string
	Port      int    // 0 if none
	Transport string // udp, tcp or tls; auto means as the records say, or else udp
}

// Hop is one destination for a request.
type Hop struct {
	Transport string
	Addr      netip.AddrPort
}

// String returns the hop as transport://address:port.
func (h Hop) String() string { return h.Transport + "://" + h.Addr.String() }

// Options are the options of a resolver. The zero value means the system's settings.
type Options struct {
	// Ask asks a name server; nil means /etc/hosts and then the name servers of /etc/resolv.conf.
	Ask Ask
	// Random returns a number from 0 to n-1, for the weights of SRV records; nil means math/rand.
	Random func(n int) int
}

// Ask asks for the records of a name, which ends with a dot. An error means that no name server answered. An answer may
// say that there is no such name or record.
type Ask func(ctx context.Context, name string, kind uint16) (*dns.Msg, error)

// Resolver finds addresses. Its methods may be called from any goroutine.
type Resolver struct {
	ask    Ask // constant, like the next fields
	random func(n int) int
	ctx    context.Context
	group  sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	cache   map[question]*entry
	foreign int // number of unanswered queries for names that are not configured
	avoided map[Hop]avoidance
	found   map[string]found
}

// New returns a resolver whose queries end with ctx.
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

// Wait returns when all queries have ended. The ctx of New must have ended.
func (r *Resolver) Wait() { r.group.Wait() }

// Locate returns the hops for requests to a URI, in the order in which to try them. Without an error there is at least
// one. of is the owner of the hops, under which States finds them, or empty. Without an owner, Locate fails at once if
// too many such queries are being made.
func (r *Resolver) Locate(ctx context.Context, of string, q Query) ([]Hop, error) {
	if a, err := netip.ParseAddr(strings.Trim(q.Host, "[]")); err == nil {
		return r.usableFirst(of, []Hop{q.hop(a.Unmap(), 0)}), nil // RFC 3263 section 4.1: no query is needed
	}
	bounded, cancel := context.WithTimeout(ctx, wholeTimeout)
	defer cancel()
	hops, err := r.locate(bounded, q, of != "")
	switch {
	case len(hops) > 0:
	case ctx.Err() != nil:
		return nil, ctx.Err() // the caller has given up; that is not the name's fault
	case err != nil:
		return nil, fmt.Errorf("look up %s: %w: %w", q.Host, ErrNotFound, err)
	default:
		return nil, fmt.Errorf("look up %s: %w", q.Host, ErrNotFound)
	}
	hops = hops[:min(len(hops), maxHops)]
	return r.usableFirst(of, hops), nil
}

// hop returns a hop at an address. port is from the records, or 0.
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

// locate queries the name servers. owned says that the name is from the configuration.
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
		case none: // RFC 2782: the target "."; there may be another service
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

// services returns the names of a host's SRV records: from its NAPTR records if no transport is given, or else the
// standard names.
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

// byService returns the hops of SRV records. none reports that the records say that the service does not exist.
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

// hostPort is a host, with a port from the records, or 0 if they gave none.
type hostPort struct {
	host string
	port uint16
}

// addresses returns the hops of a host: IPv4 first, because the platforms publish it and more networks support it.
func (r *Resolver) addresses(ctx context.Context, q Query, at hostPort, owned bool) (hops []Hop, err error) {
	four, six := question{at.host, dns.TypeA}, question{at.host, dns.TypeAAAA}
	r.begin(six, owned) // in parallel
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

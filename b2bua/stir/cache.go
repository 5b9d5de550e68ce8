package stir

import (
	"cmp"
	"container/list"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"flowbridge/internal/local"
)

// The limits of the cache and of its requests.
const (
	maxCached  = 1000 // certificates
	maxOthers  = 250  // other URLs, and hosts
	maxMisses  = 5    // failures of a host's URLs after which the host is left alone
	maxFlights = 32
	// A trunk's flights to the hosts of one entry of its list, for certificates that have signed nothing yet.
	maxOfEntry      = 8
	maxFile         = 64 << 10
	maxAnswerHeader = 16 << 10        // bytes
	fetchTimeout    = 5 * time.Second // time limit of a request, which continues even if no call waits for it
	leastFresh      = 10 * time.Second
	usuallyFresh    = 5 * time.Minute // if the server does not say
	longestFresh    = 24 * time.Hour
	pauseAfter      = 10 * time.Second // after the failure of a URL or a host
	maxRoots        = 16               // sets of roots that a chain was checked against
)

// errForbidden means that a certificate's URL must not be fetched.
var (
	errForbidden = errors.New("a URL that no certificate is fetched from")
	errPending   = errors.New("the server of the certificate takes too long")
	errBusy      = errors.New("too many certificates are being fetched")
)

// cache holds the fetched certificates.
type cache struct {
	ctx    context.Context
	client *http.Client

	mu      sync.Mutex
	good    shelf // URLs whose certificates have signed a call; these stay even when they are no longer fresh
	others  shelf // URLs that failed or have signed nothing yet, and hosts by trunk; they can't displace those of good
	flights map[string]*flight
	stats   Fetches
}

// entry is the state of a URL, or of a trunk's host, until a time.
type entry struct {
	key    string
	trunk  string // the trunk that asked for the certificate
	chain  *chain
	err    error
	until  time.Time
	roots  map[*x509.CertPool]time.Time // roots that the chain leads to, each with the end of its validity
	misses int                          // for a host: how many of its URLs failed in a row
	silent bool                         // only for a host: it did not answer
}

// flight is a request that has no result yet.
type flight struct {
	trunk string
	of    string // entry of the policy's list of hosts
	began time.Time
	done  chan struct{}
	entry *entry
}

// Fetches counts the requests for certificates.
type Fetches struct {
	OK     uint64 // a certificate came
	Failed uint64 // none came, or an unusable one
	Cached uint64 // answered from the cache
}

func newCache(ctx context.Context, transport http.RoundTripper) *cache {
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true, DisableCompression: true,
			TLSHandshakeTimeout: fetchTimeout, MaxResponseHeaderBytes: maxAnswerHeader,
			DialContext: (&net.Dialer{ControlContext: onlyPublic}).DialContext,
		}
	}
	return &cache{
		ctx: ctx, good: newShelf(maxCached), others: newShelf(maxOthers), flights: map[string]*flight{},
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// chosenByCaller marks the context of a request whose host the configuration does not name in full.
type chosenByCaller struct{}

// onlyPublic refuses connections to private addresses for a request to a host that the caller has chosen.
func onlyPublic(ctx context.Context, _, address string, _ syscall.RawConn) error {
	if ctx.Value(chosenByCaller{}) == nil {
		return nil
	}
	if at, err := netip.ParseAddrPort(address); err != nil || !local.IsPublic(at.Addr()) {
		return fmt.Errorf("%w: %s is not public, and identity.hosts does not name its host in full", errForbidden, address)
	}
	return nil
}

// get returns the certificate at a URL. It waits until a deadline, but at most until the
// policy's timeout after the request began.
func (c *cache) get(where string, p *Policy, deadline time.Time) (*entry, error) {
	u, of, err := allowed(where, p.Hosts)
	if err != nil {
		return nil, err
	}
	f, e := c.begin(u, p.Trunk, of)
	if e != nil {
		return e, e.err
	}
	if f == nil {
		return nil, errBusy
	}
	if until := f.began.Add(p.Timeout); until.Before(deadline) {
		deadline = until
	}
	left := time.NewTimer(time.Until(deadline))
	defer left.Stop()
	select {
	case <-f.done:
		return f.entry, f.entry.err
	default:
	}
	select {
	case <-f.done:
		return f.entry, f.entry.err
	case <-left.C:
	case <-c.ctx.Done():
	}
	return nil, errPending
}

// begin returns the entry of a URL, or the running request for it, which it starts if needed. It returns neither if too
// many requests are running. A URL whose certificate has signed a call does not have to wait for others of its host,
// entry or trunk.
func (c *cache) begin(u *url.URL, trunk, of string) (*flight, *entry) {
	now, key := time.Now(), u.String()
	c.mu.Lock()
	defer c.mu.Unlock()
	had := c.good.at(key)
	for _, e := range [...]*entry{had, c.others.at(key), c.others.at(hostKey(trunk, u))} {
		if e == nil || !now.Before(e.until) {
			continue
		}
		if isHost := e.misses > 0; isHost && !e.silent && (had != nil || e.misses < maxMisses) {
			continue
		}
		c.stats.Cached++
		return nil, e
	}
	f := c.flights[key]
	left := maxFlights - len(c.flights)
	// A trunk may use at most half of the free flights: as many must be left for the others.
	if f == nil && left > 0 && (had != nil || c.flightsOf(trunk, "") < left && c.flightsOf(trunk, of) < maxOfEntry) {
		f = &flight{trunk: trunk, of: of, began: now, done: make(chan struct{})}
		c.flights[key] = f
		go c.fly(f, u)
	}
	return f, nil
}

// flightsOf counts the flights of a trunk to the hosts of one entry, or to all hosts if entry is "".
func (c *cache) flightsOf(trunk, entry string) (n int) {
	for _, f := range c.flights {
		if f.trunk == trunk && (entry == "" || f.of == entry) {
			n++
		}
	}
	return n
}

// hostKey returns the key of a host for a trunk. A key has the trunk's name, so that URLs named by one trunk's callers
// do not affect other trunks.
func hostKey(trunk string, u *url.URL) string { return u.Host + " " + trunk }

// fly makes the request of a flight.
func (c *cache) fly(f *flight, u *url.URL) {
	ctx, cancel := context.WithTimeout(c.ctx, fetchTimeout)
	defer cancel()
	e := &entry{key: u.String(), trunk: f.trunk, until: time.Now().Add(pauseAfter)}
	defer func() { // the library's parsers read peers' bytes, and a panic in them must not end the process
		if v := recover(); v != nil {
			e.chain, e.err = nil, fmt.Errorf("%w: %v", errNoCertificate, v)
		}
		c.land(f, e, u)
	}()
	var data []byte
	var fresh time.Duration
	if data, fresh, e.err = c.fetch(ctx, u, f.of); e.err != nil {
		return
	}
	if e.chain, e.err = readChain(data); e.err != nil {
		e.err = &unusable{e.err}
		return
	}
	e.until = time.Now().Add(fresh)
}

// unusable means that a certificate came that can't verify any number.
type unusable struct{ error }

// land stores the result of a request. A host that did not answer, or that failed for
// several URLs, is left alone.
func (c *cache) land(f *flight, e *entry, u *url.URL) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flights, e.key)
	f.entry = e
	defer close(f.done)
	if e.err == nil {
		c.stats.OK++
		to := &c.others
		if c.good.at(e.key) != nil {
			to = &c.good
		}
		to.keep(e)
		c.others.drop(hostKey(f.trunk, u))
		return
	}
	c.stats.Failed++
	c.others.keep(e)
	host := &entry{key: hostKey(f.trunk, u), trunk: f.trunk, err: e.err, until: e.until, misses: 1}
	if _, ok := errors.AsType[net.Error](e.err); ok {
		host.silent = true
	}
	if before := c.others.at(host.key); before != nil && time.Now().Before(before.until) {
		host.misses += before.misses
		host.silent = host.silent || before.silent
	}
	c.others.keep(host)
}

// proved records that a certificate has signed a call.
func (c *cache) proved(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.others.at(e.key) == e {
		c.others.drop(e.key)
		c.good.keep(e)
	}
}

// shelf holds a bounded number of entries. When it is full, the trunk with the most entries loses its least recently
// used one.
type shelf struct {
	most    int
	entries map[string]*list.Element
	recent  *list.List // of *entry, the most recently used one in front
}

func newShelf(most int) shelf {
	return shelf{most: most, entries: map[string]*list.Element{}, recent: list.New()}
}

// at returns the entry of a key, which may have expired, or nil.
func (s *shelf) at(key string) *entry {
	at := s.entries[key]
	if at == nil {
		return nil
	}
	s.recent.MoveToFront(at)
	e, _ := at.Value.(*entry)
	return e
}

func (s *shelf) keep(e *entry) {
	s.drop(e.key)
	s.entries[e.key] = s.recent.PushFront(e)
	if s.recent.Len() <= s.most {
		return
	}
	var last *entry // the trunk's least recently used entry
	of := map[string]int{}
	for at := s.recent.Front(); at != nil; at = at.Next() {
		e, _ := at.Value.(*entry)
		if of[e.trunk]++; last == nil || of[e.trunk] >= of[last.trunk] {
			last = e
		}
	}
	s.drop(last.key)
}

func (s *shelf) drop(key string) {
	if at := s.entries[key]; at != nil {
		s.recent.Remove(at)
		delete(s.entries, key)
	}
}

// fetch makes one request, for an entry of the list of hosts. fresh is how long its answer is fresh.
func (c *cache) fetch(ctx context.Context, u *url.URL, of string) (data []byte, fresh time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	// A proxy of the environment looks the host up itself, and may be at a private address.
	if proxy, err := http.ProxyFromEnvironment(req); proxy == nil && err == nil && strings.HasPrefix(of, "*") {
		req = req.WithContext(context.WithValue(ctx, chosenByCaller{}, true))
	}
	req.Header.Set("Accept", "application/pem-certificate-chain, application/x-pem-file, application/pkix-cert;q=0.5")
	res, err := c.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the server of the certificate says %s", http.StatusText(res.StatusCode))
	}
	data, err = io.ReadAll(io.LimitReader(res.Body, maxFile+1))
	switch {
	case err != nil:
		return nil, 0, err
	case len(data) > maxFile:
		return nil, 0, fmt.Errorf("a certificate of more than %d bytes", maxFile)
	}
	return data, freshness(res.Header, time.Now()), nil
}

// freshness returns how long an answer may be used (RFC 9111 section 4.2), within bounds,
// so that a server can't turn a flood of calls into a flood of requests.
func freshness(h http.Header, now time.Time) time.Duration {
	fresh := usuallyFresh
	if at, err := http.ParseTime(h.Get("Expires")); err == nil {
		fresh = at.Sub(now)
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			fresh = at.Sub(date)
		}
	}
	for one := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(one)), "=")
		switch seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); {
		case name == "no-store" || name == "no-cache":
			return leastFresh
		case name == "max-age" && err == nil:
			fresh = time.Duration(seconds) * time.Second
		}
	}
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		fresh -= time.Duration(age) * time.Second
	}
	return min(max(fresh, leastFresh), longestFresh)
}

// allowed checks a certificate's URL. The URL must have https, a host of the list, and the port of the list's entry, or
// 443 or 8443 (ATIS-1000074). u is its normal form (RFC 3986 section 6.2), so that one certificate has one key. of is
// the list's entry.
func allowed(where string, hosts []string) (u *url.URL, of string, err error) {
	u, err = url.Parse(where)
	if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" ||
		u.Opaque != "" {
		return nil, "", fmt.Errorf("%w: it is not https with a host and a path", errForbidden)
	}
	host, port := strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()
	of = entryOf(hosts, host, port)
	if of == "" {
		return nil, "", fmt.Errorf("%w: its host %q is not on the list of identity.hosts", errForbidden, u.Host)
	}
	u.Host = strings.TrimSuffix(net.JoinHostPort(host, cmp.Or(port, "443")), ":443")
	u.Path = cmp.Or(u.Path, "/")
	if !strings.Contains(strings.ToUpper(u.RawPath), "%2F") { // an escaped slash is not the same as a slash
		u.RawPath = ""
	}
	return u.ResolveReference(u), of, nil // with . and .. resolved
}

// entryOf returns the entry of a list that a host and a port fit. One that names the host in full precedes patterns.
func entryOf(hosts []string, host, port string) (of string) {
	for _, entry := range hosts {
		name, only, has := cutPort(entry)
		if !has && !slices.Contains([]string{"", "443", "8443"}, port) || has && cmp.Or(port, "443") != only {
			continue
		}
		if name == host {
			return entry
		}
		end, pattern := strings.CutPrefix(name, "*")
		if of == "" && pattern && strings.HasSuffix(host, end) && len(host) > len(end) {
			of = entry
		}
	}
	return of
}

// cutPort splits an entry of the list, which may be an address, into host and port.
func cutPort(entry string) (host, port string, found bool) {
	if h, p, err := net.SplitHostPort(entry); err == nil {
		return strings.ToLower(h), p, true
	}
	return strings.ToLower(strings.Trim(entry, "[]")), "", false
}

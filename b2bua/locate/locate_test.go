package locate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// zone is a name server with these records, written as in a zone file.
type zone struct {
	t       testing.TB
	mu      sync.Mutex
	records []dns.RR
	asked   []string
	err     error         // the error for all queries, if not nil
	hang    bool          // never answers
	after   time.Duration // delay of each answer
}

func newZone(t testing.TB, lines string) *zone {
	z := &zone{t: t}
	z.set(lines)
	return z
}

func (z *zone) set(lines string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records = nil
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		rr, err := dns.NewRR(strings.TrimSpace(line))
		if err != nil {
			z.t.Fatalf("%s: %v", line, err)
		}
		z.records = append(z.records, rr)
	}
}

func (z *zone) ask(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	z.mu.Lock()
	z.asked = append(z.asked, strings.TrimSuffix(name, ".")+" "+dns.TypeToString[kind])
	err, hang, after, all := z.err, z.hang, z.after, z.records
	z.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if after > 0 {
		time.Sleep(after)
	}
	if err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	for _, rr := range all {
		h := rr.Header()
		if strings.EqualFold(h.Name, name) && (h.Rrtype == kind || h.Rrtype == dns.TypeCNAME) {
			m.Answer = append(m.Answer, rr)
		}
	}
	if len(m.Answer) == 0 {
		m.Rcode = dns.RcodeNameError
		m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Ttl: 20}, Minttl: 10}}
	}
	return m, nil
}

// asks returns the queries since the last call of asks, sorted.
func (z *zone) asks() string {
	z.mu.Lock()
	defer z.mu.Unlock()
	slices.Sort(z.asked)
	all := strings.Join(z.asked, ", ")
	z.asked = nil
	return all
}

// with runs a test in a bubble, with a resolver that uses this zone. Of several SRV records the first is always chosen.
func with(t *testing.T, lines string, test func(t *testing.T, r *Resolver, z *zone)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, lines)
		ctx, cancel := context.WithCancel(t.Context())
		r := New(ctx, Options{Ask: z.ask, Random: func(int) int { return 0 }})
		defer r.Wait()
		defer cancel()
		test(t, r, z)
	})
}

// leads returns the destinations for a query as text.
func (r *Resolver) leads(ctx context.Context, q Query) string {
	hops, err := r.Locate(ctx, "t", q)
	if err != nil {
		return err.Error()
	}
	return text(hops)
}

func text(hops []Hop) string {
	var all []string
	for _, h := range hops {
		all = append(all, h.String())
	}
	return strings.Join(all, " ")
}

// The addresses of a URI follow RFC 3263 section 4, in its order.
func TestLocate(t *testing.T) {
	const all = `
		pbx.test. 60 IN NAPTR 20 0 "s" "SIP+D2U" "" _sip._udp.pbx.test.
		pbx.test. 60 IN NAPTR 10 1 "s" "SIP+D2T" "" _sip._tcp.pbx.test.
		pbx.test. 60 IN NAPTR 5 0 "u" "E2U+sip" "!^.*$!sip:x@y!" .
		pbx.test. 60 IN NAPTR 5 0 "s" "SIP+D2X" "" _sip._x.pbx.test.
		_sip._tcp.pbx.test. 60 IN SRV 10 5 5070 b.test.
		_sip._tcp.pbx.test. 60 IN SRV 1 5 5071 a.test.
		_sip._udp.pbx.test. 60 IN SRV 1 0 5072 a.test.
		_sip._udp.plain.test. 60 IN SRV 1 0 5073 a.test.
		_sips._tcp.plain.test. 60 IN SRV 1 0 5074 alias.test.
		_sip._udp.no.test. 60 IN SRV 0 0 0 .
		no.test. 60 IN A 192.0.2.7
		_sip._udp.some.test. 60 IN SRV 0 0 0 .
		_sip._tcp.some.test. 60 IN SRV 1 0 5075 a.test.
		a.test. 60 IN A 192.0.2.1
		a.test. 60 IN AAAA 2001:db8::1
		b.test. 60 IN A 192.0.2.2
		b.test. 60 IN A 192.0.2.3
		alias.test. 60 IN CNAME other.test.
		other.test. 60 IN A 192.0.2.4
		secure.test. 60 IN NAPTR 1 0 "S" "sips+d2t" "" _sips._tcp.plain.test.
		odd.test. 60 IN NAPTR 1 0 "a" "SIP+D2U" "" a.test.
		odd.test. 60 IN A 192.0.2.5
		_sip._tcp.empty.test. 60 IN SRV 1 0 5060 nowhere.test.
		empty.test. 60 IN A 192.0.2.6
	`
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{"pbx.test", 0, auto}, "tcp://192.0.2.1:5071 tcp://[2001:db8::1]:5071 tcp://192.0.2.2:5070 tcp://192.0.2.3:5070"},
		{Query{"pbx.test", 0, udp}, "udp://192.0.2.1:5072 udp://[2001:db8::1]:5072"},
		{Query{"a.test", 5080, auto}, "udp://192.0.2.1:5080 udp://[2001:db8::1]:5080"},
		{Query{"A.TEST.", 5080, tls}, "tls://192.0.2.1:5080 tls://[2001:db8::1]:5080"},
		{Query{"a.test", 0, tls}, "tls://192.0.2.1:5061 tls://[2001:db8::1]:5061"},
		{Query{"plain.test", 0, auto}, "udp://192.0.2.1:5073 udp://[2001:db8::1]:5073"},
		{Query{"plain.test", 0, tls}, "tls://192.0.2.4:5074"},
		{Query{"secure.test", 0, auto}, "tls://192.0.2.4:5074"},
		{Query{"odd.test", 0, auto}, "udp://192.0.2.5:5060"},
		{Query{"empty.test", 0, tcp}, "tcp://192.0.2.6:5060"},
		{Query{"no.test", 0, udp}, "look up no.test: name not found: _sip._udp.no.test says that there is no such service"},
		{Query{"no.test", 0, auto}, "look up no.test: name not found: _sip._udp.no.test says that there is no such service"},
		{Query{"some.test", 0, auto}, "tcp://192.0.2.1:5075 tcp://[2001:db8::1]:5075"},
		{Query{"some.test", 0, udp}, "look up some.test: name not found: _sip._udp.some.test says that there is no such service"},
		{Query{"nowhere.test", 0, auto}, "look up nowhere.test: name not found"},
		{Query{"192.0.2.9", 0, auto}, "udp://192.0.2.9:5060"},
		{Query{"192.0.2.9", 0, tls}, "tls://192.0.2.9:5061"},
		{Query{"[2001:db8::9]", 5062, tcp}, "tcp://[2001:db8::9]:5062"},
		{Query{"::ffff:192.0.2.9", 70000, udp}, "udp://192.0.2.9:5060"},
	} {
		with(t, all, func(t *testing.T, r *Resolver, _ *zone) {
			if got := r.leads(t.Context(), c.q); got != c.want {
				t.Errorf("%+v: %s; want %s", c.q, got, c.want)
			}
		})
	}
}

// The resolver sends only the queries that are needed, each once until its TTL has passed, and does not append search
// domains.
func TestQuestions(t *testing.T) {
	with(t, "pbx.test. 30 IN A 192.0.2.1", func(t *testing.T, r *Resolver, z *zone) {
		r.leads(t.Context(), Query{"pbx.test", 0, auto})
		want := "_sip._tcp.pbx.test SRV, _sip._udp.pbx.test SRV, _sips._tcp.pbx.test SRV, pbx.test A, pbx.test AAAA, pbx.test NAPTR"
		if got := z.asks(); got != want {
			t.Errorf("asked %s", got)
		}
		time.Sleep(9 * time.Second)
		if r.leads(t.Context(), Query{"pbx.test", 0, auto}); z.asks() != "" {
			t.Error("asked again")
		}
		time.Sleep(2 * time.Second) // negative answers are valid for 10 s
		r.leads(t.Context(), Query{"pbx.test", 0, udp})
		if got := z.asks(); got != "_sip._udp.pbx.test SRV, pbx.test AAAA" {
			t.Errorf("after 11 s: %s", got)
		}
		time.Sleep(20 * time.Second)
		z.set("pbx.test. 30 IN A 192.0.2.2")
		if got := r.leads(t.Context(), Query{"pbx.test", 5060, udp}); got != "udp://192.0.2.2:5060" {
			t.Errorf("after its TTL: %s", got)
		}
	})
}

// Simultaneous look-ups of the same name share one query.
func TestOneQuestion(t *testing.T) {
	with(t, "a.test. 30 IN A 192.0.2.1", func(t *testing.T, r *Resolver, z *zone) {
		z.after = time.Second
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				if got := r.leads(t.Context(), Query{"a.test", 1, udp}); got != "udp://192.0.2.1:1" {
					t.Error(got)
				}
			})
		}
		group.Wait()
		if got := z.asks(); got != "a.test A, a.test AAAA" {
			t.Errorf("asked %s", got)
		}
	})
}

// While no name server answers, old answers are still used, after at most a tenth of a second.
func TestStale(t *testing.T) {
	with(t, "a.test. 30 IN A 192.0.2.1", func(t *testing.T, r *Resolver, z *zone) {
		q := Query{"a.test", 5060, udp}
		r.leads(t.Context(), q)
		z.hang = true
		time.Sleep(time.Hour)
		for range 20 {
			began := time.Now()
			if got := r.leads(t.Context(), q); got != "udp://192.0.2.1:5060" || time.Since(began) > 2*refresh {
				t.Errorf("%s after %v", got, time.Since(began))
			}
			time.Sleep(time.Second)
		}
		if got := r.leads(t.Context(), Query{"new.test", 1, udp}); !strings.Contains(got, "deadline exceeded") {
			t.Errorf("a name that was never known: %s", got)
		}
		time.Sleep(25 * time.Hour)
		if got := r.leads(t.Context(), q); !strings.Contains(got, "name not found") {
			t.Errorf("after a day: %s", got)
		}
		synctest.Wait() // the query for the other address family may still run
		z.hang, z.err = false, errors.New("SERVFAIL")
		if got := r.leads(t.Context(), Query{"new2.test", 1, udp}); got != "look up new2.test: name not found: SERVFAIL" {
			t.Errorf("a server that fails: %s", got)
		}
	})
}

// A caller that gives up does not get an error about the name. The query continues, and later callers can use its
// answer.
func TestGivenUp(t *testing.T) {
	with(t, "a.test. 30 IN A 192.0.2.1", func(t *testing.T, r *Resolver, z *zone) {
		z.after = 3 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Locate(ctx, "t", Query{"a.test", 1, udp}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
		began := time.Now()
		if got := r.leads(t.Context(), Query{"a.test", 1, udp}); got != "udp://192.0.2.1:1" || time.Since(began) != 2*time.Second {
			t.Errorf("%s after %v", got, time.Since(began))
		}
	})
}

// An address that has failed is tried last for some time.
func TestAvoided(t *testing.T) {
	with(t, "a.test. 900 IN A 192.0.2.1\na.test. 900 IN A 192.0.2.2", func(t *testing.T, r *Resolver, _ *zone) {
		q := Query{"a.test", 5060, udp}
		one, two := "udp://192.0.2.1:5060", "udp://192.0.2.2:5060"
		want := func(hops string) {
			t.Helper()
			if got := r.leads(t.Context(), q); got != hops {
				t.Errorf("%s; want %s", got, hops)
			}
		}
		want(one + " " + two)
		hops, _ := r.Locate(t.Context(), "t", q)
		r.Failed(hops[0], "target_silent", 0)
		want(two + " " + one)
		if s := r.States("t"); len(s) != 2 || s[0].Cause != "target_silent" || time.Until(s[0].Until) != avoidFor || !s[1].Until.IsZero() {
			t.Errorf("states %+v", s)
		}
		time.Sleep(avoidFor)
		want(one + " " + two)
		r.Failed(hops[0], "target_error", time.Hour)
		time.Sleep(avoidFor)
		want(one + " " + two) // avoiding it for an hour would be too long
		r.Failed(hops[0], "target_error", 10*time.Second)
		time.Sleep(9 * time.Second)
		want(two + " " + one)
		r.Failed(hops[1], "target_error", 0)
		want(one + " " + two) // all addresses have failed
		r.Worked(hops[1])
		want(two + " " + one)
		time.Sleep(2 * time.Hour)
		if s := r.States("t"); s != nil {
			t.Errorf("states of a name that is not called: %+v", s)
		}
	})
}

// The resolver remembers the addresses that the most recent calls used. It remembers only a limited number.
func TestFoundAreBounded(t *testing.T) {
	with(t, "a.test. 900 IN A 192.0.2.1", func(t *testing.T, r *Resolver, _ *zone) {
		q := Query{"a.test", 5060, udp}
		for i := range maxFound + 10 {
			if _, err := r.Locate(t.Context(), fmt.Sprintf("t%d", i), q); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if r.States("t0") != nil || len(r.States(fmt.Sprintf("t%d", maxFound+9))) != 1 || len(r.found) != maxFound {
			t.Errorf("%d are known; the first is %v", len(r.found), r.States("t0"))
		}
	})
}

// Weights are probabilities: over many calls, each server of a priority gets its share (RFC 2782).
func TestWeights(t *testing.T) {
	state := uint64(1)
	random := func(n int) int { // a fixed sequence, so that the test is reproducible
		state = state*6364136223846793005 + 1442695040888963407
		return int(state>>33) % n
	}
	first := map[string]int{}
	for range 100_000 {
		all := ordered([]record{{1, 60, 0, "a", "", "", netip.Addr{}}, {1, 30, 0, "b", "", "", netip.Addr{}}, {1, 10, 0, "c", "", "", netip.Addr{}}, {1, 0, 0, "z", "", "", netip.Addr{}}, {0, 7, 0, "first", "", "", netip.Addr{}}, {2, 99, 0, "last", "", "", netip.Addr{}}}, random)
		if len(all) != 6 || all[0].target != "first" || all[5].target != "last" {
			t.Fatalf("order %v", all)
		}
		seen := map[string]bool{}
		for _, r := range all {
			seen[r.target] = true
		}
		if len(seen) != 6 {
			t.Fatalf("order %v", all)
		}
		first[all[1].target]++
	}
	for name, part := range map[string]float64{"a": 0.6, "b": 0.3, "c": 0.1, "z": 0.01} {
		if got := float64(first[name]) / 100_000; got < part-0.02 || got > part+0.02 {
			t.Errorf("%s was first in %v; want %v", name, got, part)
		}
	}
}

// The resolver stops at cycles of aliases, thousands of records, and SRV records with thousands of hosts.
func TestBounds(t *testing.T) {
	var b strings.Builder
	fmt.Fprintln(&b, "x.test. 60 IN CNAME y.test.\ny.test. 60 IN CNAME x.test.")
	for i := range 1000 {
		fmt.Fprintf(&b, "many.test. 60 IN A 10.0.%d.%d\n", i/250, i%250)
		fmt.Fprintf(&b, "_sip._udp.wide.test. 60 IN SRV 1 1 5060 h%d.test.\n", i)
		fmt.Fprintf(&b, "chain%d.test. 60 IN CNAME chain%d.test.\n", i, i+1)
		fmt.Fprintf(&b, "wide.test. 60 IN NAPTR %d 1 \"s\" \"SIP+D2U\" \"\" _sip._udp.h%d.test.\n", i, i)
	}
	with(t, b.String(), func(t *testing.T, r *Resolver, z *zone) {
		for _, host := range []string{"x.test", "chain0.test"} {
			if got := r.leads(t.Context(), Query{host, 5060, udp}); !strings.Contains(got, "too many aliases") {
				t.Errorf("%s: %s", host, got)
			}
		}
		hops, err := r.Locate(t.Context(), "t", Query{"many.test", 5060, udp})
		if err != nil || len(hops) != maxHops {
			t.Errorf("%d hops, %v", len(hops), err)
		}
		z.asks()
		r.leads(t.Context(), Query{"wide.test", 0, udp})
		if n := strings.Count(z.asks(), ","); n > 2*maxNames+4 {
			t.Errorf("%d questions", n)
		}
		r.leads(t.Context(), Query{"wide.test", 0, auto})
		if n := strings.Count(z.asks(), ","); n > maxNames+4 {
			t.Errorf("%d questions by NAPTR", n)
		}
		for i := range maxEntries {
			r.leads(t.Context(), Query{fmt.Sprintf("n%d.test", i), 1, udp})
		}
		if n := len(r.cache); n > maxEntries {
			t.Errorf("%d entries", n)
		}
	})
}

// FuzzAnswer checks that any answer of a name server is read in finite time, with usable results.
func FuzzAnswer(f *testing.F) {
	for _, line := range []string{
		"a.test. 60 IN A 192.0.2.1", "a.test. 60 IN SRV 1 2 3 b.test.", `a.test. 60 IN NAPTR 1 2 "s" "SIP+D2U" "" b.test.`, "a.test. 60 IN CNAME a.test.", "a.test. 0 IN AAAA ::1",
	} {
		rr, err := dns.NewRR(line)
		if err != nil {
			f.Fatal(err)
		}
		m := new(dns.Msg).SetQuestion("a.test.", rr.Header().Rrtype)
		m.Answer = []dns.RR{rr}
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		m := new(dns.Msg)
		if m.Unpack(packed) != nil {
			return
		}
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeNAPTR} {
			records, next, ttl, err := readAnswer(m, "a.test", kind)
			if err != nil {
				continue
			}
			if len(records) > maxRecords || ttl < 0 || ttl > max(maxTTL, failureTTL) || (next != "" && len(records) > 0) {
				t.Errorf("%d records, next %q, ttl %v", len(records), next, ttl)
			}
			for _, r := range ordered(records, func(n int) int { return n - 1 }) {
				if (kind == dns.TypeA || kind == dns.TypeAAAA) && (!r.addr.IsValid() || r.addr.Is4() != (kind == dns.TypeA)) {
					t.Errorf("address %v", r.addr)
				}
			}
		}
	})
}

package registration

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

var (
	minter  = message.NewMinter([32]byte{9})
	at      = netip.MustParseAddrPort("192.0.2.1:5060")
	errDead = errors.New("no route")
)

// bench drives a machine, with a clock that the test sets.
type bench struct {
	*testing.T
	m       *Machine
	now     time.Time
	effects []Effect
}

func newBench(t *testing.T, change func(*Options)) *bench {
	o := Options{
		Config: &config.Register{
			Registrars: []string{"one.test", "two.test:5070"}, User: "acme", Auth: &config.Auth{Username: "acme", Password: "secret"},
			KeepAlive: 30 * time.Second,
		},
		Transport: config.TransportUDP, Token: "tok", Minter: minter, Random: func() float64 { return 0.5 },
	}
	change(&o)
	b := &bench{T: t, m: New(o), now: time.Unix(1e9, 0)}
	b.do(Begin{})
	return b
}

func (b *bench) do(in Input) { b.effects = b.m.Step(b.now, in) }

// reach tells the machine the only address of the host.
func (b *bench) reach(host string, port int) {
	b.Helper()
	b.reachOne(host, port, Place{Hop: locate.Hop{Transport: b.m.o.Transport, Addr: at}})
}

// reachOne tells the machine one address of the host. tried has the addresses that failed before.
func (b *bench) reachOne(host string, port int, place Place, tried ...locate.Hop) {
	b.Helper()
	want := Reach{locate.Query{Host: host, Port: port, Transport: b.m.o.Transport}, tried}
	if !slices.ContainsFunc(b.effects, func(e Effect) bool { return reflect.DeepEqual(e, want) }) {
		b.Fatalf("effects %v; want %v", b.effects, want)
	}
	b.do(Reached{Local: leg.Local{Transport: b.m.o.Transport, Host: "198.51.100.1", Port: 5060}, Place: place})
}

// sent returns the request that the last step sent, which must have this method.
func (b *bench) sent(method sip.RequestMethod) *sip.Request {
	b.Helper()
	for _, e := range b.effects {
		if s, ok := e.(Send); ok && s.Req.Method == method {
			return s.Req
		}
	}
	b.Fatalf("no %s in %v; the status is %+v", method, b.effects, b.m.Status())
	return nil
}

// answer gives the machine an answer to this request, parsed from text.
func (b *bench) answer(req *sip.Request, status string, lines ...string) {
	b.Helper()
	text := "SIP/2.0 " + status + "\r\nVia: " + req.Via().Value() + "\r\nFrom: " + req.GetHeader("From").Value() + "\r\nTo: " + req.GetHeader("To").Value() +
		";tag=r\r\nCall-ID: " + req.CallID().Value() + "\r\nCSeq: " + req.CSeq().Value() + "\r\n"
	for _, l := range lines {
		text += l + "\r\n"
	}
	msg, err := message.Parse([]byte(text + "Content-Length: 0\r\n\r\n"))
	if err != nil {
		b.Fatal(err)
	}
	b.do(Answered{Res: msg.(*sip.Response)})
}

func (b *bench) want(s State, next time.Duration) {
	b.Helper()
	got := b.m.Status()
	if got.State != s || got.Next.Sub(b.now).Round(time.Second) != next {
		b.Fatalf("%s, the next in %v: %+v; want %s, in %v", got.State, got.Next.Sub(b.now), got, s, next)
	}
}

// due moves the clock to the machine's next deadline.
func (b *bench) due() {
	b.Helper()
	at := b.m.Deadline()
	if at.IsZero() || at.Before(b.now) {
		b.Fatalf("the deadline is %v, at %v", at, b.now)
	}
	b.now = at
	b.do(DeadlineReached{})
}

const challenge = `WWW-Authenticate: Digest realm="r", nonce="n1", qop="auth", algorithm=MD5`

func TestGranted(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		next  time.Duration // 80 % of the granted time
	}{
		"by its Contact":           {[]string{"Contact: <sip:else@192.0.2.9>;expires=10, <sip:tok@198.51.100.1:5060>;expires=100", "Expires: 50"}, 80 * time.Second},
		"by Expires":               {[]string{"Contact: <sip:tok@198.51.100.1:5060>", "Expires: 50"}, 40 * time.Second},
		"by nothing":               {nil, 2880 * time.Second},
		"longer than asked":        {[]string{"Expires: 999999999999"}, 2880 * time.Second},
		"what can't be read":       {[]string{"Contact: <sip:tok@198.51.100.1:5060>;expires=x", "Expires: -5"}, 2880 * time.Second},
		"rewritten host":           {[]string{"Contact: <sip:tok@203.0.113.1:1024>;expires=100"}, 80 * time.Second},
		"three seconds":            {[]string{"Expires: 3"}, 2 * time.Second},
		"a Contact that is broken": {[]string{"Contact: <sip:tok@[::>;expires=7", "Expires: 50"}, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(o *Options) { o.Config.KeepAlive = 0 })
			b.reach("one.test", 0)
			b.answer(b.sent(sip.REGISTER), "200 OK", tt.lines...)
			b.want(Registered, tt.next)
			b.due()
			if req := b.sent(sip.REGISTER); req.CSeq().SeqNo != 2 {
				t.Errorf("the renewal is\n%s", req)
			}
		})
	}
}

// If the registrar grants no time, the registration does not count.
func TestGrantedNothing(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Config.Registrars = o.Config.Registrars[:1] })
	b.reach("one.test", 0)
	b.answer(b.sent(sip.REGISTER), "200 OK", "Contact: <sip:tok@198.51.100.1:5060>;expires=0")
	b.want(Unavailable, 45*time.Second) // 75 % of 60 s
}

// A challenge is answered, also one because of a stale nonce. If the credentials are wrong, they are not sent again and
// again.
func TestChallenges(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Config.Registrars = o.Config.Registrars[:1] })
	b.reach("one.test", 0)
	first := b.sent(sip.REGISTER)
	if first.GetHeader("Authorization") != nil {
		t.Error("credentials without a challenge")
	}
	b.answer(first, "401 Unauthorized", challenge)
	second := b.sent(sip.REGISTER)
	if h := second.GetHeader("Authorization"); h == nil || !strings.Contains(h.Value(), `nc=00000001`) || second.CallID().Value() != first.CallID().Value() {
		t.Fatalf("the answer to the challenge is\n%s", second)
	}
	b.answer(second, "200 OK")
	b.now = b.m.Status().Next
	b.do(DeadlineReached{})
	renewal := b.sent(sip.REGISTER)
	if h := renewal.GetHeader("Authorization"); h == nil || !strings.Contains(h.Value(), `nc=00000002`) {
		t.Fatalf("the renewal is\n%s", renewal)
	}
	b.answer(renewal, "401 Unauthorized", strings.Replace(challenge, "n1", "n2", 1)+", stale=true")
	b.answer(b.sent(sip.REGISTER), "200 OK")
	b.now = b.m.Status().Next
	b.do(DeadlineReached{})
	b.answer(b.sent(sip.REGISTER), "407 Proxy Authentication Required", strings.Replace(challenge, "WWW-", "Proxy-", 1))
	last := b.sent(sip.REGISTER)
	if last.GetHeader("Proxy-Authorization") == nil {
		t.Fatalf("the answer to a proxy is\n%s", last)
	}
	b.answer(last, "401 Unauthorized", challenge)
	if s := b.m.Status(); s.State != Registered || s.Failures != 1 || s.Code != 401 || s.Reason == "" {
		t.Errorf("after wrong credentials: %+v", s)
	}
}

// If the registrar answers that the time is too short, a longer time is requested, up to a limit.
func TestTooBrief(t *testing.T) {
	b := newBench(t, func(*Options) {})
	b.m.expires = time.Minute
	b.reach("one.test", 0)
	b.answer(b.sent(sip.REGISTER), "423 Interval Too Brief", "Min-Expires: 300")
	req := b.sent(sip.REGISTER)
	if req.GetHeader("Expires").Value() != "300" || !strings.HasSuffix(req.GetHeader("Contact").Value(), ";expires=300") {
		t.Fatalf("it asks\n%s", req)
	}
	b.answer(req, "200 OK")
	b.want(Registered, 240*time.Second)
	for _, silly := range []string{"Min-Expires: 99999999", "Min-Expires: 10", "Min-Expires: x", "X: 1"} {
		b := newBench(t, func(*Options) {})
		b.reach("one.test", 0)
		b.answer(b.sent(sip.REGISTER), "423 Interval Too Brief", silly)
		b.reach("two.test", 5070)
	}
}

// If a registrar fails, the next one is tried. After the last one, all are tried again after a wait, which doubles each
// time (RFC 5626 section 4.5).
func TestFailures(t *testing.T) {
	b := newBench(t, func(*Options) {})
	for _, wait := range []time.Duration{45, 90, 180, 360, 720, 1350, 1350} {
		b.do(Unreached{Err: errDead})
		b.reach("two.test", 5070)
		b.answer(b.sent(sip.REGISTER), "503 Service Unavailable", "Retry-After: 7 (soon)")
		b.want(Unavailable, wait*time.Second)
		b.due()
	}
	b.reach("one.test", 0)
	b.due() // the REGISTER times out
	b.reach("two.test", 5070)
	b.answer(b.sent(sip.REGISTER), "503 Service Unavailable", "Retry-After: 1700")
	b.want(Unavailable, 1700*time.Second)
	b.due()
	b.reach("one.test", 0)
	b.answer(b.sent(sip.REGISTER), "200 OK")
	if s := b.m.Status(); s.State != Registered || s.Failures != 0 || s.Reason != "" {
		t.Errorf("after its success: %+v", s)
	}
}

// A binding counts as valid for the granted time, even while its renewal fails.
func TestRenewalFails(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Config.Registrars, o.Config.KeepAlive = o.Config.Registrars[:1], 0 })
	b.reach("one.test", 0)
	b.answer(b.sent(sip.REGISTER), "200 OK", "Expires: 100")
	b.due()
	b.answer(b.sent(sip.REGISTER), "500 Server Error")
	b.want(Registered, 20*time.Second) // no longer than the binding is valid
	b.due()
	if s := b.m.Status(); s.State != Unavailable {
		t.Errorf("after its end: %+v", s)
	}
	b.reach("one.test", 0)
}

// Over UDP, OPTIONS keep a NAT's mapping open. Any answer to OPTIONS is good. Without an answer, the machine registers
// again.
func TestKeepAlive(t *testing.T) {
	b := newBench(t, func(*Options) {})
	b.reach("one.test", 0)
	b.answer(b.sent(sip.REGISTER), "200 OK")
	next := b.m.Status().Next
	for range 3 {
		b.due()
		b.answer(b.sent(sip.OPTIONS), "404 Not Found")
		if got := b.m.Status(); got.Next != next || got.State != Registered {
			t.Fatalf("a keep-alive makes it %+v", got)
		}
	}
	b.due()
	b.do(Failed{Method: sip.OPTIONS, Seq: b.sent(sip.OPTIONS).CSeq().SeqNo, Err: errDead})
	b.reach("one.test", 0)
	b.sent(sip.REGISTER)
}

// Over TCP, empty lines keep the connection open. If the connection ends, the machine opens another one.
func TestKeepAliveOverTCP(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Transport = config.TransportTCP })
	b.reach("one.test", 0)
	b.answer(b.sent(sip.REGISTER), "200 OK")
	b.due()
	if !slices.Contains(b.effects, Effect(Ping{})) {
		t.Errorf("the keep-alive is %v", b.effects)
	}
	b.do(Broken{})
	b.reach("one.test", 0)
	if req := b.sent(sip.REGISTER); !strings.Contains(req.GetHeader("Contact").Value(), "sip:tok@198.51.100.1:5060;transport=tcp") {
		t.Errorf("it registers\n%s", req)
	}
}

// If a registrar closes each connection, it is not flooded with registrations (RFC 5626 section 4.5).
func TestHangsUp(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Transport, o.Config.Registrars = config.TransportTCP, o.Config.Registrars[:1] })
	for _, wait := range []time.Duration{45, 90, 180} {
		b.reach("one.test", 0)
		b.do(Broken{})
		b.want(Unavailable, wait*time.Second)
		b.due()
	}
	b.reach("one.test", 0)
	for range 3 {
		b.answer(b.sent(sip.REGISTER), "200 OK")
		b.do(Broken{})
		b.want(Registered, leastRenewal)
		b.due()
		b.reach("one.test", 0)
	}
}

// If another registrar, or another address, accepts the registration, or if it is accepted after a failure, this is
// reported although the state stays the same.
func TestGrantedElsewhere(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Config.KeepAlive = 0 })
	granted := func(want bool) {
		t.Helper()
		b.answer(b.sent(sip.REGISTER), "200 OK", "Expires: 1000")
		if got := slices.Contains(b.effects, Effect(Changed{})); got != want || b.m.Status().State != Registered {
			t.Errorf("changed: %v, %+v", got, b.m.Status())
		}
		b.due()
	}
	b.reach("one.test", 0)
	granted(true)
	granted(false)
	b.due() // from here on requests time out
	b.reach("two.test", 5070)
	granted(true)
	granted(false)
	b.do(Failed{Method: sip.REGISTER, Seq: b.sent(sip.REGISTER).CSeq().SeqNo, Err: errDead})
	b.reach("one.test", 0)
	granted(true)
	granted(false)
	b.do(Failed{Method: sip.REGISTER, Seq: b.sent(sip.REGISTER).CSeq().SeqNo, Err: errDead})
	b.do(Unreached{Err: errDead})
	b.due()
	b.reach("one.test", 0)
	granted(true)
}

// If a registration takes too long, the reason names the step that did.
func TestTakesTooLong(t *testing.T) {
	b := newBench(t, func(*Options) {})
	b.due()
	if got := b.m.Status().Reason; got != "neither found nor connected to within 10s" {
		t.Errorf("not reached: %q", got)
	}
	b.reach("two.test", 5070)
	b.due()
	if got := b.m.Status().Reason; got != "no answer for 16s" {
		t.Errorf("not answered: %q", got)
	}
}

// With an outbound proxy, the requests go to the proxy, and name it in Route.
func TestOutboundProxy(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Config.OutboundProxy, o.Transport = "edge.test:5099", config.TransportTLS
	})
	b.reach("edge.test", 5099)
	req := b.sent(sip.REGISTER)
	if req.GetHeader("Route").Value() != "<sip:edge.test:5099;transport=tls;lr>" || req.Recipient.String() != "sip:one.test" ||
		req.GetHeader("To").Value() != "<sip:acme@one.test>" {
		t.Errorf("it registers\n%s", req)
	}
}

// FuzzMachine gives a registration any inputs in any order. It must always have a deadline or have ended, and must
// never have two requests without an answer.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	f.Add([]byte{1, 3, 1, 2, 9, 9, 9, 6, 1, 2, 8, 2})
	f.Fuzz(func(t *testing.T, script []byte) {
		b := newBench(t, func(o *Options) {
			if len(script) > 0 && script[0]&1 == 1 {
				o.Transport = config.TransportTCP
			}
		})
		var last *sip.Request
		for i, step := range script {
			for _, e := range b.effects {
				if s, ok := e.(Send); ok {
					last = s.Req
				}
			}
			b.now = b.now.Add(time.Duration(step) * time.Second)
			asking := b.m.asking
			switch step % 11 {
			case 0:
				b.do(Begin{})
			case 1:
				b.do(Reached{Local: leg.Local{Host: "198.51.100.1", Port: 5060}, Place: Place{Hop: locate.Hop{Addr: at}}})
			case 2, 3, 4, 5, 6:
				if last == nil {
					continue
				}
				status := []string{"200 OK", "401 Unauthorized", "423 Interval Too Brief", "503 Service Unavailable", "100 Trying"}[step%11-2]
				b.answer(last, status, challenge, fmt.Sprintf("Min-Expires: %d", 4000+i), fmt.Sprintf("Expires: %d", int(step)*100))
			case 7:
				b.do(Broken{})
			case 8:
				b.do(Unreached{Err: errDead})
			case 9:
				b.do(DeadlineReached{})
			case 10:
				if len(script) > i+5 {
					continue
				}
				b.do(Leave{})
				for _, e := range b.effects {
					if _, sends := e.(Send); sends && asking == sip.REGISTER {
						t.Fatalf("it leaves by another REGISTER while one is under way")
					}
				}
			}
			if b.m.Deadline().IsZero() && b.m.Status().State != Left {
				t.Fatalf("nothing is due: %+v", b.m.Status())
			}
		}
	})
}

// A registrar may have several addresses (RFC 3263 section 4.3): after silence, 503 or an error the next address is
// tried, and after the last address the next registrar. Any other answer stops the search for an address.
func TestAddresses(t *testing.T) {
	place := func(n byte, more bool) Place {
		return Place{Hop: locate.Hop{Transport: config.TransportUDP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 5060)}, More: more}
	}
	one, two, three := place(1, true), place(2, true), place(3, false)
	b := newBench(t, func(*Options) {})
	avoids := func(p Place, why string, after time.Duration) {
		t.Helper()
		if want := (Avoid{Hop: p.Hop, Why: why, After: after}); !slices.ContainsFunc(b.effects, func(e Effect) bool { return reflect.DeepEqual(e, want) }) {
			t.Errorf("effects %v; want %v", b.effects, want)
		}
	}
	b.reachOne("one.test", 0, one)
	if b.due(); b.now.Sub(b.m.Status().Since) != impatience {
		t.Errorf("it waits %v", b.now.Sub(b.m.Status().Since))
	}
	avoids(one, "no answer for 4s", 0)
	b.reachOne("one.test", 0, two, one.Hop)
	b.answer(b.sent(sip.REGISTER), "503 Busy", "Retry-After: 9")
	avoids(two, "Busy", 9*time.Second)
	b.do(Unreached{Err: errDead, Place: three})
	avoids(three, "no route", 0)
	b.reachOne("two.test", 5070, one)
	b.answer(b.sent(sip.REGISTER), "403 Forbidden")
	b.want(Unavailable, 45*time.Second)
	b.due()
	b.reachOne("one.test", 0, one)
	b.due()
	b.reachOne("one.test", 0, place(2, false), one.Hop)
	b.answer(b.sent(sip.REGISTER), "200 OK")
	b.want(Registered, 48*time.Minute)
	b.due() // the keep-alive is sent
	b.due() // and times out
	avoids(place(2, false), "no answer for 4s", 0)
	b.reachOne("one.test", 0, one)
	b.sent(sip.REGISTER)
}

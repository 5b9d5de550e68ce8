package ladder

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
)

// kept collects the ladders that a Collector hands over, as bytes.
type kept struct{ all map[string][]byte }

func (k *kept) keep(c *Call) {
	if k.all == nil {
		k.all = map[string][]byte{}
	}
	k.all[c.ID()] = c.Encode(nil)
	c.Release()
}

func (k *kept) ladder(t testing.TB, id string) *Ladder {
	t.Helper()
	l, err := Decode(k.all[id])
	must(t, err)
	return l
}

func collector(k *kept) *Collector {
	return New(Options{Keep: k.keep, Source: func(a netip.Addr) (netip.Addr, error) { return a, nil }})
}

// begun returns a call whose INVITE has come.
func begun(s *Collector, id string, n int) *Call {
	for _, m := range spoken(n)[:1] {
		s.Message(m)
	}
	return s.Claim(id, fmt.Sprintf("call%d@192.0.2.10", n), fmt.Sprint(n), "carrier", time.Now())
}

// TestLadderOfAReleasedCall: after a call's end, its ladder can still be read until it is handed over.
func TestLadderOfAReleasedCall(t *testing.T) {
	var s *Collector
	asked := false
	s = New(Options{Keep: func(c *Call) {
		if l, err := c.Ladder(); l == nil || err != nil {
			t.Errorf("before: %v, %v", l, err)
		}
		c.Release()
		found := s.Find("a")
		if l, err := found.Ladder(); l != nil || err != nil {
			t.Errorf("after: %v, %v", l, err)
		}
		asked = true
	}})
	s.sample.shut = true
	if begun(s, "a", 1).Close(); !asked || s.Find("a") != nil {
		t.Errorf("handed over: %t", asked)
	}
}

// TestNobodys: if an INVITE fails or never becomes a call, its messages are dropped.
func TestNobodys(t *testing.T) {
	var k kept
	s := collector(&k)
	at := time.Now()
	invite := func(n int) {
		m := spoken(n)[0]
		m.At = at
		s.Message(m)
	}
	for n := range 3 * unclaimedMax {
		invite(n)
		if n == 3 {
			begun(s, "a", 3)
		}
	}
	if n := len(s.legs); n != unclaimedMax+1 {
		t.Errorf("%d are kept; want %d and the call's", n, unclaimedMax)
	}
	at = at.Add(time.Minute)
	invite(-1)
	if n := len(s.legs); n != 2 {
		t.Errorf("%d are kept after a minute; want 2", n)
	}
	if held := s.held.Load(); held != 2*pageSize {
		t.Errorf("%d bytes are held", held)
	}
	c := s.Find("a")
	c.Discard()
	invite(-1)
	if len(s.legs) != 1 || !s.isIdle() || s.Find("a") != nil {
		t.Errorf("%d are kept", len(s.legs))
	}
	for _, m := range spoken(5)[1:] { // without the INVITE
		s.Message(m)
	}
	if len(s.legs) != 1 {
		t.Error("messages without an INVITE are kept")
	}
	var none *Collector
	nothing := none.Claim("x", "y", "z", "carrier", at)
	nothing.Join("y", "z", "target", false)
	nothing.Attach(nil)
	nothing.Mask(true)
	nothing.Unrecorded()
	nothing.Decide("x")
	nothing.Failed(Attempt{})
	nothing.Next("x")
	nothing.Routed("x", "y", nil)
	nothing.Ended(cause.CallerHangup, "caller", 0)
	nothing.Watch(nil)
	nothing.Unwatch(media.Stats{})
	nothing.Discard()
	nothing.Close()
	none.Shut()
}

// TestBounds: if a call has too many messages, its ladder keeps the first and the last ones, and counts the dropped
// ones. Repeated messages are counted but not stored.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k kept
		s := collector(&k)
		c := begun(s, "a", 1)
		m := spoken(1)[5]
		text := string(m.Data)
		said := 1
		for i := range 2000 {
			m.Data = []byte(strings.Replace(text, "CSeq: 1 ", fmt.Sprintf("CSeq: %d ", i+2), 1))
			s.Message(m)
			said++
		}
		if held := s.held.Load(); held > headMax+tailMax || held < tailMax {
			t.Errorf("%d bytes are held", held)
		}
		for range 500 {
			s.Message(m) // a repetition
			said++
		}
		c.Ended(cause.CallerHangup, "caller", time.Second)
		c.Close()
		s.Shut()
		l := k.ladder(t, "a")
		if said++; len(l.Messages)+l.Dropped != said || l.Dropped < 1000 {
			t.Errorf("%d messages, %d left out, of %d", len(l.Messages), l.Dropped, said)
		}
		last := l.Messages[len(l.Messages)-1]
		if l.Messages[0].Method != "INVITE" || l.Messages[1].CSeq != "2 INVITE" || last.Kind != "decision" ||
			!strings.HasPrefix(l.Messages[len(l.Messages)-2].CSeq, "2001 ") {
			t.Errorf("begins %+v, ends %+v", l.Messages[0], last)
		}
		if s.held.Load() != 0 {
			t.Errorf("%d bytes are held after the end", s.held.Load())
		}
	})
}

// TestQuietCall: if no messages come for a while, a call's ladder uses little memory. It loses nothing, and can get
// more messages.
func TestQuietCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k kept
		s := collector(&k)
		c := begun(s, "a", 1)
		all := spoken(1)
		c.Join("b1@192.0.2.1", "b", "agent", false)
		for _, m := range all[1:6] {
			s.Message(m)
		}
		before, err := c.Ladder()
		must(t, err)
		busy := s.held.Load()
		time.Sleep(3 * sampleEvery)
		quiet := s.held.Load()
		if quiet > busy/2 {
			t.Errorf("%d bytes are held, of %d", quiet, busy)
		}
		after, err := c.Ladder()
		if err != nil || !cmp.Equal(before.Messages, after.Messages, cmpopts.IgnoreUnexported(Message{})) {
			t.Errorf("%v: %s", err, cmp.Diff(before.Messages, after.Messages, cmpopts.IgnoreUnexported(Message{})))
		}
		s.Message(all[len(all)-1])
		time.Sleep(3 * sampleEvery)
		c.Close()
		s.Shut()
		if l := k.ladder(t, "a"); len(l.Messages) != len(before.Messages)+1 || l.Dropped != 0 {
			t.Errorf("%d messages, %d dropped; %d before", len(l.Messages), l.Dropped, len(before.Messages))
		}
		if s.held.Load() != 0 {
			t.Errorf("%d bytes are held after the end", s.held.Load())
		}
	})
}

// TestBoundOfAll: if all calls together have too many messages, their ladders lose messages, but nothing else.
func TestBoundOfAll(t *testing.T) {
	var k kept
	s := collector(&k)
	s.sample.shut = true
	c := begun(s, "a", 1)
	s.held.Add(heldMax)
	for _, m := range spoken(1) {
		s.Message(m)
		s.Message(m)
	}
	s.held.Add(-heldMax)
	c.Close()
	if l := k.ladder(t, "a"); l.Dropped == 0 || len(l.Messages) < 2 || s.held.Load() != 0 {
		t.Errorf("%d messages, %d dropped", len(l.Messages), l.Dropped)
	}
}

// TestSameCallID: calls with the same Call-ID each get their own messages.
func TestSameCallID(t *testing.T) {
	var k kept
	s := collector(&k)
	s.sample.shut = true
	one, two := spoken(1), spoken(1)
	for i := range two {
		two[i].Data = []byte(strings.Replace(string(two[i].Data), ";tag=1\r\n", ";tag=2\r\n", 1))
		if two[i].Received {
			two[i].FromTag = []byte("2")
		}
	}
	s.Message(one[0])
	s.Message(two[0])
	a := s.Claim("a", "call1@192.0.2.10", "1", "carrier", time.Now())
	b := s.Claim("b", "call1@192.0.2.10", "2", "carrier", time.Now())
	both := s.Claim("c", "call1@192.0.2.10", "2", "carrier", time.Now()) // the call comes to us a second time
	for _, all := range [][]transport.TapMessage{one, two, two} {
		for _, m := range all[1:3] {
			s.Message(m)
		}
	}
	a.Close()
	for _, m := range two[3:4] {
		s.Message(m)
	}
	b.Close()
	both.Close()
	for id, want := range map[string]int{"a": 3, "b": 6, "c": 5} {
		if l := k.ladder(t, id); len(l.Messages) != want {
			t.Errorf("%s has %d messages; want %d", id, len(l.Messages), want)
		}
	}
	if !s.isIdle() || len(s.legs) != 0 {
		t.Error("legs are left")
	}
}

// followed collects a follower's messages.
type followed []Followed

func (f *followed) Message(m Followed) {
	m.Text = append([]byte(nil), m.Text...)
	*f = append(*f, m)
}

// TestFollower: a follower gets each message of a call with our id, even messages from before the call had the id, and
// even if ladders are off.
func TestFollower(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		var f followed
		o := Options{Followers: []Follower{&f}, Source: func(a netip.Addr) (netip.Addr, error) { return netip.MustParseAddr("198.51.100.9"), nil }}
		if keeps {
			o.Keep = func(c *Call) { c.Release() }
		}
		s := New(o)
		s.sample.shut = true
		all := spoken(1)
		for i := range all {
			all[i].Local = netip.MustParseAddrPort("0.0.0.0:5060")
		}
		s.Message(all[0])
		if len(f) != 0 {
			t.Fatal("a message of no call is seen")
		}
		c := s.Claim("a", "call1@192.0.2.10", "1", "carrier", time.Now())
		for _, m := range all[1:] {
			s.Message(m)
		}
		c.Join("call2@192.0.2.10", "2", "agent", false)
		other := spoken(2)
		s.Message(other[1])
		if len(f) != len(all)+1 {
			t.Fatalf("%d messages are seen; want %d", len(f), len(all)+1)
		}
		for i, m := range f {
			if m.Call != "a" || m.Caller != (i < len(all)) || m.Local.String() != "198.51.100.9:5060" && m.Caller || m.Transport != "udp" ||
				i < len(all) && string(m.Text) != string(all[i].Data) {
				t.Errorf("message %d: %+v", i, m)
			}
		}
		c.Close()
		if s.held.Load() != 0 || !s.isIdle() {
			t.Error("something is left")
		}
	}
}

// TestHTTP: the exchange with an API is in the ladder of its call, without secrets.
func TestHTTP(t *testing.T) {
	var k kept
	s := collector(&k)
	s.sample.shut = true
	c := begun(s, "a", 1)
	ctx := c.Context(context.Background(), "synthflow")
	asks(ctx, t, `{"synthflow_call_id":"x","access_token":"hu\"sh","Authorization" : "hush","echo":"hush-hush-hush","tokens" : ["hu\"sh]", {"a":"hush", "b":["hush"]}],"kept":"shown","jwt":"hush","n":{"secret":1,"password":"hush`)
	c.Failed(Attempt{Target: "synthflow", Cause: cause.PrepareFailed, PrepareStatus: 503, Prepare: 812 * time.Millisecond})
	c.Next("vapi")
	ctx = c.Context(context.Background(), "vapi")
	asks(ctx, t, strings.Repeat("x", 3*bodyMax))
	asks(context.Background(), t, "of nobody")
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.test/", nil)
	if res, err := (RoundTripper{RoundTripper: failing{}}).RoundTrip(r); err == nil {
		res.Body.Close()
		t.Error("no error")
	}
	c.Failed(Attempt{Target: "vapi", Cause: cause.PrepareTimeout, Prepare: time.Second})
	c.Close()
	l := k.ladder(t, "a")
	var got []string
	for _, m := range l.Messages {
		got = append(got, l.Lanes[m.From].Name+">"+l.Lanes[m.To].Name+" "+m.Summary)
		if strings.Contains(m.Text, "hush") {
			t.Errorf("a secret is shown:\n%s", m.Text)
		}
	}
	want := []string{
		"carrier>flowbridge INVITE sip:+15075785607@198.51.100.1:5060", "flowbridge>synthflow API POST /v2/prepare_inbound", "synthflow API>flowbridge 200 OK",
		"flowbridge>flowbridge target synthflow: prepare 503 after 812 ms; next: vapi",
		"flowbridge>vapi API POST /v2/prepare_inbound", "vapi API>flowbridge 200 OK", "flowbridge>vapi API GET /",
		"vapi API>flowbridge no answer after 0 ms: refused", "flowbridge>flowbridge target vapi: prepare timeout after 2 tries, 1000 ms",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if m := l.Messages[1]; !strings.Contains(m.Text, "Authorization: Bearer ***\r\n") || !strings.Contains(m.Text, `{"from_number":"+15075551","token":"****"}`) {
		t.Errorf("request:\n%s", m.Text)
	}
	if m := l.Messages[2]; !strings.Contains(m.Text, `"b":["****"]}],"kept":"shown","jwt":"****"`) || !strings.Contains(m.Text, "X-Echo: Bearer ***\r\n") {
		t.Errorf("answer:\n%s", m.Text)
	}
	if m := l.Messages[2]; !strings.Contains(m.Text, `"access_token":"******","Authorization" : "****","echo":"***"`) || m.Status != 200 {
		t.Errorf("answer:\n%s", m.Text)
	}
	if m := l.Messages[5]; m.Cut != 2*bodyMax || len(m.Text) > bodyMax+200 {
		t.Errorf("%d bytes, %d cut", len(m.Text), m.Cut)
	}
}

// The quick check recognizes every secret word, whatever its upper and lower case.
func TestSecretWords(t *testing.T) {
	for _, word := range secretWords {
		lower := string(word)
		for _, name := range []string{lower, strings.ToUpper(lower), lower[:1] + strings.ToUpper(lower[1:2]) + lower[2:], "X-" + lower + "s", strings.ReplaceAll(lower, "k", "\u212a")} {
			if !maySecret(name) || !isSecret(name) {
				t.Errorf("%s is not secret", name)
			}
		}
	}
	if isSecret("workspace_id") || isSecret("Idempotency-Key") || isSecret("") {
		t.Error("these are secret")
	}
}

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }

// TestLadderCost: a message allocates nothing but its page, and a call little more than its messages.
func TestLadderCost(t *testing.T) {
	var k kept
	s := collector(&k)
	c := begun(s, "a", 1)
	all := spoken(1)
	c.pages.limit = 0 // room for one page less than needed
	if n := testing.AllocsPerRun(100, func() { s.Message(all[2]) }); n != 0 {
		t.Errorf("a message makes %v allocations", n)
	}
}

// must fails the test at once if err is not nil.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

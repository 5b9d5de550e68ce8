package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCallIsHeardOnBothEnds(t *testing.T) {
	t.Parallel()
	c := startCarrier(t)
	h := start(t, AgentOptions{RingFor: 50 * time.Millisecond}, func(h *openHouse) { h.settle = untilRinging(c) })
	cc := h.call(number)
	cc.Headers = []Header{{"X-EI", "E.1;"}, {"x-Customer-NAME", "  Ada;x "}, {"P-Asserted-Identity", "<sip:+15550100001@carrier>"}}
	cc.DisplayName = "Ada"
	const frames = 170
	r := placeUntil(t, c, cc, func(o *outgoing) bool {
		return o.stream.media(false).RTP.Received >= frames && h.all()[0].Seen().RTP.Received >= frames
	})
	if r.Status != 200 || r.EndedBy != SideCaller || r.ByeStatus != 200 {
		t.Fatalf("got %d %s, ended by %s, bye %d", r.Status, r.Reason, r.EndedBy, r.ByeStatus)
	}
	if r.RingingAt.IsZero() || r.PostDialDelay <= 0 || r.RTP.FirstAt.IsZero() {
		t.Errorf("times missing: %+v", r)
	}
	if at, score := Match(r.Heard, Greeting(number)); score < 0.95 {
		t.Errorf("greeting: score %.2f at %v", score, at)
	}
	a := h.ended(t)
	if _, score := Match(a.Heard, Words(7)[SampleRate:3*SampleRate]); score < 0.95 {
		t.Errorf("words: score %.2f", score)
	}
	if len(a.Headers) != 2 || a.Headers[0] != "X-EI: E.1;" || a.Headers[1] != "x-Customer-NAME:   Ada;x " {
		t.Errorf("headers as received: %q", a.Headers)
	}
	if !strings.HasPrefix(a.Raw, "INVITE sip:"+number) || !strings.HasSuffix(a.Raw, "a=sendrecv\r\n") {
		t.Errorf("raw %q", a.Raw)
	}
	if a.Status != 200 || a.EndedBy != SideCaller || !a.AckReceived || a.CallID != r.SIPCallID ||
		!strings.Contains(a.Raw, "\r\nMax-Forwards: 70\r\n") || !strings.Contains(a.Raw, "\r\nP-Asserted-Identity: ") {
		t.Errorf("got %+v", a)
	}
	if a.RTP.Lost+r.RTP.Lost > 0 || a.RTP.Received < frames || r.RTP.Received < frames {
		t.Errorf("rtp: agent %+v, carrier %+v", a.RTP, r.RTP)
	}
	if d := PooledDelays([]MarkPair{{r.SentMarks, a.HeardMarks}}); d.Packets < 150 || d.P50 <= 0 {
		t.Errorf("delays: %+v", d)
	}
}

// The agent plays nothing of its own, so the caller receives only the echo.
func TestEcho(t *testing.T) {
	t.Parallel()
	h, c := start(t, AgentOptions{RingFor: -1, EchoDelay: 100 * time.Millisecond}), startCarrier(t)
	words := Words(7)[SampleRate/2 : SampleRate]
	r := placeUntil(t, c, h.call(""), func(o *outgoing) bool {
		_, score := Match(o.stream.media(false).Heard, words)
		return score >= 0.9
	})
	if r.Status != 200 {
		t.Errorf("got %d %s", r.Status, r.Reason)
	}
}

// The caller listens to the greeting, speaks, and measures how long it waits for an answer.
func TestAnswers(t *testing.T) {
	t.Parallel()
	h, c := start(t, AgentOptions{RingFor: -1, AnswerAfter: 500 * time.Millisecond}), startCarrier(t)
	cc := h.call(number)
	cc.Listens = true
	sentence := Words(cc.Seed)[:sentenceSamples]
	r := placeUntil(t, c, cc, func(o *outgoing) bool {
		_, score := Match(o.stream.media(false).Heard, sentence[:SampleRate])
		return score >= 0.9
	})
	if _, score := Match(r.Heard, Greeting(number)); score < 0.95 {
		t.Errorf("greeting: score %.2f", score)
	}
	if _, score := Match(h.ended(t).Heard, sentence); score < 0.95 {
		t.Errorf("words: score %.2f", score)
	}
	if a := r.Answers; len(a) != 1 || a[0] < 400*time.Millisecond {
		t.Errorf("answers: %v", a)
	}
}

func TestManyCallsKeepApart(t *testing.T) {
	t.Parallel()
	const calls, frames = 20, 110
	h, c := start(t, AgentOptions{}), startCarrier(t)
	received := func(user string) uint64 {
		for _, in := range h.all() {
			if in.To.User == user {
				return in.Seen().RTP.Received
			}
		}
		return 0
	}
	results := make([]CarrierResult, calls)
	var wg sync.WaitGroup
	for i := range calls {
		user := fmt.Sprintf("caller%d", i)
		cc := h.call(user)
		cc.Seed = uint64(i)
		wg.Go(func() {
			results[i] = placeUntil(t, c, cc, func(o *outgoing) bool {
				return o.stream.media(false).RTP.Received >= frames && received(user) >= frames
			})
		})
	}
	wg.Wait()
	var pairs []MarkPair
	for _, in := range h.all() {
		<-in.Ended()
		var i int
		if _, err := fmt.Sscanf(in.To.User, "caller%d", &i); err != nil {
			t.Fatal(err)
		}
		a, r := in.Seen(), results[i]
		if _, score := Match(r.Heard, Greeting(in.To.User)); r.Status != 200 || score < 0.9 {
			t.Errorf("call %d: %d, greeting %.2f", i, r.Status, score)
		}
		if _, score := Match(a.Heard, Words(uint64(i))[:2*SampleRate]); score < 0.9 {
			t.Errorf("call %d: words %.2f", i, score)
		}
		pairs = append(pairs, MarkPair{r.SentMarks, a.HeardMarks}, MarkPair{a.SentMarks, r.HeardMarks})
	}
	if d := PooledDelays(pairs); d.Packets < calls*2*100 {
		t.Errorf("got %+v", d)
	}
	if n := len(h.all()); n != calls {
		t.Errorf("got %d calls; want %d", n, calls)
	}
}

func TestSilentAgent(t *testing.T) {
	t.Parallel()
	h, c := start(t, AgentOptions{Fault: Fault{Kind: faultSilent}}), startCarrier(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	r, err := c.Call(ctx, h.call(number))
	if !errors.Is(err, context.DeadlineExceeded) || r.Status != 0 || len(r.Provisional) > 0 {
		t.Errorf("got %v, %+v; want not even a 100", err, r)
	}
	if n := len(h.all()); n != 0 {
		t.Errorf("the agent saw %d calls", n)
	}
}

func TestFaultsOfTheAgent(t *testing.T) {
	t.Parallel()
	c := startCarrier(t)
	h := start(t, AgentOptions{}, func(h *openHouse) { h.settle = untilRinging(c) })
	t.Run("busy", func(t *testing.T) {
		h.SetFault(Fault{Kind: FaultBusy})
		if r := place(t, c, h.call(number)); r.Status != 486 {
			t.Errorf("got %d", r.Status)
		}
	})
	t.Run("status", func(t *testing.T) {
		h.SetFault(Fault{Kind: FaultStatus, Status: 603})
		if r := place(t, c, h.call(number)); r.Status != 603 {
			t.Errorf("got %d", r.Status)
		}
	})
	t.Run("early", func(t *testing.T) {
		h.SetFault(Fault{Kind: faultEarly, After: 300 * time.Millisecond})
		r := place(t, c, h.call(number))
		if took := r.EndedAt.Sub(r.InvitedAt); r.Status != 503 || took < 300*time.Millisecond {
			t.Errorf("got %d after %v", r.Status, took)
		}
	})
	t.Run("early media", func(t *testing.T) {
		h.SetFault(Fault{Kind: faultEarly, After: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel()
			for !slices.ContainsFunc(underWay(c), func(o *outgoing) bool { return o.stream.media(false).RTP.Received > 0 }) {
				<-time.After(time.Millisecond)
			}
		}()
		r, _ := c.Call(ctx, h.call(number))
		if r.Status != 487 || !slices.Contains(r.Provisional, 183) || h.ended(t).RTP.Sent == 0 {
			t.Errorf("got %d after %v, %+v", r.Status, r.Provisional, r.RTP)
		}
	})
	t.Run("late", func(t *testing.T) {
		h.SetFault(Fault{Kind: FaultLate, After: 500 * time.Millisecond})
		r := place(t, c, h.call(number))
		if took := r.AnsweredAt.Sub(r.InvitedAt); r.Status != 200 || took < 500*time.Millisecond || r.RingingAt.IsZero() || !r.RingingAt.Before(r.AnsweredAt) {
			t.Errorf("got %d after %v, ringing after %v", r.Status, took, r.PostDialDelay)
		}
	})
	t.Run("hangup", func(t *testing.T) {
		h.SetFault(Fault{Kind: FaultHangup, After: 300 * time.Millisecond})
		cc := h.call(number)
		cc.Hold = 0
		if r := place(t, c, cc); r.EndedBy != SideAgent || r.EndedAt.Sub(r.InvitedAt) < 300*time.Millisecond {
			t.Errorf("got ended by %s after %v", r.EndedBy, r.EndedAt.Sub(r.InvitedAt))
		}
	})
	t.Run("cancel", func(t *testing.T) {
		h.SetFault(Fault{Kind: FaultLate, After: time.Hour})
		cc := h.call(number)
		cc.CancelAfter = 100 * time.Millisecond
		r := place(t, c, cc)
		if r.Status != 487 || !r.Cancelled {
			t.Errorf("got %d %s", r.Status, r.Reason)
		}
		if a := h.ended(t); !a.GotCancel || a.Status != 487 {
			t.Errorf("agent: %+v", a)
		}
	})
}

func TestHangupByContext(t *testing.T) {
	t.Parallel()
	h, c := start(t, AgentOptions{RingFor: -1}), startCarrier(t)
	r := placeUntil(t, c, h.call(number), func(*outgoing) bool { return true })
	if r.EndedBy != SideCaller || r.ByeStatus != 200 {
		t.Errorf("ended by %s, bye %d", r.EndedBy, r.ByeStatus)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	before := goroutines()
	a, err := OpenAgent(context.Background(), AgentOptions{Name: "house", RingFor: -1})
	must(t, err)
	h := &openHouse{Agent: a}
	a.Serve(h)
	c, err := StartCarrier(context.Background(), CarrierOptions{})
	must(t, err)
	answered, done := make(chan string, 4), make(chan CarrierResult, 4)
	for range 4 {
		cc := h.call(number)
		cc.Hold = 0
		cc.OnAnswer = func(id string) { answered <- id }
		go func() {
			r, err := c.Call(context.Background(), cc)
			if err != nil {
				t.Error(err)
			}
			done <- r
		}()
	}
	for range 4 {
		<-answered
	}
	must(t, a.Close())
	for range 4 {
		if r := <-done; r.EndedBy != SideAgent {
			t.Errorf("ended by %q", r.EndedBy)
		}
	}
	must(t, c.Close())
	if _, err := c.Call(context.Background(), CarrierCall{To: "sip:x@127.0.0.1"}); !errors.Is(err, errCarrierClosed) {
		t.Errorf("call after close: %v", err)
	}
	settle(before)
}

// An agent that was opened but never served can be closed.
func TestCloseBeforeServe(t *testing.T) {
	a, err := OpenAgent(t.Context(), AgentOptions{Name: "house"})
	must(t, err)
	must(t, a.Close())
}

func TestSipfragStatus(t *testing.T) {
	for body, want := range map[string]int{
		"SIP/2.0 200 OK\r\n": 200, "SIP/2.0 100 Trying": 100, "SIP/2.0 603": 603,
		"": 0, "SIP/2.0 ": 0, "SIP/2.0 20": 0, "SIP/2.0 2x0 OK": 0, "SIP/2.0 -12": 0, "SIP/1.0 200 OK": 0, "NOTIFY": 0,
	} {
		if got := sipfragStatus([]byte(body)); got != want {
			t.Errorf("%q: got %d; want %d", body, got, want)
		}
	}
}

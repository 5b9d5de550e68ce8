package b2bua

import (
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/leg"
)

func itemResponse(code int) item {
	return item{line: &legOnWire{}, in: leg.ResponseIn{Res: sip.NewResponse(code, "Whatever")}}
}

func itemRequest(method sip.RequestMethod) item {
	return item{line: &legOnWire{}, in: leg.RequestIn{Req: sip.NewRequest(method, sip.Uri{})}}
}

// drain takes everything out.
func drain(b *inbox) (items []item, overflow bool) {
	for {
		it, ok, over := b.take()
		overflow = overflow || over
		if !ok {
			return items, overflow
		}
		items = append(items, it)
	}
}

func TestInboxKeepsOrder(t *testing.T) {
	b := &inbox{turn: true}
	for code := 200; code < 210; code++ {
		if !b.post(itemResponse(code)) {
			t.Fatal("refused")
		}
	}
	items, overflow := drain(b)
	if len(items) != 10 || overflow {
		t.Fatalf("%d items, overflow %v", len(items), overflow)
	}
	for i, it := range items {
		if got := it.in.(leg.ResponseIn).Res.StatusCode; got != 200+i {
			t.Errorf("item %d has code %d", i, got)
		}
	}
	if _, ok, _ := b.take(); ok {
		t.Error("something is left")
	}
}

// However many provisional answers come, they do not end the call.
func TestInboxCoalescesProgress(t *testing.T) {
	b := &inbox{turn: true}
	for range 10_000 {
		b.post(itemResponse(180))
	}
	b.post(itemResponse(200))
	items, overflow := drain(b)
	if len(items) != inboxProgress+1 || overflow {
		t.Errorf("%d items, overflow %v; want %d without overflow", len(items), overflow, inboxProgress+1)
	}
	if items[len(items)-1].in.(leg.ResponseIn).Res.StatusCode != 200 {
		t.Error("the final answer is lost")
	}
}

// What ends something has room when nothing else has.
func TestInboxRoomForTheEnd(t *testing.T) {
	terminal := []item{
		itemResponse(200), itemResponse(486), itemRequest(sip.BYE), itemRequest(sip.ACK),
		{line: &legOnWire{}, in: leg.CancelIn{Seq: 10}},
		{line: &legOnWire{}, in: leg.FinalLost{Seq: 10}},
		{line: &legOnWire{}, in: leg.RequestFailed{}},
		{event: MediaLost{}},
		{event: OneWay{}},
		{event: Killed{}},
		{event: Ready{}},
	}
	b := &inbox{turn: true}
	for range inboxNormal {
		b.post(itemRequest(sip.OPTIONS))
	}
	if _, overflow := func() (item, bool) { it, _, o := b.take(); return it, o }(); overflow {
		t.Error("overflow before it is full")
	}
	b.post(itemRequest(sip.OPTIONS))
	for _, it := range terminal {
		b.post(it)
	}
	if b.post(itemRequest(sip.INFO)) {
		t.Error("a request for which there is no room was taken")
	}
	items, overflow := drain(b)
	if overflow {
		t.Error("what can be refused ends the call")
	}
	if got, want := len(items), inboxNormal+len(terminal); got != want {
		t.Errorf("%d items; want %d", got, want)
	}
}

func TestInboxHardLimit(t *testing.T) {
	b := &inbox{turn: true}
	for range 10 * inboxHard {
		b.post(itemRequest(sip.BYE)) // terminal, and yet bounded
	}
	items, overflow := drain(b)
	if len(items) != inboxHard || !overflow {
		t.Errorf("%d items, overflow %v; want %d and overflow", len(items), overflow, inboxHard)
	}
	if _, again := drain(b); again {
		t.Error("the same overflow was reported twice")
	}
}

// Posting never blocks, whoever reads or does not.
func TestInboxPostNeverBlocks(t *testing.T) {
	b := &inbox{turn: true}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				b.post(itemResponse(180))
				b.post(itemRequest(sip.BYE))
			}
		})
	}
	wg.Wait() // nobody has read
	if items, overflow := drain(b); len(items) != inboxHard || !overflow {
		t.Errorf("%d items, overflow %v", len(items), overflow)
	}
}

func TestInboxClosed(t *testing.T) {
	b := &inbox{turn: true}
	b.post(itemRequest(sip.BYE))
	ask := make(chan LiveCall, 1)
	b.post(item{ask: ask})
	left := b.close()
	if len(left) != 2 || left[1].ask == nil {
		t.Errorf("%d items are given back; want 2", len(left))
	}
	if b.post(itemRequest(sip.BYE)) {
		t.Error("a closed inbox takes something")
	}
	if again := b.close(); len(again) != 0 {
		t.Errorf("%d items are given back again", len(again))
	}
	if _, ok, _ := b.take(); ok {
		t.Error("something is left after close")
	}
}

// A question to a call whose inbox is full is refused or answered. It is never
// taken and dropped.
func TestFullInboxTakesQuestions(t *testing.T) {
	b := &inbox{turn: true}
	for range inboxNormal {
		b.post(itemRequest("OPTIONS"))
	}
	reply := make(chan LiveCall, 1)
	if !b.post(item{ask: reply}) {
		return
	}
	items, _ := drain(b)
	if items[len(items)-1].ask == nil {
		t.Error("post took the question and lost it")
	}
}

// A full inbox says that it does not take a request, so that the request gets 503.
// The transaction of a request other than INVITE has no timer before its final
// answer (RFC 3261 section 17.2.2).
func TestFullInboxRefusesRequests(t *testing.T) {
	b := &inbox{turn: true}
	for range inboxNormal {
		b.post(itemRequest(sip.OPTIONS))
	}
	if b.post(itemRequest(sip.OPTIONS)) {
		t.Error("post took a request that it dropped")
	}
}

// A flood of requests within a dialog leaves no transaction behind.
func TestFloodOfRequests(t *testing.T) {
	inWorld(t, func(w *world) {
		_, invite := w.established()
		for i := range 1000 {
			w.agent.agentRequest("OPTIONS", invite, "agent1", 10+i)
		}
		w.drain(time.Minute)
		w.settle()
	})
}

// Whoever posts as the last thing runs the turn that begins, and none where there is one already, or where the call is over.
func TestPostLastRunsTheTurn(t *testing.T) {
	b := &inbox{}
	turns := 0
	b.run = func() { turns++ } // at once: without goroutines to run it, any other way would panic
	b.postLast(itemRequest(sip.BYE))
	if items, _ := drain(b); turns != 1 || len(items) != 1 {
		t.Fatalf("%d turns, %d items", turns, len(items))
	}
	b.postLast(itemRequest(sip.BYE)) // the first has not ended
	if items, _ := drain(b); turns != 1 || len(items) != 1 {
		t.Fatalf("%d turns, %d items", turns, len(items))
	}
	b.close()
	b.turn = false
	if b.postLast(itemRequest(sip.BYE)); turns != 1 {
		t.Error("a turn of a call that is over")
	}
}

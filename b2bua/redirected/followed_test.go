package redirected

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// keeper collects records.
type keeper struct {
	mu  sync.Mutex
	all []record.Record
}

func (k *keeper) keep(_ context.Context, r record.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, r)
}

// followedFor runs a test with followed calls in a bubble.
func followedFor(t *testing.T, f func(t *testing.T, s *followed, k *keeper)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		s := newFollowed(func(record.Record) {}, k.keep, zerolog.Nop())
		f(t, s, k)
		s.close()
		if s.open.Len() != 0 || len(s.bySID) != 0 {
			t.Errorf("%d calls are open, %d have a CallSid", s.open.Len(), len(s.bySID))
		}
	})
}

func openCall(t *testing.T, s *followed, id, sid string) *call {
	t.Helper()
	now := time.Now()
	target := &peers.Target{Dial: &peers.Dial{Peer: peers.Peer{Name: "t"}}}
	c, err := s.begin(&call{
		id: id, sid: sid, began: now, steps: map[int]*decision{}, left: []*peers.Target{target, target},
		record: record.Record{ID: id, SIPCallID: sid, StartedAt: record.TimeOf(now)},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// dialCall lets another party dial a target of the call.
func dialCall(t *testing.T, s *followed, c *call, number int) {
	t.Helper()
	_, err := s.decide(t.Context(), c, number-1, func(context.Context) (Next, error) {
		if a := c.next(); a == nil || a.number != number {
			t.Errorf("attempt %+v; want %d", a, number)
		}
		s.dialled(c, Destination{Target: "t"}, nil, time.Now())
		return Next{Dial: &Destination{}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// If the end of a call is not reported, the call is given up after some time. A report that
// comes later has no effect.
func TestFollowedGivenUp(t *testing.T) {
	followedFor(t, func(t *testing.T, s *followed, k *keeper) {
		c := openCall(t, s, "a", "CA1")
		dialCall(t, s, c, 1)
		time.Sleep(followFor)
		s.expire(time.Now())
		synctest.Wait()
		if len(k.all) != 0 {
			t.Fatalf("given up early: %+v", k.all)
		}
		time.Sleep(time.Second)
		s.expire(time.Now())
		synctest.Wait()
		if len(k.all) != 1 || k.all[0].Disposition != record.DispositionInterrupted || k.all[0].Cause != string(cause.DialogLost) ||
			attemptsText(k.all[0]) != "t 0 dialog_lost" {
			t.Fatalf("got %+v", k.all)
		}
		if s.find(End{Call: "a", Attempt: 1, SIPCallID: "CA1"}) != nil || s.ended(c, End{}, cause.AgentHangup, time.Now()) {
			t.Error("its end is heard")
		}
		s.finish(c, outbound.Outcome{}, 200, record.EndedByAgent, time.Now())
		time.Sleep(endedFor + time.Second)
		s.expire(time.Now())
		if len(s.byID) != 0 || s.over.Len() != 0 {
			t.Errorf("%d calls are known", len(s.byID))
		}
		synctest.Wait()
		if len(k.all) != 1 {
			t.Errorf("%d records", len(k.all))
		}
	})
}

// If the clock is set back during a call, neither the call's duration nor the time for
// which it is remembered changes.
func TestFollowedWhenTheClockIsSetBack(t *testing.T) {
	k := &keeper{}
	s := newFollowed(func(record.Record) {}, k.keep, zerolog.Nop())
	start := time.Now()
	after := func(d time.Duration) time.Time { return siptest.SetBack(t, start.Add(d), time.Hour) }
	c, err := s.begin(&call{id: "a", began: start, record: record.Record{ID: "a", StartedAt: record.TimeOf(start)}}, start)
	if err != nil {
		t.Fatal(err)
	}
	c.current = &attempt{target: &peers.Target{Dial: &peers.Dial{}}, started: start}
	s.dialled(c, Destination{Target: "t"}, nil, start)
	if !s.ended(c, End{Answered: true, Duration: 4 * time.Second}, cause.AgentHangup, after(10*time.Second)) {
		t.Fatal("its end is not heard")
	}
	s.finish(c, outbound.Outcome{}, 200, record.EndedByAgent, after(10*time.Second))
	if s.expire(after(10*time.Second + endedFor)); len(s.byID) != 1 {
		t.Error("forgotten early")
	}
	if s.expire(after(11*time.Second + endedFor)); len(s.byID) != 0 {
		t.Error("still known")
	}
	s.close()
	if r := k.all[0]; r.SetupMS != 6000 || r.DurationMS != 4000 {
		t.Errorf("set up in %d ms, %d ms long; want 6000 and 4000", r.SetupMS, r.DurationMS)
	}
}

// A CallSid means the same call for as long as Twilio may still report about it. After that
// it means a new call.
func TestFollowedAgain(t *testing.T) {
	followedFor(t, func(t *testing.T, s *followed, k *keeper) {
		first := openCall(t, s, "a", "CA1")
		if openCall(t, s, "b", "CA1") != first {
			t.Error("not the same before it was decided")
		}
		dialCall(t, s, first, 1)
		if openCall(t, s, "c", "CA1") != first {
			t.Error("not the same within the time")
		}
		if openCall(t, s, "d", "") == openCall(t, s, "e", "") {
			t.Error("two without a CallSid are one")
		}
		time.Sleep(preparedFor)
		second := openCall(t, s, "f", "CA1")
		if second == first {
			t.Error("the same for ever")
		}
		if s.find(End{Call: "a", Attempt: 1, SIPCallID: "CA1"}) != nil {
			t.Error("the first is dialled still")
		}
		dialCall(t, s, second, 1)
		dialCall(t, s, second, 2)
		if openCall(t, s, "g", "CA1") == second {
			t.Error("the same after an attempt has ended")
		}
	})
}

// If there are too many calls, the oldest are given up. Each gets a record, and leaves no
// state.
func TestFollowedBounded(t *testing.T) {
	followedFor(t, func(t *testing.T, s *followed, k *keeper) {
		const more = 100
		for i := range maxFollowed + more {
			openCall(t, s, fmt.Sprint(i), fmt.Sprint("CA", i))
		}
		synctest.Wait()
		if len(k.all) != more || s.open.Len() != maxFollowed || s.byID["0"] == nil || s.bySID["CA0"] != nil {
			t.Errorf("%d records, %d open", len(k.all), s.open.Len())
		}
		for s.open.Len() > 0 {
			s.finish(s.open.Front().Value.(*call), outbound.Outcome{}, 0, record.EndedBySystem, time.Now())
		}
		synctest.Wait()
		if len(k.all) != maxFollowed+more || s.over.Len() != maxFollowed || len(s.byID) != maxFollowed || s.byID["0"] != nil {
			t.Errorf("%d records, %d over, %d known", len(k.all), s.over.Len(), len(s.byID))
		}
	})
}

// A request that comes during a step of its call waits for the step, and may give up
// without stopping it. A panic ends only the call.
func TestFollowedSteps(t *testing.T) {
	followedFor(t, func(t *testing.T, s *followed, k *keeper) {
		c := openCall(t, s, "a", "CA1")
		free := make(chan struct{})
		slow := func(context.Context) (Next, error) {
			<-free
			c.next()
			s.dialled(c, Destination{Target: "t"}, nil, time.Now())
			return Next{Dial: &Destination{URI: "sip:a@b"}}, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if next, err := s.decide(ctx, c, 0, slow); err == nil || !next.Fallback {
			t.Errorf("without patience: %+v, %v", next, err)
		}
		close(free)
		if next, err := s.decide(t.Context(), c, 0, nil); err != nil || next.Dial == nil {
			t.Errorf("asked again: %+v, %v", next, err)
		}
		next, err := s.decide(t.Context(), c, 1, func(ctx context.Context) (Next, error) {
			<-ctx.Done()
			panic("secret")
		})
		if err == nil || !next.Fallback {
			t.Errorf("a fault: %+v, %v", next, err)
		}
		synctest.Wait()
		if len(k.all) != 1 || k.all[0].Cause != string(cause.InternalError) || k.all[0].Disposition != record.DispositionFailed {
			t.Errorf("got %+v", k.all)
		}
	})
}

// When the process stops, running steps are stopped, and the calls get their records.
func TestFollowedClose(t *testing.T) {
	followedFor(t, func(t *testing.T, s *followed, k *keeper) {
		waiting, rings := openCall(t, s, "a", "CA1"), openCall(t, s, "b", "CA2")
		dialCall(t, s, rings, 1)
		go func() {
			_, _ = s.decide(context.Background(), waiting, 0, func(ctx context.Context) (Next, error) {
				<-ctx.Done()
				return Next{Fallback: true}, ctx.Err()
			})
		}()
		synctest.Wait()
		s.close()
		if len(k.all) != 2 {
			t.Fatalf("got %+v", k.all)
		}
		for _, r := range k.all {
			if r.Cause != string(cause.Shutdown) || r.Disposition != record.DispositionInterrupted {
				t.Errorf("got %+v", r)
			}
		}
		if next, err := s.decide(t.Context(), waiting, 1, nil); err == nil || !next.Fallback {
			t.Errorf("afterwards: %+v, %v", next, err)
		}
		s.expire(time.Now().Add(24 * time.Hour))
		if len(k.all) != 2 {
			t.Error("tended afterwards")
		}
	})
}

// Twilio reports durations in whole seconds, so the computed answer time might be before
// the dialling. It must not be.
func TestFollowedTimes(t *testing.T) {
	followedFor(t, func(t *testing.T, s *followed, _ *keeper) {
		for said, want := range map[time.Duration]int64{0: 0, 3 * time.Second: 3000, 5 * time.Second: 4200} {
			c := openCall(t, s, said.String(), "")
			time.Sleep(time.Second)
			dialCall(t, s, c, 1)
			time.Sleep(4200 * time.Millisecond)
			if !s.ended(c, End{Answered: true, Duration: said}, cause.AgentHangup, time.Now()) {
				t.Fatal("not heard")
			}
			r := c.record
			if r.DurationMS != want || r.SetupMS != 5200-want || r.AnsweredAt.Sub(r.StartedAt.Time).Milliseconds() != r.SetupMS || c.record.Attempts[0].MS != 4200 {
				t.Errorf("%v: got %+v", said, r)
			}
		}
	})
}

// attemptsText returns a record's attempts as text.
func attemptsText(r record.Record) string {
	var all []string
	for _, a := range r.Attempts {
		all = append(all, fmt.Sprintf("%s %d %s", a.Target, a.SIPStatus, a.Cause))
	}
	return strings.Join(all, ", ")
}

// If no target is left for a call, the record says so.
func TestNoTargetLeft(t *testing.T) {
	r := &Calls{}
	if _, failed, err := r.next(t.Context(), &call{}); len(failed) > 0 || err == nil || err.Error() != ErrNoTarget.Error() {
		t.Errorf("got %v, %v; want %v", failed, err, ErrNoTarget)
	}
}

package redirected

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/config/template"
)

// TestRepeatedRequest: Twilio repeats a request if it waits too long for the answer. The target is prepared one time,
// and both requests get it.
func TestRepeatedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepeats(zerolog.Nop())
		var made atomic.Int64
		status := "ringing"
		begin := func(sid string, patience time.Duration) (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			next, err := r.decide(ctx, &call{id: "id", sid: sid, status: status, began: time.Now()}, func(context.Context) (Next, error) {
				n := made.Add(1)
				if time.Sleep(2 * time.Second); sid == "CAbad" {
					panic("secret")
				}
				return Next{Dial: &Destination{URI: "sip:" + strconv.FormatInt(n, 10)}}, nil
			})
			if next.Dial == nil {
				return "", err
			}
			return next.Dial.URI, err
		}
		if _, err := begin("CA1", time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without patience: %v", err)
		}
		for range 2 {
			if uri, err := begin("CA1", 10*time.Second); uri != "sip:1" || err != nil {
				t.Errorf("repeated: %s, %v", uri, err)
			}
		}
		other, err := r.decide(t.Context(), &call{sid: "CA1", status: status, began: time.Now(), vars: template.Vars{To: template.Party{Number: "+1507"}}},
			func(context.Context) (Next, error) { return Next{Dial: &Destination{URI: "sip:other"}}, nil })
		if err != nil || other.Dial.URI != "sip:other" {
			t.Errorf("another called number: %+v, %v", other, err)
		}
		if uri, _ := begin("CA2", 10*time.Second); uri != "sip:2" {
			t.Errorf("another call: %s", uri)
		}
		for range 2 { // a failed one is tried again
			if _, err := begin("CAbad", 10*time.Second); err == nil {
				t.Error("a fault is no error")
			}
			synctest.Wait()
		}
		if made.Load() != 4 {
			t.Errorf("%d decisions were made", made.Load())
		}
		time.Sleep(preparedFor - 20*time.Second)
		if uri, _ := begin("CA1", 10*time.Second); uri != "sip:1" {
			t.Errorf("repeated while the prepared call can be used: %s", uri)
		}
		status = "in-progress"
		if uri, _ := begin("CA1", 10*time.Second); uri != "sip:5" {
			t.Errorf("the call comes again, answered: %s", uri)
		}
		time.Sleep(preparedFor)
		if uri, _ := begin("CA1", 10*time.Second); uri != "sip:6" || len(r.queue) != 1 || len(r.byKey) != 1 {
			t.Errorf("the call comes again later: %s, %d and %d are kept", uri, len(r.queue), len(r.byKey))
		}
		for i := range 2 * maxFollowed {
			_, _ = r.decide(t.Context(), &call{sid: strconv.Itoa(i), began: time.Now()},
				func(context.Context) (Next, error) { return Next{}, nil })
		}
		if len(r.queue) > maxFollowed || len(r.byKey) > maxFollowed {
			t.Errorf("%d and %d are kept", len(r.queue), len(r.byKey))
		}
		r.close()
		if _, err := begin("CA3", time.Second); !errors.Is(err, errStopping) {
			t.Errorf("while stopping: %v", err)
		}
	})
}

// TestMemoryOfACallThatComesAgain: a call that the dialling party starts again is found by the party's id, as the new
// one.
func TestMemoryOfACallThatComesAgain(t *testing.T) {
	r, now := newMemory(rememberFor), time.Unix(1e9, 0)
	first := &entry{Call: Call{ID: "a", SIPCallID: "CA1", SynthflowCallID: "sf-1"}, IDs: []string{"a", "CA1", "sf-1"}, At: now}
	again := &entry{Call: Call{ID: "b", SIPCallID: "CA1", SynthflowCallID: "sf-2"}, IDs: []string{"b", "CA1", "sf-2"}, At: now.Add(time.Minute)}
	r.add(first)
	r.add(again)
	for id, want := range map[string]*entry{"CA1": again, "sf-2": again, "sf-1": first} {
		if c, err := r.find(id, again.At); c != want || err != nil {
			t.Errorf("%s finds %+v, %v", id, c, err)
		}
	}
}

package webhook

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/store/record"
)

// A receiver is told about each step of a placed call once and in order, and about no other calls. A new process does
// not repeat what the old one has sent.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, hook())
		defer s.close()
		p := &Reporter{Sender: s.sender}
		r := record.Record{ID: "1", Placed: true, Attempts: []record.Attempt{}}
		other := record.Record{ID: "2", RingingAt: record.TimeOf(time.Now())}
		taken := record.Record{ID: "3", Placed: true, RingingAt: record.TimeOf(time.Now())} // it rang in the old process
		step := func(change func()) {
			change()
			for range 2 {
				p.Changed(r)
			}
			p.Changed(other)
			p.Changed(taken)
			synctest.Wait()
		}
		step(func() {})
		step(func() { r.RingingAt = record.TimeOf(time.Now()) })
		step(func() {
			r.AnsweredAt = record.TimeOf(time.Now())
			r.Attempts = append(r.Attempts, record.Attempt{Reason: record.ReasonCustomer, SIPStatus: 200})
		})
		step(func() { r.Attempts = append(r.Attempts, record.Attempt{SIPStatus: 503}) })
		step(func() { r.Attempts = append(r.Attempts, record.Attempt{SIPStatus: 200}) })
		for _, state := range []string{record.TransferFailed, record.TransferDone} {
			r.Attempts = append(r.Attempts, record.Attempt{Reason: record.ReasonTransfer})
			s.sender.TellTransfer(record.Transfer{To: "4711", By: "anna", State: state, Code: 486, Cause: "target_busy"}, r)
			synctest.Wait()
		}
		p.Ended(r)
		p.Ended(taken)
		if len(p.said) > 0 {
			t.Errorf("left: %v", p.said)
		}
		var got []string
		for _, d := range s.deliveries() {
			var m ProgressMessage
			if err := json.Unmarshal(d.body, &m); err != nil {
				t.Fatal(err)
			}
			id := "1." + string(m.State)
			if m.Transfer != nil {
				id += "." + strconv.Itoa(len(m.Record.Attempts))
				if m.State != Progress("transfer_"+m.Transfer.State) || m.Transfer.By != "anna" || m.Transfer.Cause != "target_busy" {
					t.Errorf("a transfer: %+v", m.Transfer)
				}
			}
			if m.Event != EventProgress || d.header.Get(HeaderEvent) != EventProgress || m.ID != id || m.Record.ID != "1" {
				t.Errorf("sent %+v with %v", m, d.header)
			}
			got = append(got, string(m.State))
		}
		if want := []string{"dialing", "ringing", "answered", "bridged", "transfer_failed", "transfer_done"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A receiver that never answers delays no call. Events that don't fit into the queue are lost and counted.
func TestProgressOfADeafReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, hook())
		defer s.close()
		s.answers(func(_ int, d delivery) (*http.Response, error) {
			<-d.cut
			return nil, http.ErrHandlerTimeout
		})
		p := &Reporter{Sender: s.sender}
		for i := range maxNews + 10 {
			p.Changed(record.Record{ID: strings.Repeat("x", i+1), Placed: true})
		}
		if lost := s.sender.Stats()[0].GivenUp; lost < 9 || lost > 10 { // one may be in progress
			t.Errorf("%d are lost", lost)
		}
	})
}

// Every receiver is told the head of the receipts, once.
func TestHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, hook())
		defer s.close()
		now := record.TimeOf(time.Now())
		s.sender.TellHead("node-1", 4711, "ab12")
		synctest.Wait()
		all := s.deliveries()
		if len(all) != 1 {
			t.Fatalf("%d deliveries", len(all))
		}
		var got HeadMessage
		if err := json.Unmarshal(all[0].body, &got); err != nil {
			t.Fatal(err)
		}
		want := HeadMessage{Event: "told.head", ID: "node-1.told.head.ab12", CreatedAt: now, Node: "node-1", Receipts: 4711, SHA256: "ab12", At: now}
		if got != want || all[0].header.Get(HeaderEvent) != EventHead {
			t.Errorf("got %+v; want %+v", got, want)
		}
	})
}

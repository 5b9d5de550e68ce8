package calltest

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/outbound"
	"flowbridge/store/record"
)

// lines returns a ladder in short form: sender, message, receiver.
func lines(l *ladder.Ladder) (all []string) {
	for _, m := range l.Messages {
		what := m.Summary
		if m.Kind == "sip" {
			what = m.Method
			if m.Status > 0 {
				what = strconv.Itoa(m.Status) + " " + m.Method
			}
			if m.Retransmission {
				what += " again"
			}
		}
		from, to := l.Lanes[m.From].Name, l.Lanes[m.To].Name
		if m.Kind == "decision" {
			from, to = "*", "*"
		}
		all = append(all, from+">"+to+" "+what)
	}
	return all
}

// wantLines compares the messages of a ladder, and its decisions, separately. The place of a decision among the
// messages varies, because a peer may answer before the call has written down why it asked.
func wantLines(t testing.TB, l *ladder.Ladder, want ...string) {
	t.Helper()
	decides := func(line string) bool { return strings.HasPrefix(line, "*") }
	for _, skip := range []func(string) bool{decides, func(line string) bool { return !decides(line) }} {
		got, want := slices.DeleteFunc(lines(l), skip), slices.DeleteFunc(slices.Clone(want), skip)
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestLadderOfACall: the ladder of a call has all messages of both legs, the decisions, and figures of the media, in
// order. It can be read while the call is up.
func TestLadderOfACall(t *testing.T) {
	inWorldWith(t, recordingYAML("record: off", ""), func(w *world) {
		c := w.talk([]string{`Authorization: Digest username="ann", response="0123456789abcdef"`}, nil)
		id := w.server.Live(w.t.Context())[0].Record.ID
		live, err := w.server.Ladder(id).Ladder()
		if err != nil || !live.Live || len(live.Messages) < 10 {
			t.Errorf("live: %+v, %v", live, err)
		}
		time.Sleep(300 * time.Millisecond) // so that the end does not coincide with a sample of the figures
		for range 3 {
			time.Sleep(5 * time.Second)
			w.session().relayed.Add(250)
		}
		w.callerHangsUp(c.d)
		if w.record().ID != id {
			t.Error("another call")
		}
		time.Sleep(time.Minute)
		if w.server.Ladder(id) != nil {
			t.Error("the ladder is live after a minute")
		}
		l := w.ladder(id)
		wantLines(
			w.t, l,
			"carrier>flowbridge INVITE", "flowbridge>carrier 100 INVITE", "*>* routes[0] matches the call to +15075785607: agent",
			"flowbridge>carrier 180 INVITE", "flowbridge>agent INVITE", "agent>flowbridge 200 INVITE", "flowbridge>agent ACK",
			"*>* target agent answers after 0 ms with PCMU", "flowbridge>carrier 200 INVITE", "carrier>flowbridge ACK",
			"carrier>flowbridge BYE", "flowbridge>carrier 200 BYE", "flowbridge>agent BYE", "*>* the call ends after 15.3 s: caller hangup (by the caller)",
			"agent>flowbridge 200 BYE",
		)
		if l.Live || l.Dropped != 0 || l.ID != id {
			t.Errorf("%+v", l)
		}
		for _, m := range l.Messages {
			if strings.Contains(m.Text, "0123456789abcdef") {
				t.Errorf("a secret is shown:\n%s", m.Text)
			}
			if m.Kind == "sip" && (m.Local == "" || m.Remote == "" || m.Transport != "udp" || m.SIPCallID == "" || m.CSeq == "") {
				t.Errorf("%+v", m)
			}
		}
		if l.Streams == nil || len(l.Streams.Points) < 3 || l.Streams.Interval != 5000 || l.Streams.Points[1].A.Rx != 250 {
			t.Errorf("streams %+v", l.Streams)
		}
	})
}

// TestLadderOfFailures: the ladder has each decision about a failure, with the next step.
func TestLadderOfFailures(t *testing.T) {
	inWorld(t, func(w *world) {
		w.prepare.err = &outbound.PrepareError{Cause: cause.PrepareFailed, Status: 503}
		d := w.carrier.dials("+15085785607")
		w.spareTakes(d)
		id := w.record().ID
		time.Sleep(time.Minute)
		got := strings.Join(lines(w.ladder(id)), "\n")
		if !strings.Contains(got, "target agent: prepare 503 after 0 ms; next: spare\n") {
			t.Errorf("got\n%s", got)
		}
		w.prepare.err = nil
		d = w.carrier.newCall("+442071234567") // no route matches
		w.carrier.invite(d)
		w.carrier.isRefused(d, "404")
		r := w.wantRecord(record.DispositionFailed, cause.NoRoute, record.EndedBySystem)
		time.Sleep(time.Minute)
		wantLines(w.t, w.ladder(r.ID), "carrier>flowbridge INVITE",
			`*>* routes[0] does not match: the called number +442071234567 does not match to: ^\+1507`,
			"*>* routes[1] does not match: ", "*>* routes[2] does not match: ",
			"*>* the caller is refused with 404 Not Found: no route", "flowbridge>carrier 404 INVITE", "*>* the call ends", "carrier>flowbridge ACK")
	})
}

// TestLadderOfRetransmissions: repeated messages are marked.
func TestLadderOfRetransmissions(t *testing.T) {
	inWorld(t, func(w *world) {
		d := w.carrier.dials("+15085785607")
		w.carrier.invite(d)
		synctest.Wait()
		time.Sleep(3 * time.Second) // the target does not answer, so we retransmit
		invites := w.agent.rest()
		w.agent.answer(invites[len(invites)-1], "a")
		w.agent.expect("ACK")
		w.carrier.isAnswered(d)
		w.callerHangsUp(d)
		id := w.record().ID
		time.Sleep(time.Minute)
		got := strings.Join(lines(w.ladder(id)), "\n")
		if !strings.Contains(got, "carrier>flowbridge INVITE again") || strings.Count(got, "flowbridge>agent INVITE again") < 2 {
			t.Errorf("got\n%s", got)
		}
	})
}

// TestNoLadders: with ladders off, nothing is collected.
func TestNoLadders(t *testing.T) {
	inWorldOf(t, recordingYAML("record: off", ""), func(o *b2bua.Options) { o.Ladders.Keep = nil }, func(w *world) {
		c := w.talk(nil, nil)
		if w.server.Ladder(w.server.Live(w.t.Context())[0].Record.ID) != nil {
			t.Error("something is collected")
		}
		c.hangsUp()
	})
}

// TestMaskedKeysInTheLadder: keys that were pressed while masked are not in the ladder.
func TestMaskedKeysInTheLadder(t *testing.T) {
	yaml := strings.Replace(recordingYAML("record: off", ""), "record: off", "record: off, mask_dtmf: always", 1)
	inWorldWith(t, yaml, func(w *world) {
		c := w.talk(nil, nil)
		w.carrier.within(c.d, "INFO", "Signal=7\r\nDuration=160\r\n", "Content-Type: application/dtmf-relay")
		w.carrier.expect("SIP/2.0 200")
		w.callerHangsUp(c.d)
		id := w.record().ID
		time.Sleep(time.Minute)
		for _, m := range w.ladder(id).Messages {
			if strings.Contains(m.Text, "Signal=7") {
				t.Errorf("a key is shown:\n%s", m.Text)
			}
		}
	})
}

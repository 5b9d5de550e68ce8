package calltest

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/media"
	"flowbridge/media/recording"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// listens lets anna hear the only call. refusal is why it may not.
func (w *recorded) listens(sound, refusal string) *recording.Listener {
	w.t.Helper()
	l := recording.NewListener(media.SideA, media.SideB)
	id := w.server.Live(w.t.Context())[0].Record.ID
	err := w.server.Listen(w.t.Context(), id, bridge.ListenRequest{Audio: l, By: "anna", Sound: sound})
	if refusal == "" && err != nil || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
		w.t.Errorf("listening: got %v; want %q", err, refusal)
	}
	return l
}

// streams runs a listener's connection until its end, which it waits for.
func streams(l *recording.Listener) (heard func() int) {
	var b bytes.Buffer
	over := make(chan struct{})
	go func() { l.Stream(&b); close(over) }()
	return func() int { <-over; return b.Len() }
}

// TestListeners: listeners hear a call beside its recording, come and go without it, and the record, the ladder and the
// log name them.
func TestListeners(t *testing.T) {
	inRecordedWorld(t, recordingYAML("record: on_demand", ""), func(w *recorded) {
		d, in := w.carrier.callsAt(w.agent, "+15075785607")
		w.listens("", "not answered yet")
		w.carrier.isTakenWith(w.agent, in, "agent1", d, siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		first := w.listens("", "")
		heard := streams(first)
		w.talks(10)
		w.does(bridge.OrderRecord, bridge.RecordingOn)
		second := w.listens("", "")
		w.talks(40)
		second.End(errors.New("the listener does not read"))
		time.Sleep(2 * time.Second)
		w.does(bridge.OrderStop, bridge.RecordingOff)
		if w.session().tapped() == nil {
			t.Error("the end of the recording is the end of the listener")
		}
		w.callerHangsUp(d)
		if got := heard(); got < 44+8000*4 {
			t.Errorf("the listener got %d bytes; want a second", got)
		}
		r := w.record()
		if w.session().tapped() != nil {
			t.Error("the session has a tap still")
		}
		var got []string
		for _, f := range r.Recordings {
			got = append(got, f.Format+" "+f.By+" "+f.Error)
			if f.EndedAt.IsZero() {
				t.Errorf("it has not ended: %+v", f)
			}
		}
		if want := "wav  |pcapng  |live anna the listener does not read|live anna the call has ended"; strings.Join(got, "|") != want {
			t.Errorf("the record has %s\nwant %s", strings.Join(got, "|"), want)
		}
		if _, rtp := w.capture(r.Recordings[1]); len(rtp) != 80 {
			t.Errorf("the recording has %d packets; want 80", len(rtp))
		}
		w.ladderSays(r.ID, "anna listens to the call")
		w.ladderSays(r.ID, "anna no longer listens: the call has ended")
		if strings.Count(w.log.String(), "listener joined") != 2 || strings.Count(w.log.String(), "listener left") != 2 {
			t.Error("the log does not name both listeners")
		}
		if err := w.server.Listen(t.Context(), r.ID, bridge.ListenRequest{Audio: first, By: "anna"}); !errors.Is(err, b2bua.ErrNoCall) {
			t.Errorf("a call that is over: %v", err)
		}
	})
}

// TestListenersAreAnnounced: with a sound nothing is heard before both sides have heard it, whatever becomes of it.
func TestListenersAreAnnounced(t *testing.T) {
	for name, tt := range map[string]struct {
		during func(w *recorded)
		want   string // why the listener has ended; empty: it has not
	}{
		"both hear it":     {func(w *recorded) { w.played(media.SideA); w.played(media.SideB) }, ""},
		"one is on hold":   {func(w *recorded) { w.played(media.SideA); _, _ = w.order(bridge.OrderHold) }, "to its end"},
		"it never ends":    {func(*recorded) {}, "to its end"},
		"the call is over": {func(*recorded) {}, "the call has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			inRecordedWorld(t, recordingYAML("record: on_demand", ""), func(w *recorded) {
				c := w.talk(nil, nil)
				w.listens("nowhere", `no sound "nowhere"`)
				l := w.listens("beep", "")
				w.listens("beep", "hears another sound")
				if w.session().tapped() != nil {
					t.Error("the sides are heard before they were told")
				}
				tt.during(w)
				if name != "the call is over" {
					time.Sleep(5 * time.Second)
				}
				synctest.Wait()
				if _, why := l.Ended(); name != "the call is over" && (tt.want == "") != (why == nil) || (w.session().tapped() != nil) != (tt.want == "") {
					t.Errorf("the listener: %v; a tap: %t", why, w.session().tapped() != nil)
				}
				w.callerHangsUp(c.d)
				r := w.record()
				if f := r.Recordings[0]; f.Format != record.FormatLive || tt.want != "" && !strings.Contains(f.Error, tt.want) {
					t.Errorf("the record has %+v", f)
				}
			})
		})
	}
}

// TestListenersEndWithTheirProcess: a listener does not outlive an upgrade or a kill, which the record says. The call
// goes on, and may be heard again.
func TestListenersEndWithTheirProcess(t *testing.T) {
	for name, tt := range map[string]struct {
		next func(w *world)
		want string
	}{
		"upgrade": {(*world).upgraded, "an upgrade has replaced the process"},
		"restart": {func(w *world) {
			w.restart()
			w.carrier.reply(w.carrier.expect("OPTIONS"), 200, "OK", "", "")
			w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "", "")
		}, "the process was killed"},
	} {
		t.Run(name, func(t *testing.T) {
			inRecordedWorld(t, recordingYAML("record: always", ""), func(w *recorded) {
				c := w.talk(nil, nil)
				l := w.listens("", "")
				heard := streams(l)
				time.Sleep(time.Minute)
				if tt.next(w.world); name == "restart" {
					l.End(errors.New("the process is dead"))
				}
				heard()
				again := streams(w.listens("", ""))
				w.callerHangsUp(c.d)
				again()
				var got []string
				for _, f := range w.record().Recordings {
					if f.Format == record.FormatLive {
						got = append(got, f.Error)
					}
				}
				if want := tt.want + "|the call has ended"; strings.Join(got, "|") != want {
					t.Errorf("the listeners ended by %q; want %q", strings.Join(got, "|"), want)
				}
			})
		})
	}
}

// TestListenersOfOneToken: one token takes at most half of the entries that a record has for listeners, also beyond an
// upgrade.
func TestListenersOfOneToken(t *testing.T) {
	inRecordedWorld(t, recordingYAML("record: on_demand", ""), func(w *recorded) {
		c := w.talk(nil, nil)
		id := w.server.Live(w.t.Context())[0].Record.ID
		come := func(by string) error {
			l := recording.NewListener(media.SideA)
			err := w.server.Listen(w.t.Context(), id, bridge.ListenRequest{Audio: l, By: by})
			l.End(errors.New("enough"))
			time.Sleep(2 * time.Second)
			return err
		}
		for n := range 100 {
			if n == 60 {
				w.upgraded()
			}
			must(t, come("anna"))
		}
		if err := come("anna"); err == nil || !strings.Contains(err.Error(), "by this token") {
			t.Errorf("anna comes once more: %v", err)
		}
		must(t, come("bob"))
		w.callerHangsUp(c.d)
	})
}

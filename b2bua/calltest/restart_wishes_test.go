package calltest

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/media/recording"
	"flowbridge/store/record"
)

// TestOrdersOutliveTheProcess: orders that were confirmed to an operator still apply in the next process: keys stay
// masked, a recording stays paused, and a stopped sound stays stopped.
func TestOrdersOutliveTheProcess(t *testing.T) {
	inRecordedWorld(t, recordingYAML("record: always, mask_dtmf: on_demand", ""), func(w *recorded) {
		c := w.talk(nil, nil)
		time.Sleep(2 * flushDelay) // until a checkpoint has its ACK
		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: "eu", Loop: true}, "")
		w.restart()
		w.hears("a hears 5s of law 0 as 0, loop true, yield false")
		w.orders(bridge.OrderMask, true)
		w.does(bridge.OrderPause, bridge.RecordingPaused)
		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: bridge.SoundNone}, "")
		w.restart()
		w.hears()
		synctest.Wait()
		live := w.server.Live(w.t.Context())[0]
		if !live.Masked || live.Recording != bridge.RecordingPaused {
			t.Errorf("masked %v, recording %s", live.Masked, live.Recording)
		}
		for _, e := range []*end{c.carrier, c.agent} {
			e.p.reply(e.p.expect("OPTIONS"), 200, "OK", "", "")
		}
		w.press(c.d, "7")
		w.carrier.expect("SIP/2.0 200")
		c.hangsUp()
	})
}

// TestRecordedCallIsOver: if the process is killed after a recorded call has ended, while its files are being finished,
// the call stays ended: its record says who hung up, and its legs get no more messages.
func TestRecordedCallIsOver(t *testing.T) {
	inRecordedWorld(t, recordingYAML("record: always", ""), func(w *recorded) {
		c := w.talk(nil, nil)
		time.Sleep(2 * flushDelay)
		sink := w.options.Sink
		w.options.Sink = &lostSink{Sink: sink}
		w.restart()
		w.carrier.rest()
		w.callerHangsUp(c.d)
		synctest.Wait()
		w.options.Sink = sink
		w.restart()
		w.carrier.silent(time.Minute)
		w.agent.silent(time.Second)
		r := w.wantRecord(record.DispositionAnswered, cause.CallerHangup, record.EndedByCaller)
		if r.Restored != 1 || r.DurationMS > 60_000 {
			t.Errorf("%+v", r)
		}
	})
}

// TestSilenceAfterAnUpgrade: if an agent falls silent after an upgrade, or after a restart, it is replaced like any
// silent agent.
func TestSilenceAfterAnUpgrade(t *testing.T) {
	for name, next := range map[string]func(w *world){"upgrade": (*world).upgraded, "restart": func(w *world) { w.restart() }} {
		t.Run(name, func(t *testing.T) {
			inRescue(t, "", func(w *world) {
				d, _ := w.established()
				time.Sleep(2 * flushDelay)
				next(w)
				s := w.session()
				s.answered.Add(1)
				over := make(chan struct{})
				go func() {
					defer close(over)
					for range 40 {
						time.Sleep(time.Second)
						s.relayed.Add(50)
					}
				}()
				w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
				w.takesOver("+15075785607")
				<-over
				w.callerEnds(w.agent2, d)
			})
		})
	}
}

// TestAnnouncementOverAnUpgrade: a sound that should be played once starts from its beginning after an upgrade.
func TestAnnouncementOverAnUpgrade(t *testing.T) {
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		c := w.talk(nil, nil)
		time.Sleep(2 * flushDelay)
		w.plays(bridge.PlayRequest{Side: media.SideA, Sound: "eu"}, "")
		w.upgraded()
		w.hears("a hears 5s of law 0 as 0, loop false, yield false")
		w.played(media.SideA)
		w.upgraded()
		w.hears()
		c.hangsUp()
	})
}

// lostSink drops the records of finished calls, as if their process had been killed before it wrote them.
type lostSink struct{ snapshot.Sink }

func (s *lostSink) Keep(_ context.Context, _ *record.Record, _ []byte, done func(error)) { done(nil) }

// TestMaskedKeysStayHidden: neither the capture nor the ladder of a call shows a masked key, even after another process
// has restored the call.
func TestMaskedKeysStayHidden(t *testing.T) {
	for name, tt := range map[string]struct {
		next func(w *world)
		mask string
	}{
		"upgrade":              {(*world).upgraded, "always"},
		"restart":              {func(w *world) { w.restart() }, "always"},
		"upgrade, by an order": {(*world).upgraded, "on_demand"},
	} {
		t.Run(name, func(t *testing.T) {
			inRecordedWorld(t, recordingYAML("record: always, mask_dtmf: "+tt.mask, ""), func(w *recorded) {
				c := w.talk(nil, nil)
				time.Sleep(time.Minute)
				if tt.mask == "on_demand" {
					w.orders(bridge.OrderMask, true)
				}
				tt.next(w.world)
				if name == "restart" {
					w.carrier.reply(w.carrier.expect("OPTIONS"), 200, "OK", "", "")
					w.agent.reply(w.agent.expect("OPTIONS"), 200, "OK", "", "")
				}
				w.press(c.d, "7")
				w.carrier.expect("SIP/2.0 200")
				w.callerHangsUp(c.d)
				r := w.record()
				sip, _ := w.capture(r.Recordings[len(r.Recordings)-1])
				shown := w.ladder(r.ID)
				for i := range shown.Messages {
					sip = append(sip, datagram{data: string(shown.Messages[i].Text)})
				}
				infos := 0
				for _, m := range sip {
					if strings.HasPrefix(m.data, "INFO") {
						infos++
					}
					if strings.Contains(m.data, "Signal=7") {
						t.Errorf("shown:\n%s", m.data)
					}
				}
				if infos == 0 {
					t.Error("no INFO is shown")
				}
			})
		})
	}
}

// TestTransferBeforeItsINVITE: if the process is killed after a transfer was accepted but before its target was called,
// the agent still gets the report of failure.
func TestTransferBeforeItsINVITE(t *testing.T) {
	yaml := strings.Replace(transferConfig, "routes:\n", `  - {name: slow, kind: synthflow, uri: "sip:{{.To.Number}}@192.0.2.21:32681", prepare: {api: "https://api.test", token_env: TOKEN, model_id: m, timeout: 3s}}
routes:
  - {target: agent, to: "^4", targets: [slow]}
`, 1)
	inWorldWith(t, yaml, func(w *world) {
		d, invite := w.established()
		time.Sleep(2 * flushDelay)
		w.prepare.after = 2 * time.Second
		w.referred(invite, "<tel:4711>")
		w.restart()
		w.agent.notified("500", "terminated")
		w.callerEnds(w.agent, d)
	})
}

// TestPausedRecordingStaysPaused: a paused recording stays paused if an upgrade is followed by a kill before the new
// process has done anything.
func TestPausedRecordingStaysPaused(t *testing.T) {
	for name, serves := range map[string]bool{"at once": false, "when it serves": true} {
		t.Run(name, func(t *testing.T) {
			inRecordedWorld(t, recordingYAML("record: always", ""), func(w *recorded) {
				c := w.talk(nil, nil)
				time.Sleep(time.Minute)
				w.does(bridge.OrderPause, bridge.RecordingPaused)
				w.plays(bridge.PlayRequest{Side: media.SideA, Sound: "eu", Loop: true}, "")
				synctest.Wait()
				h, err := w.handOver()
				must(w.t, err)
				w.beginWith(nil, h)
				if serves {
					w.serves()
				}
				synctest.Wait()
				w.life.dead.Store(true)
				left := w.sink.left()
				w.server.Stack().Serve() // so that the old server can end
				if err := w.server.Close(); err != nil {
					w.t.Error(err)
				}
				w.begin(left)
				synctest.Wait()
				if live := w.server.Live(w.t.Context())[0]; live.Recording != bridge.RecordingPaused || live.Hears[media.SideA] != "eu" {
					w.t.Errorf("recording %s, side A hears %q", live.Recording, live.Hears[media.SideA])
				}
				c.hangsUp()
			})
		})
	}
}

// stuckLog is a log that blocks, which also blocks the goroutines that write recordings.
type stuckLog struct{ hold chan struct{} }

func (l *stuckLog) Write(b []byte) (int, error) {
	<-l.hold
	return len(b), nil
}

// TestHandOverWaitsOnce: if recordings can't be written, a frozen server waits for one timeout in total, however many
// recordings there are.
func TestHandOverWaitsOnce(t *testing.T) {
	log := stuckLog{}
	inWorldOf(t, recordingYAML("record: always", ""), func(o *b2bua.Options) {
		log.hold = make(chan struct{})
		a, err := recording.Open(recording.Config{ // it logs that no file has room
			Dir: t.TempDir(), Formats: o.Config.Recording.Formats, Keep: time.Hour, MaxSize: 1, Log: zerolog.New(&log),
		})
		must(t, err)
		o.Archive = a
	}, func(w *world) {
		defer func() {
			close(log.hold)
			if err := w.options.Archive.Close(w.t.Context()); err != nil {
				t.Error(err)
			}
		}()
		var all []*talk
		for range 3 {
			all = append(all, w.talk(nil, nil))
		}
		time.Sleep(2 * flushDelay)
		synctest.Wait()
		begun := time.Now()
		h, err := w.handOver()
		must(t, err)
		if took := time.Since(begun); took < bridge.SettleWait || took > bridge.SettleWait+time.Second {
			t.Errorf("the calls stood still for %v", took)
		}
		w.beginWith(nil, h)
		w.serves()
		for _, c := range all {
			w.carrier.bye(c.d)
			w.carrier.expect("SIP/2.0 200")
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
		}
	})
}

// TestRingingCallIsTold: after a kill, the carrier of an unanswered call gets 500, and the target CANCEL. In the record
// the call ends with the 500, however long no process was running. The log has one line about its end.
func TestRingingCallIsTold(t *testing.T) {
	log := &bytes.Buffer{}
	inWorldOf(t, talkYAML("", ""), func(o *b2bua.Options) { o.Log = zerolog.New(zerolog.SyncWriter(log)) }, func(w *world) {
		d, in := w.ringing()
		time.Sleep(2 * time.Second)
		left := w.die()
		log.Reset() // the killed process logs nothing
		time.Sleep(3 * time.Second)
		w.begin(left)
		no := w.carrier.expect("SIP/2.0 500")
		told := record.TimeOf(time.Now())
		if no.value("Retry-After") == "" {
			t.Errorf("%s", no.raw)
		}
		w.carrier.ackRefused(d)
		cancel := w.agent.expect("CANCEL")
		if cancel.value("Via") != in.value("Via") {
			t.Errorf("CANCEL by another way:\n%s", cancel.raw)
		}
		w.agent.reply(cancel, 200, "OK", "agent1", "")
		w.agent.concludes(in, 487, "Terminated", "agent1", "")
		if r := w.wantRecord(record.DispositionInterrupted, cause.ProcessRestart, record.EndedBySystem); r.EndedAt != told {
			t.Errorf("it ended %v before the caller was told", told.Sub(r.EndedAt.Time))
		} else if a := r.Attempts; len(a) != 1 || a[0].Target != r.Target || a[0].Cause != string(cause.ProcessRestart) ||
			a[0].MS != told.Sub(a[0].StartedAt.Time).Milliseconds() || a[0].SIPCallID != in.value("Call-ID") || a[0].Transport != "udp" {
			t.Errorf("attempts %+v; want the one at %s, ended by the restart at %v", a, r.Target, told)
		} else if ends := strings.Count(log.String(), "call ended"); ends != 1 || !strings.Contains(log.String(), `"cause":"process_restart"`) {
			t.Errorf("%d lines of its end, want one of cause process_restart, in:\n%s", ends, log)
		}
	})
}

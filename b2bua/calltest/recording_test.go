package calltest

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/sim/siptest"
)

// TestRecordsEveryCall: with record: always, a call is recorded from its answer on. The
// capture also has the SIP of both legs before the answer, without secrets.
func TestRecordsEveryCall(t *testing.T) {
	inRecordedWorld(t, recordingYAML("record: always", ""), func(w *recorded) {
		c := w.talk([]string{`Authorization: Digest username="ann", response="0123456789abcdef"`}, []string{"X-Agent: 1"})
		if w.session().tapped() == nil {
			t.Fatal("the call is not recorded")
		}
		w.talks(50)
		live := w.server.Live(w.t.Context())[0]
		if files := live.Record.Recordings; live.Recording != bridge.RecordingOn || len(files) != 2 || !files[0].EndedAt.IsZero() || files[0].Error != "" {
			t.Errorf("live: %s %+v", live.Recording, files)
		}
		if j := w.sink.journal; len(j[len(j)-1].Recordings) != 2 {
			t.Errorf("the journal has %+v", j[len(j)-1].Recordings)
		}
		w.callerHangsUp(c.d)
		r := w.record()
		if w.session().tapped() != nil {
			t.Error("the session has a tap still")
		}
		if len(r.Recordings) != 2 {
			t.Fatalf("recordings: %+v", r.Recordings)
		}
		for i, format := range []string{"wav", "pcapng"} {
			f := r.Recordings[i]
			if f.Format != format || f.EndedAt.Sub(f.StartedAt.Time) != time.Second || f.Error != "" || f.Dropped != 0 ||
				f.Bytes != int64(len(w.file(f))) || f.File != "2000/01/01/"+r.ID+"."+format {
				t.Errorf("%+v", f)
			}
		}
		if size := r.Recordings[0].Bytes; size != 44+8000*4 {
			t.Errorf("the WAV has %d bytes; want a second", size)
		}
		sip, rtp := w.capture(r.Recordings[1])
		if want := []string{"INVITE", "100", "180", "INVITE", "200", "ACK", "200", "ACK", "BYE"}; !slices.Equal(within(startLines(sip), want), want) {
			t.Errorf("the capture has %v; want %v among them", startLines(sip), want)
		}
		if first := sip[0]; first.from != carrierAddr || first.to != ourAddr || !strings.Contains(first.data, "m=audio 20000") {
			t.Errorf("the first message: %+v", first)
		}
		for _, m := range sip {
			if strings.Contains(m.data, "0123456789abcdef") || strings.Contains(m.data, "username") {
				t.Errorf("the capture shows credentials:\n%s", m.data)
			}
		}
		if len(rtp) != 100 || rtp[0].to != netip.MustParseAddrPort("198.51.100.1:10000") || rtp[1].to != netip.MustParseAddrPort("198.51.100.1:10002") {
			t.Errorf("%d RTP packets, to %v", len(rtp), rtp[0].to)
		}
	})
}

// within returns the elements of all that are also in want, in the order of all.
func within(all, want []string) (found []string) {
	for _, s := range all {
		if len(found) < len(want) && s == want[len(found)] {
			found = append(found, s)
		}
	}
	return found
}

// TestRecordsOnDemand tests all orders for a recording.
func TestRecordsOnDemand(t *testing.T) {
	inRecordedWorld(t, recordingYAML("record: on_demand", ""), func(w *recorded) {
		d, in := w.carrier.callsAt(w.agent, "+15075785607")
		w.refuses(bridge.OrderRecord, "not answered yet")
		for _, o := range []bridge.Order{bridge.OrderStop, bridge.OrderPause, bridge.OrderResume} {
			w.refuses(o, "not recorded")
		}
		w.refuses(bridge.OrderMask, "not masked")
		w.carrier.isTakenWith(w.agent, in, "agent1", d, siptest.SessionAt("192.0.2.20", 30000, "0 101"))
		w.talks(10)
		w.does(bridge.OrderRecord, bridge.RecordingOn)
		w.refuses(bridge.OrderRecord, "recorded already")
		w.talks(50)
		w.does(bridge.OrderPause, bridge.RecordingPaused)
		w.does(bridge.OrderPause, bridge.RecordingPaused)
		w.talks(50)
		w.does(bridge.OrderResume, bridge.RecordingOn)
		w.talks(50)
		if live := w.does(bridge.OrderStop, bridge.RecordingOff); len(live.Record.Recordings) != 2 {
			t.Errorf("recordings: %+v", live.Record.Recordings)
		}
		w.refuses(bridge.OrderPause, "not recorded")
		w.talks(20)
		w.does(bridge.OrderRecord, bridge.RecordingOn)
		w.talks(20)
		w.callerHangsUp(d)
		r := w.record()
		if len(r.Recordings) != 4 {
			t.Fatalf("recordings: %+v", r.Recordings)
		}
		for i, want := range []struct {
			name    string
			samples int64
			rtp     int
		}{{".wav", 24000, 0}, {".pcapng", 0, 200}, {"-2.wav", 3200, 0}, {"-2.pcapng", 0, 40}} {
			f := r.Recordings[i]
			if f.File != "2000/01/01/"+r.ID+want.name || f.Error != "" || f.EndedAt.IsZero() {
				t.Errorf("recording %d: %+v", i, f)
			}
			if want.samples > 0 && f.Bytes != 44+4*want.samples {
				t.Errorf("recording %d: %d bytes; want %d samples", i, f.Bytes, want.samples)
			}
			if want.samples == 0 {
				sip, rtp := w.capture(f)
				if len(rtp) != want.rtp || sip[0].data[:6] != "INVITE" {
					t.Errorf("recording %d: %d RTP packets; want %d behind an INVITE", i, len(rtp), want.rtp)
				}
			}
		}
		time.Sleep(time.Minute)
		if _, err := w.server.Order(w.t.Context(), r.ID, bridge.OrderRecord); !errors.Is(err, b2bua.ErrNoCall) {
			t.Errorf("a call that is over: %v", err)
		}
	})
}

// TestNothingIsRecorded: if the route does not permit recording, or no archive is
// configured, there is no recording, and the call does not keep its SIP.
func TestNothingIsRecorded(t *testing.T) {
	inRecordedWorld(t, recordingYAML("record: off", ""), func(w *recorded) {
		c := w.talk(nil, nil)
		w.refuses(bridge.OrderRecord, "not recorded")
		w.callerHangsUp(c.d)
		if r := w.record(); len(r.Recordings) != 0 {
			t.Errorf("recordings: %+v", r.Recordings)
		}
	})
	inWorldWith(t, recordingYAML("record: always", ""), func(w *world) {
		c := w.talk(nil, nil)
		w.refuses(bridge.OrderRecord, "not configured")
		c.hangsUp()
	})
}

// TestRecordingWithoutWAV: for a codec that can't be decoded, a recording has only a
// capture. The record says why there is no WAV.
func TestRecordingWithoutWAV(t *testing.T) {
	yaml := strings.Replace(recordingYAML("record: always", "codecs: [G722]"), "codecs: [G722]", "codecs: [G722, PCMU]", 1)
	inRecordedWorld(t, yaml, func(w *recorded) {
		c := w.talkIn("0 9 101", "9 101")
		synctest.Wait()
		for n := range 10 {
			w.says(0, 9, n)
		}
		w.callerHangsUp(c.d)
		r := w.record()
		if f := r.Recordings[0]; f.File != "" || !strings.Contains(f.Error, "G722 can't be decoded") {
			t.Errorf("WAV: %+v", f)
		}
		if _, rtp := w.capture(r.Recordings[1]); len(rtp) != 10 {
			t.Errorf("%d RTP packets; want 10", len(rtp))
		}
	})
}

// TestRecordingFollowsTheCodec: after a change of codec the WAV continues.
func TestRecordingFollowsTheCodec(t *testing.T) {
	inRecordedWorld(t, recordingYAML("record: always", ""), func(w *recorded) {
		c := w.talk(nil, nil)
		w.talks(10)
		seq := c.agent.offers("INVITE", siptest.SessionAt("192.0.2.20", 30000, "8 101"))
		re := w.carrier.expect("INVITE")
		w.carrier.concludes(re, 200, "OK", "", siptest.SessionAt("192.0.2.10", 20000, "8 101"))
		w.agent.expect("SIP/2.0 200")
		c.agent.acks(seq, "")
		for n := range 10 {
			w.says(0, 8, 10+n)
			time.Sleep(20 * time.Millisecond)
		}
		w.callerHangsUp(c.d)
		if f := w.record().Recordings[0]; f.Error != "" || f.Bytes < 44+20*160*4 {
			t.Errorf("%+v", f)
		}
	})
}

package calltest

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/internal/testlog"
	"flowbridge/media"
	"flowbridge/media/voice/turns"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// logged is the log of a test.
type logged struct{ testlog.Log }

// line returns the fields of the log line with this message, or nil. It fails if there are several.
func (l *logged) line(t *testing.T, message string) (fields map[string]any) {
	t.Helper()
	for text := range strings.Lines(l.String()) {
		var f map[string]any
		must(t, json.Unmarshal([]byte(text), &f))
		if f["message"] != message {
			continue
		}
		if fields != nil {
			t.Fatalf("%q twice:\n%s", message, l)
		}
		fields = f
	}
	return fields
}

func TestOneWayAudio(t *testing.T) {
	var log logged
	inWorldOf(t, talkYAML("", ""), func(o *b2bua.Options) { o.Log = zerolog.New(&log) }, func(w *world) {
		c := w.talk(nil, nil)
		s := w.relay.sessions[0]
		s.stats.A.MOS, s.stats.B.RxPackets = 4.4, 1
		if live := w.server.Live(w.t.Context()); len(live) != 1 || live[0].Record.Media.MOS != 4.4 {
			t.Errorf("before: %+v", live)
		}
		s.stats.B.Dropped = media.Drops{WrongSource: 150, Malformed: 2}
		s.stats.B.Refused = netip.MustParseAddrPort("198.51.100.9:7000")
		noted := len(w.sink.journal)
		s.onEvent(media.EventOneWay{Side: media.SideB})
		synctest.Wait()
		if len(w.sink.journal) == noted {
			t.Error("those who watch the call are told nothing")
		}
		f := log.line(t, "one-way audio")
		want := map[string]any{"wrong_source": 150.0, "malformed": 2.0}
		if f == nil || f["level"] != "warn" || f["side"] != "b" || f["expected"] != "192.0.2.20:30000" || f["refused"] != "198.51.100.9:7000" || !reflect.DeepEqual(f["dropped"], want) {
			t.Errorf("got %v", f)
		}
		if log.line(t, "side heard again after one-way audio") != nil {
			t.Error("heard already")
		}
		s.onEvent(media.EventHeard{Side: media.SideB})
		synctest.Wait()
		if f := log.line(t, "side heard again after one-way audio"); f == nil || f["side"] != "b" {
			t.Errorf("got %v", f)
		}
		if live := w.server.Live(w.t.Context()); len(live) != 1 || live[0].Record.Media.MOS != 0 || live[0].Record.Media.A.MOS != 4.4 {
			t.Errorf("a call with a mute side has a MOS: %+v", live)
		}
		w.callerHangsUp(c.d)
		if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); r.Media.OneWay != "b" || r.Media.MOS != 0 {
			t.Errorf("one_way %q, MOS %v in the record; want b, and none", r.Media.OneWay, r.Media.MOS)
		}
	})
}

// When a call ends, refused packets are logged with a hint to use media_sources. With latch: strict, which ignores
// media_sources, the log says instead that only the address in the SDP is accepted.
func TestRefusedAtTheEnd(t *testing.T) {
	for latch, want := range map[string]string{
		"auto":   "rtp not accepted: its address is neither in the SDP nor that of the SIP; see media_sources",
		"strict": "rtp not accepted: with latch strict, only the address and port in the SDP are",
	} {
		var log logged
		inWorldOf(t, talkYAML("media: {latch: "+latch+"}", ""), func(o *b2bua.Options) { o.Log = zerolog.New(&log) }, func(w *world) {
			c := w.talk(nil, nil)
			w.relay.sessions[0].stats.A = media.SideStats{
				Dropped: media.Drops{WrongSource: 150}, DroppedTotal: 150, Refused: netip.MustParseAddrPort("198.51.100.9:7000"),
			}
			c.hangsUp()
			synctest.Wait()
			if f := log.line(t, want); f == nil || f["side"] != "a" || f["dropped"] != 150.0 || f["refused"] != "198.51.100.9:7000" {
				t.Errorf("latch %s: got %v", latch, f)
			}
		})
	}
}

// If a target gives a host name instead of an address, its RTP is expected from the source of its SIP. If no RTP comes,
// the log names the host.
func TestOneWayAudioOfAHostName(t *testing.T) {
	var log logged
	inWorldOf(t, talkYAML("", ""), func(o *b2bua.Options) { o.Log = zerolog.New(&log) }, func(w *world) {
		c := w.talk(nil, nil)
		c.agent.changes("INVITE", siptest.SessionAt("agent.example", 30000, "0 101"), "200")
		w.relay.sessions[0].onEvent(media.EventOneWay{Side: media.SideB})
		synctest.Wait()
		if f := log.line(t, "one-way audio"); f["expected"] != "agent.example:30000" {
			t.Errorf("got %v", f)
		}
		c.hangsUp()
	})
}

func TestNoMediaEndsBothLegs(t *testing.T) {
	inTalkThatEnds(t, media.EventSilent{Since: 30 * time.Second, Never: true}, cause.NoMedia)
	inTalkThatEnds(t, media.EventSilent{Since: 30 * time.Second}, cause.MediaTimeout)
}

// A side with ICE that gives no sign of life ends the call.
func TestSideGoneEndsBothLegs(t *testing.T) {
	inTalkThatEnds(t, media.EventGone{Side: media.SideA}, cause.ConsentExpired)
	inTalkThatEnds(t, media.EventGone{Side: media.SideB}, cause.ConsentExpired)
}

// If neither an ACK nor media came after the 200, the missing ACK is the cause of the end: both may have the same
// reason.
func TestNoMediaWithoutACK(t *testing.T) {
	tell(t, testConfig, `
== no media, and no ACK
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; takes
carrier: gets 200 ; hears nothing for 30s
agent: gets BYE | Reason: ~no_ack ; says 200
record: answered no_ack system
carrier: drains 2s ; gets BYE | Reason: ~no_ack ; says 200`)
}

func inTalkThatEnds(t *testing.T, e media.Event, cause cause.Cause) {
	t.Helper()
	inWorldWith(t, talkYAML("", ""), func(w *world) {
		w.talk(nil, nil)
		w.relay.sessions[0].onEvent(e)
		w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
		bye := w.agent.expect("BYE")
		if got := bye.value("Reason"); !strings.Contains(got, "cause=102") || !strings.Contains(got, string(cause)) {
			t.Errorf("Reason %q; want 102 and %s", got, cause)
		}
		w.agent.reply(bye, 200, "OK", "", "")
		if r := w.wantRecord("answered", cause, record.EndedBySystem); r.Media.OneWay != "" {
			t.Errorf("one_way %q where nobody was heard", r.Media.OneWay)
		}
	})
}

// A side that falls silent after its re-INVITE is told of while the call is up, and has its times in the record.
func TestSilentAudio(t *testing.T) {
	var log logged
	inWorldOf(t, talkYAML("", ""), func(o *b2bua.Options) { o.Log = zerolog.New(&log) }, func(w *world) {
		c := w.talk(nil, nil)
		s := w.relay.sessions[0]
		s.measures(func(st *media.Stats) { st.A.MOS, st.B.MOS, st.B.RxPackets = 4.4, 4.4, 400 })
		time.Sleep(8 * time.Second)
		c.agent.changes("INVITE", siptest.SessionAt("192.0.2.21", 30002, "0 101"), "200")
		from := time.Now().Add(-20 * time.Millisecond)
		time.Sleep(5 * time.Second)
		s.quiet.Silences[media.SideB] = []media.Silence{{From: from}}
		s.measures(func(st *media.Stats) { st.B.Silences = 1 })
		s.onEvent(media.EventSideSilent{Side: media.SideB, For: time.Since(from)})
		synctest.Wait()
		if f := log.line(t, "side fell silent in mid-call"); f["level"] != "warn" || f["side"] != "b" || f["after"] != "reinvite_b" || f["expected"] != "192.0.2.21:30002" {
			t.Errorf("got %v", f)
		}
		live := w.server.Live(w.t.Context())[0].Record
		if m := live.Media; len(m.Silences) != 1 || m.Silences[0].ToMS != nil || m.MOS != 0 || m.B.MOS != 4.4 {
			t.Errorf("live: %+v", m)
		}
		if got := record.ProblemsOf(&live); len(got) != 1 || got[0] != "silent" {
			t.Errorf("problems of the live call: %v", got)
		}
		time.Sleep(5 * time.Second)
		s.quiet.Silences[media.SideB][0].To = time.Now()
		s.quiet.Both = 4 * time.Second
		s.onEvent(media.EventSideSilent{Side: media.SideB, For: 10 * time.Second, Over: true})
		synctest.Wait()
		if log.line(t, "side heard again after a silence") == nil {
			t.Error("the end of the silence is not told")
		}
		w.callerHangsUp(c.d)
		r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
		want := record.Silence{Side: "b", FromMS: from.Sub(r.AnsweredAt.Time).Milliseconds(), After: "reinvite_b"}
		if len(r.Media.Silences) != 1 || r.Media.Silences[0].ToMS == nil || *r.Media.Silences[0].ToMS < want.FromMS+10_000 || r.Media.NoRTPMS != 4000 {
			t.Fatalf("got %+v", r.Media)
		}
		r.Media.Silences[0].ToMS = nil
		if got := r.Media.Silences[0]; got != want || got.FromMS < 7900 || got.FromMS > 8100 {
			t.Errorf("got %+v; want %+v", got, want)
		}
		if got := strings.Join(record.ProblemsOf(&r), " "); got != "silent dead-air" {
			t.Errorf("problems: %s", got)
		}
	})
}

// The record has what the media has measured of the conversation: how long each side waited for the other one.
func TestTurnsAreRecorded(t *testing.T) {
	inWorld(t, func(w *world) {
		d, _ := w.established()
		ms := time.Millisecond
		w.session().talk = &turns.Figures{
			Confidence: turns.Good, BargeIns: 1,
			Latency:  turns.Spread{N: 2, P50: 700 * ms, P95: 900 * ms, Max: 900 * ms, Values: []uint16{700, 900}},
			Reaction: turns.Spread{N: 1, P50: 200 * ms, P95: 200 * ms, Max: 200 * ms, Values: []uint16{200}},
		}
		w.callerHangsUp(d)
		r := w.record()
		want := [2]*record.Durations{
			{N: 2, P50: 700, P95: 900, Max: 900, Values: []uint16{700, 900}}, {N: 1, P50: 200, P95: 200, Max: 200, Values: []uint16{200}},
		}
		if r.Talk == nil || !reflect.DeepEqual([2]*record.Durations{r.Talk.Turns, r.Talk.BargeIns}, want) {
			t.Errorf("talk: %+v", r.Talk)
		}
	})
}

package b2bua

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/sdp"
	"flowbridge/internal/siptest"
	"flowbridge/media"
	"flowbridge/store/record"
)

// logged is a log that a test reads.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// line is what was logged with this message, once.
func (l *logged) line(t *testing.T, message string) (fields map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for text := range strings.Lines(l.text.String()) {
		var f map[string]any
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatal(err)
		}
		if f["message"] != message {
			continue
		}
		if fields != nil {
			t.Fatalf("%q twice:\n%s", message, l.text.String())
		}
		fields = f
	}
	return fields
}

func TestOneWayAudio(t *testing.T) {
	var log logged
	inWorldOf(t, talkYAML("", ""), func(o *Options) { o.Log = zerolog.New(&log) }, func(w *world) {
		c := w.talk(nil, nil)
		s := w.relay.sessions[0]
		s.stats.B.Dropped = media.Drops{WrongSource: 150, Malformed: 2}
		s.stats.B.Refused = netip.MustParseAddrPort("198.51.100.9:7000")
		s.onEvent(media.EventOneWay{Side: media.SideB})
		synctest.Wait()
		f := log.line(t, "one-way audio")
		want := map[string]any{"wrong_source": 150.0, "malformed": 2.0}
		if f == nil || f["level"] != "warn" || f["side"] != "b" || f["expected"] != "192.0.2.20:30000" || f["refused"] != "198.51.100.9:7000" || !reflect.DeepEqual(f["dropped"], want) {
			t.Errorf("got %v", f)
		}
		if log.line(t, "heard after one-way audio") != nil {
			t.Error("heard already")
		}
		s.onEvent(media.EventHeard{Side: media.SideB})
		synctest.Wait()
		if f := log.line(t, "heard after one-way audio"); f == nil || f["side"] != "b" {
			t.Errorf("got %v", f)
		}
		w.callerHangsUp(c.d)
		if r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller); r.Media.OneWay != "b" {
			t.Errorf("one_way %q in the record; want b", r.Media.OneWay)
		}
	})
}

// What is not taken is named at the end, with what helps: with latch strict it is
// no list of addresses.
func TestRefusedAtTheEnd(t *testing.T) {
	for latch, want := range map[string]string{
		"auto":   "rtp not accepted: its address is neither in the SDP nor that of the SIP; see media_sources",
		"strict": "rtp not accepted: with latch strict, only the address and port in the SDP are",
	} {
		var log logged
		inWorldOf(t, talkYAML("media: {latch: "+latch+"}", ""), func(o *Options) { o.Log = zerolog.New(&log) }, func(w *world) {
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

// A target may name itself where it should give an address: then its RTP is
// expected from where its SIP comes from, and the name is what helps.
func TestOneWayAudioOfAHostName(t *testing.T) {
	var log logged
	inWorldOf(t, talkYAML("", ""), func(o *Options) { o.Log = zerolog.New(&log) }, func(w *world) {
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

func TestMediaRecord(t *testing.T) {
	side := media.SideStats{
		RxPackets: 1, TxPackets: 2, Lost: 3, Bursts: 4, Duplicates: 5, Reordered: 6, SSRCChanges: 7, DroppedTotal: 8,
		Dropped: media.Drops{WrongSource: 8}, JitterMS: 1.5, RTT: 12345678 * time.Nanosecond, MOS: 4.3456,
	}
	want := record.MediaSide{
		Rx: 1, Tx: 2, Lost: 3, Bursts: 4, Duplicates: 5, Reordered: 6, SSRCChanges: 7, Dropped: 8,
		DroppedBy: record.DroppedBy{WrongSource: 8}, JitterMS: 1.5, RTT: 12.346, MOS: 4.35,
	}
	c := &Call{}
	d, err := sdp.Parse([]byte(siptest.SessionAt("192.0.2.10", 20000, "8")))
	if err != nil {
		t.Fatal(err)
	}
	c.agreement.Description[media.SideB], c.agreement.Codec[media.SideB] = d, sdp.PCMA
	side.Source = netip.MustParseAddrPort("192.0.2.10:7000")
	want.Codec, want.Expected, want.Source = "PCMA", "192.0.2.10:20000", "192.0.2.10:7000"
	side.Refused = netip.MustParseAddrPort("198.51.100.9:7000")
	want.Refused = "198.51.100.9:7000"
	if got := c.media.sideRecord(media.SideB, side, &c.agreement); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
	for _, tt := range []struct{ a, b, want float64 }{{0, 0, 0}, {4.1, 0, 4.1}, {0, 4.1, 4.1}, {4.1, 3.2, 3.2}, {3.2, 4.1, 3.2}} {
		got := (&callMedia{}).record(media.Stats{A: media.SideStats{MOS: tt.a}, B: media.SideStats{MOS: tt.b}}, &agreement.Agreement{})
		if float64(got.MOS) != tt.want {
			t.Errorf("MOS %v and %v: got %v; want %v", tt.a, tt.b, got.MOS, tt.want)
		}
	}
}

// Each reason for which the media drops packets has its name in the record.
func TestEveryDropIsNamed(t *testing.T) {
	var d media.Drops
	v := reflect.ValueOf(&d).Elem()
	var want float64
	for i := range v.NumField() {
		v.Field(i).SetUint(1 << i)
		want += float64(int(1) << i)
	}
	text, err := json.Marshal(droppedBy(d))
	if err != nil {
		t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	var got float64
	for _, n := range record {
		got += n.(float64)
	}
	if got != want || len(record) != v.NumField() {
		t.Errorf("the record has %v; want %d reasons", record, v.NumField())
	}
}

package stage

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// owner is told of keys.
type owner struct {
	Session
	pressed func(digit byte, d time.Duration)
}

func (o owner) Pressed(_ Side, digit byte, d time.Duration) { o.pressed(digit, d) }

// heardBy returns a listener and what it reports.
func heardBy(c TelephoneEvents) (*listener, *[]string) {
	var got []string
	l := &listener{way: &way{session: owner{pressed: func(d byte, t time.Duration) { got = append(got, fmt.Sprintf("%c %v", d, t)) }}}}
	l.set(c)
	return l, &got
}

// expire attends to a listener that is due.
func expire(l *listener, now time.Duration) {
	if l.due() <= now {
		l.attend(now)
	}
}

func TestListener(t *testing.T) {
	const ms = time.Millisecond
	type step struct {
		at    time.Duration
		ts    uint32
		code  uint8
		units uint16
		flags string // m: marker, e: end, o: of another SSRC
	}
	for _, tt := range []struct {
		name  string
		steps []step
		want  []string
	}{
		{"a digit", []step{{0, 160, 5, 160, "m"}, {20 * ms, 160, 5, 320, ""}, {40 * ms, 160, 5, 320, "e"}}, []string{"5 40ms"}},
		{"its end three times", []step{{0, 160, 5, 160, "m"}, {0, 160, 5, 800, "e"}, {0, 160, 5, 800, "e"}, {0, 160, 5, 800, "e"}}, []string{"5 100ms"}},
		{"only the end came", []step{{0, 160, 10, 800, "e"}, {0, 160, 10, 800, "e"}}, []string{"* 100ms"}},
		{"an update behind the end", []step{{0, 160, 5, 160, "m"}, {0, 160, 5, 480, "e"}, {0, 160, 5, 320, ""}}, []string{"5 60ms"}},
		{"the first packet last", []step{{0, 160, 5, 480, "e"}, {0, 160, 5, 160, "m"}, {3 * time.Second, 0, 0, 0, "expire"}}, []string{"5 60ms"}},
		{"updates reordered", []step{{0, 160, 5, 480, ""}, {0, 160, 5, 320, ""}, {0, 160, 5, 400, "e"}}, []string{"5 60ms"}},
		{"the end is lost, another follows", []step{
			{0, 160, 1, 160, "m"}, {20 * ms, 160, 1, 640, ""}, {200 * ms, 1760, 2, 160, "m"}, {220 * ms, 1760, 2, 320, "e"}, {220 * ms, 160, 1, 800, "e"},
		}, []string{"1 80ms", "2 40ms"}},
		{"the same key again, every end lost", []step{
			{0, 160, 1, 160, "m"}, {100 * ms, 960, 1, 160, "m"}, {200 * ms, 1760, 1, 160, "m"}, {1200 * ms, 0, 0, 0, "expire"},
		}, []string{"1 20ms", "1 20ms", "1 20ms"}},
		{"the end is lost, and where the next one begins", []step{
			{0, 160, 1, 160, "m"}, {20 * ms, 160, 1, 640, ""}, {200 * ms, 1760, 2, 320, ""}, {220 * ms, 1760, 2, 480, "e"},
		}, []string{"1 80ms", "2 60ms"}},
		{"nothing follows", []step{{0, 160, 9, 160, "m"}, {20 * ms, 160, 9, 320, ""}, {1020 * ms, 0, 0, 0, "expire"}}, []string{"9 40ms"}},
		{"not yet over", []step{{0, 160, 9, 160, "m"}, {20 * ms, 160, 9, 320, ""}, {1020*ms - 1, 0, 0, 0, "expire"}}, nil},
		{"over, and then it goes on", []step{{0, 160, 9, 160, "m"}, {time.Second, 0, 0, 0, "expire"}, {2 * time.Second, 160, 9, 800, "e"}}, []string{"9 20ms"}},
		{"zeros", []step{{0, 0, 0, 0, "e"}}, []string{"0 0s"}},
		{"two with the same time", []step{{0, 160, 1, 160, "e"}, {0, 160, 2, 160, "e"}, {0, 160, 1, 160, "e"}}, []string{"1 20ms", "2 20ms"}},
		{"another source's time is another's", []step{{0, 160, 1, 160, "e"}, {0, 160, 1, 160, "eo"}, {0, 160, 1, 160, "e"}}, []string{"1 20ms", "1 20ms"}},
		{"two overtake each other", []step{{0, 1760, 2, 160, "m"}, {0, 160, 1, 160, "m"}, {0, 1760, 2, 320, "e"}, {0, 160, 1, 320, "e"}}, []string{"2 20ms", "1 40ms"}},
		{"a long one in two segments", []step{
			{0, 160, 3, 160, "m"}, {8 * time.Second, 160, 3, 64000, ""}, {8 * time.Second, 64160, 3, 160, ""}, {8 * time.Second, 160, 3, 64000, ""}, {9 * time.Second, 64160, 3, 8000, "e"},
		}, []string{"3 9s"}},
		{"no segment but another with the marker", []step{{0, 160, 3, 800, "m"}, {8 * time.Second, 960, 3, 160, "me"}}, []string{"3 100ms", "3 20ms"}},
		{"a hook flash ends a digit and is none", []step{{0, 160, 4, 160, "m"}, {0, 960, 16, 160, "m"}, {0, 960, 16, 160, "e"}}, []string{"4 20ms"}},
		{"the time wraps", []step{{0, 1<<32 - 80, 4, 160, "m"}, {0, 1<<32 - 80, 4, 320, "e"}, {0, 720, 4, 160, "e"}}, []string{"4 40ms", "4 20ms"}},
	} {
		l, got := heardBy(TelephoneEvents{On: true})
		for _, s := range tt.steps {
			if s.flags == "expire" {
				expire(l, s.at)
				continue
			}
			id, e := packet.EventID{SSRC: 1, Timestamp: s.ts, Code: s.code}, packet.Event{Code: s.code, Duration: s.units}
			first := false
			for _, f := range s.flags {
				switch f {
				case 'm':
					first = true
				case 'e':
					e.End = true
				case 'o':
					id.SSRC = 2
				}
			}
			l.follow(id, e, first, s.at)
		}
		if !slices.Equal(*got, tt.want) {
			t.Errorf("%s: got %q; want %q", tt.name, *got, tt.want)
		}
	}
}

func TestListenerTurnedOff(t *testing.T) {
	on := TelephoneEvents{On: true, PayloadType: 101, ClockRate: 16000}
	id := packet.EventID{SSRC: 1, Timestamp: 160, Code: 7}
	l, got := heardBy(on)
	l.follow(id, packet.Event{Code: 7, Duration: 1600}, true, 0)
	l.set(on)
	if len(*got) != 0 {
		t.Errorf("set again: got %q; want nothing yet", *got)
	}
	l.set(TelephoneEvents{})
	l.set(on)
	l.follow(id, packet.Event{Code: 7, Duration: 1600, End: true}, false, 0)
	if want := []string{"7 100ms"}; !slices.Equal(*got, want) {
		t.Errorf("got %q; want %q", *got, want)
	}
}

// TestListenerDiverts: keys that only we are to have do not pass, and nor does a packet of their number that is no event.
func TestListenerDiverts(t *testing.T) {
	l, got := heardBy(TelephoneEvents{On: true, PayloadType: 101, ClockRate: 8000, Divert: true})
	l.way.session = &edges{}
	for _, tt := range []struct {
		payload []byte
		want    Verdict
	}{
		{[]byte{5, 10, 0, 160}, Diverted}, {[]byte{5, 10}, Diverted}, {[]byte{16, 10, 0, 160}, Relay},
	} {
		pkt := rtpOf(101, 1, 160, tt.payload)
		h, _ := packet.ParseRTP(pkt)
		if v := l.packet(&Packet{Header: h, Data: pkt}); v != tt.want {
			t.Errorf("% x: verdict %v; want %v", tt.payload, v, tt.want)
		}
	}
	if len(*got) != 0 {
		t.Errorf("keys %q before their end", *got)
	}
}

func TestListenerBoundsWhatItReports(t *testing.T) {
	l, got := heardBy(TelephoneEvents{On: true})
	for i := range uint32(10 * digitsPerSecond) {
		l.follow(packet.EventID{Timestamp: i}, packet.Event{End: true}, true, 5*time.Second)
	}
	if len(*got) != digitsPerSecond {
		t.Errorf("%d in an instant; want %d", len(*got), digitsPerSecond)
	}
	l.follow(packet.EventID{Timestamp: 1 << 20}, packet.Event{End: true}, true, 6*time.Second)
	if len(*got) != digitsPerSecond+1 {
		t.Errorf("%d a second later; want one more", len(*got))
	}
}

func FuzzTelephoneEvent(f *testing.F) {
	f.Add([]byte("\x80\xe5\x00\x07\x00\x00\x00\xa0\xde\xad\xbe\xef\x05\x8a\x03\x20"))
	f.Add([]byte("\xb1\x65\x00\x07\x00\x00\x00\xa0\xde\xad\xbe\xefcsrc\xbe\xde\x00\x01word\x05\x0a\x03\x20\x00\x02"))
	f.Add([]byte("\x80\x65\x00\x07\x00\x00\x00\xa0\xde\xad\xbe\xef\x05\x8a\x03"))
	f.Fuzz(func(t *testing.T, pkt []byte) {
		if _, ok := packet.ParseRTP(pkt); !ok {
			return
		}
		payload := packet.Payload(pkt)
		var p rtp.Packet
		if err := p.Unmarshal(pkt); err == nil && string(p.Payload) != string(payload) {
			t.Errorf("payload % x; want % x", payload, p.Payload)
		}
		e, ok := packet.ParseEvent(payload)
		if ok != (len(payload) >= packet.EventLen) {
			t.Fatalf("%d bytes of payload: %v", len(payload), ok)
		}
		if !ok {
			return
		}
		var again [packet.EventLen]byte
		e.Put(again[:])
		if want := [packet.EventLen]byte{payload[0], payload[1] &^ 0x40, payload[2], payload[3]}; again != want {
			t.Errorf("written % x; want % x", again, want)
		}
		digit, isDigit := e.Digit()
		if code, ok := packet.DigitCode(digit); isDigit && (!ok || code != e.Code) {
			t.Errorf("%c: code %d; want %d", digit, code, e.Code)
		}
	})
}

// FuzzListener has any sequence of packets of few events; each is reported at
// most once, and each that ended at least once.
func FuzzListener(f *testing.F) {
	f.Add([]byte("\x01\x00\x81\x01\x81\x02\x02\x00\x82\x01"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		reported, ended := map[uint8]int{}, map[uint8]bool{}
		l := &listener{}
		l.way = &way{session: owner{pressed: func(byte, time.Duration) { reported[l.current.Code]++ }}}
		l.set(TelephoneEvents{On: true})
		var now time.Duration
		for ; len(steps) >= 2; steps = steps[2:] {
			code := steps[0] & 7 // no more events than are remembered
			e := packet.Event{Code: code, End: steps[0]&0x80 != 0, Duration: binary.BigEndian.Uint16(steps)}
			now += time.Duration(steps[1]) * 10 * time.Millisecond
			expire(l, now)
			l.follow(packet.EventID{Timestamp: uint32(code) << 20, Code: code}, e, steps[0]&0x40 != 0, now)
			ended[code] = ended[code] || e.End
		}
		expire(l, now+time.Hour)
		for code, n := range reported {
			if n > 1 {
				t.Errorf("event %d reported %d times", code, n)
			}
			delete(ended, code)
		}
		if len(ended) != 0 {
			t.Errorf("not reported: %v", ended)
		}
	})
}

// A key that is pressed during a hand-over of several seconds is one key, with all of its length.
func TestKeyOverALongHandOver(t *testing.T) {
	l, _ := heardBy(TelephoneEvents{On: true, PayloadType: 101})
	event := packet.EventID{Timestamp: 160, Code: 5}
	l.follow(event, packet.Event{Code: 5, Duration: 160}, true, time.Second)
	var st SideState
	l.save(&st, stream.Clock{Now: time.Second, Epoch: time.Minute})

	next, got := heardBy(TelephoneEvents{On: true, PayloadType: 101})
	const now = 5 * time.Second
	next.restore(&st, stream.Clock{Now: now, Epoch: time.Minute})
	expire(next, now)
	next.follow(event, packet.Event{Code: 5, Duration: 480, End: true}, false, now)
	if !slices.Equal(*got, []string{"5 60ms"}) {
		t.Errorf("got the keys %q; want 5 of 60 ms", *got)
	}
}

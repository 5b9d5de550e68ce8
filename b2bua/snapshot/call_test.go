package snapshot

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

func sample(t testing.TB) *Call {
	t.Helper()
	d, err := sdp.Parse([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 0 111 101\r\n" +
		"a=rtpmap:111 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendonly\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return &Call{
		ID: "01a2", Trunk: "trunk carrier", Source: message.KeptAddr{AddrPort: netip.MustParseAddrPort("192.0.2.10:5060")}, Invite: Invite{Text: "INVITE \xff SIP/2.0\r\n\r\n"}, Route: Route{Place: 1}, Times: Times{Answered: 2},
		Legs: []Leg{{Role: RoleCaller, State: leg.State{UAS: true, OK: message.Kept{Text: []byte{1, 2}}}, Confirmed: true}},
		Bridge: Bridge{Agreement: agreement.State{
			Described: []sdp.DescriptionState{d.State()}, SentTo: [2]sdp.FormatStates{d.Formats()},
			Codec: [2]sdp.CodecState{sdp.CodecState(sdp.PCMU), sdp.CodecState(sdp.PCMA)},
		}, Session: &media.SessionState{Kept: true}},
	}
}

// A call's state is the same after it is written and read, and so are its parts.
func TestEncode(t *testing.T) {
	c := sample(t)
	text, err := (&Sheet{Call: *c}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(text)
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Fatalf("%v:\n got %+v\nwant %+v", err, got, c)
	}
	d := sdp.RestoreDescription(&got.Bridge.Agreement.Described[0])
	if s := d.State(); !reflect.DeepEqual(s, c.Bridge.Agreement.Described[0]) || !d.Held() || len(d.Formats()) != 3 || d.Formats()[1].Clock != 48000 {
		t.Errorf("described again %+v; want %+v, held, three formats", s, c.Bridge.Agreement.Described[0])
	}
	if k := got.Bridge.Agreement.Codec; sdp.Codec(k[0]) != sdp.PCMU || sdp.Codec(k[1]) != sdp.PCMA {
		t.Errorf("codecs %v; want PCMU and PCMA", k)
	}
	if _, err := Decode(nil); err == nil {
		t.Error("nothing was read as a call")
	}
	if _, err := Decode(text[1:]); !errors.Is(err, ErrFormat) { // written by a version without formats
		t.Errorf("%v; want %v", err, ErrFormat)
	}
}

// TestFormatOfTranscoded: the state of a call with a transcoder has a new format, so that version 1.0.0 refuses it
// instead of misreading it. All other states have the format of 1.0.0.
func TestFormatOfTranscoded(t *testing.T) {
	opus, err := sdp.Parse([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n" +
		"m=audio 20000 RTP/AVP 30\r\na=rtpmap:30 opus/48000/2\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(c *Call)
		want   byte
	}{
		"none":     {func(*Call) {}, 3},
		"Opus":     {func(c *Call) { c.Bridge.Agreement.Described[0] = opus.State() }, 3},
		"a side":   {func(c *Call) { c.Bridge.Agreement.Described[0] = opus.Inside(sdp.PCMU).State() }, 4},
		"an offer": {func(c *Call) { c.Bridge.Agreement.SentTo[1] = opus.Inside(sdp.PCMU).Formats() }, 4},
		"who waits": {func(c *Call) {
			c.Replacement = &Replacement{Waiting: &Waiting{Description: opus.Inside(sdp.PCMA).State()}}
		}, 4},
		"a statement": {func(c *Call) { c.Customer.Telling = &Telling{Stage: Tells} }, 5},
	} {
		c := sample(t)
		tt.change(c)
		text, err := (&Sheet{Call: *c}).Encode()
		if err != nil || text[0] != tt.want {
			t.Errorf("%s: format %d, %v; want %d", name, text[0], err, tt.want)
		}
		if got, err := Decode(text); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%s: %v:\n got %+v\nwant %+v", name, err, got, c)
		}
		text[0] = 6
		if _, err := Decode(text); !errors.Is(err, ErrFormat) {
			t.Errorf("%s of a later version: %v", name, err)
		}
	}
}

// FuzzDecode checks that any input is either refused or gives a state from which a call's parts can be made.
func FuzzDecode(f *testing.F) {
	text, err := (&Sheet{Call: *sample(f)}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte{Format, 0xa1, 0x01, 0x61, 'x'})
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Decode(text)
		if err != nil {
			return
		}
		for i := range c.Bridge.Agreement.Described {
			d := sdp.RestoreDescription(&c.Bridge.Agreement.Described[i])
			d.Speaks()
			d.State()
		}
		if _, err := (&Sheet{Call: *c}).Encode(); err != nil {
			t.Errorf("it can't be written again: %v", err)
		}
	})
}

// fill sets every field in v to a different value.
func fill(t *testing.T, v reflect.Value, next *uint64) {
	t.Helper()
	*next++
	switch at := v.Addr().Interface().(type) {
	case *netip.AddrPort:
		*at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(*next)}), uint16(*next))
		if *next%2 == 0 {
			*at = netip.AddrPortFrom(netip.MustParseAddr("fe80::1%a-zone-of-some-length"), uint16(*next))
		}
		return
	case *netip.Addr:
		*at = netip.AddrFrom4([4]byte{192, 0, 2, byte(*next)})
		return
	case *message.Kept:
		at.Text = []byte(fmt.Sprint("INVITE \xff", *next))
		return
	case *sdp.FormatStates:
		*at = sample(t).Bridge.Agreement.SentTo[0][:1+*next%3]
		return
	case *sdp.CodecState:
		*at = sdp.CodecState(sdp.PCMA)
		return
	case *netip.Prefix:
		*at = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(*next)}), 24)
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(strings.Repeat("\xff", int(*next*7)%300) + fmt.Sprint(*next))
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*next) * (1 - 2*int64(*next%2)) << (*next % 50) >> (64 - v.Type().Bits()))
		if v.IsZero() {
			v.SetInt(-1)
		}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1<<(*next%uint64(v.Type().Bits())) | 1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), next)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), next)
		}
	case reflect.Struct:
		for f, of := range v.Fields() {
			if f.Tag.Get("cbor") != "-" {
				fill(t, of, next)
			}
		}
	default:
		t.Fatalf("a %v", v.Type())
	}
}

// All fields of a state are the same after the state is written and read.
func TestEncodeAll(t *testing.T) {
	for n := range uint64(70) {
		want := &Call{}
		fill(t, reflect.ValueOf(want).Elem(), &n)
		text, err := (&Sheet{Call: *want}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v:\n got %+v\nwant %+v", err, got, want)
		}
	}
}

// For the encoding library, types with their own encoding are text or bytes.
func TestForms(t *testing.T) {
	type fields map[int]any
	text, err := cbor.Marshal(fields{
		1: "01a2", 3: "192.0.2.10:5060",
		13: []fields{{2: fields{3: fields{2: "[2001:db8::1]:5060"}, 4: fields{11: "", 13: "192.0.2.1"}, 17: []byte("SIP/2.0\xff")}, 5: "192.0.2.10:5061"}},
		14: fields{2: fields{8: "192.0.2.20:5060", 10: "192.0.2.2"}},
		19: fields{3: fields{1: [2]string{"192.0.2.1", ""}}, 1: fields{1: []fields{{5: "PCMU\x1f8000\x1f\x1f\x1f\x00\x00\x00\x1e", 8: "192.0.2.10:20000"}}, 5: [2]string{"", "no format"}, 7: [2]string{"PCMA\x1f8000\x1f\x1f", ""}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	addr := func(text string) message.KeptAddr { return message.KeptAddr{AddrPort: netip.MustParseAddrPort(text)} }
	want := &Call{
		ID: "01a2", Source: addr("192.0.2.10:5060"),
		Legs: []Leg{{State: leg.State{
			Local:  leg.LocalState{Listen: addr("[2001:db8::1]:5060")},
			Dialog: leg.DialogState{Own: netip.MustParseAddr("192.0.2.1")}, OK: message.Kept{Text: []byte("SIP/2.0\xff")},
		}, From: addr("192.0.2.10:5061")}},
		Attempts: Attempts{Current: &Attempt{Dest: addr("192.0.2.20:5060"), MediaName: netip.MustParseAddr("192.0.2.2")}},
		Bridge: Bridge{Agreement: agreement.State{
			Described: []sdp.DescriptionState{{Formats: sdp.FormatStates{{Codec: sdp.PCMU}}, RTP: addr("192.0.2.10:20000")}},
			Codec:     [2]sdp.CodecState{sdp.CodecState(sdp.PCMA)},
		}, Media: Media{Addr: [2]netip.Addr{netip.MustParseAddr("192.0.2.1")}}},
	}
	got, err := Decode(append([]byte{Format}, text...))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v:\n got %+v\nwant %+v", err, got, want)
	}
	if text, err = (&Sheet{Call: *want}).Encode(); err != nil {
		t.Fatal(err)
	}
	var as fields
	if err := cbor.Unmarshal(text[1:], &as); err != nil || as[3] != "192.0.2.10:5060" {
		t.Errorf("%v: %v", err, as)
	}
}

// Zero elements of a list keep their positions among other elements.
func TestEncodeZeroes(t *testing.T) {
	want := &Call{
		ID: "a", Legs: []Leg{{}, {}}, Bridge: Bridge{
			Sounds: Sounds{Voices: [2]*Voice{nil, {}}}, Media: Media{Addr: [2]netip.Addr{{}, netip.IPv6Loopback()}},
			Session: &media.SessionState{Sides: [2]media.SideState{1: {Early: -1}}},
		},
	}
	text, err := (&Sheet{Call: *want}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Decode(text); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v:\n got %+v\nwant %+v", err, got, want)
	}
}

// The machine's uptime shows by how much the wall clock was changed, but only on the same machine and without a restart
// of it.
func TestRebase(t *testing.T) {
	for name, tt := range map[string]struct {
		noted, boot uint64
		uptime      time.Duration
		want        leg.Instant
	}{
		"the same start":      {1, 1, 110, 40 + 900 - 10},
		"another start":       {1, 2, 110, 40},
		"unknown then":        {0, 1, 110, 40},
		"unknown now":         {1, 0, 110, 40},
		"both unknown":        {0, 0, 110, 40},
		"time that runs back": {1, 1, 90, 40},
	} {
		c := Call{Times: Times{Started: 40}}
		c.Note(100, func() (time.Duration, uint64) { return 100, tt.noted })
		c.Rebase(1000, func() (time.Duration, uint64) { return tt.uptime, tt.boot })
		if c.Times.Started != tt.want {
			t.Errorf("%s: %d; want %d", name, c.Times.Started, tt.want)
		}
	}
}

// instants returns all Instants of a state, by their place in its printed form.
func instants(c *Call) map[string]leg.Instant {
	all := map[string]leg.Instant{}
	var look func(at string, v reflect.Value)
	look = func(at string, v reflect.Value) {
		switch {
		case v.Type() == reflect.TypeFor[leg.Instant]():
			all[at] = leg.Instant(v.Int())
		case v.Kind() == reflect.Pointer && !v.IsNil():
			look(at, v.Elem())
		case v.Kind() == reflect.Slice || v.Kind() == reflect.Array:
			for i := range v.Len() {
				look(fmt.Sprint(at, "[", i, "]"), v.Index(i))
			}
		case v.Kind() == reflect.Struct:
			for f, of := range v.Fields() {
				look(at+"."+f.Name, of)
			}
		}
	}
	look("", reflect.ValueOf(c).Elem())
	return all
}

// TestRebaseMovesAllInstants: a time that a feature adds to the state is moved like all others, and nothing else is.
func TestRebaseMovesAllInstants(t *testing.T) {
	n := uint64(0)
	c, other := &Call{}, &Call{}
	fill(t, reflect.ValueOf(c).Elem(), &n)
	n = 0
	fill(t, reflect.ValueOf(other).Elem(), &n)
	c.Noted.Boot, other.Noted.Boot = 1, 1
	c.Rebase(c.Noted.At+1000, func() (time.Duration, uint64) { return c.Noted.Uptime, 1 })
	before, after := instants(other), instants(c)
	for _, place := range []string{".Times.Until", ".Attempts.Current.Started", ".Legs[1].State.Timer.Expire"} {
		if _, is := before[place]; !is {
			t.Errorf("%s is not an Instant", place)
		}
	}
	for place, at := range before {
		if after[place] != at+1000 {
			t.Errorf("%s has moved by %d; want 1000", place, after[place]-at)
		}
	}
	move(reflect.ValueOf(c).Elem(), -1000)
	if !reflect.DeepEqual(c, other) {
		t.Errorf("more than Instants has changed:\n got %+v\nwant %+v", c, other)
	}
}

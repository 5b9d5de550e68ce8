package kept

import (
	"reflect"
	"testing"

	"flowbridge/b2bua/leg"
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
		ID: "01a2", Trunk: "trunk carrier", Source: "192.0.2.10:5060", Invite: "INVITE \xff SIP/2.0\r\n\r\n", Route: 1, Answered: 2,
		Legs: []Leg{{Role: RoleCaller, State: leg.State{UAS: true, OK: []byte{1, 2}}, Confirmed: true}},
		Agreement: Agreement{
			Described: []sdp.DescriptionState{d.State()}, SentTo: [2]sdp.FormatStates{sdp.StateOfFormats(d.Formats())},
			Codec: [2]sdp.CodecState{sdp.PCMU.State(), sdp.PCMA.State()},
		},
		Media: &media.SessionState{Kept: true},
	}
}

// A state is read as it was written, and what it describes is as it was.
func TestEncode(t *testing.T) {
	c := sample(t)
	text, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(text)
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Fatalf("%v:\n got %+v\nwant %+v", err, got, c)
	}
	d := sdp.RestoreDescription(&got.Agreement.Described[0])
	if s := d.State(); !reflect.DeepEqual(s, c.Agreement.Described[0]) || !d.Held() || len(d.Formats()) != 3 || d.Formats()[1].Clock != 48000 {
		t.Errorf("%+v", s)
	}
	if k := got.Agreement.Codec; k[0].Restore() != sdp.PCMU || k[1].Restore() != sdp.PCMA {
		t.Errorf("%q", k)
	}
	if _, err := Decode(nil); err == nil {
		t.Error("nothing was read as a call")
	}
}

// FuzzDecode: whatever a file has, it is no state or one whose parts can be made.
func FuzzDecode(f *testing.F) {
	text, err := sample(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte{0xa1, 0x01, 0x61, 'x'})
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Decode(text)
		if err != nil {
			return
		}
		for i := range c.Agreement.Described {
			d := sdp.RestoreDescription(&c.Agreement.Described[i])
			d.Speaks()
			d.State()
		}
		for side := range 2 {
			c.Agreement.SentTo[side].Restore()
			c.Agreement.Codec[side].Restore()
		}
		if _, err := c.Encode(); err != nil {
			t.Errorf("it can't be written again: %v", err)
		}
	})
}

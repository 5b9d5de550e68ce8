package sdp

import (
	"strings"
	"testing"

	"flowbridge/internal/siptest"
)

func TestInNumbersOfTheOtherSide(t *testing.T) {
	session := func(formats string, lines ...string) *Description {
		head := "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP " + formats + "\n"
		d, err := Parse(siptest.CRLF(head + strings.Join(append(lines, ""), "\n")))
		must(t, err)
		return d
	}
	const (
		te101, te96 = "a=rtpmap:101 telephone-event/8000", "a=rtpmap:96 telephone-event/8000"
		te48k       = "a=rtpmap:102 telephone-event/48000"
		opus111     = "a=rtpmap:111 opus/48000/2"
		opus96      = "a=rtpmap:96 opus/48000/2"
		fmtp96      = "a=fmtp:96 useinbandfec=1"
	)
	for _, tt := range []struct {
		name      string
		far, near *Description
		want      string // formats
		says      string // an attribute
	}{
		{"nothing to do", session("0 101", te101), session("0 8 101", te101), "0 101", "rtpmap 101 telephone-event/8000"},
		{"another number", session("0 96", te96), session("0 101", te101), "0 101", "rtpmap 101 telephone-event/8000"},
		{"its parameters go along", session("96", opus96, fmtp96), session("111", opus111), "111", "fmtp 111 useinbandfec=1"},
		{"a number that means something else", session("0 96", opus96), session("0 96", te96), "0 97", "rtpmap 97 opus/48000/2"},
		{"events of another clock are others", session("0 102", te48k), session("0 101", te101), "0 102", "rtpmap 102 telephone-event/48000"},
		{"the other law", session("8 101", te101), session("0 101", te101), "0 101", "rtpmap 0 PCMU/8000"},
		{"not where both have the same", session("8 0"), session("0"), "8 0", ""},
		{"the parameters of a static number that is taken", session("18", "a=fmtp:18 annexb=no"), session("18", "a=rtpmap:18 opus/48000/2"), "96", "fmtp 96 annexb=no"},
		{"a static number that is taken", session("0"), session("0", "a=rtpmap:0 opus/48000/2"), "96", "rtpmap 96 PCMU/8000"},
	} {
		got := tt.far.InNumbersOf(tt.near)
		if formats := numbersIn(got); formats != tt.want {
			t.Errorf("%s: %s; want %s", tt.name, formats, tt.want)
		}
		out := string(got.ForTarget(ourSideB, StreamTransport{}, got.Formats(), AsIs))
		if tt.says != "" && !strings.Contains(out, "a="+strings.Replace(tt.says, " ", ":", 1)+"\r\n") {
			t.Errorf("%s: no %q in\n%s", tt.name, tt.says, out)
		}
	}
}

// Added telephone-events are described once, whatever the text says of their number.
func TestAddedEvents(t *testing.T) {
	with := siptest.SessionAt("192.0.2.1", 4000, "0 101")
	d, err := Parse([]byte(strings.Replace(with, "RTP/AVP 0 101", "RTP/AVP 0", 1)))
	must(t, err)
	for name, events := range map[string]*Description{"of ours": d.WithEvents(nil), "of the other side": d.WithEvents(benchRead(t, []byte(with)))} {
		out := string(events.ForTarget(ourSideB, StreamTransport{}, events.Formats(), AsIs))
		if numbersIn(events) != "0 101" || strings.Count(out, "a=rtpmap:101 telephone-event/8000\r\n") != 1 || strings.Count(out, "a=fmtp:101 ") != 1 {
			t.Errorf("%s: %s\n%s", name, numbersIn(events), out)
		}
	}
}

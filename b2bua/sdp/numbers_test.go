package sdp

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"flowbridge/media"
	"flowbridge/sim/siptest"
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
		want      string // the formats that are offered
		says      string // an attribute that the text must have
	}{
		{"nothing to do", session("0 101", te101), session("0 8 101", te101), "0 101", "rtpmap 101 telephone-event/8000"},
		{"another number", session("0 96", te96), session("0 101", te101), "0 101", "rtpmap 101 telephone-event/8000"},
		{"its parameters go along", session("96", opus96, fmtp96), session("111", opus111), "111", "fmtp 111 useinbandfec=1"},
		{"a number that means something else", session("0 96", opus96), session("0 96", te96), "0 97", "rtpmap 97 opus/48000/2"},
		{"events of another clock", session("0 102", te48k), session("0 101", te101), "0 101", "rtpmap 101 telephone-event/8000"},
		{"the reverse", session("0 101", te101), session("0 102", te48k), "0 102", "rtpmap 102 telephone-event/48000"},
		{"events of a codec that this side lacks", session("0 101", te101), session("96 102", opus96, te48k), "0 101", "rtpmap 101 telephone-event/8000"},
		{"events for codecs of both clocks", session("96 0 102", opus96, te48k), session("0 101", te101), "96 0 101", "rtpmap 101 telephone-event/8000"},
		{"events of both clocks", session("0 101 102", te101, te48k), session("0 101", te101), "0 101 102", "rtpmap 102 telephone-event/48000"},
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

// If telephone-events are added to a description, they are described exactly once, whatever the text already says about
// their number.
func TestAddedEvents(t *testing.T) {
	with := siptest.SessionAt("192.0.2.1", 4000, "0 101")
	d, err := Parse([]byte(strings.Replace(with, "RTP/AVP 0 101", "RTP/AVP 0", 1)))
	must(t, err)
	ours, _ := d.OfferingEvents(d.Formats())
	for name, events := range map[string]*Description{"of ours": ours, "of the other side": d.WithEvents(benchRead(t, []byte(with)))} {
		out := string(events.ForTarget(ourSideB, StreamTransport{}, events.Formats(), AsIs))
		if numbersIn(events) != "0 101" || strings.Count(out, "a=rtpmap:101 telephone-event/8000\r\n") != 1 || strings.Count(out, "a=fmtp:101 ") != 1 {
			t.Errorf("%s: %s\n%s", name, numbersIn(events), out)
		}
	}
}

// Telephone-events and comfort noise get the clock rate of the codecs with which they are offered (RFC 4733 section
// 2.1).
func TestClocksOfWhatGoesBesideSpeech(t *testing.T) {
	offer := func(formats string) *Description {
		d, err := Parse(siptest.CRLF("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP " + formats + "\na=rtpmap:96 opus/48000/2\n" +
			"a=rtpmap:101 telephone-event/48000\na=rtpmap:102 telephone-event/8000\na=rtpmap:98 CN/16000\na=rtpmap:99 AMR-WB/16000\n"))
		must(t, err)
		return d
	}
	for _, tt := range []struct {
		codecs  []string
		formats string
		want    string
	}{
		{[]string{"PCMU"}, "96 0 101 102 13", "0 102 13"},
		{[]string{"OPUS"}, "96 0 101 102", "96 101"},
		{[]string{"OPUS", "PCMU"}, "96 0 101 102", "96 0 101 102"},
		{[]string{"OPUS"}, "96 0 102", "96 102"}, // many peers have only one kind, for the clock rate of their stream
		{[]string{"PCMU"}, "99 0 98 13", "0 13"},
	} {
		d := offer(tt.formats)
		_, formats, err := d.Offerable(tt.codecs)
		must(t, err)
		if got := numbersIn(d.with(formats)); got != tt.want {
			t.Errorf("%v of %s: %s; want %s", tt.codecs, tt.formats, got, tt.want)
		}
		if only := d.Only(formats[0].Codec, d.formats); len(tt.codecs) == 1 && numbersIn(only) != tt.want {
			t.Errorf("only %v of %s: %s; want %s", tt.codecs, tt.formats, numbersIn(only), tt.want)
		}
	}
	own, err := Synthetic([]string{"opus", "PCMU", "AMR-WB"})
	must(t, err)
	if got := numbersIn(own); got != "96 0 99 106 101 102" || own.formats[3].Clock != 48000 || own.formats[5].Clock != 16000 {
		t.Errorf("our own offer has %s: %+v", got, own.formats)
	}
	ours, _ := offer("96").OfferingEvents(offer("96").formats)
	for name, d := range map[string]*Description{"ours": ours, "theirs": offer("96").WithEvents(offer("0 102 101"))} {
		if f := d.formats[1]; f.Number != 101 || f.Clock != 48000 {
			t.Errorf("events of %s for opus are %+v", name, f)
		}
	}
	if change, _ := ChangeOf(offer("102").formats[0], offer("101").formats); change != (media.PayloadChange{From: 102, To: 101}) {
		t.Errorf("events of another clock are changed by %+v", change)
	}
}

// TestOfferedEvents: an offer without telephone-events gets some with the clock of each of its codecs, under numbers
// that nothing else has.
func TestOfferedEvents(t *testing.T) {
	for _, tt := range []struct{ formats, codecs, want string }{
		{"0", "PCMU", "0 101/8000"},
		{"0 8 9", "PCMU G722 PCMA", "0 8 9 101/8000"},
		{"96 0", "OPUS PCMU", "96 0 101/48000 97/8000"},
		{"96 0 99", "PCMU AMR-WB", "0 99 101/8000 97/16000"},
		{"103 0", "PCMU opus", "103 0 101/48000 96/8000"},
		{"0 102", "PCMU", "0 102/8000"},
		{"101", "SPEEX", "101 96/16000"},
		{"0", "opus", "0:96 101:101/8000"}, // Opus is made of PCMU
		{"96", "PCMU", "0 101/8000"},
	} {
		d, err := Parse(siptest.CRLF("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP " + tt.formats + "\na=rtpmap:96 opus/48000/2\n" +
			"a=rtpmap:101 speex/16000\na=rtpmap:103 opus/48000/2\na=rtpmap:102 telephone-event/8000\na=rtpmap:99 AMR-WB/16000\n"))
		must(t, err)
		codecs := strings.Fields(tt.codecs)
		offer, formats, err := d.Offerable(codecs)
		if err != nil {
			offer, formats, err = d.Transcodable(codecs)
		}
		must(t, err)
		offer, formats = offer.OfferingEvents(formats)
		var got []string
		for _, f := range formats {
			text := strconv.Itoa(int(f.Number))
			if f.IsStandIn() {
				text += ":" + strconv.Itoa(int(f.shown()))
			}
			if f.Events() {
				text += "/" + strconv.Itoa(int(f.Clock))
			}
			got = append(got, text)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s for %s: %s; want %s", tt.formats, tt.codecs, got, tt.want)
		}
		text := string(offer.ForTarget(ourSideB, StreamTransport{}, formats, AsIs))
		if again := benchRead(t, []byte(text)); len(again.formats) != len(formats) || !again.formats[len(formats)-1].Events() {
			t.Errorf("%s for %s is written as\n%s", tt.formats, tt.codecs, text)
		}
	}
}

// If only codecs with 8000 Hz are left, telephone-events of another clock are offered with 8000 Hz, because the target
// might not know others. Comfort noise of another clock is left out.
func TestOffersOf8000Hz(t *testing.T) {
	for _, tt := range []struct{ formats, offered, told string }{
		{"96 0 101", "0 101", "0 101"},
		{"8 101", "0 101", "8 101"},
		{"99 0 98 101", "0 101", "0 101"},
		{"96 0 101 103", "0 101", "0 101"},
		{"96 0 101 102", "0 102", "0 102"},
	} {
		d, err := Parse(siptest.CRLF("v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP " + tt.formats + "\na=rtpmap:96 opus/48000/2\n" +
			"a=rtpmap:101 telephone-event/48000\na=fmtp:101 0-16\na=rtpmap:102 telephone-event/8000\na=fmtp:102 0-16\n" +
			"a=rtpmap:103 telephone-event/16000\na=rtpmap:98 CN/16000\na=rtpmap:99 AMR-WB/16000\n"))
		must(t, err)
		offer, offered, err := d.Offerable([]string{"PCMU"})
		must(t, err)
		out := string(offer.ForTarget(ourSideB, StreamTransport{}, offered, AsIs))
		events := strings.ReplaceAll("a=rtpmap:N telephone-event/8000\r\na=fmtp:N 0-16\r\n", "N", tt.offered[2:])
		if !strings.Contains(out, " RTP/AVP "+tt.offered+"\r\n") || !strings.Contains(out, events) || strings.Count(out, ":101 ") > 2 {
			t.Errorf("%s: want %s\n%s", tt.formats, tt.offered, out)
		}
		answer, err := Parse([]byte(siptest.SessionAt("192.0.2.20", 30000, "0 101")))
		must(t, err)
		answer, err = answer.KeepOffered(offered)
		must(t, err)
		if got := numbersIn(answer.InNumbersOf(d)); got != tt.told {
			t.Errorf("%s: the caller is told %s; want %s", tt.formats, got, tt.told)
		}
	}
}

// Static payload types have the meaning of RFC 3551 section 6.
func TestStaticPayloadTypes(t *testing.T) {
	const texts = "9 G722/16000 = 9 G722/8000\n0 pcmu/16000 = 0 PCMU/8000\n6 DVI4/8000 = 6 DVI4/16000\n10 L16/44100 = 10 L16/44100/2\n" +
		"15 = 15 G728/8000\n18 G729/8000 = 18 G729/8000\n18 G729A/8000 = 18 G729A/8000\n96 G722/16000 = 96 G722/16000\n35 = 35 /8000"
	for line := range strings.Lines(texts) {
		has, want, _ := strings.Cut(strings.TrimSpace(line), " = ")
		number, mapping, _ := strings.Cut(has, " ")
		text := "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP " + number + "\na=fmtp:" + number + " x=1\n"
		if mapping != "" {
			text += "a=rtpmap:" + has + "\n"
		}
		d, err := Parse(siptest.CRLF(text))
		must(t, err)
		f := d.formats[0]
		got := strings.TrimSuffix(fmt.Sprintf("%d %s/%d/%s", f.Number, f.Name, f.Clock, f.channels), "/")
		for name, out := range map[string]*Description{"": d, "regrouped ": d.regrouped(d.formats)} {
			text := string(out.ForTarget(ourSideB, StreamTransport{}, d.formats, AsIs))
			if said := strings.Contains(text, "a=rtpmap:"+has+"\r\n"); said && mapping != "" && !strings.EqualFold(has, want) || strings.Count(text, "a=rtpmap:") > 1 || !strings.Contains(text, "a=fmtp:"+number+" x=1\r\n") {
				t.Errorf("%s%s: we say\n%s", name, has, text)
			}
		}
		if got != want {
			t.Errorf("%s is %s; want %s", has, got, want)
		}
	}
}

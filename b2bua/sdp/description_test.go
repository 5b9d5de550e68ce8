package sdp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"

	"flowbridge/sim/siptest"
)

func TestParseDescriptionErrors(t *testing.T) {
	const head = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n"
	const noAddress = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\n"
	for _, tt := range []struct {
		name, sdp string
		want      error
	}{
		{"nothing", "", ErrMalformed},
		{"no SDP", "hello\n", ErrMalformed},
		{"half a line", "v=", ErrMalformed},
		{"no media", head, ErrNoAudio},
		{"video alone", head + "m=video 20000 RTP/AVP 96\n", ErrNoAudio},
		{"secure alone", head + "m=audio 20000 RTP/SAVP 0\n", ErrNoAudio},
		{"feedback profile alone", head + "m=audio 20000 RTP/AVPF 0\n", ErrNoAudio},
		{"port 0", head + "m=audio 0 RTP/AVP 0\n", ErrRejected},
		{"port 0, then secure", head + "m=audio 0 RTP/AVP 0\nm=audio 20000 RTP/SAVP 0\n", ErrRejected},
		{"port too high", head + "m=audio 70000 RTP/AVP 0\n", ErrMalformed},
		{"port that is none", head + "m=audio x RTP/AVP 0\n", ErrMalformed},
		{"good", head + "m=audio 20000 RTP/AVP 0\n", nil},
		{"port 0, then good", head + "m=audio 0 RTP/AVP 0\nm=audio 20000 RTP/AVP 8\n", nil},
		{"no address", noAddress + "m=audio 20000 RTP/AVP 0\n", ErrNoAddress},
		{"address of another stream", noAddress + "m=audio 20000 RTP/AVP 0\nm=video 20002 RTP/AVP 31\nc=IN IP4 192.0.2.1\n", ErrNoAddress},
		{"half a c= line", noAddress + "c=IN IP4\nm=audio 20000 RTP/AVP 0\n", ErrNoAddress},
		{"c= line of blanks", noAddress + "c=IN IP4  \nm=audio 20000 RTP/AVP 0\n", ErrNoAddress},
		{"address of the stream", noAddress + "m=audio 20000 RTP/AVP 0\nc=IN IP4 192.0.2.1\n", nil},
		{"held by address", noAddress + "c=IN IP4 0.0.0.0\nm=audio 20000 RTP/AVP 0\n", nil},
		{"declined without address", noAddress + "m=audio 20000 RTP/AVP 0\nc=IN IP4 192.0.2.1\nm=video 0 RTP/AVP 31\n", nil},
		{"port with a sign", head + "m=audio +20000 RTP/AVP 0\n", ErrMalformed},
		{"ports", head + "m=audio 20000/2 RTP/AVP 0\n", nil},
		{"ports that are none", head + "m=audio 20000/x RTP/AVP 0\n", ErrMalformed},
		{"blank in front", head + "m= audio 20000 RTP/AVP 0\n", ErrMalformed},
		{"no tokens", head + "m=audio 20000 RTP/AVP 0 \xe9\n", ErrMalformed},
		{"no tokens of another stream", head + "m=audio 20000 RTP/AVP 0\nm=vid\xe9o 20002 RTP/AVP 31\n", nil},
		{"no formats of another stream", head + "m=audio 20000 RTP/AVP 0\nm=video 0 RTP/AVP\n", nil},
		{"a blank behind the version", "v=0 \t" + head[3:] + "m=audio 20000 RTP/AVP 0\n", nil},
		{"another version", "v=01" + head[3:] + "m=audio 20000 RTP/AVP 0\n", ErrMalformed},
		{"another network", noAddress + "c=ATM NSAP 47.0091\nm=audio 20000 RTP/AVP 0\n", ErrNetwork},
		{"another kind of address", noAddress + "m=audio 20000 RTP/AVP 0\nc=IN E164 +4930123456\n", ErrFamily},
		{"another network, and a good one", noAddress + "m=audio 20000 RTP/AVP 0\nc=TN RFC2543 +4930123456\nm=audio 20002 RTP/AVP 0\nc=IN IP4 192.0.2.1\n", nil},
		{"more than an address", noAddress + "c=IN IP4 192.0.2.1 a=sendonly\nm=audio 20000 RTP/AVP 0\n", ErrMalformed},
		{"bandwidth beyond measure", head + "b=AS:18446744073709551616\nm=audio 20000 RTP/AVP 0\n", ErrMalformed},
		{"no formats", head + "m=audio 20000 RTP/AVP\n", ErrMalformed},
	} {
		_, err := Parse(siptest.CRLF(tt.sdp))
		if !errors.Is(err, tt.want) || (tt.want == nil) != (err == nil) {
			t.Errorf("%s: %v; want %v", tt.name, err, tt.want)
		}
	}
}

// If streams have addresses of several families, the first stream that our media can reach is selected, even if another
// stream ranks higher.
func TestFamilies(t *testing.T) {
	const ip4, ip6 = "m=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.1\n", "m=audio 4002 RTP/AVP 0\nc=IN IP6 2001:db8::1\n"
	for _, tt := range []struct {
		streams    string
		not4, not6 bool
		want       string
	}{
		{ip4 + ip6, false, false, "4000"},
		{ip4 + ip6, false, true, "4000"},
		{ip4 + ip6, true, false, "4002"},
		{ip6 + ip4, false, true, "4000"},
		{ip6, false, true, ErrFamily.Error()},
		{ip4, true, false, ErrFamily.Error()},
		{ip6 + "m=audio 0 RTP/AVP 0\n", false, true, ErrFamily.Error()},
		{"m=audio 4004 RTP/AVP 0\n", false, true, ErrFamily.Error()}, // because of the session's c= line
		{"m=audio 4004 RTP/AVP 0\nc=IN IP6 ::ffff:192.0.2.1\n", false, true, "4004"},
		{"m=audio 4004 RTP/AVP 0\nc=IN IP6 ::\n", false, true, "4004"},
		{"m=audio 4004 RTP/AVP 0\nc=IN IP6 host.example\n", false, true, "4004"},
	} {
		d, err := Read(siptest.CRLF("v=0\nc=IN IP6 2001:db8::2\n"+tt.streams), Accept{NoIP4: tt.not4, NoIP6: tt.not6})
		got := fmt.Sprint(err)
		if err == nil {
			got = strconv.Itoa(d.Port())
		}
		if got != tt.want {
			t.Errorf("%q, not IPv4 %v, not IPv6 %v: %s; want %s", tt.streams, tt.not4, tt.not6, got, tt.want)
		}
	}
}

// RFC 8866 section 5: lines end with CRLF or LF. A lone carriage return in an attribute
// would be passed on to the other side, which might read a new line after it.
func TestCarriageReturnInSDP(t *testing.T) {
	const text = "v=0\no=- 1 1 IN IP4 h\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 20000 RTP/AVP 0\na=x:1\rc=IN IP4 10.0.0.1\na=\r0\n"
	offer, err := Parse([]byte(text))
	if err != nil {
		return // refusing the description is allowed as well
	}
	out := offer.ForTarget(ourSideB, StreamTransport{}, offer.Formats(), AsIs)
	onlyOurs(t, out, ourSideB)
}

// Media for a peer goes to an address in the peer's SDP. A name, a multicast group or an unspecified address is not
// accepted.
func TestMediaAddresses(t *testing.T) {
	for _, tt := range []struct{ session, media, rtp, rtcp string }{
		{"c=IN IP4 192.0.2.1", "", "192.0.2.1:20000", "192.0.2.1:20001"},
		{"c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.2\n", "192.0.2.2:20000", "192.0.2.2:20001"},
		{"c=IN IP6 2001:db8::1", "", "[2001:db8::1]:20000", "[2001:db8::1]:20001"},
		{"c=IN IP4 0.0.0.0", "", "", ""},
		{"c=IN IP6 ::", "", "", ""},
		{"c=IN IP4 224.2.1.1/127", "", "", ""},
		{"c=IN IP4 pbx.example", "", "", ""},
		{"c=IN IP4 192.0.2.1", "a=rtcp:20500\n", "192.0.2.1:20000", "192.0.2.1:20500"},
		{"c=IN IP4 192.0.2.1", "a=rtcp:20500 IN IP4 192.0.2.9\n", "192.0.2.1:20000", "192.0.2.9:20500"},
		{"c=IN IP4 192.0.2.1", "a=rtcp:20500 IN IP6 2001:db8::9\n", "192.0.2.1:20000", "[2001:db8::9]:20500"},
		{"c=IN IP4 192.0.2.1", "a=rtcp:20500 IN IP4 host.example\n", "192.0.2.1:20000", ""},
		{"c=IN IP4 192.0.2.1", "a=rtcp:0\n", "192.0.2.1:20000", ""},
		{"c=IN IP4 192.0.2.1", "a=rtcp:99999\n", "192.0.2.1:20000", ""},
		{"c=IN IP4 192.0.2.1", "a=rtcp:x\n", "192.0.2.1:20000", ""},
		{"c=IN IP4 192.0.2.1", "a=rtcp: \n", "192.0.2.1:20000", ""},
	} {
		d, err := Parse(siptest.CRLF("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\n" + tt.session + "\nt=0 0\nm=audio 20000 RTP/AVP 0\n" + tt.media))
		if err != nil {
			t.Errorf("%s %s: %v", tt.session, tt.media, err)
			continue
		}
		show := func(a netip.AddrPort) string {
			if !a.IsValid() {
				return ""
			}
			return a.String()
		}
		if show(d.RTP()) != tt.rtp || show(d.RTCP()) != tt.rtcp {
			t.Errorf("%s %s: rtp %v, rtcp %v; want %s, %s", tt.session, tt.media, d.RTP(), d.RTCP(), tt.rtp, tt.rtcp)
		}
	}
	d, err := Parse(siptest.CRLF("v=0\no=- 1 1 IN IP4 h\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 65535 RTP/AVP 0\n"))
	if err != nil || d.RTCP().IsValid() {
		t.Errorf("beside the last port: %v, %v", d.RTCP(), err)
	}
}

func TestMuxesOfADescription(t *testing.T) {
	for _, d := range []*Description{nil, {}} {
		if d.Muxes() {
			t.Errorf("%+v muxes; want it not to", d)
		}
	}
}

// Junk in an attribute does not reach the other side: its line is dropped, and its value is ignored.
func TestJunkIsLeftOut(t *testing.T) {
	at := netip.MustParseAddrPort("198.51.100.1:10000")
	for line, kept := range map[string]bool{
		"a=rtpmap:0 PCMU/8000": true, "a=rtpmap:0 PCMU/8000 ": true, "a=rtpmap:0 PCMU": true, "a=rtpmap:0 PCMU/8000/1": true,
		"a=rtpmap:0 PCMU/8000/": true, "a=fmtp:0 x=\"y z\";é": true, "a=rtcp-fb:0 nack pli": true, "a=label:é\t1": true,
		"a=rtpmap:0 PCMU/8000x": false, "a=rtpmap:0 PCMU/x8000": false, "a=rtpmap:0 PCMU/": false, "a=rtpmap:0 PCMU/0": false,
		"a=rtpmap:0 PCMU/8000/1/1": false, "a=rtpmap:0 PCMU/8000 junk": false, "a=rtpmap:0 PC\x01MU/8000": false,
		"a=rtpmap:0 PCM\xb5/8000": false, "a=rtpmap:0 PCMU/99999999999": false, "a=rtpmap:0 <PCMU>/8000": false,
		"a=fmtp:0 x=\x1b[2J": false, "a=rtcp-fb:0 nack\x7f": false, "a=label:\x08": false,
	} {
		d, err := Parse(siptest.CRLF("v=0\nc=IN IP4 192.0.2.10\nm=audio 20000 RTP/AVP 0\n" + line + "\n"))
		must(t, err)
		out := d.ForTarget(at, StreamTransport{}, d.Formats(), AsIs)
		if got := bytes.Contains(out, []byte(line+"\r\n")); got != kept || d.Speaks() != PCMU {
			t.Errorf("%q goes on: %v; want %v\n%q", line, got, kept, out)
		}
	}
}

func TestPacketTimes(t *testing.T) {
	at := netip.MustParseAddrPort("198.51.100.1:10000")
	for value, kept := range map[string]bool{
		":1": true, ":20": true, ":22.5": true, ": 40": true, ":200": true,
		":0": false, ":-20": false, ":+20": false, ":abc": false, ":999999999999": false, ":201": false,
		":0.5": false, ":1e2": false, ":inf": false, ":NaN": false, ":0x14": false, ":20 ms": false, ":": false, "": false, ":.": false,
	} {
		for _, key := range []string{"ptime", "maxptime", "PTIME"} {
			line := "a=" + key + value
			stream := siptest.SessionAt("192.0.2.10", 20000, "0", line)
			session := strings.Replace(siptest.SessionAt("192.0.2.10", 20000, "0"), "t=0 0\r\n", "t=0 0\r\n"+line+"\r\n", 1)
			for _, body := range []string{stream, session} {
				d, err := Parse([]byte(body))
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				out := d.ForTarget(at, StreamTransport{}, d.Formats(), AsIs)
				if got := strings.Contains(string(out), line); got != kept {
					t.Errorf("%q goes on: %v; want %v\n%s", line, got, kept, out)
				}
			}
		}
	}
}

// FuzzPayloadTypes checks that for any formats and packet time, the descriptions that we
// make have valid payload types, each once, and are read back unchanged.
func FuzzPayloadTypes(f *testing.F) {
	f.Add("0 8 101 0", "20")
	f.Add("72 128 abc 08 -1 96", "999999999999")
	f.Add("0\t8  127", "-20")
	f.Add("x", "1e2")
	at := netip.MustParseAddrPort("198.51.100.1:10000")
	f.Fuzz(func(t *testing.T, formats, ptime string) {
		body := "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP " + formats + "\r\na=ptime:" + ptime + "\r\n"
		d, err := Parse([]byte(body))
		if err != nil {
			return
		}
		var seen numbers
		for _, f := range d.Formats() {
			if f.Number > 127 || seen.has(f.Number) {
				t.Fatalf("%q leaves %q", formats, numbersIn(d))
			}
			seen.add(f.Number)
		}
		out := d.ForTarget(at, StreamTransport{}, d.Formats(), AsIs)
		again, err := Parse(out)
		if err != nil || numbersIn(again) != numbersIn(d) {
			t.Fatalf("%q is read as %+v, %v", out, again, err)
		}
		value, told := attributeOf(d.stream, "ptime")
		if got, still := attributeOf(again.stream, "ptime"); got != value || still != told {
			t.Fatalf("ptime %q becomes %q", value, got)
		}
	})
}

// numbersIn returns the payload types of a description as text.
func numbersIn(d *Description) string {
	var b []string
	for _, f := range d.Formats() {
		b = append(b, strconv.Itoa(int(f.Number)))
	}
	return strings.Join(b, " ")
}

func TestUsablePayloadTypes(t *testing.T) {
	for _, tt := range []struct{ formats, want string }{
		{"0 8 101", "0 8 101"},
		{"0 128 300 999999999999 8", "0 8"},
		{"0 PCMA -1 +8 08 0x8 1.5 8", "0 8"},
		{"0 71 72 73 74 75 76 77 127", "0 71 77 127"},
		{"0 8 0 8 8 101 0", "0 8 101"},
		{"63 64 95 96|mux", "63 96"},
		{"63 64 95 96", "63 64 95 96"},
		{"128 abc 72", ""},
		{"72|mux", ""},
	} {
		formats, mux := strings.CutSuffix(tt.formats, "|mux")
		var more []string
		if mux {
			more = []string{"a=rtcp-mux"}
		}
		d, err := Parse([]byte(siptest.SessionAt("192.0.2.10", 20000, formats, more...)))
		if tt.want == "" {
			if !errors.Is(err, ErrNoCodec) || d != nil {
				t.Errorf("%s: %v, %v; want no codec", tt.formats, d, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.formats, err)
			continue
		}
		if got := numbersIn(d); got != tt.want {
			t.Errorf("%s: got %s; want %s", tt.formats, got, tt.want)
		}
	}
}

// Both legs, the record and the media share a description: making other descriptions from
// it never changes it, in any order.
func TestDescriptionsNeverChange(t *testing.T) {
	read := func(formats string, lines ...string) *Description {
		d, err := Parse([]byte(siptest.SessionAt("192.0.2.10", 20000, formats, lines...)))
		must(t, err)
		return d
	}
	far, near := read("0 8 96 13", "a=rtpmap:96 opus/48000/2", "a=fmtp:96 useinbandfec=1"), read("8 101 96")
	before := fmt.Sprintf("%+v %+v", *far, *near)
	var users sync.WaitGroup
	for range 2 {
		users.Go(func() {
			for _, x := range [][2]*Description{{far, near}, {near, far}} {
				d, other := x[0], x[1]
				made := []*Description{d.InNumbersOf(other), d.NumberedAs(other), d.WithEvents(other), d.Only(PCMA, other.Formats()), d.Following(other, nil), d.Following(other, nil).Whole()}
				kept, _ := d.KeepOffered(other.Formats())
				offerable, formats, _ := d.Offerable([]string{"opus", "PCMA"})
				for _, m := range append(made, kept, offerable) {
					_ = append(m.Formats(), Format{})
					_ = append(m.Common(other), Format{})
					m.Answering(other, ourSideA, StreamTransport{}, append(formats, m.Decided().Formats()...), SendOnly)
				}
			}
		})
	}
	users.Wait()
	if after := fmt.Sprintf("%+v %+v", *far, *near); after != before {
		t.Errorf("changed from\n%s to\n%s", before, after)
	}
}

// must fails the test at once if err is not nil.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

package ladder

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// whole returns the uncompressed ladder of a call with all kinds of entries.
func whole(t testing.TB) []byte {
	var k kept
	s := collector(&k)
	s.sample.shut = true
	c := begun(s, "a", 1)
	for _, m := range spoken(1)[1:] {
		m.Transport = "tls"
		m.Remote = netip.MustParseAddrPort("[2001:db8::1]:5061")
		s.Message(m)
	}
	asks(c.Context(t.Context(), "synthflow"), t, `{"x":"y"}`)
	c.Decide("target %s does not take SRTP", "a\x1b[31m\u202eb")
	c.series.add(time.Now(), (&counted{}).Stats())
	c.series.append(time.Now().Add(5*time.Second), (&counted{}).Stats())
	c.ends[1].remote = netip.AddrPortFrom(c.ends[1].remote.Addr(), 5061)
	return c.append(nil)
}

// Search sees each message and decision, and the names of parties, but not what is between them.
func TestSearch(t *testing.T) {
	packed := pack(nil, whole(t))
	for text, want := range map[string]bool{
		"INVITE sip:": true, `{"x":"y"}`: true, "does not take SRTP": true, "synthflow": true, "2001:db8::1": false, "tls": false,
	} {
		found, err := Search(packed, func(s string) bool { return strings.Contains(s, text) })
		if found != want || err != nil {
			t.Errorf("%q: %v, %v", text, found, err)
		}
	}
}

// FuzzDecode checks that any input gives either a ladder or an error, and that all output from a ladder is safe: valid
// JSON, a drawing without control characters, a readable capture.
func FuzzDecode(f *testing.F) {
	raw := whole(f)
	f.Add(raw, 80)
	f.Add(raw[:len(raw)/2], 20)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, raw []byte, width int) {
		packed := pack(nil, raw)
		l, err := Decode(packed)
		if _, other := decode(raw); (err == nil) != (other == nil) {
			t.Errorf("packed %v, plain %v", err, other)
		}
		if _, other := Decode(append([]byte{plain}, raw...)); (err == nil) != (other == nil) {
			t.Errorf("packed %v, not packed %v", err, other)
		}
		if _, other := Search(packed, func(string) bool { return false }); (err == nil) != (other == nil) {
			t.Errorf("decoded %v, searched %v", err, other)
		}
		_, _ = Decode(raw)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Errorf("error %v; want errMalformed", err)
			}
			return
		}
		text, err := json.Marshal(l)
		if err != nil || !json.Valid(text) {
			t.Fatalf("%v: %s", err, text)
		}
		var again Ladder
		must(t, json.Unmarshal(text, &again))
		var drawn bytes.Buffer
		must(t, errors.Join(again.Draw(&drawn, width), again.Texts(&drawn), l.Draw(io.Discard, -width)))
		for _, r := range drawn.String() {
			if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
				t.Fatalf("%q is drawn", r)
			}
		}
		var capture bytes.Buffer
		must(t, l.Pcapng(&capture))
		packets(t, &capture)
	})
}

// FuzzDraw checks that any ladder from the API can be drawn.
func FuzzDraw(f *testing.F) {
	l, err := decode(whole(f))
	must(f, err)
	text, _ := json.Marshal(l)
	f.Add(text, 100)
	f.Add([]byte(`{"messages":[{"from":9,"to":-1}]}`), 50)
	f.Fuzz(func(t *testing.T, text []byte, width int) {
		var l Ladder
		if json.Unmarshal(text, &l) == nil {
			if err := errors.Join(l.Draw(io.Discard, width%1000), l.Texts(io.Discard)); err != nil {
				t.Error(err)
			}
		}
	})
}

// packets reads a capture.
func packets(t testing.TB, capture io.Reader) (all []gopacket.Packet) {
	t.Helper()
	r, err := pcapgo.NewNgReader(capture, pcapgo.DefaultNgReaderOptions)
	must(t, err)
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		all = append(all, gopacket.NewPacket(data, r.LinkType(), gopacket.Default))
	}
}

// TestPcapng: in the capture, each SIP message is a UDP datagram. Each HTTP message is a TCP segment that continues the
// one before.
func TestPcapng(t *testing.T) {
	l, err := decode(whole(t))
	must(t, err)
	api := ends{local: netip.MustParseAddrPort("198.51.100.1:40000"), remote: netip.MustParseAddrPort("203.0.113.7:443"), transport: "https"}
	want := 0
	for i := range l.Messages {
		m := &l.Messages[i]
		if m.Kind == "http" {
			m.ends = api
		}
		if m.Kind != "decision" {
			want++
		}
	}
	var capture bytes.Buffer
	must(t, l.Pcapng(&capture))
	all := packets(t, &capture)
	if len(all) != want {
		t.Errorf("%d packets; want %d", len(all), want)
	}
	var tcp []*layers.TCP
	for _, p := range all {
		if p.ErrorLayer() != nil {
			t.Errorf("a packet does not parse: %v", p.ErrorLayer())
		}
		if x, ok := p.TransportLayer().(*layers.TCP); ok {
			tcp = append(tcp, x)
		} else if !strings.Contains(string(p.ApplicationLayer().LayerContents()), "Call-ID: call1@") {
			t.Errorf("packet %v; want one of Call-ID call1", p)
		}
	}
	if len(tcp) != 2 || tcp[0].DstPort != 80 || tcp[1].SrcPort != 80 || tcp[1].Ack != tcp[0].Seq+uint32(len(tcp[0].Payload)) || tcp[1].Seq != tcp[0].Ack {
		t.Errorf("TCP segments %+v; want one to port 80, and its answer with numbers that go on", tcp)
	}
}

// TestDraw draws a ladder with lanes side by side if there is room, and line by line otherwise.
func TestDraw(t *testing.T) {
	l := &Ladder{
		Lanes: []Lane{{"carrier", KindCaller}, {"flowbridge", KindSelf}, {"api\x1b[2J", KindAPI}, {"agent", KindCallee}, {"silent", KindCallee}},
		Messages: []Message{
			{MS: 0, Kind: "sip", From: 0, To: 1, Summary: "INVITE sip:1@x", Method: "INVITE", Text: "INVITE\r\nX-EI: S.1;\x1b\r\n"},
			{MS: 1, Kind: "http", From: 2, To: 1, Summary: "200 OK", Status: 200},
			{MS: 2.25, Kind: "sip", From: 1, To: 3, Summary: "INVITE sip:2@y", Retransmission: true},
			{MS: 3, Kind: "decision", From: 1, To: 1, Summary: "a long sentence that does not fit into the line of a terminal as narrow as this one is"},
		},
		Dropped: 3, Live: true,
	}
	for width, want := range map[int]string{
		80: `
       ms  carrier               flowbridge            api�[2J               agent                 
      0.0  |- INVITE sip:1@x --> |                     |                     |
           |   X-EI: S.1;�
      1.0  |                     | <----- HTTP 200 OK -|                     |
      2.2  |                     |- (again) INVITE sip:2@y ----------------> |
      3.0  * a long sentence that does not fit into the line of a terminal as
           * narrow as this one is
3 messages are left out: the call had more than are kept
the call is live
`,
		40: `
       ms  
      0.0  carrier → flowbridge  INVITE sip:1@x
      1.0  api�[2J → flowbridge  HTTP 200 OK
      2.2  flowbridge → agent  (again) INVITE sip:2@y
      3.0  * a long sentence that does
           * not fit into the line of
           * a terminal as narrow as
           * this one is
3 messages are left out: the call had more than are kept
the call is live
`,
	} {
		var b strings.Builder
		must(t, l.Draw(&b, width))
		if got := "\n" + b.String(); got != want {
			t.Errorf("%d wide:%s\nwant%s", width, got, want)
		}
	}
}

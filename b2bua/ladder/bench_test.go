package ladder

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/transport"
)

const (
	testVia = "Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK-13271-%d-0\r\nFrom: \"Load\" <sip:+15075551@192.0.2.10:5060>;tag=%d\r\n" +
		"To: <sip:+15075785607@198.51.100.1:5060>;tag=3194862ecc9f0b2da9d1c33764c3\r\nCall-ID: call%d@192.0.2.10\r\nCSeq: 1 INVITE\r\n" +
		"Contact: <sip:load@192.0.2.10:5060>\r\nMax-Forwards: 70\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO\r\nSupported: timer, 100rel\r\n"
	testSDP = "Content-Type: application/sdp\r\nContent-Length: 154\r\n\r\nv=0\r\no=load 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n" +
		"m=audio 20000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
)

// spoken returns the SIP of one call, with a Call-ID and tag made from n.
func spoken(n int) (all []transport.TapMessage) {
	local, remote := netip.MustParseAddrPort("198.51.100.1:5060"), netip.MustParseAddrPort("192.0.2.10:5060")
	for _, first := range []string{
		"INVITE sip:+15075785607@198.51.100.1:5060 SIP/2.0", "SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK",
		"ACK sip:198.51.100.1:5060 SIP/2.0", "BYE sip:198.51.100.1:5060 SIP/2.0", "SIP/2.0 200 OK",
	} {
		received := first[0] != 'S'
		end := "Content-Length: 0\r\n\r\n"
		if first[0] == 'I' || first == "SIP/2.0 200 OK" {
			end = testSDP
		}
		m := transport.TapMessage{
			At: time.Now(), Received: received, Transport: "udp", Local: local, Remote: remote,
			Data: fmt.Appendf(nil, first+"\r\n"+testVia+end, n, n, n),
		}
		if received {
			m.CallID, m.FromTag, m.Invite = fmt.Appendf(nil, "call%d@192.0.2.10", n), fmt.Appendf(nil, "%d", n), first[0] == 'I'
		}
		all = append(all, m)
	}
	return all
}

type answering struct{ body string }

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		Status: "200 OK", StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}, "X-Echo": {"Bearer hush-hush-hush"}, "Date": {"Sat, 21 Nov 2026 11:56:01 GMT"}},
		Body: io.NopCloser(bytes.NewReader([]byte(a.body))),
	}, nil
}

// asks sends a request to an API for a call.
func asks(ctx context.Context, t testing.TB, answer string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.test/v2/prepare_inbound", bytes.NewReader([]byte(`{"from_number":"+15075551","token":"hush"}`)))
	must(t, err)
	r.Header.Set("Authorization", "Bearer hush-hush-hush")
	res, err := RoundTripper{RoundTripper: answering{answer}}.RoundTrip(r)
	must(t, err)
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
}

// aCall returns a function that plays a call with all its messages, and returns the size of the encoded ladder. asked
// sends the call's HTTP request.
func aCall(asked func(context.Context)) (once func() (encoded int)) {
	var out []byte
	s := New(Options{Keep: func(c *Call) {
		out = c.Encode(out[:0])
		c.Release()
	}, Source: func(a netip.Addr) (netip.Addr, error) { return a, nil }})
	s.sample.shut = true // hand over calls at once
	a, to := spoken(1), spoken(2)
	for i := range to {
		to[i].Received, to[i].CallID, to[i].FromTag = !to[i].Received, []byte("call2@192.0.2.10"), []byte("2")
	}
	targets := []string{"synthflow"}
	return func() int {
		s.Message(a[0])
		c := s.Claim("01a1fdf6-a112-732d-b00d-3a5e08b19734", "call1@192.0.2.10", "1", "carrier", time.Now())
		s.Message(a[1])
		c.Routed("routes[0]", "+15075785607", targets)
		s.Message(a[2])
		asked(c.Context(context.Background(), "synthflow"))
		c.Join("call2@192.0.2.10", "2", "synthflow", false)
		for i := range to[:5] {
			s.Message(to[i])
		}
		c.Decide("target %s answers after %d ms with %s", "synthflow", 200, "PCMU")
		s.Message(a[3])
		s.Message(a[4])
		s.Message(a[5])
		s.Message(to[5])
		c.Ended(cause.CallerHangup, "caller", time.Second)
		s.Message(a[6])
		s.Message(to[6])
		c.Close()
		return len(out)
	}
}

// BenchmarkCall measures what a call's ladder costs, without writing it to the disk.
func BenchmarkCall(b *testing.B) {
	answer := `{"synthflow_call_id":"8082ce18-0ee1-4947-8e6b-8a4abe3925db",` + string(bytes.Repeat([]byte(`"egress_recording_url":null,`), 40)) + `"x":1}`
	once := aCall(func(ctx context.Context) { asks(ctx, b, answer) })
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n = once()
	}
	b.ReportMetric(float64(n), "bytes")
}

func BenchmarkMessage(b *testing.B) {
	s := New(Options{Keep: func(*Call) {}, Source: func(a netip.Addr) (netip.Addr, error) { return a, nil }})
	a := spoken(1)
	s.Message(a[0])
	c := s.Claim("id", "call1@192.0.2.10", "1", "carrier", time.Now())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Message(a[i%len(a)])
		if i%20 == 0 {
			c.pages.clear()
			c.pages.tail = 0
		}
	}
}

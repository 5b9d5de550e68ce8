package sdp

import (
	"strings"
	"testing"
)

// chromium is the audio of an offer as Chromium makes it, without its keys and ICE.
const chromium = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n" +
	"a=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS x\r\na=lang:en\r\n" +
	"m=audio 4000 RTP/AVP 111 63 9 0 8 13 110 126\r\nb=AS:64\r\na=rtcp:4001 IN IP4 192.0.2.1\r\na=mid:0\r\n" +
	"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" +
	"a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n" +
	"a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n" +
	"a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=Extmap:5/sendonly urn:x\r\n" +
	"a=sendrecv\r\na=msid:x y\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\n" +
	"a=rtcp-fb:*  transport-cc \r\na=rtcp-fb:* nack\r\na=rtcp-fb:0 ccm fir\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n" +
	"a=rtpmap:63 red/48000/2\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\n" +
	"a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\na=ptime:20\r\na=maxptime:60\r\na=label:7\r\n" +
	"a=content:speaker\r\na=ssrc:1 cname:x\r\n"

// A browser that is promised packets with header extensions drops ours, or judges the path by them, so a promise is
// neither passed on nor repeated. Feedback between the sides is.
func TestExtensionsAreNotPromised(t *testing.T) {
	d, err := Parse([]byte(chromium))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"offer to a target": string(d.ForTarget(ourMedia, StreamTransport{}, d.Formats(), AsIs)),
		"answer":            string(d.Answering(d, ourMedia, StreamTransport{}, d.Formats(), AsIs)),
	} {
		if lower := strings.ToLower(text); strings.Contains(lower, "extmap") || strings.Contains(lower, "transport-cc") ||
			!strings.Contains(text, "a=rtcp-fb:* nack\r\n") || !strings.Contains(text, "a=label:7\r\n") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// An answer that is ours has only what we do ourselves, and nothing of the offer that its sender does or wants.
func TestOurAnswerPromisesNothingElse(t *testing.T) {
	d, err := Parse([]byte(chromium))
	if err != nil {
		t.Fatal(err)
	}
	only := d.Only(PCMU, d.Formats())
	text := string(only.Ours().Answering(d, ourMedia, StreamTransport{}, only.Formats(), SendRecv))
	_, stream, _ := strings.Cut(text, "m=audio")
	const want = " 20000 RTP/AVP 0 13 126\r\nb=AS:64\r\na=ptime:20\r\na=maxptime:60\r\na=rtpmap:0 PCMU/8000\r\n" +
		"a=rtpmap:13 CN/8000\r\na=rtpmap:126 telephone-event/8000\r\na=rtcp-mux\r\n"
	if stream != want || strings.Contains(text, "a=lang") {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if whole := string(d.Ours().Answering(d, ourMedia, StreamTransport{}, d.Formats(), AsIs)); strings.Contains(whole, "rtcp-fb") ||
		!strings.Contains(whole, "a=fmtp:111 minptime=10;useinbandfec=1\r\n") || !strings.Contains(whole, "a=sendrecv\r\n") {
		t.Errorf("all formats:\n%s", whole)
	}
}

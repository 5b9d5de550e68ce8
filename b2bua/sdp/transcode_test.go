package sdp

import (
	"net/netip"
	"strings"
	"testing"

	"flowbridge/media"
)

// describedBy returns a description with these formats and lines.
func describedBy(t *testing.T, formats string, lines ...string) *Description {
	t.Helper()
	d, err := Parse([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP " + formats +
		"\r\n" + strings.Join(append(lines, ""), "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestInside: Inside replaces a side's Opus by G.711 for the rest of the call. The side itself is still answered with
// Opus.
func TestInside(t *testing.T) {
	const wishes = "a=fmtp:111 maxaveragebitrate=16000; useinbandfec=1;usedtx=1;cbr=1"
	offer := describedBy(t, "111 9 101 102", "a=rtpmap:111 opus/48000/2", wishes, "a=rtpmap:101 telephone-event/8000",
		"a=rtpmap:102 telephone-event/48000")
	near := offer.Inside(PCMA)
	if near.Speaks() != PCMA || !near.HasStandIn() || offer.HasStandIn() || !offer.LacksG711() || len(near.Formats()) != 2 {
		t.Fatalf("%+v", near.Formats())
	}
	state := near.State()
	text, _ := state.Formats.AppendText(nil)
	if err := state.Formats.UnmarshalText(text); err != nil || len(state.Formats) != 2 || state.Formats[0] != near.formats[0] || state.Formats[1] != near.formats[1] {
		t.Errorf("state %q: %+v", text, state.Formats)
	}
	seen := describedBy(t, "8 96", "a=rtpmap:96 telephone-event/8000").InNumbersOf(near)
	told := string(seen.Answering(offer, netip.MustParseAddrPort("192.0.2.9:10000"), StreamTransport{}, seen.Common(near), SendRecv))
	for _, want := range []string{
		"m=audio 10000 RTP/AVP 111 102\r\n", "a=rtpmap:111 opus/48000/2\r\n", "a=fmtp:111 " + opusWanted,
		"a=rtpmap:102 telephone-event/48000\r\na=fmtp:102 0-15\r\n",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in\n%s", want, told)
		}
	}
	if strings.Contains(told, "PCMA") || strings.Contains(told, ":101 ") {
		t.Errorf("the side is told\n%s", told)
	}
	c := TranscodeOf(near, near.Formats(), seen)
	if !c.On || c.Short || c.Opus != 111 || c.Number != 8 || !c.Takes.Has(111) || !c.Events.Has(102) || !c.Scaled.Has(102) ||
		c.Wants != (media.OpusWishes{Bitrate: 16000, FEC: true, DTX: true, CBR: true}) {
		t.Errorf("%+v", c)
	}
	plain := near.Own()
	again := string(plain.ForTarget(netip.MustParseAddrPort("192.0.2.9:10000"), StreamTransport{}, plain.formats, SendRecv))
	if plain.HasStandIn() || plain.formats[0] != offer.formats[0] || !strings.Contains(again, wishes) || strings.Contains(again, opusWanted) {
		t.Errorf("%+v in\n%s", plain.formats, again)
	}
	odd := describedBy(t, "8 0 30", "a=rtpmap:8 telephone-event/8000", "a=rtpmap:0 telephone-event/48000", "a=rtpmap:30 opus/48000/2").Inside(PCMU)
	if len(odd.formats) != 1 || odd.formats[0].shown() != 30 {
		t.Errorf("keys with the numbers of G.711: %+v", odd.formats)
	}
	if d := describedBy(t, "0 8"); d.Inside(PCMU) != d || d.Own() != d {
		t.Error("Opus of nothing")
	}
}

// TestTranscodable: if a target's list has none of the caller's codecs, the target is offered codecs into which we can
// transcode.
func TestTranscodable(t *testing.T) {
	at := netip.MustParseAddrPort("192.0.2.9:10000")
	for _, tt := range []struct {
		formats, lines string
		codecs         []string
		want           string
	}{
		{"111 101", "a=rtpmap:111 opus/48000/2\r\na=rtpmap:101 telephone-event/48000", []string{"PCMA", "PCMU"}, "8 0 101"},
		{"111", "a=rtpmap:111 opus/48000/2", []string{"PCMU"}, "0"},
		{"111 8", "a=rtpmap:111 opus/48000/2\r\na=rtpmap:8 telephone-event/48000", []string{"PCMA", "PCMU"}, "8 0"},
		{"8 101", "a=rtpmap:101 telephone-event/8000", []string{"opus"}, "96 101"},
		{"0 96", "a=rtpmap:96 telephone-event/8000", []string{"Opus"}, "97 96"},
		{"9", "a=ptime:20", []string{"opus", "PCMU"}, ""},
		{"111", "a=rtpmap:111 opus/48000/2", []string{"G722"}, ""},
	} {
		d, formats, err := describedBy(t, tt.formats, tt.lines).Transcodable(tt.codecs)
		if err != nil {
			if tt.want != "" {
				t.Errorf("%s: %v", tt.formats, err)
			}
			continue
		}
		text := string(d.ForTarget(at, StreamTransport{}, formats, SendRecv))
		if !strings.Contains(text, "RTP/AVP "+tt.want+"\r\n") || tt.codecs[0] != "PCMU" && len(tt.codecs) == 1 && !strings.Contains(text, " opus/48000/2\r\n") {
			t.Errorf("%s for %v:\n%s", tt.formats, tt.codecs, text)
		}
	}
}

// TestAnswerOfOpus: a target that accepts Opus, offered because we can transcode, counts as a target with G.711 in the
// rest of the call.
func TestAnswerOfOpus(t *testing.T) {
	_, offered, err := describedBy(t, "0 101", "a=rtpmap:101 telephone-event/8000").Transcodable([]string{"opus"})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := describedBy(t, "107 101", "a=rtpmap:107 opus/48000/2", "a=rtpmap:101 telephone-event/48000").KeepOffered(offered)
	if err != nil || answer.Speaks() != PCMU || !answer.HasStandIn() {
		t.Fatal(answer, err)
	}
	if c := TranscodeOf(answer, offered, nil); c.Opus != 107 || !c.Takes.Has(107) || !c.Takes.Has(96) || c.Number != 0 {
		t.Errorf("%+v", c)
	}
}

// TestShortPackets: a side that takes no packets of 20 ms gets shorter ones of what is made of Opus.
func TestShortPackets(t *testing.T) {
	near := describedBy(t, "111", "a=rtpmap:111 opus/48000/2").Inside(PCMU)
	for line, want := range map[string]bool{
		"a=maxptime:10": true, "a=maxptime:19.5": true, "a=maxptime: 15": true, "a=maxptime:20": false, "a=maxptime:60": false,
		"a=maxptime:0": false, "a=maxptime:x": false, "a=ptime:10": false, "a=sendrecv": false,
	} {
		if c := TranscodeOf(near, nil, describedBy(t, "0", line)); c.Short != want {
			t.Errorf("%s: %t", line, c.Short)
		}
	}
}

package b2bua

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowbridge/internal/siptest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	ourSideA = netip.MustParseAddrPort("198.51.100.1:10000")
	ourSideB = netip.MustParseAddrPort("198.51.100.1:10002")
)

// Golden files: offer and answer are given, with the target's codecs in the
// comment; what the target and the carrier get, and where media goes, is
// wanted.
func TestOfferAnswerGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/sdp/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			a := siptest.ParseArchive(string(text))
			got := siptest.ParseArchive(string(text))
			results := relay(t, a)
			for _, name := range []string{
				"carrier media", "offer error", "to target", "answer error", "target media", "to carrier",
			} {
				if text, ok := results[name]; ok {
					got.Set(name, text)
				}
			}
			if *update {
				if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(a.Files, got.Files); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// relay does with an siptest.Archive's offer and answer what a call does.
func relay(t *testing.T, a siptest.Archive) map[string]string {
	t.Helper()
	out := map[string]string{}
	offer, err := parseDescription(siptest.CRLF(a.Files["offer"]))
	if err != nil {
		out["offer error"] = kindOf(err) + "\n"
		return out
	}
	out["carrier media"] = fmt.Sprintf("rtp %v rtcp %v\n", offer.rtp(), offer.rtcp())
	formats, err := offer.usable(codecsOf(a))
	if err != nil {
		out["offer error"] = kindOf(err) + "\n"
		return out
	}
	toTarget, err := offer.forTarget(ourSideB, formats, dirAsIs)
	if err != nil {
		t.Fatal(err)
	}
	out["to target"] = plain(toTarget)
	reparses(t, toTarget)
	body, ok := a.Files["answer"]
	if !ok {
		return out
	}
	answer, err := parseDescription(siptest.CRLF(body))
	if err != nil {
		out["answer error"] = kindOf(err) + "\n"
		return out
	}
	if err := answer.holdTo(offer.pick(formats)); err != nil {
		out["answer error"] = kindOf(err) + "\n"
		return out
	}
	out["target media"] = fmt.Sprintf("rtp %v rtcp %v codec %s\n", answer.rtp(), answer.rtcp(), answer.chosen())
	toCarrier, err := answer.answering(offer, ourSideA, answer.media().MediaName.Formats, dirAsIs)
	if err != nil {
		t.Fatal(err)
	}
	out["to carrier"] = plain(toCarrier)
	reparses(t, toCarrier)
	return out
}

func reparses(t *testing.T, body []byte) {
	t.Helper()
	if _, err := parseDescription(body); err != nil {
		t.Errorf("what we send is not readable: %v\n%s", err, body)
	}
}

func plain(b []byte) string { return strings.ReplaceAll(string(b), "\r\n", "\n") }

func codecsOf(a siptest.Archive) []string {
	for line := range strings.Lines(a.Comment) {
		if v, ok := strings.CutPrefix(line, "codecs:"); ok {
			return strings.Fields(v)
		}
	}
	return []string{"PCMU", "PCMA"}
}

// kindOf is which of our errors err is.
func kindOf(err error) string {
	for _, kind := range []error{errBadSDP, errNoAudio, errNoCodec, errRejected} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "another error: " + err.Error()
}

func TestParseDescriptionErrors(t *testing.T) {
	const head = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n"
	for _, tt := range []struct {
		name, sdp string
		want      error
	}{
		{"nothing", "", errBadSDP},
		{"no SDP", "hello\n", errBadSDP},
		{"half a line", "v=", errBadSDP},
		{"no media", head, errNoAudio},
		{"video alone", head + "m=video 20000 RTP/AVP 96\n", errNoAudio},
		{"secure alone", head + "m=audio 20000 RTP/SAVP 0\n", errNoAudio},
		{"feedback profile alone", head + "m=audio 20000 RTP/AVPF 0\n", errNoAudio},
		{"port 0", head + "m=audio 0 RTP/AVP 0\n", errRejected},
		{"port 0, then secure", head + "m=audio 0 RTP/AVP 0\nm=audio 20000 RTP/SAVP 0\n", errRejected},
		{"port too high", head + "m=audio 70000 RTP/AVP 0\n", errBadSDP},
		{"port that is none", head + "m=audio x RTP/AVP 0\n", errBadSDP},
		{"good", head + "m=audio 20000 RTP/AVP 0\n", nil},
		{"port 0, then good", head + "m=audio 0 RTP/AVP 0\nm=audio 20000 RTP/AVP 8\n", nil},
		{"no formats", head + "m=audio 20000 RTP/AVP\n", errBadSDP},
	} {
		_, err := parseDescription(siptest.CRLF(tt.sdp))
		if !errors.Is(err, tt.want) || (tt.want == nil) != (err == nil) {
			t.Errorf("%s: %v; want %v", tt.name, err, tt.want)
		}
	}
}

// Media of a peer goes to an address in its SDP, never to a name, a group or
// nowhere.
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
		d, err := parseDescription(siptest.CRLF("v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\n" + tt.session + "\nt=0 0\nm=audio 20000 RTP/AVP 0\n" + tt.media))
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
		if show(d.rtp()) != tt.rtp || show(d.rtcp()) != tt.rtcp {
			t.Errorf("%s %s: rtp %v, rtcp %v; want %s, %s", tt.session, tt.media, d.rtp(), d.rtcp(), tt.rtp, tt.rtcp)
		}
	}
	d, err := parseDescription(siptest.CRLF("v=0\no=- 1 1 IN IP4 h\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 65535 RTP/AVP 0\n"))
	if err != nil || d.rtcp().IsValid() {
		t.Errorf("beside the last port: %v, %v", d.rtcp(), err)
	}
}

func TestHoldTo(t *testing.T) {
	const head = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 20000 RTP/AVP "
	offered := []format{{"8", "PCMA/8000", pcma}, {"0", "PCMU/8000", pcmu}, {"101", "telephone-event/8000", codec{name: "TELEPHONE-EVENT", clock: 8000}}}
	for _, tt := range []struct {
		answer string
		ok     bool
		codec  string
	}{
		{"0\n", true, "PCMU"},
		{"8 101\na=rtpmap:101 telephone-event/8000\n", true, "PCMA"},
		{"101 0\na=rtpmap:101 telephone-event/8000\n", true, "PCMU"},
		{"0 96\na=rtpmap:96 telephone-event/8000\n", true, "PCMU"}, // another number is allowed
		{"101\na=rtpmap:101 telephone-event/8000\n", false, ""},
		{"9\n", false, ""},
		{"18 8\n", true, "PCMA"}, // what was not offered does not reach the carrier
		{"13\n", false, ""},
	} {
		d, err := parseDescription(siptest.CRLF(head + tt.answer))
		if err != nil {
			t.Errorf("%q: %v", tt.answer, err)
			continue
		}
		if got := d.holdTo(offered) == nil; got != tt.ok {
			t.Errorf("%q: accepted %v; want %v", tt.answer, got, tt.ok)
		}
		if got := d.chosen(); got != tt.codec {
			t.Errorf("%q: codec %q; want %q", tt.answer, got, tt.codec)
		}
	}
}

func TestIsSDP(t *testing.T) {
	for kind, want := range map[string]bool{
		"application/sdp": true, "Application/SDP": true, "application/sdp;charset=utf-8": true, " application/sdp ; x=y": true,
		"application/sdpx": false, "multipart/mixed": false, "": false, "text/plain": false,
	} {
		if got := mediaType(kind) == sdpType; got != want {
			t.Errorf("%q: %v; want %v", kind, got, want)
		}
	}
}

// FuzzParseDescription: whatever a peer sends, what we make of it can be read
// and names no address but ours where media is concerned.
func FuzzParseDescription(f *testing.F) {
	files, _ := filepath.Glob("testdata/sdp/*.txtar")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		a := siptest.ParseArchive(string(text))
		f.Add(siptest.CRLF(a.Files["offer"]), siptest.CRLF(a.Files["answer"]))
	}
	f.Fuzz(func(t *testing.T, offerBody, answerBody []byte) {
		offer, err := parseDescription(offerBody)
		if err != nil {
			return
		}
		_, _ = offer.rtp(), offer.rtcp()
		formats, err := offer.usable([]string{"PCMU", "PCMA", "opus"})
		if err != nil {
			return
		}
		out, err := offer.forTarget(ourSideB, formats, dirAsIs)
		if err != nil {
			return
		}
		onlyOurs(t, out, ourSideB)
		answer, err := parseDescription(answerBody)
		if err != nil || answer.holdTo(offer.pick(formats)) != nil {
			return
		}
		seen := answer.inNumbersOf(offer)
		back, err := seen.answering(offer, ourSideA, numbersOf(seen.common(offer)), dirAsIs)
		if err != nil {
			return
		}
		onlyOurs(t, back, ourSideA)
		again, err := parseDescription(back)
		if err != nil {
			return
		}
		if got, want := len(again.sdp.MediaDescriptions), len(offer.sdp.MediaDescriptions); got != want {
			t.Errorf("%d streams are answered; the offer has %d (RFC 3264 section 6)\n%s", got, want, back)
		}
		if again.audio != offer.audio {
			t.Errorf("stream %d is answered; the offer's is %d\n%s", again.audio, offer.audio, back)
		}
	})
}

// onlyOurs checks a description that we send.
func onlyOurs(t *testing.T, body []byte, at netip.AddrPort) {
	t.Helper()
	d, err := parseDescription(body)
	if err != nil {
		t.Errorf("what we send is not readable: %v\n%q", err, body)
		return
	}
	if d.rtp() != at {
		t.Errorf("media goes to %v; want %v\n%s", d.rtp(), at, body)
	}
	if rtcp := d.rtcp(); rtcp != netip.AddrPortFrom(at.Addr(), at.Port()+1) {
		t.Errorf("RTCP goes to %v\n%s", rtcp, body)
	}
	for line := range strings.SplitSeq(string(body), "\r\n") {
		if strings.ContainsAny(line, "\r\n") {
			t.Errorf("line %q ends in the middle", line)
		}
		kind, value, _ := strings.Cut(line, "=")
		name, _, _ := strings.Cut(strings.ToLower(value), ":")
		switch {
		case (kind == "c" || kind == "o") && !strings.HasSuffix(value, at.Addr().String()):
			t.Errorf("foreign address in %q", line)
		case kind == "a" && (name == "candidate" || name == "crypto" || name == "fingerprint" || name == "ice-pwd"):
			t.Errorf("attribute of the other side in %q", line)
		}
	}
}

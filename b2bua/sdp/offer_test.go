package sdp

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"flowbridge/sim/siptest"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	ourSideA = netip.MustParseAddrPort("198.51.100.1:10000")
	ourSideB = netip.MustParseAddrPort("198.51.100.1:10002")
)

// A golden file has an offer and an answer as input, with the target's codecs in its
// comment. The expected output is the descriptions for the target and the carrier, and the
// media addresses.
func TestOfferAnswerGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/sdp/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			must(t, err)
			got := txtar.Parse(text)
			want := siptest.Files(got)
			results := relay(t, string(got.Comment), want)
			for _, name := range []string{
				"carrier media", "offer error", "to target", "answer error", "target media", "to carrier",
			} {
				if text, ok := results[name]; ok {
					siptest.SetFile(got, name, text)
				}
			}
			if *update {
				must(t, os.WriteFile(file, txtar.Format(got), 0o644))
				return
			}
			if diff := cmp.Diff(want, siptest.Files(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// relay handles the offer and the answer of a golden file as a call does.
func relay(t *testing.T, comment string, files map[string]string) map[string]string {
	t.Helper()
	out := map[string]string{}
	offer, err := Parse(siptest.CRLF(files["offer"]))
	if err != nil {
		out["offer error"] = kindOf(err) + "\n"
		return out
	}
	out["carrier media"] = fmt.Sprintf("rtp %v rtcp %v\n", offer.RTP(), offer.RTCP())
	formats, err := offer.Usable(codecsOf(comment))
	if err != nil {
		out["offer error"] = kindOf(err) + "\n"
		return out
	}
	toTarget := offer.ForTarget(ourSideB, StreamTransport{}, formats, AsIs)
	out["to target"] = plain(toTarget)
	reparses(t, toTarget)
	body, ok := files["answer"]
	if !ok {
		return out
	}
	answer, err := Parse(siptest.CRLF(body))
	if err != nil {
		out["answer error"] = kindOf(err) + "\n"
		return out
	}
	if answer, err = answer.KeepOffered(formats); err != nil {
		out["answer error"] = kindOf(err) + "\n"
		return out
	}
	spoken, _ := Find(answer.Formats(), answer.Speaks())
	codec, _, _ := strings.Cut(spoken.Mapping, "/")
	out["target media"] = fmt.Sprintf("rtp %v rtcp %v codec %s\n", answer.RTP(), answer.RTCP(), codec)
	toCarrier := answer.Answering(offer, ourSideA, StreamTransport{}, answer.Formats(), AsIs)
	out["to carrier"] = plain(toCarrier)
	reparses(t, toCarrier)
	return out
}

func reparses(t *testing.T, body []byte) {
	t.Helper()
	if _, err := Parse(body); err != nil {
		t.Errorf("what we send is not readable: %v\n%s", err, body)
	}
}

func plain(b []byte) string { return strings.ReplaceAll(string(b), "\r\n", "\n") }

func codecsOf(comment string) []string {
	for line := range strings.Lines(comment) {
		if v, ok := strings.CutPrefix(line, "codecs:"); ok {
			return strings.Fields(v)
		}
	}
	return []string{"PCMU", "PCMA"}
}

// kindOf returns the name of our error that err is.
func kindOf(err error) string {
	for _, kind := range []error{ErrMalformed, ErrNoAudio, ErrNoCodec, ErrRejected} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "another error: " + err.Error()
}

func TestKeepOffered(t *testing.T) {
	const head = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 20000 RTP/AVP "
	offered := []Format{
		{Codec: PCMA, Mapping: "PCMA/8000", Number: 8},
		{Codec: PCMU, Number: 0},
		{Codec: Codec{Name: "TELEPHONE-EVENT", Clock: 8000}, Mapping: "telephone-event/8000", Number: 101},
	}
	for _, tt := range []struct {
		answer string
		ok     bool
		codec  string
	}{
		{"0\n", true, "PCMU"},
		{"8 101\na=rtpmap:101 telephone-event/8000\n", true, "PCMA"},
		{"101 0\na=rtpmap:101 telephone-event/8000\n", true, "PCMU"},
		{"0 96\na=rtpmap:96 telephone-event/8000\n", true, "PCMU"}, // the payload type may differ
		{"101\na=rtpmap:101 telephone-event/8000\n", false, ""},
		{"9\n", false, ""},
		{"18 8\n", true, "PCMA"}, // formats that were not offered are not passed on
		{"13\n", false, ""},
	} {
		d, err := Parse(siptest.CRLF(head + tt.answer))
		if err != nil {
			t.Errorf("%q: %v", tt.answer, err)
			continue
		}
		d, err = d.KeepOffered(offered)
		if got := err == nil; got != tt.ok {
			t.Errorf("%q: accepted %v; want %v", tt.answer, got, tt.ok)
		}
		if tt.ok && d.Speaks().Name != tt.codec {
			t.Errorf("%q: codec %q; want %q", tt.answer, d.Speaks().Name, tt.codec)
		}
	}
}

// FuzzParseDescription checks that for any description of a peer, the one that we make
// from it can be read, and names only our addresses for media.
func FuzzParseDescription(f *testing.F) {
	files, _ := filepath.Glob("testdata/sdp/*.txtar")
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(f, err)
		files := siptest.Files(txtar.Parse(text))
		f.Add(siptest.CRLF(files["offer"]), siptest.CRLF(files["answer"]))
	}
	const head = "v=0 \nc=IN IP6 2001:db8::1\nm=audio 4000 RTP/AVP 96 0\n"
	f.Add([]byte(head+"a=rtpmap:96 opus/48000/2 x\na=fmtp:96 \x1b[2J\nm=vid\xe9o 1\nc=X\n"), []byte(head+"a=inactive\nc=TN RFC2543 49\nm=audio 2 RTP/AVP 0\n"))
	f.Fuzz(func(t *testing.T, offerBody, answerBody []byte) {
		offer, err := Parse(offerBody)
		if err != nil {
			return
		}
		_, _ = offer.RTP(), offer.RTCP()
		formats, err := offer.Usable([]string{"PCMU", "PCMA", "opus"})
		if err != nil {
			return
		}
		out := offer.ForTarget(ourSideB, StreamTransport{}, formats, AsIs)
		onlyOurs(t, out, ourSideB)
		answer, err := Parse(answerBody)
		if err != nil {
			return
		}
		if answer, err = answer.KeepOffered(formats); err != nil {
			return
		}
		seen := answer.InNumbersOf(offer)
		back := seen.Answering(offer, ourSideA, StreamTransport{}, seen.Common(offer), AsIs)
		onlyOurs(t, back, ourSideA)
		again, err := Parse(back)
		if err != nil {
			return
		}
		if got, want := again.Streams(), offer.Streams(); got != want {
			t.Errorf("%d streams are answered; the offer has %d (RFC 3264 section 6)\n%s", got, want, back)
		}
		if again.audio != offer.audio {
			t.Errorf("stream %d is answered; the offer's is %d\n%s", again.audio, offer.audio, back)
		}
	})
}

// onlyOurs checks that a description names only our address and valid ports.
func onlyOurs(t *testing.T, body []byte, at netip.AddrPort) {
	t.Helper()
	d, err := Parse(body)
	if err != nil {
		t.Errorf("what we send is not readable: %v\n%q", err, body)
		return
	}
	if d.RTP() != at {
		t.Errorf("media goes to %v; want %v\n%s", d.RTP(), at, body)
	}
	if rtcp := d.RTCP(); rtcp != netip.AddrPortFrom(at.Addr(), at.Port()+1) {
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

// RFC 3264 section 6: streams that we can't accept are declined with port 0. Media types,
// transports and bandwidth types may have any name (RFC 8866 section 9), and an unknown one
// does no harm.
func TestUnknownStreamsAreDeclined(t *testing.T) {
	const head = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 20000 RTP/AVP 0\n"
	for name, more := range map[string]string{
		"T.38":              "m=image 20002 udptl t38\na=T38FaxVersion:0\n",
		"T.38 capitals":     "m=image 20002 UDPTL t38\n",
		"T.38 over TCP":     "m=image 20002 TCP t38\n",
		"media unknown":     "m=x-other 20002 RTP/AVP 0\n",
		"protocol unknown":  "m=audio 20002 AAL2/ITU 0\n",
		"bandwidth unknown": "b=X9:1\n",
	} {
		offer, err := Parse(siptest.CRLF(head + more))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if b := offer.Answering(offer, ourSideA, StreamTransport{}, offer.Formats(), AsIs); strings.HasPrefix(more, "m=") && strings.Count(string(b), "\r\nm=") != 2 {
			t.Errorf("%s:\n%s", name, b)
		}
	}
}

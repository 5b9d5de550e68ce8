package sdp

import (
	"testing"

	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// These descriptions are used by the benchmarks: a carrier's offer of three codecs, and an agent's answer.
var (
	benchOffer = siptest.CRLF("v=0\no=root 1525349061 1525349061 IN IP4 192.0.2.10\ns=Carrier Media Gateway\nc=IN IP4 192.0.2.10\nt=0 0\n" +
		"m=audio 13222 RTP/AVP 0 8 101\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\n" +
		"a=fmtp:101 0-16\na=maxptime:20\na=sendrecv\n")
	benchAnswer = siptest.CRLF("v=0\no=agent 100 100 IN IP4 192.0.2.20\ns=agent\nc=IN IP4 192.0.2.20\nt=0 0\n" +
		"m=audio 30000 RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\na=ptime:20\na=sendrecv\n")
	benchCodecs = []string{"PCMU", "PCMA"}
)

func benchRead(tb testing.TB, body []byte) *Description {
	tb.Helper()
	d, err := Parse(body)
	must(tb, err)
	return d
}

// offerAnswer does everything that a call does with session descriptions: it reads the caller's offer, makes the offer
// to the target, reads the target's answer, and makes the answer to the caller.
func offerAnswer(tb testing.TB) {
	tb.Helper()
	caller, target := NewLegCrypto(config.PeerMedia{}, "", false), NewLegCrypto(config.PeerMedia{}, "", false)
	toTarget, toCaller := NewOrigin(), NewOrigin()
	offer, err := Read(benchOffer, caller.Accept())
	must(tb, err)
	offered, formats, err := offer.Offerable(benchCodecs)
	must(tb, err)
	toTarget.Stamp(offered.ForTarget(ourSideB, target.Offering(), formats, offer.PassedOn()))
	answer, err := Read(benchAnswer, target.AcceptAnswer())
	must(tb, err)
	answer, err = answer.KeepOffered(formats)
	must(tb, err)
	seen := answer.InNumbersOf(offer)
	toCaller.Stamp(seen.Answering(offer, ourSideA, caller.Answering(offer, false), seen.Common(offer), AsIs))
}

func BenchmarkRead(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		benchRead(b, benchOffer)
	}
}

func BenchmarkWrite(b *testing.B) {
	d := benchRead(b, benchOffer)
	b.ReportAllocs()
	for b.Loop() {
		d.ForTarget(ourSideB, StreamTransport{}, d.Formats(), AsIs)
	}
}

func BenchmarkOfferAnswer(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		offerAnswer(b)
	}
}

package agreement_test

import (
	"strings"
	"testing"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

const (
	opus = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\nm=audio 20000 RTP/AVP 111\r\n" +
		"a=rtpmap:111 opus/48000/2\r\n"
	pcmu = "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\n"
)

func described(t *testing.T, text string) *sdp.Description {
	t.Helper()
	d, err := sdp.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestSuitWithoutPlace: a caller with Opus and an agent with PCMU are connected again after a transfer. They are
// transcoded even if other calls use all places for transcoders by then.
func TestSuitWithoutPlace(t *testing.T) {
	places := agreement.NewPlaces(1, one)
	other := agreement.PlaceAt(places, "")
	other.Claim(false)
	caller, agent := described(t, opus), described(t, pcmu)
	a := agreement.Agreement{Offer: caller, Answer: []byte(opus), Transcoder: agreement.PlaceAt(places, "")}
	a.Description = [2]*sdp.Description{caller, caller}
	for side := range a.Description {
		a.SentTo[side] = caller.Formats()
		a.Tell(media.Side(side), caller.Formats())
	}
	if a.Turn(agent) == nil {
		t.Error("another agent gets a place that is not free")
	}
	a.Suit(agent)
	if !a.Description[media.SideA].HasStandIn() || a.Codec != [2]sdp.Codec{sdp.PCMU, sdp.PCMU} {
		t.Errorf("codecs %v", a.Codec)
	}
	if used, _, _ := places.Figures(); used != 2 {
		t.Errorf("%d places are taken", used)
	}
}

// TestSeenLeavesAgreement: an answer that has none of the caller's codecs leaves the agreement unchanged.
func TestSeenLeavesAgreement(t *testing.T) {
	caller, agent := described(t, opus), described(t, pcmu)
	a := agreement.Agreement{Offer: caller, Answer: []byte(opus), Transcoder: agreement.PlaceAt(agreement.NewPlaces(1, one), "")}
	a.Description[media.SideA], a.SentTo[media.SideA] = caller, caller.Formats()
	a.Tell(media.SideA, caller.Formats())
	if _, err := a.Seen(agent); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Seen(described(t, strings.Replace(pcmu, "RTP/AVP 0", "RTP/AVP 9", 1))); err == nil {
		t.Fatal("an answer of G.722 is usable")
	}
	if !a.Description[media.SideA].HasStandIn() || a.Codec[media.SideA] != sdp.PCMU || !a.Transcoder.Has() {
		t.Errorf("%+v", a.Terms)
	}
}

func one() int { return 1 }

// One trunk, also by calls that only ring, can't take the places of others. A trunk alone may have all.
func TestSharesOfTranscoders(t *testing.T) {
	trunks := 4
	places := agreement.NewPlaces(16, func() int { return trunks })
	take := func(trunk string) (n int, all []agreement.Place) {
		for range 20 {
			if p := agreement.PlaceAt(places, trunk); p.Claim(false) {
				all = append(all, p)
			}
		}
		return len(all), all
	}
	first, taken := take("flood") // 2 are reserved for each of the other three
	if first != 10 {
		t.Errorf("one of four trunks takes %d of 16; want 10", first)
	}
	for _, name := range []string{"a", "b", "c"} {
		if n, _ := take(name); n != 2 {
			t.Errorf("trunk %s gets %d; want 2", name, n)
		}
	}
	if p := agreement.PlaceAt(places, "flood"); !p.Claim(true) { // of an old process
		t.Error("no place that must be")
	}
	for i := range taken {
		taken[i].Release()
	}
	if used, most, refused := places.Figures(); used != 7 || most != 16 || refused == 0 {
		t.Errorf("%d of %d, %d refused; want 7 of 16", used, most, refused)
	}
	trunks = 1
	places = agreement.NewPlaces(16, one)
	if n, _ := take("only"); n != 16 {
		t.Errorf("the only trunk takes %d; want 16", n)
	}
}

// TestSuitAfterAnother: a caller with Opus whose agent has Opus waits for another party. That answers PCMU and hangs up,
// so the caller speaks Opus to its agent again.
func TestSuitAfterAnother(t *testing.T) {
	caller, agent := described(t, opus), described(t, opus)
	a := agreement.Agreement{Offer: caller, Answer: []byte(opus), Transcoder: agreement.PlaceAt(agreement.NewPlaces(1, one), "")}
	a.Description = [2]*sdp.Description{caller, agent}
	for side := range a.Description {
		a.SentTo[side] = caller.Formats()
		a.Tell(media.Side(side), caller.Formats())
	}
	if _, err := a.Seen(described(t, pcmu)); err != nil || !a.Description[media.SideA].HasStandIn() {
		t.Fatalf("the other party: %v, codecs %v", err, a.Codec)
	}
	a.Suit(agent)
	if a.Description[media.SideA].HasStandIn() || a.Codec[media.SideA] != a.Codec[media.SideB] {
		t.Errorf("codecs %v", a.Codec)
	}
}

// TestSoundsWithoutPlace: a caller with Opus hears our sounds only if a transcoder is free for them.
func TestSoundsWithoutPlace(t *testing.T) {
	for _, free := range []bool{true, false} {
		places := agreement.NewPlaces(1, one)
		if other := agreement.PlaceAt(places, ""); !free {
			other.Claim(false)
		}
		a := agreement.Agreement{Offer: described(t, opus), Transcoder: agreement.PlaceAt(places, "")}
		_, playable := a.Playable([]*peers.Target{{Dial: &peers.Dial{Policy: peers.Policy{Codecs: []string{"PCMU"}}}}})
		if used, _, _ := places.Figures(); playable != free || a.Transcoder.Has() != free || used != 1 {
			t.Errorf("free: %t, playable: %t, %d places are taken", free, playable, used)
		}
	}
}

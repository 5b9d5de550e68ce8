package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/audio"
	"flowbridge/media/recording"
	"flowbridge/media/voice/turns"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// effects records in order what a bridge does to its media, its legs and its call, and what it logs.
type effects struct {
	Call
	RelaySession
	done      []string
	halves    [2]*Half
	connected bool
	moment    Moment
	route     config.Route
}

func (e *effects) add(format string, a ...any) { e.done = append(e.done, fmt.Sprintf(format, a...)) }

func (e *effects) Half(side media.Side) *Half { return e.halves[side] }
func (e *effects) Called() *peers.Target      { return nil }
func (e *effects) Route() *config.Route       { return &e.route }
func (e *effects) Moment() Moment             { return e.moment }
func (e *effects) Post(ev Event)              { e.add("post %+v", ev) }
func (e *effects) Policy() *peers.Policy      { return &peers.Policy{DTMF: config.DTMFInfo} }

func (e *effects) Connected() *Half {
	if !e.connected {
		return nil
	}
	return e.halves[media.SideB]
}

func (e *effects) SetPeer(side media.Side, _ media.Peer) { e.add("media: peer %v", side) }
func (e *effects) Play(side media.Side, p media.Play)    { e.add("media: play %v, mix %v", side, p.Mix) }
func (e *effects) StopPlay(side media.Side)              { e.add("media: no sound %v", side) }
func (e *effects) SetMask(side media.Side, m media.Mask) { e.add("media: mask %v %v", side, m.On) }
func (e *effects) SetTap(t media.Tap)                    { e.add("media: tap %v", t != nil) }
func (e *effects) SetPayloads(side media.Side, _ []media.PayloadChange) {
	e.add("media: payloads %v", side)
}

func (e *effects) SetTelephoneEvents(side media.Side, t media.TelephoneEvents) {
	e.add("media: events %v %v", side, t.On)
}

func (e *effects) SendDigit(side media.Side, d media.Digit) error {
	e.add("media: digit %v %c", side, d.Digit)
	return nil
}
func (e *effects) Talk() *turns.Figures            { return nil }
func (e *effects) Stats() (none media.Stats)       { return none }
func (e *effects) Quiet() (none media.Quiet)       { return none }
func (e *effects) Start()                          { e.add("media: start") }
func (e *effects) Follow(media.Conversation) error { e.add("media: follow"); return nil }

func (e *effects) Close() (s media.Stats) {
	e.add("media: close")
	return s
}

func (e *effects) HandOver() (st media.SessionState, all media.Sockets) {
	e.add("media: hand over")
	return st, all
}

// Write records a line of the log.
func (e *effects) Write(line []byte) (int, error) {
	var l struct{ Message string }
	if err := json.Unmarshal(line, &l); err != nil {
		return 0, err
	}
	e.add("log: %s", l.Message)
	return len(line), nil
}

// told is a leg that only records the inputs that it gets.
type told struct {
	*effects
	name string
}

func (l told) Step(in leg.Input) { l.add("leg %s: %T", l.name, in) }
func (l told) Trying()           { l.add("leg %s: trying", l.name) }

// joined returns a bridge between two legs with PCMU, and the effects that the bridge has from then on.
func joined(t *testing.T) (*Bridge, *effects) {
	t.Helper()
	e := &effects{connected: true, moment: Moment{Answered: true}, route: config.Route{
		Hold: config.HoldNone, Record: config.WantedAlways, MaskDTMF: config.WantedAlways,
	}}
	archive, err := recording.Open(recording.Config{Dir: t.TempDir(), Formats: []string{"wav"}, Keep: time.Hour, MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := archive.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	lines := zerolog.New(io.Writer(e)).Level(zerolog.DebugLevel)
	beep, _ := audio.Tone(peers.ToneBeep)
	b := &Bridge{}
	b.Open(e, Options{
		Resources: &Resources{Archive: archive, Lines: &lines, Config: &config.Media{Insight: config.InsightOn}, Beep: time.Minute},
		ID:        "one", Trunk: &peers.Trunk{Caller: &peers.Caller{}}, Tones: map[string]*audio.Sound{peers.ToneBeep: beep},
	})
	for side, port := range []int{20000, 30000} {
		d, err := sdp.Parse([]byte(siptest.SessionAt("192.0.2.10", port, "0 101")))
		if err != nil {
			t.Fatal(err)
		}
		b.Agreement.Description[side], b.Agreement.Codec[side], b.Agreement.SentTo[side] = d, sdp.PCMU, d.Formats()
		e.halves[side] = &Half{
			Line: told{e, media.Side(side).String()}, Side: media.Side(side), Leg: &leg.Leg{}, Peer: &peers.Peer{},
			Crypto: sdp.NewLegCrypto(config.PeerMedia{}, "", false),
		}
	}
	b.Media.session = e
	return b, e
}

// TestRestoredOnHold: the sides of a call that is restored on hold don't hear each other, even before its first turn.
func TestRestoredOnHold(t *testing.T) {
	b, e := joined(t)
	e.done = nil
	b.Sounds.restore(&snapshot.Bridge{Sounds: snapshot.Sounds{OnHold: true}})
	if want := []string{"media: play a, mix false", "media: play b, mix false"}; !slices.Equal(e.done, want) {
		t.Errorf("%q; want %q", e.done, want)
	}
}

// TestOrderOfEffects pins the order in which the parts of a bridge act if several have something to do.
func TestOrderOfEffects(t *testing.T) {
	past := func() time.Time { return time.Now().Add(-time.Millisecond) }
	recorded := func(t *testing.T, b *Bridge, e *effects) {
		t.Helper()
		if err := b.Recordings.start(false); err != nil {
			t.Fatal(err)
		}
		b.Sounds.voices = [2]*voice{}
		e.done = nil
	}
	press := func(b *Bridge, e *effects, result chan<- error) {
		_ = b.Pressed.press(&pressing{to: e.halves[media.SideB], keys: "12", length: time.Second, result: result})
		e.done = nil
	}
	for name, tt := range map[string]struct {
		do   func(*testing.T, *Bridge, *effects)
		want []string
	}{
		"all deadlines": {func(t *testing.T, b *Bridge, e *effects) {
			recorded(t, b, e)
			b.Exchanges.current = &exchange{from: e.halves[0], to: e.halves[1], until: past()}
			b.Saying.what.To, b.Saying.speaks, b.Saying.until = media.SideB, true, past()
			press(b, e, nil)
			b.Recordings.beepAt = past()
			time.Sleep(2 * time.Millisecond)
			b.Pressed.to[media.SideB].asked, b.Pressed.to[media.SideB].at = nil, past() // as if the first key had been answered
			b.OnTimer(time.Now())
		}, []string{
			"post " + fmt.Sprintf("%+v", Said{To: media.SideB}),
			"media: play a, mix true", "media: play b, mix true", "log: no answer to a session change", "leg a: leg.Reject",
			"leg b: leg.Send",
		}},
		"the end": {func(t *testing.T, b *Bridge, e *effects) {
			recorded(t, b, e)
			press(b, e, make(chan error, 1))
			b.End(new(record.Record))
		}, []string{"log: digit not sent", "media: tap false", "log: recording stopped", "media: close"}},
		"what a killed process has left": {func(_ *testing.T, b *Bridge, _ *effects) {
			b.Recordings.again.On = true
			sound, _ := audio.Tone("eu")
			b.Sounds.voices[media.SideA] = &voice{name: "eu", sound: sound, loop: true, lasts: true}
			b.GoOn()
		}, []string{
			"media: play a, mix false", "media: tap true", "log: recording started", "media: play b, mix true",
		}},
		"another process": {func(t *testing.T, b *Bridge, e *effects) {
			recorded(t, b, e)
			b.HandOver(&snapshot.Sheet{})
		}, []string{"media: hand over", "media: tap false", "log: recording stopped"}},
		"a description": {func(_ *testing.T, b *Bridge, e *effects) {
			b.Masking.On, b.Masking.applied = true, true
			b.Sounds.OnHold = true
			d, err := sdp.Parse([]byte(siptest.SessionAt("192.0.2.21", 30000, "0 102")))
			if err != nil {
				t.Fatal(err)
			}
			b.Agreement.Changes[media.SideA] = []media.PayloadChange{{}}
			b.Media.SetPeer(media.SideB, d)
		}, []string{
			"media: mask a true", "media: peer b", "media: payloads a", "media: payloads b", "media: events a true",
			"media: play a, mix false", "media: play b, mix false",
		}},
		"the answer": {func(_ *testing.T, b *Bridge, e *effects) {
			b.Sounds.Ringing = true
			b.Sounds.voices[media.SideA] = &voice{name: "eu", loop: true}
			b.Media.Start()
			b.Tell(Answered{})
		}, []string{
			"media: start", "media: follow", "media: events a true", "media: no sound a", "media: tap true",
			"log: recording started", "media: play a, mix true", "media: play b, mix true",
		}},
		"an announcement": {func(_ *testing.T, b *Bridge, e *effects) {
			e.connected = false
			b.Saying.Begin(Announce{Sound: "beep", Accept: "1"}.Statement())
			b.Saying.Speak()
		}, []string{
			"media: play a, mix false", "media: play b, mix false", "media: events a true", "media: events b true",
			"media: play b, mix false",
		}},
		"turns without an agent": {func(_ *testing.T, b *Bridge, e *effects) {
			e.moment.AgentLeft = true
			b.Tell(Turned{})
			b.Tell(Turned{})
			e.moment.AgentLeft = false
			b.Tell(Turned{})
		}, []string{"media: play a, mix false", "media: no sound a"}},
		"turns of a hold that a side can't hear": {func(_ *testing.T, b *Bridge, _ *effects) {
			b.Sounds.OnHold, b.Agreement.Codec[media.SideB] = true, sdp.Codec{Name: "G722", Clock: 8000}
			b.Tell(Turned{})
			b.Tell(Turned{})
		}, []string{"media: play a, mix false", "log: sound not played: the side has no G.711"}},
		"a route": {func(_ *testing.T, b *Bridge, _ *effects) { b.Tell(Routed{}) }, []string{"media: mask a true", "log: keys masked"}},
		"a key":   {func(_ *testing.T, b *Bridge, _ *effects) { keyed(b, media.SideA) }, []string{"leg b: leg.Send"}},
		"a key that is masked": {func(_ *testing.T, b *Bridge, _ *effects) {
			b.Masking.On = true
			keyed(b, media.SideA)
		}, nil},
		"a key of who hears an announcement": {func(_ *testing.T, b *Bridge, e *effects) {
			b.Masking.On, b.Saying.what, b.Saying.speaks = true, Announce{Sound: "beep", Accept: "1"}.Statement(), true
			keyed(b, media.SideB)
		}, []string{"post " + fmt.Sprintf("%+v", Said{To: media.SideB, Accepted: true, Key: "1"})}},
	} {
		t.Run(name, func(t *testing.T) {
			b, e := joined(t)
			tt.do(t, b, e)
			if diff := cmp.Diff(tt.want, slices.Clone(e.done)); diff != "" {
				t.Errorf("want - got +\n%s", diff)
			}
		})
	}
}

// keyed presses a key on a side whose keys are reported as events.
func keyed(b *Bridge, side media.Side) {
	b.Media.Listening = [2]bool{true, true}
	b.Tell(media.EventDigit{Side: side, Digit: '1', Duration: time.Second})
}

// Each event is handled by one part of the bridge, or by the call. A step of the call may be handled by several parts.
func TestEachEventHasOneOwner(t *testing.T) {
	known := map[string]bool{}
	for _, tt := range []struct {
		event Event
		owner string
	}{
		{media.EventDigit{Side: media.SideA, Digit: '1'}, "*bridge.Pressed"},
		{media.EventPlayed{ID: 1}, "*bridge.Sounds"},
		{media.EventRestarted{}, "*bridge.Saying"},
		{media.EventLatched{}, "*bridge.Media"},
		{media.EventOneWay{Side: media.SideB}, "*bridge.Media"},
		{media.EventHeard{Side: media.SideB}, "*bridge.Media"},
		{media.EventSideSilent{Side: media.SideB}, "*bridge.Media"},
		{media.EventWithheld{}, "*bridge.Media"},
		{media.EventFailed{}, "*bridge.Transcoding"},
		{media.EventSilent{}, ""},
		{media.EventGone{}, ""},
		{media.EventChanged{}, ""},
		{media.EventAnsweredBy{}, ""},
		{media.EventBeep{}, ""},
		{HandshakeOver{}, ""},
		{Said{}, ""},
	} {
		b, _ := joined(t)
		var got []string
		for _, p := range b.parts {
			if p.on(tt.event) {
				got = append(got, fmt.Sprintf("%T", p))
			}
		}
		if strings.Join(got, " ") != tt.owner {
			t.Errorf("%T is taken by %q; want %q", tt.event, got, tt.owner)
		}
		known[fmt.Sprintf("%T", tt.event)] = true
	}
	text, err := os.ReadFile("../../media/event.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`func \((\w+)\) isEvent\(\)`).FindAllStringSubmatch(string(text), -1) {
		if !known["media."+m[1]] {
			t.Errorf("no owner is named for media.%s", m[1])
		}
	}
}

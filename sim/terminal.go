package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Terminal is the audio of a carrier's call in place of the carrier's own, which is G.711 without encryption. The
// call's goroutine calls its methods, and Close last.
type Terminal interface {
	// Offer returns the SDP of the INVITE.
	Offer() []byte
	// Connect gets the SDP of a response: of one that rings, and of the answer. An error ends an answered call.
	Connect(sdp []byte) error
	// Speak begins to speak: the call is answered.
	Speak()
	// GivesUp returns a channel that is closed when this end hangs up by itself.
	GivesUp() <-chan struct{}
	// Media returns the audio so far.
	Media() Media
	// Close ends the audio.
	Close()
}

// Identity replaces what a carrier's requests say about their sender.
type Identity struct {
	CallID string // of the call
	Host   string // of From
	Allow  string // the methods of the header Allow; requests with another one get 405, and a re-INVITE gets 488
	// Bye returns further headers of the BYE of a call that lasted so long; may be nil.
	Bye func(time.Duration) []Header
}

// allows reports whether a call takes requests with a method.
func (i *Identity) allows(method sip.RequestMethod) bool {
	return i == nil || slices.Contains(strings.Split(i.Allow, ", "), string(method))
}

// connect applies the SDP of an answer.
func (o *outgoing) connect(body []byte) error {
	if o.cc.Terminal != nil {
		return o.cc.Terminal.Connect(body)
	}
	media, err := parseSDP(body)
	if err == nil {
		o.stream.peer.Store(&media)
	}
	return err
}

// speak begins to speak, and returns the function that ends it.
func (o *outgoing) speak() (quiet func()) {
	if o.cc.Terminal != nil {
		o.cc.Terminal.Speak()
		return func() {}
	}
	if o.cc.Party == nil {
		o.stream.say(o.stream.peer.Load().codec.encodeAll(Words(o.cc.Seed)), true)
	}
	if o.cc.Listens {
		o.stream.at = sentenceSamples
	}
	clock := o.carrier.sip.clock
	clock.add(o.stream)
	return func() { clock.remove(o.stream) }
}

// media returns the audio so far. ended says that the call is over.
func (o *outgoing) media(ended bool) Media {
	if o.cc.Terminal != nil {
		return o.cc.Terminal.Media()
	}
	return o.stream.media(ended)
}

// silence closes the audio.
func (o *outgoing) silence() {
	if o.cc.Terminal != nil {
		o.cc.Terminal.Close()
		return
	}
	o.stream.close()
}

// givesUp returns a channel that is closed when the terminal hangs up. Without one it is nil.
func (o *outgoing) givesUp() <-chan struct{} {
	if o.cc.Terminal == nil {
		return nil
	}
	return o.cc.Terminal.GivesUp()
}

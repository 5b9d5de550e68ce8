package bridge

import (
	"context"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/audio"
	"flowbridge/media/dtls"
	"flowbridge/media/recording"
	"flowbridge/store/record"
)

// Call is what a bridge needs from its call. Only Post may be called from other goroutines than the call's.
type Call interface {
	// Half returns the leg on a side, or nil if there is none. On side B it is the connected leg, or else the leg that is
	// being called.
	Half(side media.Side) *Half
	// Connected returns the leg that is connected to the caller, or nil.
	Connected() *Half
	// Called returns the target that Half(media.SideB) calls, or nil. The target may not have been dialled yet.
	Called() *peers.Target
	// Policy returns the configuration of the platform that placed the call or was last connected, or nil.
	Policy() *peers.Policy
	// Route returns the call's route, or nil if it has none yet.
	Route() *config.Route
	Moment() Moment

	Post(e Event)
}

// Moment is the state of a call at one moment, as far as a bridge needs it.
type Moment struct {
	Answered  bool
	Transfer  bool // another party is being called in place of an agent
	AgentLeft bool // no agent is in the call: it left during the transfer, or none has been connected yet
	Rescue    bool // the transfer replaces an agent that was lost
	First     bool // we have placed the call, and no agent has answered yet
	Apart     bool // the caller waits for another party, or is connected to one that is not an agent
}

// Resources are shared by all bridges of a server.
type Resources struct {
	Context  context.Context //nolint:containedctx // the server's, which ends all calls
	Relay    Relay
	Archive  *recording.Archive // nil if calls can't be recorded
	Identity *dtls.Identity     // our certificate for DTLS-SRTP
	Names    Names
	Lines    *zerolog.Logger
	Config   *config.Media
	Beep     time.Duration // time between the beeps of a recording; 0 means no beeps

	Transcoders *agreement.Places // nil if calls can't be transcoded
	// Listeners limits the calls whose Opus is decoded only to measure the conversation; nil means no such decoding.
	Listeners *agreement.Places

	// Beside runs do on a goroutine of its own. A panic in do ends only that goroutine. what names the task in the log.
	Beside func(what string, do func())
}

// Options are the constant properties of a bridge.
type Options struct {
	*Resources
	ID      string // id of the call
	Trunk   *peers.Trunk
	Source  netip.AddrPort // the address that the caller's INVITE came from
	Privacy outbound.Privacy
	Tones   map[string]*audio.Sound
	Ladder  *ladder.Call // nil if the call has no ladder
	TraceID string       // id of the trace that the call belongs to; empty if none
}

// Bridge connects the two legs of a call and their media. It belongs to the call's goroutine.
type Bridge struct {
	Options
	Call    Call
	Log     Log
	PeerLog Log                   // rate-limited log for lines that a peer can cause without limit
	ofPeers *zerolog.BurstSampler // limits PeerLog; nil until a line is written

	Agreement agreement.Agreement

	// The parts, in the order in which they handle events. They end in the reverse order. Services: Media, Keying, Sounds,
	// Exchanges. TestOrderOfEffects, TestServicesNameNoFeature.
	Masking     Masking
	Transcoding Transcoding
	Media       Media
	Talk        Talk
	Keying      Keying
	Saying      Saying
	Digits      Digits
	Sounds      Sounds
	Recordings  Recordings
	Listening   Listening
	Exchanges   Exchanges
	Pressed     Pressed
	Relays      Relays

	parts []part // these; set by Open
}

// Settle completes the record of a call whose process was killed: it adds the recordings that are on disk.
func (rs *Resources) Settle(r *record.Record) {
	if rs.Archive != nil {
		r.SettleRecordings(rs.Archive.Finished)
	}
}

// Record adds the figures of each part to the record of a call that continues.
func (b *Bridge) Record(r *record.Record) {
	b.Recordings.record(r)
	b.Listening.record(r)
}

// RestoreRecord stores the recordings that earlier processes wrote, so that this call's record includes them.
func (b *Bridge) RestoreRecord(r *record.Record) { b.Recordings.past = r.Recordings }

// SettleWait limits how long a call's record waits until its recordings are written. Slower files are still written,
// but the record is written before them.
const SettleWait = 2 * time.Second

// Settled returns a function that adds the call's recordings to its record. The function waits until the files are
// written, for SettleWait, or until its context ends, and may be called from any goroutine. Settled returns nil if
// this process has recorded nothing.
func (b *Bridge) Settled() func(context.Context, *record.Record) { return b.Recordings.settled() }

// RelaySession is the media session of a call. It has the methods that the bridge's parts need. *media.Session
// implements it.
type RelaySession interface {
	mediaSession
	keySession
	digitSession
	maskSession
	transcodeSession
	soundSession
	talkSession
	answerSession
}

// Open sets up the bridge of a call.
func (b *Bridge) Open(c Call, o Options) {
	b.Options, b.Call, b.parts = o, c, b.list()
	b.Log, b.PeerLog = b.Logs()
	b.each(func(p part) { p.open(b) })
}

// Event is anything that a bridge is told of, except facts about its legs: an event of its media (media.Event),
// HandshakeOver, Said, or a step of its call (part.go). The call gets it through Post and passes it to Tell,
// unless the event concerns the call itself. TestEachEventHasOneOwner checks this.
type Event any

// Other returns the leg on the opposite side of a leg, or nil if none is connected.
func (b *Bridge) Other(of *Half) *Half { return b.across(of.Side) }

// across returns the leg on the opposite side, or nil if none is connected.
func (b *Bridge) across(from media.Side) *Half {
	if from == media.SideA {
		return b.Call.Connected()
	}
	return b.Call.Half(media.SideA)
}

// Reply answers a peer's request with a status that we chose ourselves.
func (b *Bridge) Reply(to *Half, req *sip.Request, code int, headers ...sip.Header) {
	to.Step(leg.Reply{
		Method: req.Method, Seq: req.CSeq().SeqNo, Code: code, Reason: message.StatusText(code),
		Content: leg.Content{Headers: headers},
	})
}

// place returns a place for the call that is not taken yet.
func (b *Bridge) place(at *agreement.Places) agreement.Place {
	if b.Trunk == nil {
		return agreement.PlaceAt(at, "")
	}
	return agreement.PlaceAt(at, b.Trunk.Caller.Name)
}

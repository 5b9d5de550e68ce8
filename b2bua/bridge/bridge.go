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

// Call is the call of a bridge, as the bridge uses it. Only Post may be called outside of the call's turn.
type Call interface {
	// Half returns the leg on a side: on side B the connected leg, or else the one that is being called. nil if there is
	// none.
	Half(side media.Side) *Half
	// Connected returns the leg that is connected to the caller, or nil.
	Connected() *Half
	// Called returns the target of Half(media.SideB), which may not be dialled yet, or nil.
	Called() *peers.Target
	// Policy returns the configuration of the platform that placed the call, or was connected last, or nil.
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
	AgentLeft bool // the agent has left during that, or there was none yet
	Rescue    bool // the other party is called because the agent was lost
	First     bool // we have placed the call, and no agent has answered yet
	Apart     bool // the caller waits for another party, or is connected to one that is not an agent
}

// Resources are shared by all bridges of a server.
type Resources struct {
	Context  context.Context //nolint:containedctx // the server's, which ends all calls
	Relay    Relay
	Archive  *recording.Archive // nil if calls can't be recorded
	Identity *dtls.Identity     // our certificate in DTLS-SRTP
	Names    Names
	Lines    *zerolog.Logger
	Config   *config.Media
	Beep     time.Duration // time between the beeps of a recording; 0 means no beeps

	Transcoders *agreement.Transcoders // nil if calls can't be transcoded
	Listeners   *agreement.Transcoders // limits the calls whose Opus is decoded only for figures; nil if there are none

	// Beside runs do on another goroutine. A panic there ends only that goroutine.
	Beside func(what string, do func())
}

// Options are the constant properties of a bridge.
type Options struct {
	*Resources
	ID      string // id of the call
	Trunk   *peers.Trunk
	Source  netip.AddrPort // source of the caller's INVITE
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
	PeerLog Log                   // log for lines that a peer can provoke without end
	ofPeers *zerolog.BurstSampler // limits PeerLog; nil until a line is written

	Agreement agreement.Agreement

	Masking      Masking
	Transcoding  Transcoding
	Media        Media
	Talk         Talk
	Keying       Keying
	Digits       Digits
	Sounds       Sounds
	Recordings   Recordings
	Exchanges    Exchanges
	Announcement Announcement
	Pressed      Pressed
	Relays       Relays
}

// parts returns the parts of a bridge in the order in which they act. They end in the reverse order.
// TestOrderOfEffects.
func (b *Bridge) parts() [12]part {
	return [...]part{
		&b.Masking, &b.Transcoding, &b.Media, &b.Talk, &b.Keying, &b.Digits, &b.Sounds, &b.Recordings,
		&b.Exchanges, &b.Announcement, &b.Pressed, &b.Relays,
	}
}

// Settle completes the recordings in a killed process's record from the files that exist.
func (rs *Resources) Settle(r *record.Record) {
	if rs.Archive != nil {
		r.SettleRecordings(rs.Archive.Finished)
	}
}

// Record adds the recordings written so far to the record of a call that continues.
func (b *Bridge) Record(r *record.Record) { b.Recordings.record(r) }

// RestoreRecord takes over the recordings that earlier processes have written.
func (b *Bridge) RestoreRecord(r *record.Record) { b.Recordings.past = r.Recordings }

// SettleWait is how long a call's record waits for its recordings to be written. Files that take longer are still
// written, but without the record waiting for them.
const SettleWait = 2 * time.Second

// Settled returns a function that completes the call's record once its recordings are written, or after SettleWait, or
// when its context ends. It may be called on another goroutine. Settled returns nil if this process has written no
// recording.
func (b *Bridge) Settled() func(context.Context, *record.Record) { return b.Recordings.settled() }

// RelaySession is the media session of a call. It combines the methods that the parts need. *media.Session implements
// it.
type RelaySession interface {
	mediaSession
	keySession
	digitSession
	maskSession
	transcodeSession
	soundSession
	tapSession
	talkSession
	answerSession
}

// Open sets up the bridge of a call.
func (b *Bridge) Open(c Call, o Options) {
	b.Options, b.Call = o, c
	b.Log, b.PeerLog = b.Logs()
	b.each(func(p part) { p.open(b) })
}

// Event is anything that happens to a bridge, other than the facts of its legs: an event of its media (media.Event),
// HandshakeOver, Announced, or a step of its call (part.go). The call that gets it in Post passes it to Tell, unless
// the event concerns the call itself. TestEachEventHasOneOwner.
type Event any

// Other returns the leg that a leg is connected to, or nil.
func (b *Bridge) Other(of *Half) *Half { return b.across(of.Side) }

// across returns the leg on the other side, or nil.
func (b *Bridge) across(from media.Side) *Half {
	if from == media.SideA {
		return b.Call.Connected()
	}
	return b.Call.Half(media.SideA)
}

// Reply answers a request with a status of our own.
func (b *Bridge) Reply(to *Half, req *sip.Request, code int, headers ...sip.Header) {
	to.Step(leg.Reply{
		Method: req.Method, Seq: req.CSeq().SeqNo, Code: code, Reason: message.StatusText(code),
		Content: leg.Content{Headers: headers},
	})
}

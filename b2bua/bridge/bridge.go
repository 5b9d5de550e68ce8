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

// Call is what a bridge asks of its call, and tells it. Only Post may be called outside of the call's turn.
type Call interface {
	// Half returns the leg whose media a side has: on side B the connected one, or else the one that is called. nil: none.
	Half(side media.Side) *Half
	// Connected returns the leg that is connected to the caller; nil: none.
	Connected() *Half
	// Called returns the target of Half(media.SideB), which may not be dialled yet; nil: none.
	Called() *peers.Target
	// Policy returns the configuration of the platform that has placed the call, or was connected last; nil: none was.
	Policy() *peers.Policy
	// Route returns the call's route; nil: it has none yet.
	Route() *config.Route
	Moment() Moment

	Post(e Event)
}

// Moment is where a call is.
type Moment struct {
	Answered  bool
	Transfer  bool // one is under way, or somebody is called in place of an agent
	AgentLeft bool // during that
	Rescue    bool // the one under way is for an agent's successor
	First     bool // we have placed the call, and no agent has answered yet
	Apart     bool // the caller waits for somebody, or talks with somebody who is no agent
}

// Resources are what the bridges of a server share.
type Resources struct {
	Context  context.Context //nolint:containedctx // the server's, which ends all calls
	Relay    Relay
	Archive  *recording.Archive // nil: calls are not recorded
	Identity *dtls.Identity     // by which peers know us in DTLS-SRTP
	Names    Names
	Lines    *zerolog.Logger
	Config   *config.Media
	Beep     time.Duration // between the beeps of a recording; 0: none

	Transcoders *agreement.Transcoders // nil: Opus and G.711 are not made of each other

	// Beside does something on a goroutine of its own, in which a panic ends only that.
	Beside func(what string, do func())
}

// Options are what a bridge is made of. They are constant.
type Options struct {
	*Resources
	ID      string // the call's
	Trunk   *peers.Trunk
	Source  netip.AddrPort // of the caller's INVITE
	Privacy outbound.Privacy
	Tones   map[string]*audio.Sound
	Ladder  *ladder.Call // nil: no ladder is kept
	TraceID string       // of the trace that the call is in; empty: none
}

// Bridge is what lies between the legs of a call. It belongs to the call's goroutine.
type Bridge struct {
	Options
	Call    Call
	Log     Log
	PeerLog Log                   // for lines that a peer can provoke without end
	ofPeers *zerolog.BurstSampler // of PeerLog; nil: it has written nothing

	Agreement agreement.Agreement

	Masking      Masking
	Transcoding  Transcoding
	Media        Media
	Talk         Talk
	Keying       Keying
	Digits       Digits
	Sounds       Sounds
	Recordings   Recordings
	Listening    Listening
	Exchanges    Exchanges
	Announcement Announcement
	Pressed      Pressed
	Relays       Relays
}

// parts gives the parts of a bridge, in the order in which they act. They end in the reverse order. TestOrderOfEffects.
func (b *Bridge) parts() [13]part {
	return [...]part{
		&b.Masking, &b.Transcoding, &b.Media, &b.Talk, &b.Keying, &b.Digits, &b.Sounds, &b.Recordings,
		&b.Listening, &b.Exchanges, &b.Announcement, &b.Pressed, &b.Relays,
	}
}

// Settle completes the recordings in a killed process's record by the files that are there.
func (rs *Resources) Settle(r *record.Record) {
	if rs.Archive != nil {
		r.SettleRecordings(rs.Archive.Finished)
	}
}

// Record adds to the record of a call that goes on what its process has written so far.
func (b *Bridge) Record(r *record.Record) {
	b.Recordings.record(r)
	b.Listening.record(r)
}

// RestoreRecord goes on with what earlier processes have written.
func (b *Bridge) RestoreRecord(r *record.Record) { b.Recordings.past = r.Recordings }

// SettleWait is how long the record of a call waits for its files to be finished. Files that take longer are finished
// all the same.
const SettleWait = 2 * time.Second

// Settled returns what completes the call's record when its files are written, or after SettleWait. It may be called on
// another goroutine, and bounds are those of ctx, too. nil: this process has written none.
func (b *Bridge) Settled() func(context.Context, *record.Record) { return b.Recordings.settled() }

// RelaySession is the media of one call, as each part uses it; *media.Session is one.
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

// Open makes the bridge of a call.
func (b *Bridge) Open(c Call, o Options) {
	b.Options, b.Call = o, c
	b.Log, b.PeerLog = b.Logs()
	b.each(func(p part) { p.open(b) })
}

// Event is what happens to a bridge beside the facts of its legs: what its media reports (media.Event), HandshakeOver,
// Announced, or a step of its call (part.go). The call that one is posted to gives it to Tell, unless it concerns the
// call itself. TestEachEventHasOneOwner.
type Event any

// Other returns the leg that one is connected to; nil: none.
func (b *Bridge) Other(of *Half) *Half { return b.across(of.Side) }

// across is the leg on the other side of one; nil: none is connected.
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

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
	"flowbridge/media/answerer"
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

	Agreement  agreement.Agreement
	Media      Media
	Exchanges  Exchanges
	Sounds     Sounds
	Recordings Recordings
	Masking    Masking
	Relays     Relays

	Announcement Announcement
}

// Open makes the bridge of a call.
func (b *Bridge) Open(c Call, o Options) {
	b.Options, b.Call = o, c
	b.Log, b.PeerLog = b.Logs()
	b.Media.bridge, b.Exchanges.bridge, b.Sounds.bridge = b, b, b
	b.Recordings.bridge, b.Masking.bridge, b.Relays.bridge, b.Announcement.bridge = b, b, b, b
}

// Event is what happens to a bridge beside the facts of its legs. The call that it is posted to gives it to Handle,
// unless it concerns the call itself. The set is closed.
//
//sumtype:decl
type Event interface{ isEvent() }

// MediaLost says that no RTP came from either side for media.timeout. Never: none has come since the answer.
type MediaLost struct {
	For   time.Duration
	Never bool
}

// OneWay says that no RTP comes from a side while the other side sends, or, with
// Over, that it comes after all.
type OneWay struct {
	Side media.Side
	Over bool
}

// Latched says that a side's real RTP source is known.
type Latched struct {
	Side   media.Side
	Source netip.AddrPort
}

// Changed says that the state of the media on file is worth nothing any more.
type Changed struct{}

// Withheld says that the caller is sent no more media until it is confirmed.
type Withheld struct{}

// Keyed is a digit that a side sent as telephone-events, which the relay kept back.
type Keyed struct {
	Side     media.Side
	Digit    byte
	Duration time.Duration
}

// Played says that one of our sounds to a side has come to its end.
type Played struct {
	Side media.Side
	ID   uint64 // of the media.Play
}

// AnsweredBy says who answered a side, as Media.DetectAnswer asked.
type AnsweredBy struct {
	Side media.Side
	answerer.Answer
}

// Beeped says that the machine that answered a side has beeped, or does not beep in time.
type Beeped struct {
	Side media.Side
	answerer.Beep
}

func (MediaLost) isEvent()     {}
func (OneWay) isEvent()        {}
func (Latched) isEvent()       {}
func (Changed) isEvent()       {}
func (Withheld) isEvent()      {}
func (Keyed) isEvent()         {}
func (Played) isEvent()        {}
func (HandshakeOver) isEvent() {}
func (AnsweredBy) isEvent()    {}
func (Beeped) isEvent()        {}

// Handle handles an event of a call that is answered.
func (b *Bridge) Handle(e Event) {
	switch e := e.(type) {
	case OneWay:
		b.Media.onOneWay(e)
	case Withheld:
		b.Media.OnWithheld()
	case Keyed:
		b.onKeyed(e)
	case Played:
		b.Sounds.onPlayed(e)
	case Latched:
		b.Log.Debug().Stringer("side", e.Side).Stringer("source", e.Source).Msg("media source learned")
	case MediaLost, Changed, HandshakeOver, Announced, AnsweredBy, Beeped: // the call's
	}
}

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

// Deadline is the earliest one; zero: none.
func (b *Bridge) Deadline() time.Time {
	return leg.Earliest(b.Exchanges.deadline(), b.Recordings.beepAt, b.Announcement.until, b.Relays.deadline())
}

// OnTimer handles the deadlines that have come.
func (b *Bridge) OnTimer(now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if due(b.Recordings.beepAt) {
		b.Recordings.beep(now)
	}
	if due(b.Exchanges.deadline()) {
		b.Exchanges.expired()
	}
	if due(b.Announcement.until) {
		b.Announcement.over(false)
	}
	b.Relays.onTimer(now)
}

// End ends everything that lies between the legs, and returns the media's parts of the record.
func (b *Bridge) End() (counted record.Media, talk *record.Talk) {
	b.Recordings.beepAt = time.Time{}
	b.Announcement.End()
	b.Relays.endAllKeys("the call has ended")
	b.Exchanges.current, b.Relays.open = nil, nil
	b.Recordings.Stop()
	if b.Media.session != nil {
		last := b.Media.session.Close()
		b.Ladder.Unwatch(last)
		counted, talk = b.Media.record(last, &b.Agreement), talkRecord(b.Media.session.Talk())
		b.Media.session = nil
	}
	return counted, talk
}

// Forget lets go of what a call does not need that is over.
func (b *Bridge) Forget() {
	b.Media.secured = [2]secured{}
	b.Recordings.Stop()
	b.Agreement, b.Exchanges.current = agreement.Agreement{}, nil
}

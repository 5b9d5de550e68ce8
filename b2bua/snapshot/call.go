package snapshot

import (
	"errors"
	"net/netip"
	"sync"
	"time"
	"unsafe"

	"github.com/fxamacker/cbor/v2"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// Format is the version of the format of states. It grows with each change that an older process could not read. States
// are not converted between formats.
const Format = 3

// Call is the state of a call in addition to its record: its names, and a section for each of its parts. A part embeds
// its section, or has save and restore methods next to each other. Times are leg.Instants.
type Call struct {
	ID       string           `cbor:"1,keyasint,omitempty"`
	Trunk    string           `cbor:"2,keyasint,omitempty"` // kind and name of the trunk
	Source   message.KeptAddr `cbor:"3,keyasint,omitzero"`
	Ended    string           `cbor:"4,keyasint,omitempty"` // the cause of the call's end; empty while live
	Refused  *transport.State `cbor:"5,keyasint,omitempty"` // the refusal, if nothing else is left of the call
	Noted    Noted            `cbor:"6,keyasint,omitempty"`
	Restored int              `cbor:"7,keyasint,omitempty"` // number of restorations
	Ladder   []byte           `cbor:"8,keyasint,omitempty"` // encoded

	Invite    Invite    `cbor:"10,keyasint,omitempty"`
	Times     Times     `cbor:"11,keyasint,omitempty"`
	Route     Route     `cbor:"12,keyasint,omitempty"`
	Legs      []Leg     `cbor:"13,keyasint,omitempty"`
	Attempts  Attempts  `cbor:"14,keyasint,omitempty"`
	Transfers Transfers `cbor:"15,keyasint,omitempty"`
	// Replacement is the replacement under way, if any.
	Replacement *Replacement `cbor:"16,keyasint,omitempty"`
	Rescues     Rescues      `cbor:"17,keyasint,omitempty"`
	Customer    Customer     `cbor:"18,keyasint,omitempty"`
	Bridge      Bridge       `cbor:"19,keyasint,omitempty"`
}

// IsPlaced reports whether we place the call and it has no agent yet.
func (c *Call) IsPlaced() bool { return c.Customer.Agents != nil }

// Noted is when a state was written.
type Noted struct {
	At     int64         `cbor:"1,keyasint,omitempty"`
	Uptime time.Duration `cbor:"2,keyasint,omitempty"` // uptime of the machine at that time
	Boot   uint64        `cbor:"3,keyasint,omitempty"` // identifies the machine's start; 0 if it and Uptime are unknown
}

// Invite is the caller's INVITE.
type Invite struct {
	Text    string `cbor:"1,keyasint,omitempty"`
	Settled bool   `cbor:"2,keyasint,omitempty"` // its body has been dropped
}

// Times has the times of a call.
type Times struct {
	Started    int64 `cbor:"1,keyasint,omitempty"`
	Answered   int64 `cbor:"2,keyasint,omitempty"`
	Until      int64 `cbor:"3,keyasint,omitempty"` // end of its maximum duration
	SetupUntil int64 `cbor:"4,keyasint,omitempty"` // end of its maximum set-up time
	Asks       bool  `cbor:"5,keyasint,omitempty"` // silent sides are still to be asked whether they have the call
}

// Route is the route of a call.
type Route struct {
	Place int    `cbor:"1,keyasint,omitempty"` // from 1; 0 if none yet
	Mark  uint64 `cbor:"2,keyasint,omitempty"`
}

// Attempts has the attempts of a call.
type Attempts struct {
	Tried   int      `cbor:"1,keyasint,omitempty"`
	Current *Attempt `cbor:"2,keyasint,omitempty"` // the connected attempt; in an unanswered call, the one under way
	Beside  []byte   `cbor:"3,keyasint,omitempty"` // the attempt in parallel with the bridge, as JSON for the record
}

// Transfers has the transfers of a call so far.
type Transfers struct {
	Referrals int              `cbor:"1,keyasint,omitempty"` // number of transfers asked for
	Last      *record.Transfer `cbor:"2,keyasint,omitempty"` // nil if none
}

// Rescues has the rescues of a call so far.
type Rescues struct {
	Count int `cbor:"1,keyasint,omitempty"` // number of times that the caller was kept
}

// Customer is the state of a call that we place while it has no agent. Only a process that is replaced saves it.
type Customer struct {
	Agents   []string `cbor:"1,keyasint,omitempty"` // the targets to call
	Reserved string   `cbor:"2,keyasint,omitempty"` // the one of these that has a reserved place
	Shared   bool     `cbor:"3,keyasint,omitempty"` // the route's split has chosen the first one
	Machine  bool     `cbor:"4,keyasint,omitempty"` // a machine has answered, which hears a sound after its beep
	Playing  bool     `cbor:"5,keyasint,omitempty"` // the sound is playing
}

// Bridge is the state of the bridge between the legs.
type Bridge struct {
	Agreement  agreement.State     `cbor:"1,keyasint,omitempty"`
	Session    *media.SessionState `cbor:"2,keyasint,omitempty"`
	Media      Media               `cbor:"3,keyasint,omitempty"`
	Sounds     Sounds              `cbor:"4,keyasint,omitempty"`
	Masking    Masking             `cbor:"5,keyasint,omitempty"`
	Recordings Recordings          `cbor:"6,keyasint,omitempty"`
	Relays     Relays              `cbor:"7,keyasint,omitempty"`
}

// Media is the state of a call's media, except its session.
type Media struct {
	Addr      [2]netip.Addr `cbor:"1,keyasint,omitempty"` // our addresses in SDP, by side
	OneWay    string        `cbor:"2,keyasint,omitempty"` // the silent side; empty if none
	Listening [2]bool       `cbor:"3,keyasint,omitempty"` // for digits, by side
}

// Sounds has the sounds that we play to the sides.
type Sounds struct {
	Voices [2]*Voice `cbor:"1,keyasint,omitempty"` // by side
	OnHold bool      `cbor:"2,keyasint,omitempty"` // by an order; neither side hears the other
	// Ringing says that the caller has a 183 and hears our ringing.
	Ringing bool `cbor:"3,keyasint,omitempty"`
}

// Voice is a sound that we play to a side until its end, or until it is stopped.
type Voice struct {
	Name string `cbor:"1,keyasint,omitempty"`
	Once bool   `cbor:"2,keyasint,omitempty"` // false means looped; only set by a process that is replaced
}

// Masking is the masking of keys.
type Masking struct {
	On   bool   `cbor:"1,keyasint,omitempty"`
	UpTo uint32 `cbor:"2,keyasint,omitempty"` // CSeq of the caller's last request that came while keys were masked
}

// Recordings has the recordings of a call.
type Recordings struct {
	On     bool `cbor:"1,keyasint,omitempty"`
	Paused bool `cbor:"2,keyasint,omitempty"`
	Parts  int  `cbor:"3,keyasint,omitempty"` // number of files so far
}

// Relays has the requests that are passed from one side to the other.
type Relays struct {
	Watched bool `cbor:"1,keyasint,omitempty"` // the caller's side reports on the agent's REFER
}

// The roles of legs.
const (
	RoleOwed   = 0 // it only has something left to send
	RoleCaller = 1
	RoleBridge = 2
)

// Leg is one leg with the way to its peer.
type Leg struct {
	Role      int                 `cbor:"1,keyasint,omitempty"`
	State     leg.State           `cbor:"2,keyasint,omitempty"`
	Crypto    sdp.CryptoState     `cbor:"3,keyasint,omitempty"`
	Confirmed bool                `cbor:"4,keyasint,omitempty"`
	From      message.KeptAddr    `cbor:"5,keyasint,omitzero"` // source of its peer, or destination of our INVITE
	Target    string              `cbor:"6,keyasint,omitempty"`
	Flow      transport.FlowState `cbor:"7,keyasint,omitempty"`
}

// Attempt is the connected attempt, or the one under way in an unanswered call.
type Attempt struct {
	Number    int              `cbor:"1,keyasint,omitempty"`
	Target    string           `cbor:"2,keyasint,omitempty"`
	Agent     string           `cbor:"3,keyasint,omitempty"` // the agent that named the target, whose settings apply
	Transport string           `cbor:"4,keyasint,omitempty"`
	Reason    string           `cbor:"5,keyasint,omitempty"` // the reason for it, as in the record
	From      string           `cbor:"6,keyasint,omitempty"`
	To        string           `cbor:"7,keyasint,omitempty"`
	Dest      message.KeptAddr `cbor:"8,keyasint,omitzero"`
	Started   int64            `cbor:"9,keyasint,omitempty"`
	MediaName netip.Addr       `cbor:"10,keyasint,omitzero"`
	Dropped   []string         `cbor:"11,keyasint,omitempty"`
	PrepareMS int64            `cbor:"12,keyasint,omitempty"`
	Prepared  int              `cbor:"13,keyasint,omitempty"` // HTTP status of the preparation
	Placed    bool             `cbor:"14,keyasint,omitempty"`
	Split     bool             `cbor:"15,keyasint,omitempty"`
	By        string           `cbor:"16,keyasint,omitempty"` // who ordered it
}

// Replacement is the call to another party that will get the caller: in a transfer that the agent has asked for, or in
// a rescue.
type Replacement struct {
	Left    bool     `cbor:"1,keyasint,omitempty"` // the agent has hung up
	Reports bool     `cbor:"2,keyasint,omitempty"` // the agent wants reports about the progress
	ID      string   `cbor:"3,keyasint,omitempty"`
	Lost    *Loss    `cbor:"4,keyasint,omitempty"` // the loss of the agent, in a rescue; nil in a transfer
	Waiting *Waiting `cbor:"5,keyasint,omitempty"` // the waiting agent, while the new target agrees on its keys
}

// Loss is the end of an agent's leg. The call ends with it if no target takes over.
type Loss struct {
	Cause cause.Cause `cbor:"1,keyasint,omitempty"`
	By    string      `cbor:"2,keyasint,omitempty"` // who ended it
	Q850  int         `cbor:"3,keyasint,omitempty"` // Q.850 cause of the end
}

// Waiting is the session that the agent and the caller have agreed on, while another target is on trial with the
// agent's media. The agent's leg has RoleBridge.
type Waiting struct {
	Description sdp.DescriptionState `cbor:"1,keyasint,omitempty"`
	SentTo      sdp.FormatStates     `cbor:"2,keyasint,omitempty"` // sent to the agent
}

// Rescues reports whether the call has lost its agent, and another target should take over.
func (r *Replacement) Rescues() bool { return r != nil && r.Lost != nil }

var decoding = sync.OnceValues(func() (cbor.DecMode, error) {
	return cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyQuiet, MaxNestedLevels: 16, MaxArrayElements: 4096, MaxMapPairs: 4096,
		UTF8: cbor.UTF8DecodeInvalid, TextUnmarshaler: cbor.TextUnmarshalerTextString,
	}.DecMode()
})

// Sheet has the state of a call while it is written. Sheets from TakeSheet are reused after Release.
type Sheet struct {
	Call
	Handed  bool // the state goes to a process that replaces this one, and that misses no messages
	session media.SessionState
	text    []byte
}

var sheets = sync.Pool{New: func() any { return &Sheet{} }} //nolint:gochecknoglobals // spare memory

// TakeSheet returns an empty sheet. The caller must Release it.
func TakeSheet() *Sheet { return sheets.Get().(*Sheet) }

// Release returns the sheet to the pool. After that neither the sheet nor its text may be used.
func (s *Sheet) Release() {
	described := s.Bridge.Agreement.Described
	clear(s.Legs)
	clear(described)
	*s = Sheet{Call: Call{Ladder: s.Ladder[:0], Legs: s.Legs[:0]}, text: s.text[:0]}
	s.Bridge.Agreement.Described = described[:0]
	if cap(s.text) <= 64<<10 && cap(s.Ladder) <= 64<<10 && cap(s.Legs) <= 8 {
		sheets.Put(s)
	}
}

// SetSession sets Bridge.Session.
func (s *Sheet) SetSession(m media.SessionState) {
	s.session = m
	s.Bridge.Session = &s.session
}

// Encode returns the state as bytes, which are valid until Release. The first byte is the format.
func (s *Sheet) Encode() ([]byte, error) {
	shape, err := callShape()
	if err != nil {
		return nil, err
	}
	s.text = shape.add(append(s.text[:0], Format), unsafe.Pointer(&s.Call))
	return s.text, nil
}

var (
	errNoCall = errors.New("not the state of a call")
	// ErrFormat means that another version has written a state.
	ErrFormat = errors.New("its state was written by another version, in a form that this one does not read")
)

// Decode reads a state.
func Decode(text []byte) (*Call, error) {
	mode, err := decoding()
	switch {
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, errNoCall
	case text[0] != Format:
		return nil, ErrFormat
	}
	c := &Call{}
	if err := mode.Unmarshal(text[1:], c); err != nil {
		return nil, err
	}
	if c.ID == "" {
		return nil, errNoCall
	}
	return c, nil
}

// Machine returns the machine's uptime, which can't be set, and a number that changes with each start of the machine,
// or 0 if unknown.
type Machine func() (uptime time.Duration, boot uint64)

// Note stores the time at which the state is written. now is an Instant.
func (c *Call) Note(now int64, machine Machine) {
	c.Noted.At = now
	c.Noted.Uptime, c.Noted.Boot = machine()
}

// Rebase shifts the call's times by the amount that the wall clock was set since Note. now is an Instant. It does
// nothing after a restart of the machine, or on another machine, because the amount is unknown.
func (c *Call) Rebase(now int64, machine Machine) {
	uptime, boot := machine()
	if c.Noted.Boot == 0 || boot != c.Noted.Boot || uptime < c.Noted.Uptime {
		return
	}
	by := now - c.Noted.At - int64(uptime-c.Noted.Uptime)
	move := func(all ...*int64) {
		for _, at := range all {
			if *at != 0 {
				*at += by
			}
		}
	}
	move(&c.Times.Started, &c.Times.Answered, &c.Times.Until, &c.Times.SetupUntil)
	if a := c.Attempts.Current; a != nil {
		move(&a.Started)
	}
	for i := range c.Legs {
		move(&c.Legs[i].State.Timer.Refresh, &c.Legs[i].State.Timer.Expire)
	}
}

// DecodeNow reads a state, and adjusts its times to the present wall clock.
func DecodeNow(text []byte, machine Machine) (*Call, error) {
	c, err := Decode(text)
	if err == nil {
		c.Rebase(leg.Instant(time.Now()), machine)
	}
	return c, err
}

package snapshot

import (
	"errors"
	"net/netip"
	"reflect"
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

// Format is the version of the encoding of states. It increases with each change that an older process could not read.
// States are not converted between formats. formatStandIn is one that version 1.0.0 refuses.
const Format = 3

// formatStandIn is the format of a call in which a codec stands for another (sdp.Format.IsStandIn).
const formatStandIn = Format + 1

// formatTelling is the format of a call whose caller hears a statement, which version 1.1 would connect untold.
const formatTelling = Format + 2

// Call is the state of a call in addition to its record: its ids, and a section for each of its parts. A part embeds
// its section, or has save and restore methods next to each other. Times are leg.Instants.
type Call struct {
	ID     string           `cbor:"1,keyasint,omitempty"`
	Trunk  string           `cbor:"2,keyasint,omitempty"` // kind and name of the trunk
	Source message.KeptAddr `cbor:"3,keyasint,omitzero"`
	Ended  string           `cbor:"4,keyasint,omitempty"` // the cause of the call's end; empty while the call is live
	// Refused is our refusal of the INVITE, if that is all that is left of the call.
	Refused  *transport.State `cbor:"5,keyasint,omitempty"`
	Noted    Noted            `cbor:"6,keyasint,omitempty"`
	Restored int              `cbor:"7,keyasint,omitempty"` // number of restorations
	Ladder   []byte           `cbor:"8,keyasint,omitempty"` // encoded

	Invite    Invite    `cbor:"10,keyasint,omitempty"`
	Times     Times     `cbor:"11,keyasint,omitempty"`
	Route     Route     `cbor:"12,keyasint,omitempty"`
	Legs      []Leg     `cbor:"13,keyasint,omitempty"`
	Attempts  Attempts  `cbor:"14,keyasint,omitempty"`
	Transfers Transfers `cbor:"15,keyasint,omitempty"`
	// Replacement is the replacement in progress; nil if there is none.
	Replacement *Replacement `cbor:"16,keyasint,omitempty"`
	Rescues     Rescues      `cbor:"17,keyasint,omitempty"`
	Customer    Customer     `cbor:"18,keyasint,omitempty"`
	Bridge      Bridge       `cbor:"19,keyasint,omitempty"`
}

// IsPlaced reports whether this is a call that is answered or placed, and has no agent yet.
func (c *Call) IsPlaced() bool { return c.Customer.Agents != nil }

// Noted says when a state was written.
type Noted struct {
	At     leg.Instant   `cbor:"1,keyasint,omitempty"`
	Uptime time.Duration `cbor:"2,keyasint,omitempty"` // uptime of the machine at that time
	Boot   uint64        `cbor:"3,keyasint,omitempty"` // identifies the machine's start; 0 if it and Uptime are unknown
}

// Invite is the caller's INVITE.
type Invite struct {
	Text    string `cbor:"1,keyasint,omitempty"`
	Settled bool   `cbor:"2,keyasint,omitempty"` // the body was dropped, because the call is settled
}

// Times has the times of a call.
type Times struct {
	Started    leg.Instant `cbor:"1,keyasint,omitempty"`
	Answered   leg.Instant `cbor:"2,keyasint,omitempty"`
	Until      leg.Instant `cbor:"3,keyasint,omitempty"` // end of the longest permitted duration
	SetupUntil leg.Instant `cbor:"4,keyasint,omitempty"` // end of the set-up's time limit
	// Asks means that silent sides have not been asked yet whether they still have the call.
	Asks bool `cbor:"5,keyasint,omitempty"`
}

// Route is the route of a call.
type Route struct {
	Place int    `cbor:"1,keyasint,omitempty"` // position of the route, from 1; 0 if none was chosen
	Mark  uint64 `cbor:"2,keyasint,omitempty"`
}

// Attempts has the attempts of a call.
type Attempts struct {
	Tried   int      `cbor:"1,keyasint,omitempty"`
	Current *Attempt `cbor:"2,keyasint,omitempty"` // the connected attempt; before the answer, the attempt in progress
	Beside  []byte   `cbor:"3,keyasint,omitempty"` // the attempt in parallel with the bridge, as JSON for the record
}

// Transfers has the transfers of a call so far.
type Transfers struct {
	Referrals int              `cbor:"1,keyasint,omitempty"` // number of transfers asked for
	Last      *record.Transfer `cbor:"2,keyasint,omitempty"` // nil if none
}

// Rescues has the rescues of a call so far.
type Rescues struct {
	Count int `cbor:"1,keyasint,omitempty"` // how many times the caller was kept after losing an agent
}

// Customer is the state of a placed call, or of a call whose caller hears a statement, until it has an agent. A placed
// call's is only saved for a process that replaces this one.
type Customer struct {
	Agents   []string `cbor:"1,keyasint,omitempty"` // the targets to call
	Reserved string   `cbor:"2,keyasint,omitempty"` // the target in Agents that has a reserved place
	Shared   bool     `cbor:"3,keyasint,omitempty"` // the route's split chose the first target
	Machine  bool     `cbor:"4,keyasint,omitempty"` // a machine has answered, which hears a sound after its beep
	Playing  bool     `cbor:"5,keyasint,omitempty"` // the sound is playing
	Telling  *Telling `cbor:"6,keyasint,omitempty"` // nil if the route has no statement
}

// Telling is the statement that a caller hears before an agent (routes[].tell), until the call has an agent. How far it
// has come is only saved for a process that replaces this one; after a kill the statement restarts.
type Telling struct {
	Stage    ToldStage     `cbor:"1,keyasint,omitempty"`
	Sound    string        `cbor:"2,keyasint,omitempty"`
	Again    bool          `cbor:"3,keyasint,omitempty"` // it is said for the second time
	Accepted bool          `cbor:"4,keyasint,omitempty"` // it was said whole, and accepted where a key is asked for
	At       time.Duration `cbor:"5,keyasint,omitempty"` // how far the sound has come
	Packets  int64         `cbor:"6,keyasint,omitempty"`
	Missed   int64         `cbor:"7,keyasint,omitempty"`
	First    leg.Instant   `cbor:"8,keyasint,omitempty"`  // when its first packet was sent
	Talked   bool          `cbor:"9,keyasint,omitempty"`  // the caller has spoken during it
	Key      byte          `cbor:"10,keyasint,omitempty"` // the key that was pressed during the sound; 0 if none
	Required bool          `cbor:"11,keyasint,omitempty"` // the call does not continue without it
}

// ToldStage is how far a caller's statement has come.
type ToldStage int

// The stages.
const (
	ToldNothing   ToldStage = iota // there is none, or it has not begun
	TellsSoon                      // the caller is answered, and its ACK or description is still to come
	Tells                          // it is said, or a key is awaited
	TellsNotTaken                  // no target takes the call, and the caller is told so
	ToldUnwritten                  // the receipt is being written
	ToldAll                        // it is over
	ToldMailbox                    // a mailbox has answered a placed call: it hears nothing of it, or nothing more
)

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
	Listening [2]bool       `cbor:"3,keyasint,omitempty"` // by side: the relay reports digits
	Changes   []Change      `cbor:"4,keyasint,omitempty"` // the last changes of the session, oldest first
}

// Change is a change of the session after which a side may fall silent.
type Change struct {
	At   leg.Instant `cbor:"1,keyasint"`
	What string      `cbor:"2,keyasint"` // record.Silence.After
}

// Sounds has the sounds that we play to the sides.
type Sounds struct {
	Voices [2]*Voice `cbor:"1,keyasint,omitempty"` // by side
	OnHold bool      `cbor:"2,keyasint,omitempty"` // a command has put the caller on hold; neither side hears the other
	// Ringing means that the caller has got a 183 and hears our ringing.
	Ringing bool `cbor:"3,keyasint,omitempty"`
}

// Voice is a sound that we play to a side until its end, or until it is stopped.
type Voice struct {
	Name string `cbor:"1,keyasint,omitempty"`
	// The sound is not repeated; only set for a process that replaces this one.
	Once bool `cbor:"2,keyasint,omitempty"`
}

// Masking is the masking of keys.
type Masking struct {
	On   bool   `cbor:"1,keyasint,omitempty"`
	UpTo uint32 `cbor:"2,keyasint,omitempty"` // highest CSeq of the caller's requests that came while keys were masked
}

// Recordings has the recordings of a call.
type Recordings struct {
	On     bool `cbor:"1,keyasint,omitempty"`
	Paused bool `cbor:"2,keyasint,omitempty"`
	Parts  int  `cbor:"3,keyasint,omitempty"` // number of files so far
	Told   bool `cbor:"4,keyasint,omitempty"` // the caller was told, and has accepted
}

// Relays has the requests that are passed from one side to the other.
type Relays struct {
	Watched bool `cbor:"1,keyasint,omitempty"` // the caller's side reports on the agent's REFER by NOTIFY
}

// The roles of legs.
const (
	RoleOwed   = 0 // the leg only has messages left to send
	RoleCaller = 1
	RoleBridge = 2
)

// Leg is the state of one leg, with the address and connection of its peer.
type Leg struct {
	Role      int                 `cbor:"1,keyasint,omitempty"`
	State     leg.State           `cbor:"2,keyasint,omitempty"`
	Crypto    sdp.CryptoState     `cbor:"3,keyasint,omitempty"`
	Confirmed bool                `cbor:"4,keyasint,omitempty"`
	From      message.KeptAddr    `cbor:"5,keyasint,omitzero"` // source of the peer, or destination of our INVITE
	Target    string              `cbor:"6,keyasint,omitempty"`
	Flow      transport.FlowState `cbor:"7,keyasint,omitempty"`
}

// Attempt is the connected attempt, or, before the answer, the attempt in progress.
type Attempt struct {
	Number int    `cbor:"1,keyasint,omitempty"`
	Target string `cbor:"2,keyasint,omitempty"`
	// The target whose agent named this target in a REFER, and whose settings apply.
	Agent     string           `cbor:"3,keyasint,omitempty"`
	Transport string           `cbor:"4,keyasint,omitempty"`
	Reason    string           `cbor:"5,keyasint,omitempty"` // the reason for it, as in the record
	From      string           `cbor:"6,keyasint,omitempty"`
	To        string           `cbor:"7,keyasint,omitempty"`
	Dest      message.KeptAddr `cbor:"8,keyasint,omitzero"`
	Started   leg.Instant      `cbor:"9,keyasint,omitempty"`
	MediaName netip.Addr       `cbor:"10,keyasint,omitzero"`
	Dropped   []string         `cbor:"11,keyasint,omitempty"`
	PrepareMS int64            `cbor:"12,keyasint,omitempty"`
	Prepared  int              `cbor:"13,keyasint,omitempty"` // HTTP status of the preparation
	Placed    bool             `cbor:"14,keyasint,omitempty"`
	Split     bool             `cbor:"15,keyasint,omitempty"`
	By        string           `cbor:"16,keyasint,omitempty"` // who asked for it
}

// Replacement is the call to another party that should replace the agent, in a transfer or a rescue.
type Replacement struct {
	Left    bool     `cbor:"1,keyasint,omitempty"` // the agent has hung up
	Reports bool     `cbor:"2,keyasint,omitempty"` // the agent wants NOTIFYs about the progress
	ID      string   `cbor:"3,keyasint,omitempty"`
	Lost    *Loss    `cbor:"4,keyasint,omitempty"` // the loss of the agent, in a rescue; nil in a transfer
	Waiting *Waiting `cbor:"5,keyasint,omitempty"` // set while the agent waits and the called party agrees on its keys
}

// Loss says how an agent's leg ended. The call ends in the same way if no target takes over.
type Loss struct {
	Cause cause.Cause `cbor:"1,keyasint,omitempty"`
	By    string      `cbor:"2,keyasint,omitempty"` // who ended the leg
	Q850  int         `cbor:"3,keyasint,omitempty"` // Q.850 cause of the end
}

// Waiting is the session that the agent and the caller have agreed on, while a called party uses side B's media during
// its trial. The agent's leg has RoleBridge.
type Waiting struct {
	Description sdp.DescriptionState `cbor:"1,keyasint,omitempty"`
	SentTo      sdp.FormatStates     `cbor:"2,keyasint,omitempty"` // formats that were sent to the agent
}

// Rescues reports whether the call has lost its agent, so that another target should take over.
func (r *Replacement) Rescues() bool { return r != nil && r.Lost != nil }

var decoding = sync.OnceValues(func() (cbor.DecMode, error) {
	return cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyQuiet, MaxNestedLevels: 16, MaxArrayElements: 4096, MaxMapPairs: 4096,
		UTF8: cbor.UTF8DecodeInvalid, TextUnmarshaler: cbor.TextUnmarshalerTextString,
	}.DecMode()
})

// Sheet is the memory for writing the state of a call. Sheets from TakeSheet are reused after Release.
type Sheet struct {
	Call
	Attempt Attempt // memory for Attempts.Current
	Handed  bool    // the state is for a process that replaces this one and misses no messages
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

// SetSession sets Bridge.Session without allocating.
func (s *Sheet) SetSession(m media.SessionState) {
	s.session = m
	s.Bridge.Session = &s.session
}

// format returns the format of the state.
func (c *Call) format() byte {
	w := c.Replacement
	if c.Customer.Telling != nil {
		return formatTelling
	}
	if c.Bridge.Agreement.HasStandIn() || w != nil && w.Waiting != nil && w.Waiting.Description.Formats.HasStandIn() {
		return formatStandIn
	}
	return Format
}

// Encode returns the encoded state, which is valid until Release. The first byte is the format.
func (s *Sheet) Encode() ([]byte, error) {
	shape, err := callShape()
	if err != nil {
		return nil, err
	}
	s.text = shape.add(append(s.text[:0], s.format()), unsafe.Pointer(&s.Call))
	return s.text, nil
}

var (
	errNoCall = errors.New("not the state of a call")
	// ErrFormat means that a state has another format, so that another version has written it.
	ErrFormat = errors.New("its state was written by another version, in a form that this one does not read")
)

// Decode returns the state from its encoding.
func Decode(text []byte) (*Call, error) {
	mode, err := decoding()
	switch {
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, errNoCall
	case text[0] != Format && text[0] != formatStandIn && text[0] != formatTelling:
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

// Machine returns the machine's uptime, which can't be set, and a number that changes with each boot of the machine, or
// is 0 if unknown.
type Machine func() (uptime time.Duration, boot uint64)

// Note stores the time at which the state is written.
func (c *Call) Note(now leg.Instant, machine Machine) {
	c.Noted.At = now
	c.Noted.Uptime, c.Noted.Boot = machine()
}

// Rebase shifts all Instants of the call by the amount by which the wall clock was set since Note. It does nothing
// after a reboot, or on another machine, because then the amount is unknown.
func (c *Call) Rebase(now leg.Instant, machine Machine) {
	uptime, boot := machine()
	if c.Noted.Boot == 0 || boot != c.Noted.Boot || uptime < c.Noted.Uptime {
		return
	}
	if by := now - c.Noted.At - leg.Instant(uptime-c.Noted.Uptime); by != 0 {
		move(reflect.ValueOf(c).Elem(), by)
	}
}

// move adds by to all Instants in v that are not zero.
func move(v reflect.Value, by leg.Instant) {
	if forms[v.Type()] != nil {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			move(v.Elem(), by)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			move(v.Index(i), by)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				move(v.Field(i), by)
			}
		}
	default:
		if at, is := reflect.TypeAssert[*leg.Instant](v.Addr()); is && *at != 0 {
			*at += by
		}
	}
}

// DecodeNow is Decode followed by Rebase to the present time.
func DecodeNow(text []byte, machine Machine) (*Call, error) {
	c, err := Decode(text)
	if err == nil {
		c.Rebase(leg.InstantOf(time.Now()), machine)
	}
	return c, err
}

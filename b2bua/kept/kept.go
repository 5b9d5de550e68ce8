package kept

import (
	"errors"
	"net/netip"
	"sync"
	"time"
	"unsafe"

	"github.com/fxamacker/cbor/v2"

	"flowbridge/b2bua/agreement"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// Call is the state of a call beside its record. Times are leg.Instants.
type Call struct {
	ID       string           `cbor:"1,keyasint,omitempty"`
	Trunk    string           `cbor:"2,keyasint,omitempty"` // its kind and name
	Source   message.KeptAddr `cbor:"3,keyasint,omitzero"`
	Invite   string           `cbor:"4,keyasint,omitempty"` // the caller's; without its body once the call is settled
	Settled  bool             `cbor:"5,keyasint,omitempty"`
	Route    int              `cbor:"6,keyasint,omitempty"` // its place, from 1; 0: none yet
	Claimed  bool             `cbor:"7,keyasint,omitempty"`
	Ended    string           `cbor:"8,keyasint,omitempty"` // the cause of a call that is over
	Restored int              `cbor:"9,keyasint,omitempty"` // how often

	Started  int64 `cbor:"10,keyasint,omitempty"`
	Answered int64 `cbor:"11,keyasint,omitempty"`
	Until    int64 `cbor:"12,keyasint,omitempty"` // the limit of its duration; without an answer, of its set-up

	Legs      []Leg           `cbor:"20,keyasint,omitempty"`
	Bridge    *Attempt        `cbor:"21,keyasint,omitempty"`
	Tried     int             `cbor:"22,keyasint,omitempty"`
	Agreement agreement.State `cbor:"23,keyasint,omitempty"`
	Transfer  *Transfer       `cbor:"24,keyasint,omitempty"` // under way
	Referrals int             `cbor:"25,keyasint,omitempty"`
	Rescues   int             `cbor:"26,keyasint,omitempty"`
	// of the route; 0: an earlier version has kept its place alone
	Mark uint64 `cbor:"27,keyasint,omitempty"`

	// Agents are the targets of a call that we place, without an agent so far. Only a process that is replaced gives them.
	Agents   []string `cbor:"49,keyasint,omitempty"`
	Reserved string   `cbor:"50,keyasint,omitempty"` // of these, the one that has kept a place
	Shared   bool     `cbor:"53,keyasint,omitempty"` // the first one is chosen by the route's split
	Machine  bool     `cbor:"54,keyasint,omitempty"` // the customer is one, and hears a sound after its beep
	Playing  bool     `cbor:"55,keyasint,omitempty"` // it hears that

	// Handed: a process that was replaced has handed the call over, which has missed nothing. It is not kept.
	Handed bool `cbor:"-"`

	Addr      [2]netip.Addr       `cbor:"30,keyasint,omitempty"` // of our media, by side, as SDP names it
	OneWay    string              `cbor:"31,keyasint,omitempty"`
	Listening [2]bool             `cbor:"32,keyasint,omitempty"`
	Media     *media.SessionState `cbor:"33,keyasint,omitempty"`
	Voices    [2]*Voice           `cbor:"34,keyasint,omitempty"`
	Masked    bool                `cbor:"35,keyasint,omitempty"`
	MaskedTo  uint32              `cbor:"36,keyasint,omitempty"`
	Recording bool                `cbor:"37,keyasint,omitempty"`
	Paused    bool                `cbor:"38,keyasint,omitempty"`
	Parts     int                 `cbor:"39,keyasint,omitempty"` // recordings so far

	Asks   bool   `cbor:"56,keyasint,omitempty"` // its silent sides are to be asked whether they have it; earlier versions wrote times as 47
	Ladder []byte `cbor:"48,keyasint,omitempty"` // encoded

	Watched bool `cbor:"44,keyasint,omitempty"` // the caller's side reports on the agent's REFER
	Placed  bool `cbor:"46,keyasint,omitempty"` // a call that begins again had a place at a target

	Asked  *record.Transfer `cbor:"51,keyasint,omitempty"` // the last transfer
	OnHold bool             `cbor:"52,keyasint,omitempty"` // by an order

	Noted  int64         `cbor:"40,keyasint,omitempty"` // when this was written
	Uptime time.Duration `cbor:"41,keyasint,omitempty"` // of the machine then; 0: not known
	Boot   uint64        `cbor:"43,keyasint,omitempty"` // which start of the machine that is of; 0: not known

	Refused *transport.State `cbor:"42,keyasint,omitempty"` // nothing else is left of the call
}

// The roles of legs.
const (
	RoleOwed   = 0 // it only owes its peer something
	RoleCaller = 1
	RoleBridge = 2
)

// Leg is one leg with its way.
type Leg struct {
	Role      int                 `cbor:"1,keyasint,omitempty"`
	State     leg.State           `cbor:"2,keyasint,omitempty"`
	Crypto    sdp.CryptoState     `cbor:"3,keyasint,omitempty"`
	Confirmed bool                `cbor:"4,keyasint,omitempty"`
	From      message.KeptAddr    `cbor:"5,keyasint,omitzero"` // of its peer's first message, or where the INVITE went
	Target    string              `cbor:"6,keyasint,omitempty"`
	Flow      transport.FlowState `cbor:"7,keyasint,omitempty"`
}

// Attempt is the attempt that made the bridge, or the one under way of a call without an answer.
type Attempt struct {
	Number    int              `cbor:"1,keyasint,omitempty"`
	Target    string           `cbor:"2,keyasint,omitempty"`
	Agent     string           `cbor:"3,keyasint,omitempty"` // whose settings hold for a target that it has named
	Transport string           `cbor:"4,keyasint,omitempty"`
	Transfer  bool             `cbor:"5,keyasint,omitempty"`
	From      string           `cbor:"6,keyasint,omitempty"`
	To        string           `cbor:"7,keyasint,omitempty"`
	Dest      message.KeptAddr `cbor:"8,keyasint,omitzero"`
	Started   int64            `cbor:"9,keyasint,omitempty"`
	MediaName netip.Addr       `cbor:"10,keyasint,omitzero"`
	Dropped   []string         `cbor:"11,keyasint,omitempty"`
	PrepareMS int64            `cbor:"12,keyasint,omitempty"`
	Prepared  int              `cbor:"13,keyasint,omitempty"` // the status of the preparation
	Placed    bool             `cbor:"14,keyasint,omitempty"`
	Rescue    bool             `cbor:"15,keyasint,omitempty"`
	Split     bool             `cbor:"16,keyasint,omitempty"`
	Customer  bool             `cbor:"17,keyasint,omitempty"` // of a call that we place
	By        string           `cbor:"18,keyasint,omitempty"` // who has ordered it
}

// Transfer is one that the agent has asked for, or a rescue.
type Transfer struct {
	Left    bool   `cbor:"1,keyasint,omitempty"`
	Reports bool   `cbor:"2,keyasint,omitempty"`
	ID      string `cbor:"3,keyasint,omitempty"`

	// Of a rescue: the cause of the agent's loss, who has ended its leg, and the cause of ITU-T Q.850 that it gave.
	Lost     string `cbor:"4,keyasint,omitempty"`
	LostBy   string `cbor:"5,keyasint,omitempty"`
	LostQ850 int    `cbor:"6,keyasint,omitempty"`

	Waiting *Waiting `cbor:"7,keyasint,omitempty"` // the agent, while the new target agrees on its keys
	Try     []byte   `cbor:"8,keyasint,omitempty"` // the attempt under way as the record gets it, as JSON
}

// Waiting is what an agent and the caller have agreed on, whose media another target has for a try. Its leg has
// RoleBridge.
type Waiting struct {
	Description sdp.DescriptionState `cbor:"1,keyasint,omitempty"`
	SentTo      sdp.FormatStates     `cbor:"2,keyasint,omitempty"` // to the agent
}

// Rescues says whether the call has lost its agent, and somebody is to take over.
func (t *Transfer) Rescues() bool { return t != nil && t.Lost != "" }

// Voice is our sound that a side hears until its end, or until somebody ends it.
type Voice struct {
	Name string `cbor:"1,keyasint,omitempty"`
	Once bool   `cbor:"2,keyasint,omitempty"` // else again and again; only of a process that is replaced
}

var decoding = sync.OnceValues(func() (cbor.DecMode, error) {
	return cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyQuiet, MaxNestedLevels: 16, MaxArrayElements: 4096, MaxMapPairs: 4096,
		UTF8: cbor.UTF8DecodeInvalid, TextUnmarshaler: cbor.TextUnmarshalerTextString,
	}.DecMode()
})

// Sheet is room for the state of a call while it is written. TakeSheet's is used
// again after Release.
type Sheet struct {
	Call
	session media.SessionState
	text    []byte
}

var sheets = sync.Pool{New: func() any { return &Sheet{} }} //nolint:gochecknoglobals // spare memory

// TakeSheet gives an empty sheet, for Release.
func TakeSheet() *Sheet { return sheets.Get().(*Sheet) }

// Release gives the sheet back. Neither it nor its text may be used any more.
func (s *Sheet) Release() {
	described := s.Agreement.Described
	clear(s.Legs)
	clear(described)
	*s = Sheet{
		Call: Call{Ladder: s.Ladder[:0], Legs: s.Legs[:0], Agreement: agreement.State{Described: described[:0]}},
		text: s.text[:0],
	}
	if cap(s.text) <= 64<<10 && cap(s.Ladder) <= 64<<10 && cap(s.Legs) <= 8 {
		sheets.Put(s)
	}
}

// SetMedia sets Media.
func (s *Sheet) SetMedia(m media.SessionState) {
	s.session = m
	s.Media = &s.session
}

// Encode returns the state as text, which is good until Release.
func (s *Sheet) Encode() ([]byte, error) {
	shape, err := callShape()
	if err != nil {
		return nil, err
	}
	s.text = shape.add(s.text[:0], unsafe.Pointer(&s.Call))
	return s.text, nil
}

var errNoCall = errors.New("not the state of a call")

// Decode reads a state.
func Decode(text []byte) (*Call, error) {
	mode, err := decoding()
	if err != nil {
		return nil, err
	}
	c := &Call{}
	if err := mode.Unmarshal(text, c); err != nil {
		return nil, err
	}
	if c.ID == "" {
		return nil, errNoCall
	}
	return c, nil
}

// Machine gives for how long the machine runs, which can't be set, and a number that is another one after each of its
// starts; 0: not known.
type Machine func() (uptime time.Duration, boot uint64)

// Note notes when the state is written. now is an Instant.
func (c *Call) Note(now int64, machine Machine) {
	c.Noted = now
	c.Uptime, c.Boot = machine()
}

// Rebase moves the call's times by as much as the wall clock was set since the call was noted. now is an Instant. After
// a start of the machine, or on another one, nothing is known.
func (c *Call) Rebase(now int64, machine Machine) {
	uptime, boot := machine()
	if c.Boot == 0 || boot != c.Boot || uptime < c.Uptime {
		return
	}
	by := now - c.Noted - int64(uptime-c.Uptime)
	move := func(all ...*int64) {
		for _, at := range all {
			if *at != 0 {
				*at += by
			}
		}
	}
	move(&c.Started, &c.Answered, &c.Until)
	if c.Bridge != nil {
		move(&c.Bridge.Started)
	}
	for i := range c.Legs {
		move(&c.Legs[i].State.Timer.Refresh, &c.Legs[i].State.Timer.Expire)
	}
}

// DecodeNow reads a state, with its times as the wall clock goes now.
func DecodeNow(text []byte, machine Machine) (*Call, error) {
	c, err := Decode(text)
	if err == nil {
		c.Rebase(leg.Instant(time.Now()), machine)
	}
	return c, err
}

// Reason is why the attempt is made, as the record has it.
func (a *Attempt) Reason() string {
	switch {
	case a.Transfer:
		return record.ReasonTransfer
	case a.Rescue:
		return record.ReasonRescue
	case a.Customer:
		return record.ReasonCustomer
	}
	return ""
}

// SetReason sets what Reason returns.
func (a *Attempt) SetReason(reason string) {
	a.Transfer, a.Rescue, a.Customer = reason == record.ReasonTransfer, reason == record.ReasonRescue,
		reason == record.ReasonCustomer
}

package media

import (
	"net/netip"
	"time"

	"flowbridge/media/ice"
	"flowbridge/media/latch"
	"flowbridge/media/stage"
	"flowbridge/media/stream"
)

// SessionState is the state another process needs to continue a session: plain data, for any encoding. Times are by
// CLOCK_MONOTONIC, which all processes share until the machine restarts; 0 means never. It contains keys in clear text.
type SessionState struct {
	At      time.Duration `cbor:"1,keyasint"` // when it was taken
	Sides   [2]SideState  `cbor:"2,keyasint"` // by Side
	Hearing hearingState  `cbor:"3,keyasint,omitzero"`
	Keys    []keyState    `cbor:"4,keyasint,omitempty"` // keys of sides with SRTP

	// Resumed counts the resumptions by a process that did not know which packets had been sent last.
	Resumed uint8 `cbor:"5,keyasint,omitempty"`

	// Kept says that State was called, so that numbers are reserved.
	Kept bool `cbor:"7,keyasint,omitempty"`

	// Paused says that such a process resumed the session, and that State has not been called since.
	Paused bool `cbor:"8,keyasint,omitempty"`

	Stages stage.State `cbor:"9,keyasint,omitzero"`

	NoCPU time.Duration `cbor:"10,keyasint,omitempty"` // Stats.NoCPU

	// Died is when the process that took this state died, or slightly earlier; 0 means unknown. It is not saved.
	Died time.Duration `cbor:"-"`

	// Exact says that nothing was relayed after At, because the session was handed over.
	Exact bool `cbor:"6,keyasint,omitempty"`
}

// SideState is one side of a SessionState.
type SideState struct {
	Local     netip.AddrPort  `cbor:"1,keyasint"` // our RTP address
	Peer      Peer            `cbor:"2,keyasint,omitzero"`
	Payloads  []PayloadChange `cbor:"3,keyasint,omitempty"`
	Confirmed bool            `cbor:"6,keyasint,omitempty"`
	Early     int32           `cbor:"7,keyasint,omitempty"` // bytes sent to it while it was unconfirmed
	Withheld  bool            `cbor:"8,keyasint,omitempty"`

	Latch  latch.State        `cbor:"10,keyasint,omitzero"`
	RTCP   netip.AddrPort     `cbor:"11,keyasint,omitzero"` // source of the side's RTCP
	Stream stream.State       `cbor:"12,keyasint,omitzero"` // state of the stream that the side sends
	Outlet stream.OutletState `cbor:"13,keyasint,omitzero"` // state of the stream that the other side is sent

	RTPCount  countState `cbor:"14,keyasint,omitzero"`
	RTCPCount countState `cbor:"15,keyasint,omitzero"`

	// Crypto is the last Crypto set, if it differs from the keys in use because it was set just before the state was
	// taken.
	Crypto *Crypto `cbor:"16,keyasint,omitempty"`

	ICE *ice.State `cbor:"17,keyasint,omitempty"` // nil if the side has no ICE
}

// countState holds the counters of a flow that are not in its stream's state.
type countState struct {
	RxPackets    uint64         `cbor:"1,keyasint,omitempty"`
	RxBytes      uint64         `cbor:"2,keyasint,omitempty"`
	TxPackets    uint64         `cbor:"3,keyasint,omitempty"`
	TxBytes      uint64         `cbor:"4,keyasint,omitempty"`
	Dropped      Drops          `cbor:"5,keyasint,omitzero"`
	SSRC         uint32         `cbor:"8,keyasint,omitempty"`
	PayloadType  uint8          `cbor:"9,keyasint,omitempty"`
	First        time.Duration  `cbor:"10,keyasint,omitempty"`
	Last         time.Duration  `cbor:"11,keyasint,omitempty"`
	RTT          time.Duration  `cbor:"12,keyasint,omitempty"`
	Reports      uint64         `cbor:"13,keyasint,omitempty"`
	RemoteLoss   uint64         `cbor:"14,keyasint,omitempty"`
	RemoteLost   int64          `cbor:"15,keyasint,omitempty"`
	RemoteJitter uint64         `cbor:"16,keyasint,omitempty"`
	Refused      netip.AddrPort `cbor:"17,keyasint,omitzero"`
	LostHere     uint64         `cbor:"18,keyasint,omitempty"`
	LateHere     uint64         `cbor:"19,keyasint,omitempty"`
	LateRuns     uint64         `cbor:"20,keyasint,omitempty"`
	Held         time.Duration  `cbor:"21,keyasint,omitempty"`
}

// hearingState says what was heard from the sides, for EventSilent and EventOneWay.
type hearingState struct {
	Started bool          `cbor:"1,keyasint,omitempty"`
	Silent  bool          `cbor:"2,keyasint,omitempty"`
	Last    time.Duration `cbor:"3,keyasint,omitempty"`
	Spoke   [2]bool       `cbor:"4,keyasint"`
	SpokeAt time.Duration `cbor:"5,keyasint,omitempty"`
	Judged  bool          `cbor:"6,keyasint,omitempty"`
	Missing [2]bool       `cbor:"7,keyasint"`
	Since   time.Duration `cbor:"8,keyasint,omitempty"`
	Pauses  *pausesState  `cbor:"9,keyasint,omitempty"` // nil if there were none
}

// keyUse says what a side's SRTP keys are for.
type keyUse uint8

// The uses of a side's SRTP keys.
const (
	keyReceive keyUse = iota
	keyReceiveFormer
	keySend
	keySendEarlier
)

// keyState holds the keys of one direction of a side, with the packet numbers under them.
type keyState struct {
	Side    Side          `cbor:"1,keyasint,omitempty"`
	Use     keyUse        `cbor:"2,keyasint,omitempty"`
	Keys    Keys          `cbor:"3,keyasint"`
	Until   time.Duration `cbor:"4,keyasint,omitempty"` // when the keys expire; only for keyReceiveFormer
	Streams []numberState `cbor:"5,keyasint,omitempty"` // RTP
	Reports []numberState `cbor:"6,keyasint,omitempty"` // RTCP
}

// numberState is the highest packet number of a source, with its roll-over counter. It also says which of the 63
// numbers below were seen.
type numberState struct {
	SSRC  uint32 `cbor:"1,keyasint"`
	Top   uint64 `cbor:"2,keyasint,omitempty"`
	Seen  uint64 `cbor:"3,keyasint,omitempty"`
	Shift uint16 `cbor:"4,keyasint,omitempty"`
	Bound uint64 `cbor:"5,keyasint,omitempty"` // numbers up to it may be sent before the next state
	Blind bool   `cbor:"6,keyasint,omitempty"` // the numbers come from a process that was killed
}

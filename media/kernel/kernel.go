package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"flowbridge/media/voice"
)

// Errors that a caller may want to tell apart.
var (
	// ErrUnfit: the program can't carry the flow; what wraps it says why. A socket can.
	ErrUnfit = errors.New("not for the kernel")

	// ErrUnknown: it is not known yet how packets leave to where the flow wants them. [Relay.Look] finds that out.
	ErrUnknown = errors.New("the route is not known yet")

	// ErrFull: there are as many flows as there is room for.
	ErrFull = errors.New("no room for another flow in the kernel")
)

// MaxPayloadChanges is how many payload types a [Rewrite] may change.
const MaxPayloadChanges = 8

// Kind tells RTP from RTCP.
type Kind uint8

// The kinds of a flow.
const (
	RTP Kind = iota
	RTCP
)

// Flow is one direction of one kind of packet. A packet that arrives at In from exactly Source leaves from Out to Dest.
// All addresses are of one IP version. None is unspecified, and none has a zone.
type Flow struct {
	In     netip.AddrPort // our address on the side that sends; no two flows have the same
	Source netip.AddrPort
	Out    netip.AddrPort // our address on the side that receives
	Dest   netip.AddrPort
	Kind   Kind
	DSCP   uint8 // of what is sent (RFC 2474), 0 to 63

	// Of RTP only. Packets of another SSRC are not relayed. ClockRate is that of the timestamps in Hz, 0 means 8000.
	SSRC      uint32
	ClockRate uint32
	Rewrite   Rewrite
	Up        PayloadTypes // those that go up to the socket

	// Listen has the program find out when the source speaks, of G.711 (State.Speech). It needs [Relay.Listens]. Events
	// are the payload types that are telephone-events.
	Listen bool
	Events PayloadTypes

	// Lost is called, in a goroutine of its own, when the flow can't be carried any more: its route is gone, for
	// example. Its packets go up to the sockets already. What was counted is there until Remove. May be nil.
	Lost func(why error)

	// Figures is called by [Relay.Read] with the state of the flow, which is valid during the call. May be nil.
	Figures func(s *State)
}

// Rewrite is what a flow changes in each RTP packet. The zero value changes nothing.
type Rewrite struct {
	SSRC       uint32 // the new SSRC; 0 leaves it
	TimeOffset uint32 // added to the timestamp, modulo 2^32
	SeqOffset  uint16 // added to the sequence number, modulo 2^16
	Payload    [MaxPayloadChanges]PayloadChange
}

// PayloadChange says what happens to packets of one RTP payload type. Of several with the same From the first counts.
// The zero value changes nothing.
type PayloadChange struct {
	From, To uint8 // 0 to 127
	Drop     bool  // the packet is not relayed
}

// PayloadTypes is a set of RTP payload types.
type PayloadTypes [2]uint64

// Add puts a payload type, 0 to 127, into the set.
func (p *PayloadTypes) Add(payloadType uint8) { p[payloadType>>6&1] |= 1 << (payloadType & 63) }

// Has reports whether a payload type is in the set.
func (p *PayloadTypes) Has(payloadType uint8) bool {
	return p[payloadType>>6&1]>>(payloadType&63)&1 != 0
}

// State is what is known of the packets of a flow. Put takes it over, Remove gives it back, and in between the program
// does with it what media's stream does. Counters go on from what they were. Times are those of [Now], 0 for never.
// It is laid out as struct figures of the program, whose own fields have no name here.
type State struct {
	Last             time.Duration // the last packet came
	_                uint64
	First            time.Duration
	Packets, Bytes   uint64 // that came from Source, with the SSRC; bytes include the RTP header
	Sent, SentBytes  uint64 // of them, those that left
	WrongSource      uint64 // came from elsewhere, and did not go up
	WrongSSRC        uint64 // came from Source with another SSRC, and did not go up
	Discarded        uint64 // of Packets, those of a payload type that is dropped
	Base, Top        uint64 // the first sequence number, and the highest, extended by the cycles
	Received         uint64 // numbers from Base on that came, each once
	LostPast         uint64 // of earlier counts
	WrapsPast        uint64
	Duplicates       uint64
	Reordered        uint64
	SSRCChanges      uint64
	Losses           Losses
	TimestampAt      time.Duration // when the first packet with Timestamp came
	Jitter           uint64        // in 1/16 of a timestamp unit (RFC 3550 §A.8), as the next two
	JitterMax        uint64
	JitterSum        uint64 // over Timings packets
	Timings          uint64
	Delays           Delays
	_, _             uint64
	_, _             uint32
	SSRC             uint32
	Timestamp        uint32
	Expect           uint16 // the number after one that jumped
	Started, Renewed bool   // Renewed: the next packet is of another source, whatever its SSRC
	Jumped, Timed    bool
	LastPayloadType  uint8
	_                uint8

	// These are no part of the program's figures. Speech is that of the source; nil: the flow does not Listen. At is a
	// moment before the state was read.
	Speech *Speech
	At     time.Duration
}

// Told is how many finished segments a [Speech] keeps.
const Told = 7

// Speech is when the source of a flow speaks, by the clock of [Now]. It is laid out as struct speech of the program.
type Speech struct {
	Detector voice.Detector
	Told     uint64       // segments that were finished so far
	Last     [Told]Spoken // of them, the newest first; the zero value is none
}

// Spoken is a voice.Segment in ticks of 1/8000 s.
type Spoken struct {
	From         int64
	Length       uint32
	Level, Noise uint16 // Level: and sparse
}

// sparse is a segment's Sparse.
const sparse = 0x8000

// Since returns the segments, oldest first, that came after the first told ones. complete is false if there were more
// than Speech keeps.
func (s *Speech) Since(told uint64) (segments []voice.Segment, complete bool) {
	n := int(min(s.Told-min(told, s.Told), Told))
	for ; n > 0; n-- {
		if of := s.Last[n-1]; of != (Spoken{}) {
			segments = append(segments, of.segment())
		}
	}
	return segments, told <= s.Told && uint64(len(segments)) == s.Told-told
}

// Shift moves all times to another clock, which is ahead by a duration.
func (s *Speech) Shift(by time.Duration) {
	s.Detector.Shift(by)
	for i := range s.Last {
		if s.Last[i] != (Spoken{}) {
			s.Last[i].From += int64(by / voice.Tick)
		}
	}
}

func (s Spoken) segment() voice.Segment {
	return voice.Segment{
		From: time.Duration(s.From) * voice.Tick, To: time.Duration(s.From+int64(s.Length)) * voice.Tick,
		Level: int32(s.Level &^ sparse), Noise: int32(s.Noise), Sparse: s.Level&sparse != 0,
	}
}

// Losses is the window in which lost packets are told from late ones: bit i of Recent says that the i-th number below
// the highest came, bit i of Older the same of the number 64 below that.
type Losses struct {
	Recent, Older uint64
	Run           uint64 // of the lost numbers that left the window last
	Runs          uint64 // that began outside the window
	Longest       uint64 // of them
}

// Delays counts packets that come too late for a receiver's jitter buffer, as quality.Delays of media does.
type Delays struct {
	Behind, Waiting uint64
	Lasted          time.Duration
	Late, Bursts    uint64
}

// Dirs is what all directories of Dir and OldDir match.
const Dirs = "/sys/fs/bpf/flowbridge-*"

// Dir is the directory of an instance, known by the first of its addresses and its first port: no two instances have
// both. The other addresses and ports may be others in the next process.
func Dir(first netip.Addr, firstPort uint16) string {
	return fmt.Sprintf("/sys/fs/bpf/flowbridge-%s-%d", dashed.Replace(first.String()), firstPort)
}

// dashed are characters of addresses that a BPF file system, a shell or a list of paths does not take in a name.
var dashed = strings.NewReplacer(".", "-", ":", "-", "%", "_")

// OldDir is what Dir was in versions that knew an instance by its first port alone.
func OldDir(firstPort uint16) string { return fmt.Sprintf("/sys/fs/bpf/flowbridge-%d", firstPort) }

// DirRemedy is what to do where flows can't outlive the process.
const DirRemedy = "mount a BPF file system (mount -t bpf bpf /sys/fs/bpf) and give the process a directory there; see flowbridge help RTP in the kernel"

// SlowRemedy is what to do about what Slow says.
const SlowRemedy = "give the process CAP_PERFMON beside CAP_BPF and CAP_NET_ADMIN; flowbridge help security says what that right is"

// Options are what a relay is opened with.
type Options struct {
	// Dir is a directory in a BPF file system, such as /sys/fs/bpf/flowbridge-1. It is made if it is missing. The flows
	// outlive the process there, and the next Open with the same Dir adopts them. Empty: they end with the process.
	Dir string

	// OldDir is the directory of earlier versions. The relay has it instead of Dir in two cases: where Heir is that, and
	// where the user may not make Dir, and somebody has made OldDir for it. Else the relay does not adopt what a killed
	// process has left there: those flows end with the other leftovers (RemoveLeftovers), when all calls are restored.
	// They may be those of another instance. Empty: there is none.
	OldDir string

	// Capacity is how many flows there may be, 1 to 65,535. The kernel takes about 750 bytes for each at once, and
	// some 100 more for those that are in use.
	Capacity int

	// Timeout is how long an adopted flow and the one in its opposite direction may both be silent before they are
	// removed; 0 means 30 s.
	Timeout time.Duration

	// MaxAge is how long an adopted flow is carried at most, whoever still sends; 0 means an hour.
	MaxAge time.Duration

	// Heir is the directory of a process that this one is to replace, as its Relay.Directory. Both have it until that one
	// leaves. It must be Dir or OldDir. Its flows are adopted by Relay.Inherit, and nothing can be put before. Nil: there
	// is no such process.
	Heir *os.File

	// noTCX is as if the kernel did not know tcx, as before Linux 6.6.
	noTCX bool

	// ipsec reports whether there are policies of IPsec; nil: the kernel says so.
	ipsec func() bool
}

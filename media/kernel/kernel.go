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

// These are errors that a caller may want to distinguish.
var (
	// ErrUnfit reports that the program can't carry the flow, which needs a socket instead. The wrapping error says why.
	ErrUnfit = errors.New("not for the kernel")

	// ErrUnknown reports that the route of the flow's packets is not known yet. [Relay.Look] finds it.
	ErrUnknown = errors.New("the route is not known yet")

	// ErrFull reports that there is no room for another flow.
	ErrFull = errors.New("no room for another flow in the kernel")
)

// MaxPayloadChanges is how many payload types a [Rewrite] may change.
const MaxPayloadChanges = 8

// Kind distinguishes RTP from RTCP.
type Kind uint8

// The kinds of a flow.
const (
	RTP Kind = iota
	RTCP
)

// Flow is one direction of one kind of packet. A packet that arrives at In from exactly Source leaves from Out to Dest.
// All addresses must have the same IP version. They must not be unspecified or have a zone.
type Flow struct {
	In     netip.AddrPort // our address for the sending side; unique among flows
	Source netip.AddrPort
	Out    netip.AddrPort // our address for the receiving side
	Dest   netip.AddrPort
	Kind   Kind
	DSCP   uint8 // DSCP of sent packets (RFC 2474), 0 to 63

	// The following fields are for RTP only. Packets with another SSRC are not relayed. ClockRate is the rate of the
	// timestamps in Hz; 0 means 8000.
	SSRC      uint32
	ClockRate uint32
	Rewrite   Rewrite
	Up        PayloadTypes // packets of these types go up to the socket

	// Listen makes the program detect when the source speaks, for G.711 (State.Speech). It works only if [Relay.Listens].
	// Events are the payload types of telephone-events.
	Listen bool
	Events PayloadTypes

	// Lost is called in its own goroutine when the flow can't be carried any more, for example because its route is gone.
	// By then the flow's packets go up to the sockets. The counts remain until Remove. Lost may be nil.
	Lost func(why error)

	// Figures is called by [Relay.Read] with the state of the flow, which is valid only during the call. Figures may be
	// nil.
	Figures func(s *State)
}

// Rewrite is the change a flow makes to each RTP packet. The zero value changes nothing.
type Rewrite struct {
	SSRC       uint32 // the new SSRC; 0 keeps the old one
	TimeOffset uint32 // added to the timestamp, modulo 2^32
	SeqOffset  uint16 // added to the sequence number, modulo 2^16
	Payload    [MaxPayloadChanges]PayloadChange
}

// PayloadChange says what happens to packets with one RTP payload type. If several have the same From, the first one
// counts. The zero value changes nothing.
type PayloadChange struct {
	From, To uint8 // 0 to 127
	Drop     bool  // the packet is not relayed
}

// PayloadTypes is a set of RTP payload types.
type PayloadTypes [2]uint64

// Add adds a payload type, 0 to 127, to the set.
func (p *PayloadTypes) Add(payloadType uint8) { p[payloadType>>6&1] |= 1 << (payloadType & 63) }

// Has reports whether a payload type is in the set.
func (p *PayloadTypes) Has(payloadType uint8) bool {
	return p[payloadType>>6&1]>>(payloadType&63)&1 != 0
}

// State holds the counts and the stream state of a flow. Put takes it over, Remove returns it, and in between the
// program updates it as media's stream does. Counters continue from their earlier values. Times are by the clock of
// [Now]; 0 means never. State has the layout of struct figures in the program; fields used only by the program are
// blank here.
type State struct {
	Last             time.Duration // when the last packet came
	_                uint64
	First            time.Duration
	Packets, Bytes   uint64 // packets from Source with the SSRC; bytes include the RTP header
	Sent, SentBytes  uint64 // the part of Packets and Bytes that left
	WrongSource      uint64 // packets from other sources that did not go up
	WrongSSRC        uint64 // packets from Source with another SSRC that did not go up
	Discarded        uint64 // part of Packets: those with a payload type that is dropped
	Base, Top        uint64 // the first and the highest sequence number, extended by the cycles
	Received         uint64 // distinct numbers received from Base on
	LostPast         uint64 // packets lost before the count last restarted
	WrapsPast        uint64
	Duplicates       uint64
	Reordered        uint64
	SSRCChanges      uint64
	Losses           Losses
	TimestampAt      time.Duration // when the first packet with Timestamp came
	Jitter           uint64        // in 1/16 of a timestamp unit (RFC 3550 §A.8); so are the next two fields
	JitterMax        uint64
	JitterSum        uint64 // over Timings packets
	Timings          uint64
	Delays           Delays
	_, _             uint64
	_, _             uint32
	SSRC             uint32
	Timestamp        uint32
	Expect           uint16 // the number after a number that jumped
	Started, Renewed bool   // Renewed: the next packet is from another source, whatever its SSRC
	Jumped, Timed    bool
	LastPayloadType  uint8
	_                uint8

	// The remaining fields are not part of the program's figures. Speech says when the source speaks; it is nil if the
	// flow does not Listen. At is a time just before the state was read.
	Speech *Speech
	At     time.Duration
}

// Told is the number of latest segments that a [Speech] keeps.
const Told = 7

// Speech says when the source of a flow speaks, by the clock of [Now]. It has the layout of struct speech in the
// program.
type Speech struct {
	Detector voice.Detector
	Told     uint64       // number of segments finished so far
	Last     [Told]Spoken // the latest segments, newest first; zero if there are none
}

// Spoken is a voice.Segment in ticks of 1/8000 s.
type Spoken struct {
	From         int64
	Length       uint32
	Level, Noise uint16 // Level also holds the flags sparse and tone
}

// sparse and tone are the bits in Level that stand for a segment's Sparse and Tone.
const (
	sparse = 0x8000
	tone   = 0x4000
)

// Since returns the segments after the first told ones, oldest first. complete is false if some of them are no longer
// in Last.
func (s *Speech) Since(told uint64) (segments []voice.Segment, complete bool) {
	n := int(min(s.Told-min(told, s.Told), Told))
	for ; n > 0; n-- {
		if of := s.Last[n-1]; of != (Spoken{}) {
			segments = append(segments, of.segment())
		}
	}
	return segments, told <= s.Told && uint64(len(segments)) == s.Told-told
}

// Shift converts all times to another clock, which is ahead by the given duration.
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
		Level: int32(s.Level &^ (sparse | tone)), Noise: int32(s.Noise), Sparse: s.Level&sparse != 0, Tone: s.Level&tone != 0,
	}
}

// Losses is the window that distinguishes lost packets from late ones. Bit i of Recent says whether the i-th number
// below the highest was received, bit i of Older whether the number 64 below that was.
type Losses struct {
	Recent, Older uint64
	Run           uint64 // length of the last run of lost numbers that left the window
	Runs          uint64 // runs that began outside the window
	Longest       uint64 // length of the longest of these runs
}

// Delays counts packets that come too late for a receiver's jitter buffer, like quality.Delays in media.
type Delays struct {
	Behind, Waiting uint64
	Lasted          time.Duration
	Late, Bursts    uint64
}

// Dirs is a pattern that matches all directories of Dir and OldDir.
const Dirs = "/sys/fs/bpf/flowbridge-*"

// Dir returns the directory of an instance. An instance is identified by the first of its addresses and its first port,
// because no two instances share both. The other addresses and ports may change with the next process.
func Dir(first netip.Addr, firstPort uint16) string {
	return fmt.Sprintf("/sys/fs/bpf/flowbridge-%s-%d", dashed.Replace(first.String()), firstPort)
}

// dashed replaces characters of addresses that a BPF file system, a shell or a list of paths does not allow in a name.
var dashed = strings.NewReplacer(".", "-", ":", "-", "%", "_")

// OldDir returns the Dir of versions that identified an instance only by its first port.
func OldDir(firstPort uint16) string { return fmt.Sprintf("/sys/fs/bpf/flowbridge-%d", firstPort) }

// DirRemedy tells an operator what to do if flows can't outlive the process.
const DirRemedy = "mount a BPF file system (mount -t bpf bpf /sys/fs/bpf) and give the process a directory there; see flowbridge help RTP in the kernel"

// SlowRemedy tells an operator what to do about the problem that Slow reports.
const SlowRemedy = "give the process CAP_PERFMON beside CAP_BPF and CAP_NET_ADMIN; flowbridge help security says what that right is"

// Options configure a relay.
type Options struct {
	// Dir is a directory in a BPF file system, such as /sys/fs/bpf/flowbridge-1. It is created if it is missing. The flows
	// there outlive the process, and the next Open with the same Dir adopts them. If it is empty, they end with the
	// process.
	Dir string

	// OldDir is the directory of earlier versions. The relay uses it instead of Dir in two cases: if Heir is that
	// directory, or if the user may not create Dir and OldDir exists for the user. Otherwise the relay does not adopt
	// flows that a killed process has left there, because they may belong to another instance. Those flows end with the
	// other leftovers (RemoveLeftovers), when all calls are restored. If it is empty, there is no such directory.
	OldDir string

	// Capacity is the maximum number of flows, 1 to 65,535. The kernel allocates about 750 bytes for each flow at once,
	// and about 100 more for each flow in use.
	Capacity int

	// Timeout is how long an adopted flow and its opposite may both be silent before they are removed; 0 means 30 s.
	Timeout time.Duration

	// MaxAge is the longest time for which an adopted flow is carried, even if packets still come; 0 means an hour.
	MaxAge time.Duration

	// Heir is the directory of the process that this one replaces, from Relay.Directory of that process. Both processes
	// hold it until the old one leaves. It must be Dir or OldDir. Relay.Inherit adopts the old process's flows, and no
	// flow can be put before that. Heir is nil if this process does not replace another one.
	Heir *os.File

	// noTCX behaves as if the kernel did not support tcx, as before Linux 6.6.
	noTCX bool

	// ipsec reports whether there are IPsec policies; if it is nil, the kernel is asked.
	ipsec func() bool
}

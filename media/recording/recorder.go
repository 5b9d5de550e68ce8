package recording

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/media"
	"flowbridge/media/audio"
)

// Call says what to record.
type Call struct {
	ID       string // a UUID
	Part     int    // 1 for the call's first recording, 2 for the second, and so on
	Payloads [2]Payloads

	// Local are the addresses that the peers send media to, by side. A capture shows them, because dissectors look for RTP
	// at the addresses in the SDP. If an address is invalid, the address that packets arrived at is shown.
	Local [2]netip.Addr
}

// intake takes the packets of a media session, for one goroutine that reads them from the ring.
type intake struct {
	began    time.Time // constant; includes a monotonic reading: all times of the recording count from it
	ring     *ring
	payloads [2]atomic.Pointer[Payloads]
	paused   atomic.Bool
	over     atomic.Bool  // no more packets are taken
	dropped  atomic.Int64 // dropped packets and messages
}

// Recorder records one call. Any goroutine may call its methods, but only one at a time may call Packet.
type Recorder struct {
	intake

	// Constant.
	call Call
	w    *writer

	mu       sync.Mutex // guards the fields below
	queue    []message
	queued   int // bytes in queue
	files    []File
	end      time.Duration // when the recording was stopped
	stopping bool

	done chan struct{} // closed when all files are finished

	outputs []*output // owned by the writer; nil if not opened yet
}

// message is a SIP message on its way to the files.
type message struct {
	at       time.Duration // time since the recording started; negative for an earlier message
	from, to netip.AddrPort
	data     []byte
}

// queueLimit limits the SIP messages waiting to be written, in bytes.
const queueLimit = 256 << 10

var _ media.Tap = (*Recorder)(nil)

// Packet implements media.Tap. It takes no lock and allocates nothing.
func (in *intake) Packet(p media.Tapped) {
	if in.over.Load() || in.paused.Load() {
		return
	}
	c := codecSilence
	if p.Kind == media.RTP {
		c = in.payloads[p.Side].Load().codec(p.Data[1] & 0x7f)
	}
	if !in.ring.put(tapped{
		at: p.At.Sub(in.began), side: p.Side, kind: p.Kind, source: p.Source, local: p.Local, codec: c, data: p.Data,
	}) {
		in.dropped.Add(1)
	}
}

// SetPayloads says what a side's payload types carry from now on.
func (in *intake) SetPayloads(side media.Side, p Payloads) { in.payloads[side].Store(&p) }

// Message records a SIP message sent at the given time, which may be before the recording started. It retains data.
func (r *Recorder) Message(at time.Time, from, to netip.AddrPort, data []byte) {
	if r.over.Load() || r.paused.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queued+len(data) > queueLimit {
		r.dropped.Add(1)
		return
	}
	r.queued += len(data)
	r.queue = append(r.queue, message{at: at.Sub(r.began), from: from, to: to, data: data})
}

// Pause stops recording until Resume: WAV gets silence, pcapng nothing. Packets that arrive after Pause returns are not
// recorded.
func (r *Recorder) Pause() { r.paused.Store(true) }

// Resume continues the recording.
func (r *Recorder) Resume() { r.paused.Store(false) }

// Paused reports whether the recording is paused.
func (r *Recorder) Paused() bool { return r.paused.Load() }

// Stop ends the recording. The waiting data is written soon after; Done says when. A second call has no effect.
func (r *Recorder) Stop() {
	r.mu.Lock()
	if !r.stopping {
		r.stopping, r.end = true, time.Since(r.began)
	}
	r.mu.Unlock()
	r.over.Store(true)
	r.w.poke()
}

// Done is closed when every file is finished.
func (r *Recorder) Done() <-chan struct{} { return r.done }

// Files returns the state of the recording's files.
func (r *Recorder) Files() []File {
	r.mu.Lock()
	defer r.mu.Unlock()
	files := append([]File(nil), r.files...)
	for i := range files {
		if files[i].EndedAt.IsZero() {
			files[i].Dropped = r.dropped.Load()
		}
	}
	return files
}

// Failed reports whether all files have ended although the recording was not stopped.
func (r *Recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.stopping && !slices.ContainsFunc(r.files, func(f File) bool { return f.EndedAt.IsZero() })
}

// takeMessages returns the waiting messages. It also returns whether the recording has been stopped, and when.
func (r *Recorder) takeMessages() (queue []message, stopped bool, end time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	queue, r.queue, r.queued = r.queue, nil, 0
	return queue, r.stopping, r.end
}

// change updates the state of a file as Files returns it.
func (r *Recorder) change(i int, change func(*File)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.files[i])
}

// Payloads says what the RTP payload types of a side carry. A type in none of the sets (comfort noise,
// telephone-events) is silence in WAV.
type Payloads struct {
	ULaw, ALaw media.PayloadSet // G.711, at 8 kHz
	Other      media.PayloadSet // speech that can't be decoded here
	OtherName  string           // name of that codec, for the reason why there is no WAV
}

type codec uint8

const (
	codecSilence codec = iota
	codecULaw
	codecALaw
	codecOther
)

func (p *Payloads) codec(payloadType uint8) codec {
	switch {
	case p.ULaw.Has(payloadType):
		return codecULaw
	case p.ALaw.Has(payloadType):
		return codecALaw
	case p.Other.Has(payloadType):
		return codecOther
	default:
		return codecSilence
	}
}

// decodable reports whether WAV can hold some of the side's speech, or the side sends none.
func (p *Payloads) decodable() bool {
	return p.ULaw != media.PayloadSet{} || p.ALaw != media.PayloadSet{} || p.Other == media.PayloadSet{}
}

// decode appends the samples of G.711.
func (c codec) decode(out []int16, payload []byte) []int16 {
	if c == codecALaw {
		for _, b := range payload {
			out = append(out, audio.DecodeALaw(b))
		}
		return out
	}
	for _, b := range payload { // not by a variable function, which costs three times as much
		out = append(out, audio.DecodeULaw(b))
	}
	return out
}

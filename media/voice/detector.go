package voice

import "time"

// Times of a stream are counted in ticks, the timestamps of G.711.
const (
	tick        = time.Second / 8000
	millisecond = 8 // ticks

	second = 1000 * millisecond
)

// Blocks of a packet are judged one after another. What is left of a packet, less than half a block, sounds like
// the block before it. The kernel's program has the same bounds: at most three blocks a packet.
const (
	blockLen  = 160 // codes, 20 ms
	blockHalf = 80  // the shortest block
	blocksMax = 3
)

var (
	Least    int64 = 112
	On       int64 = 284
	Off      int64 = 220
	Spread   int64 = 9
	Rise     int64 = 8
	RiseTalk int64 = 58
	Begin    int64 = 48 * 8
	Resume   int64 = 0
	Hangover int64 = 200 * 8
	Bridge   int64 = 72 * 8
	Depth    int64 = 760
	Leak     int64 = 11
	Flat int64 = 256
	OnDepth int64 = 600
	Prior int64 = 700
	SteadyLen int64 = 8000
)

const (
	longest = 60 * second

	jump  = 2 * second
	pause = 200 * millisecond
	lateInRow = 8
)

// Segment is speech of one side without a pause of 200 ms.
type Segment struct {
	From, To time.Duration // by the clock of Packet.Arrival
	Level    int64
	Noise    int64
}

// Packet is an RTP packet with what a detector has to know of it.
type Packet struct {
	Arrival   time.Duration
	SSRC      uint32
	Timestamp uint32
	Content   Content
	Payload   []byte
}

type Detector struct {
	Base      int64
	Next      int64
	Heard     int64
	Fastest   int64
	Window    int64
	Run       int64
	RunEnd    int64
	Start     int64
	End       int64
	Said      int64
	Floor     int64
	Swing     int64
	Loud      int64
	Noise     int64
	Sum, Weight int64
	Speech int64
	High, Low, Even int64
	Varied bool
	Timestamp uint32
	SSRC      uint32
	Judged    uint32
	Opaque    uint32
	Late      uint8
	Started   bool
	InRun     bool
	Talking   bool
}

func (d *Detector) Packet(p Packet) (ended Segment, ok bool) {
	n := int64(len(p.Payload))
	switch p.Content {
	case MuLaw, ALaw:
		if n < blockHalf || n >= blocksMax*blockLen+blockHalf {
			d.Opaque++
			return Segment{}, false
		}
	case ComfortNoise:
		n = 0
	default:
		d.Opaque++
		return Segment{}, false
	}
	at, fresh := d.place(int64(p.Arrival/tick), n, p.SSRC, p.Timestamp)
	if !fresh {
		return Segment{}, false
	}
	d.Judged++
	ended, ok = d.settle(at)
	for rest := p.Payload; n >= blockHalf; {
		size, looked := n, int64(blockHalf)
		if n >= blockLen {
			looked = blockLen
		}
		if n >= blockLen+blockHalf {
			size = blockLen
		}
		d.hear(at, size, level(rest[:looked], p.Content))
		at, n, rest = at+size, n-size, rest[size:]
	}
	if d.Talking && d.End-d.Start >= longest {
		ended, ok = d.segment(), true
		d.Start, d.Sum, d.Weight = d.End, 0, 0
	}
	return ended, ok
}

func (d *Detector) place(now, n int64, ssrc, timestamp uint32) (at int64, fresh bool) {
	if !d.Started {
		*d = Detector{Started: true, Opaque: d.Opaque, SSRC: ssrc, Next: now - n, Heard: now, Window: now, Fastest: jump, Said: now - n, Speech: Prior * 64}
		d.Timestamp = timestamp
	}
	due := now - n - d.Base
	at = d.Next + int64(int32(timestamp-d.Timestamp))
	late, silent := due-at, now-d.Heard
	switch {
	case ssrc != d.SSRC, late > jump, late < -jump,
		silent > pause && late > silent/2:
		at = max(due, d.Next)
	case at < d.Next:
		if d.Late++; d.Late < lateInRow {
			return 0, false
		}
		at = max(due, d.Next)
	}
	d.Late, d.SSRC, d.Heard = 0, ssrc, now
	d.Next, d.Timestamp = at+n, timestamp+uint32(n)
	if late = due - at; late < 0 {
		d.Base += late
		d.Fastest = 0
	} else {
		d.Fastest = min(d.Fastest, late)
	}
	if now-d.Window > second {
		d.Base += d.Fastest
		d.Window, d.Fastest = now, jump
	}
	return at, true
}

func (d *Detector) settle(at int64) (ended Segment, ok bool) {
	if d.Talking && at-d.End > Hangover {
		if d.Varied || d.Even < SteadyLen {
			ended, ok = d.segment(), true
			d.learn(ended)
		}
		d.Talking = false
		d.InRun = d.RunEnd > d.End
	}
	if d.InRun && at-d.RunEnd > Bridge {
		d.InRun = false
	}
	return ended, ok
}

func (d *Detector) segment() Segment {
	from, to := max(d.Start+d.Base, d.Said), max(d.End+d.Base, d.Said)
	d.Said = to
	return Segment{time.Duration(from) * tick, time.Duration(to) * tick, d.Sum / max(d.Weight, 1), d.Noise}
}

func (d *Detector) hear(at, n, level int64) {
	if d.Judged == 1 {
		d.Floor = min(level, Least) * 64
	}
	noise, raise := d.Floor>>6, Spread*d.Swing>>9
	on := max(noise+On+raise, Least)
	off := max(noise+min(Off+raise, On+raise-64), Least*3/4)
	if rel := d.Speech>>6 - Depth; rel > off {
		if level >= on && level < rel {
			d.Speech -= Leak * n >> 11
		}
		off = rel
	}
	on = max(on, off, d.Speech>>6-OnDepth)
	switch above := level*64 - d.Floor; {
	case above < 0:
		d.Floor += above * n * 13 >> 13
	case d.Talking || d.InRun:
		d.Floor += min(RiseTalk*n*51>>13, above)
	default:
		d.Floor += min(Rise*n*51>>13, above)
	}
	if !d.Talking && level < on {
		d.Swing += (level*64 - d.Floor - d.Swing) * n * 51 >> 19
	}
	if level < off {
		return
	}
	if !d.InRun {
		d.InRun, d.Run, d.Loud = true, at, 0
		if !d.Talking {
			d.Sum, d.Weight = 0, 0
			d.Even, d.Varied = 0, false
		}
	}
	d.RunEnd = at + n
	d.steady(n, level)
	if level >= on {
		d.Loud += n
		d.Sum += level * n
		d.Weight += n
	}
	switch {
	case d.Talking:
		if d.Loud >= Resume {
			d.End = d.RunEnd
		}
	case d.Loud >= Begin:
		d.Talking, d.Start, d.End = true, d.Run, d.RunEnd
		d.Noise = (d.Floor + d.Swing) >> 6
	}
}

// View is what is known of a side at a moment, beyond its finished segments.
type View struct {
	Until    time.Duration // all speech before it is known
	Speaking bool          // a segment goes on, from Since to To so far
	Since    time.Duration
	To       time.Duration
}

// absent is how long nothing may have come of a side until that means silence.
const absent = 500 * millisecond

// View returns what is known at a moment.
func (d *Detector) View(now time.Duration) View {
	at := int64(now / tick)
	until := d.Next + d.Base
	if d.InRun && (!d.Talking || d.RunEnd > d.End) {
		until = d.Run + d.Base
	}
	if !d.Started || at-d.Heard > absent {
		until = max(until, at-absent)
	}
	v := View{Until: time.Duration(until) * tick, Speaking: d.Talking}
	if d.Talking {
		v.Since = time.Duration(max(d.Start+d.Base, d.Said)) * tick
		v.To = max(v.Since, time.Duration(d.End+d.Base)*tick)
	}
	return v
}

func (d *Detector) learn(s Segment) {
	took := min(int64((s.To-s.From)/tick), second)
	is := s.Level * 64
	switch {
	case is > d.Speech:
		d.Speech += (is - d.Speech) * took / second
	default:
		d.Speech += (is - d.Speech) * took / (8 * second)
	}
}

// steady notices noise that has begun: in a second of it the level hardly changes.
func (d *Detector) steady(n, level int64) {
	if d.Even == 0 {
		d.High, d.Low = level, level
	}
	d.High, d.Low = max(d.High, level), min(d.Low, level)
	d.Even += n
	if d.High-d.Low >= Flat {
		d.Varied = true
		d.Even = 0
		return
	}
	if d.Even >= SteadyLen {
		d.Floor = d.Low * 64
		d.Even = SteadyLen
	}
}
